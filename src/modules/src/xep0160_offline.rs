//! XEP-0160: Best Practices for Handling Offline Messages (version 1.0.1), with the stamps of XEP-0203.
//!
//! Messages for an account that has no resource to take them wait in its log, and are handed to the first session that can take
//! them: one whose presence comes to have a priority that is not negative (§2). They come in the order in which they came in, each with
//! the time at which it did. They wait no longer once they were handed on, so that a failure between the two shows a message twice and
//! never loses it. A session whose client has read the archive before that presence is spared those that it finds there.
//!
//! | message (§3) | here |
//! |---|---|
//! | `normal`, `chat` | waits |
//! | with chat states (XEP-0085) and nothing else | dropped: nobody was to keep it, and nobody acts on an error |
//! | with the hint `no-store` (XEP-0334) | sent back, so that the sender knows |
//! | `groupchat`, `headline`, `error` | never come here: RFC 6121 §8.5.2.2 decides before |

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vesta_engine::hooks::{Context, Flow, Hook, Hooks, Order, SessionAvailable, UndeliverableMessage};
use vesta_engine::log::{LogQuery, LoggedMessage, View};
use vesta_engine::module::{Module, Spec, Status};
use vesta_engine::{Session, StoreError};
use vesta_xmpp::payload::date_time::DateTime;
use vesta_xmpp::payload::delay::Delay;
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{BareJid, Envelope, Flags, Jid, StanzaError, ns};

/// What is fulfilled.
pub const SPEC: Spec = Spec {
    number: 160,
    title: "Best Practices for Handling Offline Messages",
    version: "1.0.1",
    status: Status::Complete,
    since: "0.1.0",
    note: "",
};

/// The stamps.
const DELAYED_DELIVERY: Spec = Spec {
    number: 203,
    title: "Delayed Delivery",
    version: "2.0",
    status: Status::Complete,
    since: "0.1.0",
    note: "on offline messages",
};

/// What senders say about storage.
const PROCESSING_HINTS: Spec = Spec {
    number: 334,
    title: "Message Processing Hints",
    version: "0.4.0",
    status: Status::Complete,
    since: "0.1.0",
    note: "for offline messages, archives and carbons",
};

/// How many messages are read from the store and handed on together.
const PAGE: u32 = 64;

/// Key `offline`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the module is there. Default: true. Where it is not, messages that nobody takes are sent back.
    pub enabled: bool,
    /// Messages that wait for an account. Default: 500. The next one is sent back with `service-unavailable`, and is in no archive of
    /// the account either. Each may be as large as a stanza may be.
    pub messages_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, messages_max: 500 }
    }
}

/// The module.
pub struct OfflineMessages {
    messages_max: u64,
}

/// What becomes of a message that nobody takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Waits,
    Dropped,
    SentBack,
}

impl OfflineMessages {
    /// With `config`.
    pub fn new(config: &Config) -> Self {
        Self { messages_max: config.messages_max }
    }
}

impl Module for OfflineMessages {
    fn name(&self) -> &'static str {
        "offline"
    }

    fn specs(&self) -> &'static [Spec] {
        &[SPEC, DELAYED_DELIVERY, PROCESSING_HINTS]
    }

    fn register(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.server.feature(ns::OFFLINE);
        hooks.undeliverable_message(Order::Records, self.clone());
        hooks.session_available(Order::Records, self);
    }
}

#[async_trait]
impl Hook<UndeliverableMessage> for OfflineMessages {
    async fn on(&self, context: &mut Context<'_>, event: &mut UndeliverableMessage) -> Flow {
        match fate(event.stanza.flags) {
            Fate::SentBack => Flow::Continue,
            Fate::Dropped => Flow::Handled,
            // As if it waited (T14).
            Fate::Waits if !event.account_exists => Flow::Handled,
            Fate::Waits => match context.account.waiting_messages(context.ports).await {
                Ok(waiting) if waiting >= self.messages_max => Flow::Reject(Condition::ServiceUnavailable.into()),
                Ok(_) => {
                    event.waits = true;
                    Flow::Continue
                }
                Err(error) => Flow::Reject(StanzaError::from(error)),
            },
        }
    }
}

#[async_trait]
impl Hook<SessionAvailable> for OfflineMessages {
    async fn on(&self, context: &mut Context<'_>, event: &mut SessionAvailable) -> Flow {
        if event.begins_to_take_messages()
            && let Err(error) = hand_on(context, &event.session).await
        {
            tracing::warn!(account = %context.account.jid, %error, "offline messages stay in the store for now");
        }
        Flow::Continue
    }
}

/// §3, XEP-0334 §4.
fn fate(flags: Flags) -> Fate {
    let substance = [Flags::BODY, Flags::SUBJECT, Flags::RECEIPT, Flags::MARKER, Flags::OTHER, Flags::STORE];
    if flags.has(Flags::NO_STORE) {
        Fate::SentBack
    } else if flags.has(Flags::CHAT_STATE) && !substance.into_iter().any(|flag| flags.has(flag)) {
        Fate::Dropped
    } else {
        Fate::Waits
    }
}

