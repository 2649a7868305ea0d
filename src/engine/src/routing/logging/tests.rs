//! Messages that have to be stored, while the store is slow: what waits for them and what does not, and who gets them in the end.

use std::sync::Arc;

use async_trait::async_trait;
use vesta_xmpp::{Envelope, Flags};

use crate::hooks::{Context, Flow, Hook, Hooks, InboundMessage, Order, OutboundMessage, UndeliverableMessage};
use crate::logging::LOGGING_MAX;
use crate::module::{Module, Spec};
use crate::testing::{Actor, World};

/// Archives what has a body, but for the hint `no-permanent-store`, and lets everything wait that is not `no-store`.
struct Keeper;

impl Module for Keeper {
    fn name(&self) -> &'static str {
        "keeper"
    }

    fn specs(&self) -> &'static [Spec] {
        &[]
    }

    fn register(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.outbound_message(Order::Records, self.clone());
        hooks.inbound_message(Order::Records, self.clone());
        hooks.undeliverable_message(Order::Records, self);
    }
}

fn is_archived(stanza: &Envelope) -> bool {
    !stanza.kind.is_error() && stanza.flags.has(Flags::BODY) && !stanza.flags.has(Flags::NO_PERMANENT_STORE)
}

#[async_trait]
impl Hook<OutboundMessage> for Keeper {
    async fn on(&self, _: &mut Context<'_>, event: &mut OutboundMessage) -> Flow {
        event.archived = is_archived(&event.stanza);
        Flow::Continue
    }
}

#[async_trait]
impl Hook<InboundMessage> for Keeper {
    async fn on(&self, _: &mut Context<'_>, event: &mut InboundMessage) -> Flow {
        event.archived = is_archived(&event.stanza);
        Flow::Continue
    }
}

#[async_trait]
impl Hook<UndeliverableMessage> for Keeper {
    async fn on(&self, _: &mut Context<'_>, event: &mut UndeliverableMessage) -> Flow {
        event.waits = !event.stanza.flags.has(Flags::NO_STORE);
        Flow::Continue
    }
}

const ORCHARD: &str = "romeo@example.net/orchard";
const FIELD: &str = "romeo@example.net/field";
const BALCONY: &str = "juliet@example.com/balcony";
const JULIET: &str = "juliet@example.com";
const COMPOSING: &str = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";

fn world() -> World {
    World::new(vec![Arc::new(Keeper)])
}

fn says(actor: &Actor<'_>, to: &str, content: &str) {
    actor.sends(&format!("<message type='chat' to='{to}'>{content}</message>"));
}

fn hears(actor: &Actor<'_>, from: &str, content: &str) {
    actor.receives(&format!("<message type='chat' from='{from}'>{content}</message>"));
}

/// As [`hears`], with the archive's id.
fn hears_logged(actor: &Actor<'_>, from: &str, content: &str) {
    let owner = actor.session().expect("it is there").jid.to_bare();
    hears(actor, from, &format!("{content}<stanza-id xmlns='urn:xmpp:sid:0' by='{owner}' id='*'/>"));
}

fn is_told(actor: &Actor<'_>, from: &str, content: &str, condition: &str) {
    actor.receives(&format!(
        "<message type='error' from='{from}'>{content}<error type='wait'>\
         <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
    ));
}

fn entries(world: &World, account: &str) -> Vec<(bool, bool)> {
    let account = world.account(account);
    world.store().log(&account).iter().map(|entry| (entry.archived, entry.waiting)).collect()
}

