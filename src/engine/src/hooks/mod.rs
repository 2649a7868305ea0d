//! Where XEP modules take part: every point at which the engine asks them, as methods of [`Hooks`].
//!
//! ```text
//! client ──► outbound_message ──► routing ──► inbound_message ──► delivery ──► message_delivered
//!                 └─ archived, if it is ──► message_sent  │ └─ archived, if it is, before delivery
//!                                                         └─ nobody takes it ──► undeliverable_message
//! client ──► presence ──► session_available, session_unavailable        end of a session ──► session_ended
//! IQ to the server or to an account ──► iq_get, iq_set                  end of an account ──► account_removed
//! ```
//!
//! There is one [`Hooks`] for each virtual host, filled once at start-up by the modules that are switched on for it. A point
//! without handlers costs the test for emptiness and no allocation.

mod context;
mod disco;
mod event;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use vesta_xmpp::hash::HashMap;
use vesta_xmpp::{Element, IqType, StanzaError};

use crate::Host;

pub use context::{AccountError, Context};
pub use disco::{Disco, DiscoItem, Identity};
pub use event::{
    AccountRemoved, InboundMessage, IqRequest, MessageDelivered, MessageSent, OutboundMessage, SessionAvailable,
    SessionEnded, SessionUnavailable, UndeliverableMessage,
};

/// What a handler says about how the event goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flow {
    /// The next handler, then the engine's own doing.
    Continue,
    /// The handler has done all there is to do: nothing more happens, nobody is answered.
    Handled,
    /// Nothing more happens, and the sender gets this error (where the stanza may be answered at all).
    Reject(StanzaError),
}

/// When a handler runs among those of its point. Within one step: in the order of the list of modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// Decides whether the stanza goes on at all: blocking, privacy, limits.
    Filters,
    /// Changes what goes on: ids, delay stamps. Where nothing else fits, this.
    Changes,
    /// Keeps what has become final: archive, offline storage.
    Records,
    /// Tells others of it: carbons, push.
    Copies,
}

/// A handler of events of type `E`. A module implements it once for each kind of event that it wants.
#[async_trait]
pub trait Hook<E: Send>: Send + Sync {
    /// Takes part in one event. What the handler may change is said at the event's fields.
    async fn on(&self, context: &mut Context<'_>, event: &mut E) -> Flow;
}

/// What an IQ handler returns: the result's child element (or an empty result), or the error.
pub type IqAnswer = Result<Option<Element>, StanzaError>;

/// A handler of IQ requests (type `get` or `set`).
#[async_trait]
pub trait IqHandler: Send + Sync {
    /// Answers the request. Every request gets exactly this answer; the handler sends none itself.
    async fn answer(&self, context: &mut Context<'_>, request: &IqRequest<'_>) -> IqAnswer;
}

/// In-band registration before authentication (XEP-0077). The context's account is the one that the request names, or the
/// host's own bare JID where it names none.
#[async_trait]
pub trait RegistrationHandler: Send + Sync {
    /// Answers the request (an IQ of type `get` or `set` in the namespace `jabber:iq:register`).
    async fn answer(&self, context: &mut Context<'_>, request: &IqRequest<'_>) -> IqAnswer;
}

/// Whom an IQ request is addressed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The domain of the virtual host. The context's account is the sender's, if it is of this host, else the domain's
    /// own bare JID.
    Server,
    /// The sender's own account: no `to`, or its own bare JID.
    OwnAccount,
    /// The bare JID of an account that exists, asked by somebody else. Answer [`Condition::ServiceUnavailable`] wherever
    /// the sender may not know: an account that does not exist answers just so (T14, T31).
    ///
    /// [`Condition::ServiceUnavailable`]: vesta_xmpp::stanza_error::Condition::ServiceUnavailable
    OtherAccount,
}

/// The handlers of one kind of event.
pub(crate) struct Point<E> {
    handlers: Vec<(Order, Arc<dyn Hook<E>>)>,
}

impl<E> Default for Point<E> {
    fn default() -> Self {
        Self { handlers: Vec::new() }
    }
}

impl<E: Send> Point<E> {
    fn add(&mut self, order: Order, handler: Arc<dyn Hook<E>>) {
        let at = self.handlers.partition_point(|(other, _)| *other <= order);
        self.handlers.insert(at, (order, handler));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.handlers.is_empty()
    }

    /// Asks the handlers in turn, until one does not let the event go on.
    pub(crate) async fn run(&self, context: &mut Context<'_>, event: &mut E) -> Flow {
        for (_, handler) in &self.handlers {
            match handler.on(context, event).await {
                Flow::Continue => {}
                end => return end,
            }
        }
        Flow::Continue
    }
}

struct IqEntry {
    kind: IqType,
    name: &'static str,
    scope: Scope,
    handler: Arc<dyn IqHandler>,
}

/// The extension points of one virtual host, and what its modules have put there.
#[derive(Default)]
pub struct Hooks {
    host: Host,
    /// What disco says of the server (XEP-0030).
    pub server: Disco,
    /// What disco says of an account.
    pub account: Disco,
    stream_features: Vec<Element>,
    iq: HashMap<&'static str, Vec<IqEntry>>,
    registration: Option<Arc<dyn RegistrationHandler>>,
    pub(crate) outbound_message: Point<OutboundMessage>,
    pub(crate) inbound_message: Point<InboundMessage>,
    pub(crate) undeliverable_message: Point<UndeliverableMessage>,
    pub(crate) message_sent: Point<MessageSent>,
    pub(crate) message_delivered: Point<MessageDelivered>,
    pub(crate) session_available: Point<SessionAvailable>,
    pub(crate) session_unavailable: Point<SessionUnavailable>,
    pub(crate) session_ended: Point<SessionEnded>,
    pub(crate) account_removed: Point<AccountRemoved>,
    pub(crate) log_retention: Option<u64>,
}

