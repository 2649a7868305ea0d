"""A slixmpp client whose connection manager is killed goes on with its session at another one (XEP-0198), and gets what was sent to
it meanwhile. Its contact sees no change of presence.

    resume.py PORT_OF_ROMEO PORT_OF_JULIET DOMAIN PASSWORD CERTIFICATE

Juliet is the one who loses her connection, and goes on at Romeo's port. Prints "lose juliet" when whoever runs it is to end the
process at her port. Exits with 0 if all was seen. Waits for events alone; the only time limit is the one that turns a hang into a
failure.
"""

import asyncio
import sys

from converse import PATIENCE, Client


class Managed(Client):
    """A client that resumes its stream."""

    def __init__(self, jid, password, certificate):
        super().__init__(jid, password, certificate)
        self.register_plugin("xep_0198")
        self.sessions = 0
        self.everything = []
        self.add_event_handler("sm_enabled", lambda it: self.see("managed", it["resume"]))
        self.add_event_handler("sm_failed", lambda _: self.see("not resumed"))
        self.add_event_handler("session_resumed", lambda _: self.see("resumed"))
        self.add_event_handler("disconnected", lambda _: self.see("disconnected"))

    def see(self, *what):
        self.everything.append(what)
        super().see(*what)

    async def start(self, event):
        self.sessions += 1
        await super().start(event)


async def resume(ports, domain, password, certificate):
    romeo = Managed(f"romeo@{domain}/orchard", password, certificate)
    juliet = Managed(f"juliet@{domain}/balcony", password, certificate)
    for client, port in zip((romeo, juliet), ports):
        client.connect("127.0.0.1", int(port))
    await asyncio.gather(romeo.ready.wait(), juliet.ready.wait())
    await juliet.wait_for("managed", True)
    romeo.send_presence_subscription(pto=f"juliet@{domain}", ptype="subscribe")
    await romeo.wait_for("available", f"juliet@{domain}/balcony")

    print("lose juliet", flush=True)
    await juliet.wait_for("disconnected")
    romeo.send_message(f"juliet@{domain}", "Hist! Juliet, hist!", mtype="chat")
    juliet.connect("127.0.0.1", int(ports[0]))
    await juliet.wait_for("resumed")
    await juliet.wait_for("message", f"romeo@{domain}/orchard", "Hist! Juliet, hist!")
    # The same session, in the other direction as well.
    juliet.send_message(f"romeo@{domain}/orchard", "My sweet?", mtype="chat")
    await romeo.wait_for("message", f"juliet@{domain}/balcony", "My sweet?")

    assert juliet.sessions == 1, "Juliet's session is a new one"
    messages = [what for what in juliet.everything if what[0] == "message"]
    assert len(messages) == 1, f"Juliet got {messages}"
    assert ("unavailable", f"juliet@{domain}/balcony") not in romeo.everything, "Romeo saw her leave"
    await asyncio.gather(romeo.disconnect(), juliet.disconnect())


async def main():
    romeos, juliets, domain, password, certificate = sys.argv[1:]
    await asyncio.wait_for(resume((romeos, juliets), domain, password, certificate), PATIENCE)


if __name__ == "__main__":
    asyncio.run(main())
