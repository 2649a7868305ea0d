//! XEP-0280: Message Carbons (version 1.0.1).
//!
//! A client that wants them gets a copy of each message of instant messaging that the account's other resources send and receive. A copy
//! is made when the message is delivered, or has been sent and is in the sender's archive: it bears the same id there (XEP-0359), so
//! that nobody shows it twice. Whether a client wants copies is part of its session, and outlives the router that it was told to.
//!
//! | message (§6) | copied |
//! |---|---|
//! | `chat`; `normal` with a body or what goes with one: receipts, chat states, markers, encrypted content and the like | yes |
//! | `error` that sends such a message back | yes |
//! | `groupchat`, `headline` | no: a room has told all of its occupants |
//! | from an occupant of a room, in private | no, likewise; but to one, yes |
//! | an invitation to a room | yes |
//! | with `<private/>`, or the hint `no-copy` (XEP-0334) | no |
//!
//! An error that comes back for a copy is addressed to the account and, by RFC 6121 §8.5.2, goes no further (§10.3).

use std::sync::Arc;

use async_trait::async_trait;
use vesta_engine::hooks::{
    Context, Flow, Hook, Hooks, InboundMessage, IqAnswer, IqHandler, IqRequest, MessageDelivered, MessageSent, Order,
    Scope,
};
use vesta_engine::module::{Module, Spec, Status};
use vesta_engine::{Session, SessionChange};
use vesta_xmpp::envelope::Name;
use vesta_xmpp::payload::carbon::{Carbon, Direction, Switch};
use vesta_xmpp::payload::forwarded::Forwarded;
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{Element, Envelope, Flags, MessageType, StanzaType, ns};

pub use crate::switch::Switch as Config;

/// What is fulfilled.
pub const SPEC: Spec = Spec {
    number: 280,
    title: "Message Carbons",
    version: "1.0.1",
    status: Status::Complete,
    since: "0.1.0",
    note: "",
};

/// The module.
pub struct Carbons;

impl Module for Carbons {
    fn name(&self) -> &'static str {
        "carbons"
    }

    fn specs(&self) -> &'static [Spec] {
        &[SPEC]
    }

    fn register(self: Arc<Self>, hooks: &mut Hooks) {
        for disco in [&mut hooks.server, &mut hooks.account] {
            disco.feature(ns::CARBONS).feature(ns::CARBONS_RULES);
        }
        for switch in [Switch::Enable, Switch::Disable] {
            hooks.iq_set(ns::CARBONS, switch.name(), Scope::OwnAccount, Arc::new(Turn(switch)));
        }
        hooks.inbound_message(Order::Changes, self.clone());
        hooks.message_delivered(Order::Copies, self.clone());
        hooks.message_sent(Order::Copies, self);
    }
}

/// Turns copies on or off for the session that asks (§4, §5).
struct Turn(Switch);

#[async_trait]
impl IqHandler for Turn {
    async fn answer(&self, context: &mut Context<'_>, _: &IqRequest<'_>) -> IqAnswer {
        let Some(session) = context.session else { return Err(Condition::NotAllowed.into()) };
        let wanted = self.0 == Switch::Enable;
        if session.carbons != wanted {
            context.ports.change(&context.account.jid, session.key, SessionChange::Carbons(wanted)).await?;
        }
        Ok(None)
    }
}

#[async_trait]
impl Hook<InboundMessage> for Carbons {
    /// §9: the recipient need not see that the sender wanted no copies.
    async fn on(&self, _: &mut Context<'_>, event: &mut InboundMessage) -> Flow {
        if event.stanza.flags.has(Flags::PRIVATE)
            && let Some(stanza) = without_private(&event.stanza)
        {
            event.stanza = Arc::new(stanza);
        }
        Flow::Continue
    }
}

#[async_trait]
impl Hook<MessageDelivered> for Carbons {
    async fn on(&self, context: &mut Context<'_>, event: &mut MessageDelivered) -> Flow {
        let got = |session: &Session| event.targets.iter().any(|target| target.key == session.key);
        copy(context, &event.stanza, Direction::Received, got);
        Flow::Continue
    }
}