/// Hands everything that waits to `session`, page by page.
async fn hand_on(context: &mut Context<'_>, session: &Session) -> Result<(), StoreError> {
    if context.account.waiting_messages(context.ports).await? == 0 {
        return Ok(());
    }
    let mut query = LogQuery {
        view: View::Waiting,
        peer: None,
        after: None,
        before: None,
        ids: None,
        limit: PAGE,
        backwards: false,
    };
    let reads_archive = context.account.reads_archive(session.key);
    loop {
        let page = context.ports.store().log_page(&context.account.jid, &query).await?;
        let Some(last) = page.last().map(|message| message.id) else { return Ok(()) };
        for message in page.iter().filter(|message| !(reads_archive && message.archived)) {
            match read(message, &context.account.jid) {
                Some(stanza) => context.deliver(session.key, stanza),
                None => tracing::error!(account = %context.account.jid, id = %message.id, "a message can't be read"),
            }
        }
        context.settle_waiting(&page.iter().map(|message| message.id).collect::<Vec<_>>());
        if page.len() < PAGE as usize {
            return Ok(());
        }
        query.after = Some(last);
    }
}

/// The stanza, stamped with the time at which it came. One that was handed on before and came back has its stamp already, with the
/// time that counts.
fn read(message: &LoggedMessage, owner: &BareJid) -> Option<Envelope> {
    let mut stanza = message.read(owner)?;
    let domain = owner.to_domain().into();
    if !is_stamped_by(&stanza, &domain) {
        let stamp = DateTime::from_unix_ms(message.id.at().0);
        stanza.append(&Delay { from: Some(domain), stamp, reason: Some("Offline Storage".into()) }.to_element());
        stanza.flags.set(Flags::DELAY);
    }
    Some(stanza)
}

fn is_stamped_by(stanza: &Envelope, domain: &Jid) -> bool {
    stanza.flags.has(Flags::DELAY)
        && stanza.to_element().is_ok_and(|element| {
            element
                .children()
                .filter_map(|child| Delay::parse(child).ok())
                .any(|delay| delay.from.as_ref() == Some(domain))
        })
}

#[cfg(test)]
mod tests {
    use vesta_engine::testing::{Actor, World};

    use super::*;

    fn world(messages_max: u64) -> World {
        let world = World::new(vec![Arc::new(OfflineMessages::new(&Config { messages_max, ..Config::default() }))]);
        world.account("juliet@example.com");
        world
    }

    fn message(to: &str, content: &str) -> String {
        format!("<message type='chat' to='{to}'>{content}</message>")
    }

    fn comes_late(actor: &Actor<'_>, content: &str) {
        actor.receives(&format!(
            "<message type='chat' from='romeo@example.net/orchard'>{content}\
             <delay xmlns='urn:xmpp:delay' from='example.com' stamp='*'>Offline Storage</delay></message>"
        ));
    }

    fn is_sent_back(actor: &Actor<'_>, from: &str, content: &str) {
        actor.receives(&format!(
            "<message type='error' from='{from}'>{content}<error type='cancel'>\
             <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
        ));
    }