impl Hooks {
    /// The points of `host`, without handlers.
    pub fn new(host: Host) -> Self {
        Self { host, ..Self::default() }
    }

    /// The virtual host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Answers IQs of type `get` whose payload is `name` in `namespace`.
    ///
    /// # Panics
    /// Another handler answers the same: a mistake in the list of modules.
    pub fn iq_get(&mut self, namespace: &'static str, name: &'static str, scope: Scope, handler: Arc<dyn IqHandler>) {
        self.add_iq(namespace, IqEntry { kind: IqType::Get, name, scope, handler });
    }

    /// Answers IQs of type `set` whose payload is `name` in `namespace`.
    ///
    /// # Panics
    /// As [`Hooks::iq_get`].
    pub fn iq_set(&mut self, namespace: &'static str, name: &'static str, scope: Scope, handler: Arc<dyn IqHandler>) {
        self.add_iq(namespace, IqEntry { kind: IqType::Set, name, scope, handler });
    }

    fn add_iq(&mut self, namespace: &'static str, entry: IqEntry) {
        assert!(
            self.iq_handler(entry.kind, namespace, entry.name, entry.scope).is_none(),
            "two modules answer the IQ {namespace}#{}",
            entry.name
        );
        self.iq.entry(namespace).or_default().push(entry);
    }

    /// Answers registration requests before authentication; the stream then offers it. The last one registered answers.
    pub fn registration(&mut self, handler: Arc<dyn RegistrationHandler>) {
        self.registration = Some(handler);
    }

    /// Advertises a stream feature after authentication.
    pub fn stream_feature(&mut self, feature: Element) {
        self.stream_features.push(feature);
    }

    /// A message from a session's client, before it is routed. Nothing has happened yet. Handlers may change the stanza.
    pub fn outbound_message(&mut self, order: Order, handler: Arc<dyn Hook<OutboundMessage>>) {
        self.outbound_message.add(order, handler);
    }

    /// A message for an account that exists, which RFC 6121 §8 does not send back. Handlers may change the stanza. Who gets it is chosen
    /// later, when it is durable. Not asked again for what comes back from a session that ended.
    pub fn inbound_message(&mut self, order: Order, handler: Arc<dyn Hook<InboundMessage>>) {
        self.inbound_message.add(order, handler);
    }

    /// A message of type `chat` or `normal` that no resource takes. Where no handler lets it wait or returns [`Flow::Handled`], and it is
    /// not archived either, the sender gets `service-unavailable` (RFC 6121 §8.5.2.2.1).
    pub fn undeliverable_message(&mut self, order: Order, handler: Arc<dyn Hook<UndeliverableMessage>>) {
        self.undeliverable_message.add(order, handler);
    }

    /// A message of the account has been routed to somebody else, and is durable in the account's archive if it belongs there. Fires in
    /// the order of sending.
    pub fn message_sent(&mut self, order: Order, handler: Arc<dyn Hook<MessageSent>>) {
        self.message_sent.add(order, handler);
    }

    /// A message has been handed to sessions of the account.
    pub fn message_delivered(&mut self, order: Order, handler: Arc<dyn Hook<MessageDelivered>>) {
        self.message_delivered.add(order, handler);
    }

    /// For how many milliseconds the archives of this host keep messages; without this, for ever.
    pub fn log_retention(&mut self, milliseconds: u64) {
        self.log_retention = Some(milliseconds);
    }

    /// A session has broadcast available presence: it is recorded and the contacts have been told. [`Flow`] is ignored but
    /// for ending the round.
    pub fn session_available(&mut self, order: Order, handler: Arc<dyn Hook<SessionAvailable>>) {
        self.session_available.add(order, handler);
    }

    /// An available session is available no longer, by its own presence or by its end. The contacts have been told.
    pub fn session_unavailable(&mut self, order: Order, handler: Arc<dyn Hook<SessionUnavailable>>) {
        self.session_unavailable.add(order, handler);
    }

    /// A session has ended, in whatever way. Fires after [`Hooks::session_unavailable`], where that fires.
    pub fn session_ended(&mut self, order: Order, handler: Arc<dyn Hook<SessionEnded>>) {
        self.session_ended.add(order, handler);
    }

    /// The context's account has been removed, with everything that the store kept under its name. Its sessions are being
    /// closed.
    pub fn account_removed(&mut self, order: Order, handler: Arc<dyn Hook<AccountRemoved>>) {
        self.account_removed.add(order, handler);
    }

    pub(crate) fn iq_handler(
        &self,
        kind: IqType,
        namespace: &str,
        name: &str,
        scope: Scope,
    ) -> Option<&Arc<dyn IqHandler>> {
        let entries = self.iq.get(namespace)?;
        entries
            .iter()
            .find(|entry| entry.kind == kind && entry.name == name && entry.scope == scope)
            .map(|entry| &entry.handler)
    }

    pub(crate) fn registration_handler(&self) -> Option<&Arc<dyn RegistrationHandler>> {
        self.registration.as_ref()
    }

    pub(crate) fn stream_features(&self) -> &[Element] {
        &self.stream_features
    }
}