#[async_trait]
impl Hook<MessageSent> for Carbons {
    async fn on(&self, context: &mut Context<'_>, event: &mut MessageSent) -> Flow {
        copy(context, &event.stanza, Direction::Sent, |_| false);
        Flow::Continue
    }
}

/// Hands copies to the sessions that want them, but to the one that sent the message and those that `got` it.
fn copy(context: &Context<'_>, stanza: &Arc<Envelope>, direction: Direction, got: impl Fn(&Session) -> bool) {
    if !is_eligible(stanza, direction) {
        return;
    }
    let is_sender = |session: &Session| stanza.from.as_ref().is_some_and(|from| *from == *session.jid);
    let wants = |session: &&Arc<Session>| session.carbons && !is_sender(session) && !got(session);
    let sessions = context.sessions();
    let mut targets = sessions.iter().filter(wants).peekable();
    if targets.peek().is_none() {
        return;
    }
    let forwarded = Forwarded { delay: None, stanza: Envelope::clone(stanza) };
    let mut content = Vec::with_capacity(stanza.weight() + 256);
    Carbon { direction, forwarded }.write(&mut content);
    let mut copy = Envelope::new(stanza.kind).with_from(context.account.jid.clone());
    copy.payload = Some(Name::new(ns::CARBONS, direction.name()));
    copy.flags.set(Flags::COPY);
    // As the message itself: a session that has got the copy from an earlier leader is passed over.
    if stanza.flags.has(Flags::AGAIN) {
        copy.flags.set(Flags::AGAIN);
    }
    copy.logged = stanza.logged;
    copy.content = content.into();
    let targets: Vec<_> = targets.map(|session| session.key).collect();
    // Without `to`, it is written for each.
    context.ports.deliver(&context.account.jid, &targets, Arc::new(copy));
}

/// The table of the module's documentation.
fn is_eligible(stanza: &Envelope, direction: Direction) -> bool {
    /// What goes with conversations.
    const CONVERSATION: [Flags; 5] = [Flags::BODY, Flags::CHAT_STATE, Flags::RECEIPT, Flags::MARKER, Flags::CONTENT];
    let flags = stanza.flags;
    if flags.has(Flags::PRIVATE) || flags.has(Flags::NO_COPY) {
        return false;
    }
    let is_conversation = || CONVERSATION.into_iter().any(|flag| flags.has(flag));
    let of_room = flags.has(Flags::MUC_USER);
    match stanza.kind {
        StanzaType::Message(_) if of_room && is_invitation(stanza) => true,
        StanzaType::Message(_) if of_room && direction == Direction::Received => false,
        StanzaType::Message(MessageType::Chat) => true,
        StanzaType::Message(MessageType::Normal | MessageType::Error) => is_conversation(),
        _ => false,
    }
}

/// A mediated invitation (XEP-0045 §7.8.2).
fn is_invitation(stanza: &Envelope) -> bool {
    let invite = |element: Element| {
        element.children().any(|child| child.is(ns::MUC_USER, "x") && child.child(ns::MUC_USER, "invite").is_some())
    };
    stanza.kind == StanzaType::Message(MessageType::Normal) && stanza.to_element().is_ok_and(invite)
}

/// The stanza without `<private/>`. What was seen of it is kept: no copies are made.
fn without_private(stanza: &Envelope) -> Option<Envelope> {
    let mut element = stanza.to_element().ok()?;
    element.take_child(ns::CARBONS, "private")?;
    let changed = Envelope::read_alone(&element.to_bytes("")).ok()?;
    Some(Envelope { flags: stanza.flags, ..changed })
}

#[cfg(test)]
mod tests {
    use vesta_engine::testing::{Actor, World};

    use super::*;
    use crate::transcript::iq_error;
    use crate::xep0313_archive::{self, Archive};

