//! The events that handlers take part in.

use std::sync::Arc;

use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{Element, Envelope, IqType, Jid, StanzaError, StanzaType};

use super::Scope;
use crate::Session;
use crate::ports::Sessions;

/// A message from a session's client: [`Context::session`](super::Context::session).
#[derive(Debug)]
pub struct OutboundMessage {
    /// The stanza: `from` is the session's full JID, `to` is never empty. May be changed (`Arc::make_mut`), but for `from`.
    pub stanza: Arc<Envelope>,
    /// Whether it goes into the sender's archive. Set by whoever keeps one.
    pub archived: bool,
}

/// A message of the account has been routed, and is in its archive if it belongs there.
#[derive(Debug)]
pub struct MessageSent {
    /// The stanza, as the account's other resources may see it.
    pub stanza: Arc<Envelope>,
}

/// A message for the account.
#[derive(Debug)]
pub struct InboundMessage {
    /// The stanza. May be changed (`Arc::make_mut`), but for the addresses.
    pub stanza: Arc<Envelope>,
    /// Whether it goes into the account's archive. Set by whoever keeps one. Then it is durable before anybody gets it.
    pub archived: bool,
}

/// A message has been handed to sessions of the account.
#[derive(Debug)]
pub struct MessageDelivered {
    /// The stanza as they got it.
    pub stanza: Arc<Envelope>,
    /// The sessions.
    pub targets: Sessions,
}

/// A message (`chat` or `normal`) that no resource takes.
#[derive(Debug)]
pub struct UndeliverableMessage {
    /// The stanza. May be changed (`Arc::make_mut`), but for the addresses.
    pub stanza: Arc<Envelope>,
    /// Whether the account exists. Where it does not, a handler keeps nothing but must return the same as if it did, so that
    /// nobody learns which accounts there are (T14).
    pub account_exists: bool,
    /// Whether it waits in the account's log for a client that takes it. Set by whoever hands it on then.
    pub waits: bool,
}

/// A session has broadcast available presence.
#[derive(Debug)]
pub struct SessionAvailable {
    /// The session as it is now.
    pub session: Arc<Session>,
    /// Its priority until now; `None` where it was not available.
    pub previous_priority: Option<i8>,
}

impl SessionAvailable {
    /// Whether this is the session's initial presence (RFC 6121 §4.2).
    pub fn is_initial(&self) -> bool {
        self.previous_priority.is_none()
    }

    /// Whether the session takes messages to the bare JID from now on and did not until now: the moment for offline messages
    /// (RFC 6121 §8.5.2.2.1, XEP-0160 §3).
    pub fn begins_to_take_messages(&self) -> bool {
        let takes = |priority: Option<i8>| priority.is_some_and(|priority| priority >= 0);
        takes(self.session.priority()) && !takes(self.previous_priority)
    }
}

/// An available session is available no longer.
#[derive(Debug)]
pub struct SessionUnavailable {
    /// The session as it was while available.
    pub session: Arc<Session>,
    /// The unavailable presence as broadcast; empty where it is the server that made it.
    pub stanza: Arc<Envelope>,
}

/// A session has ended.
#[derive(Debug)]
pub struct SessionEnded {
    /// The session as it was; it is no longer among the account's sessions.
    pub session: Arc<Session>,
}

/// The context's account has been removed.
#[derive(Debug)]
pub struct AccountRemoved;

/// An IQ request (type `get` or `set`).
#[derive(Clone, Copy, Debug)]
pub struct IqRequest<'a> {
    /// The stanza.
    pub stanza: &'a Envelope,
    /// Who asks: a full JID mostly.
    pub from: &'a Jid,
    /// Whom.
    pub scope: Scope,
}

impl IqRequest<'_> {
    /// Whether this is a `set` (and no `get`).
    pub fn is_set(&self) -> bool {
        self.stanza.kind == StanzaType::Iq(IqType::Set)
    }

    /// The payload as a tree.
    ///
    /// # Errors
    /// `bad-request`, where there is none or it can't be read.
    pub fn payload(&self) -> Result<Element, StanzaError> {
        match self.stanza.payload_element() {
            Ok(Some(payload)) => Ok(payload),
            Ok(None) | Err(_) => Err(StanzaError::new(Condition::BadRequest)),
        }
    }
}
