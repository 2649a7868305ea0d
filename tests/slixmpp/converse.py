"""Two slixmpp clients on two connection managers: they subscribe to each other, see presence, chat, and one sees the other
become unavailable when its connection is lost.

    converse.py PORT_OF_ROMEO PORT_OF_JULIET DOMAIN PASSWORD CERTIFICATE

Prints "lose juliet" when whoever runs it is to end Juliet's connection. Exits with 0 if all was seen. Waits for events alone;
the only time limit is the one that turns a hang into a failure.
"""

import asyncio
import ssl
import sys

import slixmpp

PATIENCE = 60


class Client(slixmpp.ClientXMPP):
    """A client that collects what it sees."""

    def __init__(self, jid, password, certificate):
        super().__init__(jid, password)
        self.seen = asyncio.Queue()
        self.ready = asyncio.Event()
        self.auto_reconnect = False
        self.auto_authorize = True
        self.auto_subscribe = True
        self.ssl_context.load_verify_locations(certificate)
        self.ssl_context.verify_mode = ssl.CERT_REQUIRED
        self.ca_certs = certificate
        self.add_event_handler("session_start", self.start)
        self.add_event_handler("message", lambda it: self.see("message", it["from"].full, it["body"]))
        self.add_event_handler("presence_available", lambda it: self.see("available", it["from"].full))
        self.add_event_handler("presence_unavailable", lambda it: self.see("unavailable", it["from"].full))
        self.add_event_handler("presence_subscribed", lambda it: self.see("subscribed", it["from"].bare))
        self.add_event_handler("failed_auth", lambda _: self.see("failed to log in"))

    def see(self, *what):
        print(f"{self.boundjid.full} sees {what}", flush=True)
        self.seen.put_nowait(what)

    async def start(self, _):
        self.send_presence()
        await self.get_roster()
        self.ready.set()

    async def wait_for(self, *what):
        while await self.seen.get() != what:
            pass


async def converse(ports, domain, password, certificate):
    romeo = Client(f"romeo@{domain}/orchard", password, certificate)
    juliet = Client(f"juliet@{domain}/balcony", password, certificate)
    for client, port in zip((romeo, juliet), ports):
        client.connect("127.0.0.1", int(port))
    await asyncio.gather(romeo.ready.wait(), juliet.ready.wait())

    # Juliet's client approves and asks back by itself.
    romeo.send_presence_subscription(pto=f"juliet@{domain}", ptype="subscribe")
    await romeo.wait_for("available", f"juliet@{domain}/balcony")
    await juliet.wait_for("available", f"romeo@{domain}/orchard")

    romeo.send_message(f"juliet@{domain}", "Art thou <Juliet> & fair?", mtype="chat")
    await juliet.wait_for("message", f"romeo@{domain}/orchard", "Art thou <Juliet> & fair?")
    juliet.send_message(f"romeo@{domain}/orchard", "I take thee at thy word ☾", mtype="chat")
    await romeo.wait_for("message", f"juliet@{domain}/balcony", "I take thee at thy word ☾")

    print("lose juliet", flush=True)
    await romeo.wait_for("unavailable", f"juliet@{domain}/balcony")
    await romeo.disconnect()


async def main():
    romeos, juliets, domain, password, certificate = sys.argv[1:]
    await asyncio.wait_for(converse((romeos, juliets), domain, password, certificate), PATIENCE)


if __name__ == "__main__":
    asyncio.run(main())
