//! The extension points, with a module that notes what it is asked.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{Element, StanzaError, ns};

use super::*;
use crate::module::{Module, Spec};
use crate::testing::World;

/// Notes its name at every point, and does what the first word of a message's id says.
struct Spy {
    name: &'static str,
    order: Order,
    notes: Arc<Mutex<Vec<String>>>,
}

impl Spy {
    fn note(&self, what: &str) {
        self.notes.lock().expect("not poisoned").push(format!("{} {what}", self.name));
    }
}

impl Module for Spy {
    fn name(&self) -> &'static str {
        self.name
    }

    fn specs(&self) -> &'static [Spec] {
        &[]
    }

    fn register(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.outbound_message(self.order, self.clone());
        hooks.inbound_message(self.order, self.clone());
        hooks.undeliverable_message(self.order, self.clone());
        hooks.message_sent(self.order, self.clone());
        hooks.message_delivered(self.order, self.clone());
        hooks.session_available(self.order, self.clone());
        hooks.session_unavailable(self.order, self.clone());
        hooks.session_ended(self.order, self.clone());
        hooks.account_removed(self.order, self);
    }
}

#[async_trait]
impl Hook<OutboundMessage> for Spy {
    async fn on(&self, context: &mut Context<'_>, event: &mut OutboundMessage) -> Flow {
        assert!(context.session.is_some());
        self.note("outbound");
        match event.stanza.id.as_deref() {
            Some("handle") => Flow::Handled,
            Some("reject") => Flow::Reject(StanzaError::new(Condition::NotAcceptable)),
            _ => Flow::Continue,
        }
    }
}

#[async_trait]
impl Hook<InboundMessage> for Spy {
    async fn on(&self, _: &mut Context<'_>, event: &mut InboundMessage) -> Flow {
        self.note("inbound");
        event.archived = event.stanza.id.as_deref() == Some("archive");
        Flow::Continue
    }
}

#[async_trait]
impl Hook<MessageSent> for Spy {
    async fn on(&self, _: &mut Context<'_>, _: &mut MessageSent) -> Flow {
        self.note("sent");
        Flow::Continue
    }
}

#[async_trait]
impl Hook<MessageDelivered> for Spy {
    async fn on(&self, _: &mut Context<'_>, event: &mut MessageDelivered) -> Flow {
        self.note(&format!("delivered to {}", event.targets.len()));
        Flow::Continue
    }
}

#[async_trait]
impl Hook<UndeliverableMessage> for Spy {
    async fn on(&self, _: &mut Context<'_>, event: &mut UndeliverableMessage) -> Flow {
        self.note(if event.account_exists { "undeliverable" } else { "undeliverable, no account" });
        match event.stanza.id.as_deref() {
            Some("wait") => {
                event.waits = true;
                Flow::Continue
            }
            _ => Flow::Handled,
        }
    }
}

#[async_trait]
impl Hook<SessionAvailable> for Spy {
    async fn on(&self, _: &mut Context<'_>, event: &mut SessionAvailable) -> Flow {
        let begins = event.begins_to_take_messages();
        self.note(&format!("available, initial: {}, begins to take: {begins}", event.is_initial()));
        Flow::Continue
    }
}

#[async_trait]
impl Hook<SessionUnavailable> for Spy {
    async fn on(&self, _: &mut Context<'_>, _: &mut SessionUnavailable) -> Flow {
        self.note("unavailable");
        Flow::Continue
    }
}

#[async_trait]
impl Hook<SessionEnded> for Spy {
    async fn on(&self, context: &mut Context<'_>, _: &mut SessionEnded) -> Flow {
        assert!(context.sessions().is_empty());
        self.note("ended");
        Flow::Continue
    }
}

#[async_trait]
impl Hook<AccountRemoved> for Spy {
    async fn on(&self, _: &mut Context<'_>, _: &mut AccountRemoved) -> Flow {
        self.note("removed");
        Flow::Continue
    }
}