    const ORCHARD: &str = "romeo@example.net/orchard";
    const BALCONY: &str = "juliet@example.com/balcony";

    fn world() -> World {
        World::new(vec![Arc::new(Carbons)])
    }

    fn turn(actor: &Actor<'_>, switch: Switch) {
        actor.sends(&format!("<iq type='set' id='c'><{} xmlns='urn:xmpp:carbons:2'/></iq>", switch.name()));
        actor.receives("<iq type='result' id='c'/>");
    }

    /// A session that wants copies.
    fn copied<'w>(world: &'w World, jid: &str) -> Actor<'w> {
        let actor = world.online(jid);
        turn(&actor, Switch::Enable);
        world.forget_received();
        actor
    }

    fn carbon(owner: &str, kind: &str, direction: &str, attributes: &str, content: &str) -> String {
        format!(
            "<message type='{kind}' from='{owner}'><{direction} xmlns='urn:xmpp:carbons:2'>\
             <forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' {attributes}>{content}</message>\
             </forwarded></{direction}></message>"
        )
    }

    /// §7, §8: the other resources of both sides get copies, from their own bare JID; those that had the message don't.
    #[test]
    fn the_other_resources_of_both_sides_get_a_copy() {
        let world = world();
        let romeo = copied(&world, ORCHARD);
        let romeos_other = copied(&world, "romeo@example.net/field");
        let juliet = copied(&world, BALCONY);
        let juliets_other = copied(&world, "juliet@example.com/chamber");
        let without = world.online("juliet@example.com/attic");
        let body = "<body>Neither, fair saint</body>";
        romeo.sends(&format!("<message type='chat' to='{BALCONY}'>{body}</message>"));
        let attributes = format!("type='chat' from='{ORCHARD}' to='{BALCONY}'");
        juliet.receives(&format!("<message {attributes}>{body}</message>"));
        let received = carbon("juliet@example.com", "chat", "received", &attributes, body);
        juliets_other.receives(&received.replace("<message type", "<message to='juliet@example.com/chamber' type"));
        romeos_other.receives(&carbon("romeo@example.net", "chat", "sent", &attributes, body));
        without.receives_nothing();
        world.nobody_receives_anything();
    }

    /// §7: whoever takes the message by RFC 6121 needs no copy; a resource of negative priority does.
    #[test]
    fn a_message_to_the_bare_jid_is_copied_to_those_that_do_not_take_it() {
        let world = world();
        let romeo = world.online(ORCHARD);
        let juliet = copied(&world, BALCONY);
        let bot = copied(&world, "juliet@example.com/bot");
        bot.sends("<presence><priority>-1</priority></presence>");
        world.forget_received();
        romeo.sends("<message type='chat' to='juliet@example.com'><body>Hi</body></message>");
        let attributes = format!("type='chat' from='{ORCHARD}' to='juliet@example.com'");
        juliet.receives(&format!("<message {attributes}><body>Hi</body></message>"));
        bot.receives(&carbon("juliet@example.com", "chat", "received", &attributes, "<body>Hi</body>"));
        world.nobody_receives_anything();
    }

    /// What one says to oneself comes by RFC 6121; the resource that sent it gets no copy.
    #[test]
    fn a_message_to_oneself_is_not_copied_to_the_sender() {
        let world = world();
        let juliet = copied(&world, BALCONY);
        let chamber = copied(&world, "juliet@example.com/chamber");
        juliet.sends("<message type='chat' to='juliet@example.com/chamber'><body>Hi</body></message>");
        chamber.receives(&format!("<message type='chat' from='{BALCONY}'><body>Hi</body></message>"));
        world.nobody_receives_anything();
    }

    /// §4, §5, §10.1: on and off, as often as one likes; for a session, and not for somebody else's.
    #[test]
    fn copies_are_turned_on_and_off_by_the_session_itself() {
        let world = world();
        let romeo = world.online(ORCHARD);
        let chamber = copied(&world, "juliet@example.com/chamber");
        world.online(BALCONY);
        let message = format!("<message type='chat' to='{BALCONY}'><body>Hi</body></message>");
        turn(&chamber, Switch::Enable);
        romeo.sends(&message);
        assert!(chamber.takes().is_some());
        turn(&chamber, Switch::Disable);
        turn(&chamber, Switch::Disable);
        romeo.sends(&message);
        chamber.receives_nothing();
        for to in ["juliet@example.com", "nobody@example.com"] {
            let enable = "<enable xmlns='urn:xmpp:carbons:2'/>";
            romeo.sends(&format!("<iq type='set' id='c' to='{to}'>{enable}</iq>"));
            romeo.receives(&iq_error(&format!("id='c' from='{to}'"), enable, "cancel", "service-unavailable"));
        }
        world.set_undecided(true);
        let enable = "<enable xmlns='urn:xmpp:carbons:2'/>";
        chamber.sends(&format!("<iq type='set' id='c'>{enable}</iq>"));
        chamber.receives(&iq_error("id='c'", enable, "wait", "resource-constraint"));
    }

    #[rustfmt::skip]
    const CASES: &[(&str, &str, bool, bool)] = &[
        //                                                                          received  sent
        ("chat", "", true, true),
        ("chat", "<composing xmlns='http://jabber.org/protocol/chatstates'/>",          true,  true),
        ("normal", "<body>Hi</body>",                                                   true,  true),
        ("normal", "<received xmlns='urn:xmpp:receipts' id='1'/>",                      true,  true),
        ("normal", "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>",               true,  true),
        ("normal", "<encrypted xmlns='urn:xmpp:omemo:2'/>",                             true,  true),
        ("normal", "<x xmlns='jabber:x:conference' jid='room@rooms.example'/>",         true,  true),
        ("normal", "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@b'/></x>", true, true),
        ("normal", "<x xmlns='http://jabber.org/protocol/muc#user'/>",                  false, false),
        ("normal", "<x xmlns='urn:example:unheard-of'/>",                               false, false),
        ("chat", "<body>Hi</body><x xmlns='http://jabber.org/protocol/muc#user'/>",     false, true),
        ("headline", "<body>Hi</body>",                                                 false, false),
        ("groupchat", "<body>Hi</body>",                                                false, false),
        ("error", "<body>Hi</body><error type='cancel'/>",                              true,  true),
        ("error", "<error type='cancel'/>",                                             false, false),
        ("chat", "<body>Hi</body><no-copy xmlns='urn:xmpp:hints'/>",                    false, false),
        ("chat", "<body>Hi</body><private xmlns='urn:xmpp:carbons:2'/>",                false, false),
    ];

    /// §6
    #[test]
    fn what_is_copied_is_copied_and_nothing_else() {
        for (kind, content, received, sent) in CASES {
            let world = world();
            let romeo = world.online(ORCHARD);
            let field = copied(&world, "romeo@example.net/field");
            world.online(BALCONY);
            let chamber = copied(&world, "juliet@example.com/chamber");
            romeo.sends(&format!("<message type='{kind}' to='{BALCONY}'>{content}</message>"));
            assert_eq!(chamber.takes().is_some(), *received, "received: {kind} {content}");
            assert_eq!(field.takes().is_some(), *sent, "sent: {kind} {content}");
        }
    }

    /// §9: the recipient does not see the wish.
    #[test]
    fn the_wish_for_no_copies_is_taken_out_for_the_recipient() {
        let world = world();
        let romeo = world.online(ORCHARD);
        let juliet = world.online(BALCONY);
        romeo.sends(&format!(
            "<message type='chat' to='{BALCONY}' id='m'><body>Hi</body><private xmlns='urn:xmpp:carbons:2'/>\
             <no-copy xmlns='urn:xmpp:hints'/></message>"
        ));
        juliet.receives(&format!(
            "<message type='chat' from='{ORCHARD}' id='m'><body>Hi</body><no-copy xmlns='urn:xmpp:hints'/></message>"
        ));
    }

    /// T24: what the server calls a copy comes from the account itself, and a client's own copy never comes through. The edge takes
    /// it out; were one to come, it is a message of its sender.
    #[test]
    fn nobody_makes_anothers_message_appear_as_a_copy() {
        let forged = "<received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>\
                      <message xmlns='jabber:client' type='chat' from='nurse@example.com/x' to='juliet@example.com'>\
                      <body>Marry Paris</body></message></forwarded></received>";
        let alone = format!("<message xmlns='jabber:client' type='chat'><body>Hi</body>{forged}</message>");
        let mut stanza = Envelope::read_alone(alone.as_bytes()).expect("XML");
        assert_eq!(stanza.take_out_asserted(|_| false).ok(), Some(1));
        assert_eq!(stanza.content, "<body>Hi</body>");

        let world = world();
        let juliet = copied(&world, BALCONY);
        world.remote_domain("montague.example");
        world.remote_sends(&format!(
            "<message type='chat' from='mallory@montague.example/x' to='juliet@example.com'>{forged}</message>"
        ));
        juliet.receives(&format!("<message type='chat' from='mallory@montague.example/x'>{forged}</message>"));
        world.nobody_receives_anything();
    }

    /// §10.3, RFC 6121 §8.5.2: an error that answers a copy goes no further; a copy that did not arrive is kept nowhere.
    #[test]
    fn an_error_for_a_copy_and_a_copy_that_did_not_arrive_go_nowhere() {
        let world = World::new(vec![
            Arc::new(crate::xep0160_offline::OfflineMessages::new(&crate::xep0160_offline::Config::default())),
            Arc::new(Carbons),
        ]);
        let romeo = world.online(ORCHARD);
        let juliet = world.online(BALCONY);
        let chamber = copied(&world, "juliet@example.com/chamber");
        romeo.sends(&format!("<message type='chat' to='{BALCONY}'><body>Hi</body></message>"));
        juliet.takes().expect("the message");
        chamber.sends("<message type='error' to='juliet@example.com'><error type='cancel'/></message>");
        juliet.disconnects();
        chamber.is_lost();
        world.online(BALCONY).receives_nothing();
        world.nobody_receives_anything();
    }

    /// XEP-0313 §3.2: a copy is made when the message is durable, and bears its owner's id.
    #[test]
    fn copies_bear_the_ids_of_their_owners_archives() {
        let config = xep0313_archive::Config::default();
        let world = World::new(vec![Arc::new(Archive::new(&config)), Arc::new(Carbons)]);
        let romeo = world.online(ORCHARD);
        let field = copied(&world, "romeo@example.net/field");
        let chamber = copied(&world, "juliet@example.com/chamber");
        let juliet = world.online(BALCONY);
        world.hold_store();
        romeo.sends(&format!("<message type='chat' to='{BALCONY}'><body>Hi</body></message>"));
        romeo.sends(&format!(
            "<message type='chat' to='{BALCONY}'><gone xmlns='http://jabber.org/protocol/chatstates'/></message>"
        ));
        world.nobody_receives_anything();
        world.release_store();
        juliet.takes().expect("the message");
        juliet.takes().expect("the chat state");
        let attributes = format!("type='chat' from='{ORCHARD}' to='{BALCONY}'");
        for (other, owner, direction) in
            [(&field, "romeo@example.net", "sent"), (&chamber, "juliet@example.com", "received")]
        {
            let id = format!("<stanza-id xmlns='urn:xmpp:sid:0' by='{owner}' id='1'/>");
            other.receives(&carbon(owner, "chat", direction, &attributes, &format!("<body>Hi</body>{id}")));
            let gone = "<gone xmlns='http://jabber.org/protocol/chatstates'/>";
            other.receives(&carbon(owner, "chat", direction, &attributes, gone));
        }
        world.nobody_receives_anything();
    }
}