#[test]
fn a_message_is_delivered_when_it_is_durable_and_what_is_not_stored_goes_on() {
    let world = world();
    world.befriend("romeo@example.net", JULIET);
    let (orchard, field) = (world.online(ORCHARD), world.online(FIELD));
    let juliet = world.online(BALCONY);
    world.forget_received();
    world.hold_store();
    says(&orchard, JULIET, "<body>Hi</body>");
    juliet.receives_nothing();

    says(&field, JULIET, COMPOSING);
    hears(&juliet, FIELD, COMPOSING);
    juliet.sends("<presence><show>away</show></presence>");
    for actor in [&juliet, &orchard, &field] {
        actor.receives(&format!("<presence from='{BALCONY}'><show>away</show></presence>"));
    }
    juliet.sends("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
    assert!(juliet.takes().is_some_and(|answer| answer.id.as_deref() == Some("r")));
    field.sends(&format!("<iq type='get' id='v' to='{BALCONY}'><query xmlns='jabber:iq:version'/></iq>"));
    juliet.receives(&format!("<iq type='get' id='v' from='{FIELD}'><query xmlns='jabber:iq:version'/></iq>"));
    world.nobody_receives_anything();

    world.release_store();
    hears_logged(&juliet, ORCHARD, "<body>Hi</body>");
    world.nobody_receives_anything();
}

/// P3
#[test]
fn nothing_of_the_same_full_jid_overtakes() {
    let world = world();
    world.befriend("romeo@example.net", JULIET);
    let romeo = world.online(ORCHARD);
    let juliet = world.online(BALCONY);
    world.forget_received();
    world.hold_store();
    says(&romeo, JULIET, "<body>1</body>");
    says(&romeo, BALCONY, COMPOSING);
    romeo.sends(&format!("<iq type='get' id='v' to='{BALCONY}'><query xmlns='jabber:iq:version'/></iq>"));
    romeo.sends(&format!("<presence to='{BALCONY}'><show>dnd</show></presence>"));
    says(&romeo, JULIET, "<body>2</body>");
    says(&romeo, JULIET, COMPOSING);
    juliet.receives_nothing();
    world.release_store();
    hears_logged(&juliet, ORCHARD, "<body>1</body>");
    hears(&juliet, ORCHARD, COMPOSING);
    juliet.receives(&format!("<iq type='get' id='v' from='{ORCHARD}'><query xmlns='jabber:iq:version'/></iq>"));
    juliet.receives(&format!("<presence from='{ORCHARD}'><show>dnd</show></presence>"));
    hears_logged(&juliet, ORCHARD, "<body>2</body>");
    hears(&juliet, ORCHARD, COMPOSING);
    world.nobody_receives_anything();
    // The line has ended.
    world.hold_store();
    says(&romeo, JULIET, COMPOSING);
    hears(&juliet, ORCHARD, COMPOSING);
}

#[test]
fn who_gets_a_message_is_decided_when_it_is_durable() {
    let world = world();
    let romeo = world.online(ORCHARD);
    let balcony = world.online(BALCONY);
    world.hold_store();
    says(&romeo, BALCONY, "<body>archived</body>");
    says(&romeo, BALCONY, "<body>not archived</body><no-permanent-store xmlns='urn:xmpp:hints'/>");
    romeo.sends(&format!("<message to='{BALCONY}'><body>accepted</body></message>"));
    balcony.disconnects();
    let chamber = world.online("juliet@example.com/chamber");
    world.release_store();
    hears_logged(&chamber, ORCHARD, "<body>archived</body>");
    hears(&chamber, ORCHARD, "<body>not archived</body><no-permanent-store xmlns='urn:xmpp:hints'/>");
    chamber.receives(&format!(
        "<message from='{ORCHARD}' to='{BALCONY}'><body>accepted</body>\
         <stanza-id xmlns='urn:xmpp:sid:0' by='juliet@example.com' id='*'/></message>"
    ));
    world.nobody_receives_anything();
    assert_eq!(entries(&world, JULIET), [(true, false), (true, false)]);
}

#[test]
fn a_message_that_nobody_takes_any_more_waits() {
    let world = world();
    let romeo = world.online(ORCHARD);
    let juliet = world.online(BALCONY);
    world.hold_store();
    says(&romeo, JULIET, "<body>archived</body>");
    says(&romeo, JULIET, "<body>not archived</body><no-permanent-store xmlns='urn:xmpp:hints'/>");
    says(&romeo, JULIET, "<active xmlns='urn:x'/><no-store xmlns='urn:xmpp:hints'/>");
    juliet.disconnects();
    world.release_store();
    assert_eq!(entries(&world, JULIET), [(true, true), (false, true)]);
    romeo.receives(
        "<message type='error' from='juliet@example.com'><active xmlns='urn:x'/><no-store xmlns='urn:xmpp:hints'/>\
         <error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
    );
    world.nobody_receives_anything();
}

/// P2, P3: a resource that is connected and takes no messages of the account yet is handed what waits later, in order, once.
#[test]
fn a_resource_that_is_only_connected_gets_nothing_ahead_of_what_waits() {
    let world = world();
    let romeo = world.online(ORCHARD);
    world.account(JULIET);
    says(&romeo, BALCONY, "<body>waits</body>");
    let lost = world.online(BALCONY);
    says(&romeo, BALCONY, "<body>comes back</body>");
    world.hold_store();
    says(&romeo, BALCONY, "<body>under way</body>");
    lost.is_lost();
    let _connected = world.connect(BALCONY);
    world.release_store();
    says(&romeo, BALCONY, "<body>is behind</body>");
    world.nobody_receives_anything();
    assert_eq!(entries(&world, JULIET), [(true, true); 4]);
}

/// What waits again is not durable at once: what comes meanwhile does not overtake it.
#[test]
fn what_waits_again_is_not_overtaken_meanwhile() {
    let world = world();
    let romeo = world.online(ORCHARD);
    let lost = world.online(BALCONY);
    says(&romeo, BALCONY, "<body>comes back</body>");
    world.hold_store();
    lost.is_lost();
    let _connected = world.connect(BALCONY);
    says(&romeo, BALCONY, "<body>is behind</body>");
    world.release_store();
    world.nobody_receives_anything();
    assert_eq!(entries(&world, JULIET), [(true, true), (true, true)]);
}

#[test]
fn messages_that_were_to_wait_go_to_whoever_takes_them_by_then_and_wait_no_longer() {
    let world = world();
    let romeo = world.online(ORCHARD);
    world.account(JULIET);
    world.hold_store();
    says(&romeo, JULIET, "<body>archived</body>");
    says(&romeo, JULIET, "<body>not archived</body><no-permanent-store xmlns='urn:xmpp:hints'/>");
    let juliet = world.online(BALCONY);
    world.release_store();
    hears_logged(&juliet, ORCHARD, "<body>archived</body>");
    hears(&juliet, ORCHARD, "<body>not archived</body><no-permanent-store xmlns='urn:xmpp:hints'/>");
    world.nobody_receives_anything();
    assert_eq!(entries(&world, JULIET), [(true, false)]);
}

/// Nothing is delivered that could not be stored, and a client that tries again is not taken for one that repeats itself.
#[test]
fn what_can_not_be_stored_is_sent_back_and_may_be_tried_again() {
    let world = world();
    let romeo = world.online(ORCHARD);
    let juliet = world.online(BALCONY);
    says(&romeo, JULIET, "<body>0</body>");
    world.forget_received();
    let message = "<body>Hi</body><origin-id xmlns='urn:xmpp:sid:0' id='o'/>";
    world.hold_store();
    says(&romeo, JULIET, message);
    says(&romeo, JULIET, message);
    world.store().set_away(true);
    world.release_store();
    // The entries of both sides, for both.
    for _ in 0..4 {
        is_told(&romeo, JULIET, message, "resource-constraint");
    }
    world.nobody_receives_anything();
    world.store().set_away(false);
    says(&romeo, JULIET, message);
    hears_logged(&juliet, ORCHARD, message);
    world.nobody_receives_anything();
}

/// The sender's own entry is made beside routing, not before it; where it can't be made, the sender is told.
#[test]
fn a_message_is_routed_while_its_senders_entry_is_under_way() {
    let world = world();
    world.remote_domain("montague.example");
    let romeo = world.online(ORCHARD);
    world.hold_store();
    says(&romeo, "tybalt@montague.example", "<body>Hi</body>");
    world.remote_receives(&format!(
        "<message type='chat' from='{ORCHARD}' to='tybalt@montague.example'><body>Hi</body></message>"
    ));
    world.store().set_away(true);
    world.release_store();
    is_told(&romeo, "tybalt@montague.example", "<body>Hi</body>", "resource-constraint");
    world.nobody_receives_anything();
}

/// P2, for each kind of stanza that can be under way.
#[test]
fn what_comes_again_while_the_first_is_under_way_is_done_once() {
    let world = world();
    let romeo = world.online(ORCHARD);
    let juliet = world.online(BALCONY);
    world.hold_store();
    let message = |content: &str| format!("<message type='chat' to='{BALCONY}'>{content}</message>");
    for content in ["<body>Hi</body>", COMPOSING] {
        romeo.sends(&message(content));
        romeo.sends_again(&message(content));
    }
    let iq = format!("<iq type='get' id='v' to='{BALCONY}'><query xmlns='jabber:iq:version'/></iq>");
    romeo.sends(&iq);
    romeo.sends_again(&iq);
    world.release_store();
    hears_logged(&juliet, ORCHARD, "<body>Hi</body>");
    hears(&juliet, ORCHARD, COMPOSING);
    juliet.receives(&format!("<iq type='get' id='v' from='{ORCHARD}'><query xmlns='jabber:iq:version'/></iq>"));
    world.nobody_receives_anything();
    assert_eq!(entries(&world, JULIET).len(), 1);
    assert_eq!(entries(&world, "romeo@example.net").len(), 1);
}

/// A message that is not stored is recognised by its origin id in memory.
#[test]
fn a_message_that_is_not_stored_is_recognised_as_well() {
    let world = world();
    let romeo = world.online(ORCHARD);
    let juliet = world.online(BALCONY);
    let message = format!("{COMPOSING}<origin-id xmlns='urn:xmpp:sid:0' id='o'/>");
    says(&romeo, JULIET, &message);
    hears(&juliet, ORCHARD, &message);
    world.store().take_asked();
    says(&world.online(FIELD), JULIET, &message);
    juliet.receives_nothing();
}

/// P7
#[test]
fn only_so_many_entries_are_under_way() {
    let world = world();
    let juliet = world.online(BALCONY);
    world.hold_store();
    let senders: Vec<_> = (0..4).map(|number| world.online(&format!("sender{number}@example.net/x"))).collect();
    for number in 0..LOGGING_MAX {
        says(&senders[number % senders.len()], JULIET, "<body>Hi</body>");
    }
    world.nobody_receives_anything();
    says(&senders[0], JULIET, "<body>one too many</body>");
    is_told(&senders[0], JULIET, "<body>one too many</body>", "resource-constraint");
    says(&senders[0], JULIET, COMPOSING);
    world.release_store();
    for number in 0..LOGGING_MAX {
        hears_logged(&juliet, &format!("sender{}@example.net/x", number % senders.len()), "<body>Hi</body>");
    }
    hears(&juliet, "sender0@example.net/x", COMPOSING);
    world.nobody_receives_anything();
}

/// The next leader of a shard goes on with greater ids, whatever its clock says.
#[test]
fn ids_grow_from_leader_to_leader() {
    let world = world();
    let romeo = world.online(ORCHARD);
    world.account(JULIET);
    world.advance(10_000);
    for number in 0..4 {
        says(&romeo, JULIET, &format!("<body>{number}</body>"));
        world.forget_caches();
    }
    let log = world.store().log(&world.account(JULIET));
    assert_eq!(log.len(), 4);
    assert!(log.windows(2).all(|pair| pair[0].id < pair[1].id));
}