/// A world with spies of these names and orders, and what they have noted since last asked.
fn spied(spies: &[(&'static str, Order)]) -> (World, impl Fn() -> Vec<String>) {
    let notes: Arc<Mutex<Vec<String>>> = Arc::default();
    let spy = |&(name, order): &_| Arc::new(Spy { name, order, notes: notes.clone() }) as Arc<dyn Module>;
    let world = World::new(spies.iter().map(spy).collect());
    (world, move || std::mem::take(&mut *notes.lock().expect("not poisoned")))
}

#[test]
fn handlers_run_in_their_order_and_within_it_in_the_order_of_the_list() {
    let (world, noted) = spied(&[("c", Order::Copies), ("a", Order::Filters), ("b", Order::Filters)]);
    let romeo = world.connect("romeo@example.net/orchard");
    romeo.sends("<message to='nobody@nowhere.example' type='headline'/>");
    assert_eq!(noted(), ["a outbound", "b outbound", "c outbound"]);
}

#[test]
fn a_handler_ends_the_stanzas_way_in_silence_or_with_an_error() {
    let (world, noted) = spied(&[("a", Order::Filters), ("b", Order::Changes)]);
    let romeo = world.connect("romeo@example.net/orchard");
    world.connect("juliet@example.com/balcony");
    romeo.sends("<message to='juliet@example.com/balcony' id='handle'/>");
    romeo.sends("<message to='juliet@example.com/balcony' id='reject'/>");
    romeo.receives(
        "<message type='error' from='juliet@example.com/balcony' id='reject'><error type='modify'>\
         <not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
    );
    assert_eq!(noted(), ["a outbound", "a outbound"]);
    world.nobody_receives_anything();
}

#[test]
fn a_message_passes_the_points_of_both_sides_and_of_those_whom_nobody_takes() {
    let (world, noted) = spied(&[("spy", Order::Records)]);
    let romeo = world.connect("romeo@example.net/orchard");
    let juliet = world.connect("juliet@example.com/balcony");
    romeo.sends("<message to='juliet@example.com/balcony'/>");
    juliet.receives("<message from='romeo@example.net/orchard'/>");
    assert_eq!(noted(), ["spy outbound", "spy sent", "spy inbound", "spy delivered to 1"]);
    romeo.sends("<message to='juliet@example.com'/>");
    assert_eq!(noted(), ["spy outbound", "spy sent", "spy inbound", "spy undeliverable"]);
    romeo.sends("<message to='juliet@example.com' id='wait'/>");
    assert_eq!(noted(), ["spy outbound", "spy sent", "spy inbound", "spy undeliverable"]);
    romeo.sends("<message to='unknown@example.com'/>");
    assert_eq!(noted(), ["spy outbound", "spy sent", "spy undeliverable, no account"]);
    world.nobody_receives_anything();
}

#[test]
fn a_sessions_life_passes_its_points() {
    let (world, noted) = spied(&[("spy", Order::Changes)]);
    let romeo = world.connect("romeo@example.net/orchard");
    romeo.sends("<presence><priority>-1</priority></presence>");
    assert_eq!(noted(), ["spy available, initial: true, begins to take: false"]);
    romeo.sends("<presence/>");
    assert_eq!(noted(), ["spy available, initial: false, begins to take: true"]);
    romeo.sends("<presence type='unavailable'/>");
    assert_eq!(noted(), ["spy unavailable"]);
    romeo.disconnects();
    assert_eq!(noted(), ["spy ended"]);
    let romeo = world.online("romeo@example.net/orchard");
    noted();
    romeo.disconnects();
    assert_eq!(noted(), ["spy unavailable", "spy ended"]);
    world.administer("romeo@example.net", crate::engine::AdminCommand::Remove).expect("it is there");
    assert_eq!(noted(), ["spy removed"]);
}

/// Answers with its scope.
struct Pong;

#[async_trait]
impl IqHandler for Pong {
    async fn answer(&self, context: &mut Context<'_>, request: &IqRequest<'_>) -> IqAnswer {
        assert!(!request.is_set() && request.payload()?.is(ns::PING, "ping"));
        let visible = context.presence_is_visible_to(request.from).await?;
        let scope = format!("{:?}, visible: {visible}", request.scope);
        Ok(Some(Element::new(ns::PING, "pong").with("scope", scope)))
    }
}

impl Module for Pong {
    fn name(&self) -> &'static str {
        "pong"
    }

    fn specs(&self) -> &'static [Spec] {
        &[]
    }

    fn register(self: Arc<Self>, hooks: &mut Hooks) {
        for scope in [Scope::Server, Scope::OwnAccount, Scope::OtherAccount] {
            hooks.iq_get(ns::PING, "ping", scope, self.clone());
        }
        hooks.stream_feature(Element::new(ns::PING, "feature"));
    }
}

#[test]
fn an_iq_reaches_the_handler_of_its_scope() {
    let world = World::new(vec![Arc::new(Pong)]);
    let romeo = world.connect("romeo@example.net/orchard");
    world.account("juliet@example.com");
    let scopes = [
        ("", "OwnAccount, visible: true"),
        ("romeo@example.net", "OwnAccount, visible: true"),
        ("example.net", "Server, visible: true"),
        ("juliet@example.com", "OtherAccount, visible: false"),
    ];
    for (to, scope) in scopes {
        let [to_attribute, from] = ["to", "from"].map(|name| match to {
            "" => String::new(),
            to => format!("{name}='{to}'"),
        });
        romeo.sends(&format!("<iq type='get' {to_attribute} id='1'><ping xmlns='urn:xmpp:ping'/></iq>"));
        romeo.receives(&format!("<iq type='result' {from} id='1'><pong xmlns='urn:xmpp:ping' scope='{scope}'/></iq>"));
    }
    romeo.sends("<iq type='get' to='unknown@example.com' id='2'><ping xmlns='urn:xmpp:ping'/></iq>");
    romeo.receives(
        "<iq type='error' from='unknown@example.com' id='2'><ping xmlns='urn:xmpp:ping'/><error type='cancel'>\
         <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
    );
    world.nobody_receives_anything();
}

#[test]
fn stream_features_are_those_of_the_engine_and_of_the_modules() {
    let world = World::new(vec![Arc::new(Pong)]);
    assert_eq!(
        world.engine().stream_features("example.com"),
        "<ver xmlns='urn:xmpp:features:rosterver'/><sub xmlns='urn:xmpp:features:pre-approval'/>\
         <feature xmlns='urn:xmpp:ping'/>"
    );
    assert!(!world.engine().offers_registration("example.com"));
}