    /// The answers to initial presence that are no concern here.
    fn logs_in<'w>(world: &'w World, jid: &str, presence: &str) -> Actor<'w> {
        let actor = world.connect(jid);
        actor.sends(presence);
        actor.receives(&presence.replace("<presence", &format!("<presence from='{jid}'")));
        actor
    }

    /// §2: messages wait for the first presence and come in their order, each with the time at which it was kept.
    #[test]
    fn messages_wait_for_the_recipient() {
        let world = world(500);
        let romeo = world.online("romeo@example.net/orchard");
        world.advance(1_031_699_305_000);
        romeo.sends(&message("juliet@example.com", "<body>O blessed, blessed night!</body>"));
        world.advance(1_000);
        romeo.sends(&message("juliet@example.com/balcony", "<body>I am afeard.</body>"));
        romeo.receives_nothing();

        let juliet = logs_in(&world, "juliet@example.com/balcony", "<presence/>");
        juliet.receives(
            "<message type='chat' from='romeo@example.net/orchard' to='juliet@example.com'>\
             <body>O blessed, blessed night!</body>\
             <delay xmlns='urn:xmpp:delay' from='example.com' stamp='2002-09-10T23:08:25Z'>Offline Storage</delay>\
             </message>",
        );
        juliet.receives(
            "<message type='chat' from='romeo@example.net/orchard' to='juliet@example.com/balcony'>\
             <body>I am afeard.</body>\
             <delay xmlns='urn:xmpp:delay' from='example.com' stamp='2002-09-10T23:08:26Z'>Offline Storage</delay>\
             </message>",
        );
        juliet.disconnects();
        logs_in(&world, "juliet@example.com/balcony", "<presence/>");
        world.nobody_receives_anything();
    }

    /// §2: a negative priority takes no messages; they come when it is raised, and once only.
    #[test]
    fn a_negative_priority_leaves_them_where_they_are() {
        let world = world(500);
        let romeo = world.online("romeo@example.net/orchard");
        let body = "<body>Good night</body>";
        romeo.sends(&message("juliet@example.com", body));
        let juliet = logs_in(&world, "juliet@example.com/bot", "<presence><priority>-1</priority></presence>");
        juliet.receives_nothing();
        juliet.sends("<presence><priority>1</priority></presence>");
        juliet.receives("<presence from='juliet@example.com/bot'><priority>1</priority></presence>");
        comes_late(&juliet, body);
        juliet.sends("<presence><priority>2</priority></presence>");
        juliet.receives("<presence from='juliet@example.com/bot'><priority>2</priority></presence>");
        world.nobody_receives_anything();
    }

    /// §3: what is kept, what is dropped and what is sent back.
    #[test]
    fn chat_states_alone_are_dropped_and_no_store_is_sent_back() {
        let world = world(500);
        let romeo = world.online("romeo@example.net/orchard");
        let composing = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
        let no_store = "<body>Secret</body><no-store xmlns='urn:xmpp:hints'/>";
        for to in ["juliet@example.com", "nobody@example.com"] {
            romeo.sends(&message(to, &format!("<thread>t</thread>{composing}")));
            romeo.receives_nothing();
            romeo.sends(&message(to, no_store));
            is_sent_back(&romeo, to, no_store);
            romeo.sends(&format!("<message type='headline' to='{to}'><body>News</body></message>"));
            romeo.receives_nothing();
        }
        let with_body = format!("<body>Hi</body>{composing}");
        let stored_by_hint = format!("{composing}<store xmlns='urn:xmpp:hints'/>");
        let receipt = "<received xmlns='urn:xmpp:receipts' id='x'/>";
        for content in [&*with_body, &*stored_by_hint, receipt] {
            romeo.sends(&message("juliet@example.com", content));
        }
        let juliet = logs_in(&world, "juliet@example.com/balcony", "<presence/>");
        for content in [&*with_body, &*stored_by_hint, receipt] {
            comes_late(&juliet, content);
        }
        world.nobody_receives_anything();
    }

    /// T14: nobody learns from the silence which accounts there are.
    #[test]
    fn a_message_to_no_account_vanishes_like_one_that_is_kept() {
        let world = world(500);
        let romeo = world.online("romeo@example.net/orchard");
        for to in ["juliet@example.com", "nobody@example.com"] {
            romeo.sends(&message(to, "<body>Who is there?</body>"));
            romeo.receives_nothing();
        }
    }

    /// §2, T33: beyond the limit the sender gets the message back.
    #[test]
    fn at_the_limit_messages_are_sent_back() {
        let world = world(2);
        let romeo = world.online("romeo@example.net/orchard");
        for body in ["<body>1</body>", "<body>2</body>"] {
            romeo.sends(&message("juliet@example.com", body));
            romeo.receives_nothing();
        }
        romeo.sends(&message("juliet@example.com", "<body>3</body>"));
        is_sent_back(&romeo, "juliet@example.com", "<body>3</body>");
    }

    /// P1: a session that ends with them still on the way loses none, and their stamps keep the first time.
    #[test]
    fn messages_that_did_not_arrive_are_kept_again_with_their_first_stamp() {
        let world = world(500);
        let romeo = world.online("romeo@example.net/orchard");
        for body in ["<body>1</body>", "<body>2</body>"] {
            romeo.sends(&message("juliet@example.com", body));
        }
        world.advance(60_000);
        let juliet = logs_in(&world, "juliet@example.com/balcony", "<presence/>");
        juliet.is_lost();
        world.forget_received();
        world.advance(60_000);
        let juliet = logs_in(&world, "juliet@example.com/balcony", "<presence/>");
        for body in ["<body>1</body>", "<body>2</body>"] {
            juliet.receives(&format!(
                "<message type='chat' from='romeo@example.net/orchard'>{body}\
                 <delay xmlns='urn:xmpp:delay' from='example.com' stamp='1970-01-01T00:00:00Z'>Offline Storage</delay></message>"
            ));
        }
        world.nobody_receives_anything();
    }

    #[test]
    fn more_than_a_page_of_them_comes_in_order() {
        let count = PAGE + 3;
        let world = world(500);
        let romeo = world.online("romeo@example.net/orchard");
        for number in 0..count {
            romeo.sends(&message("juliet@example.com", &format!("<body>{number}</body>")));
        }
        let juliet = logs_in(&world, "juliet@example.com/balcony", "<presence/>");
        for number in 0..count {
            comes_late(&juliet, &format!("<body>{number}</body>"));
        }
        world.nobody_receives_anything();
    }

    #[test]
    fn while_the_store_is_away_the_sender_is_told_to_wait() {
        let world = world(500);
        let romeo = world.online("romeo@example.net/orchard");
        world.store().set_away(true);
        romeo.sends(&message("juliet@example.com", "<body>Hello</body>"));
        romeo.receives(
            "<message type='error' from='juliet@example.com'><body>Hello</body><error type='wait'>\
             <resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
        );
    }
}
