//! What a client is told.

use tokio::sync::mpsc;
use vesta_xmpp::payload::carbon::Direction;
use vesta_xmpp::payload::date_time::DateTime;
use vesta_xmpp::payload::roster::Item;
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{Element, Envelope, FullJid, Jid, StanzaError};

use crate::Error;

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// A message came, of whatever type.
    Message(Envelope),
    /// Another resource of the account has sent or received a message ([`Client::enable_carbons`](crate::Client::enable_carbons)).
    /// Only ever from the own account.
    Carbon {
        /// Which way it went.
        direction: Direction,
        /// The message.
        message: Envelope,
        /// When, if the server says so.
        stamp: Option<DateTime>,
    },
    /// A message of ours has come to somebody's client (XEP-0184). Whoever asked for it knows whether `from` is the one to say so.
    Delivered {
        /// The message's id.
        id: String,
        /// Who says so.
        from: Jid,
    },
    /// A presence came, of whatever type.
    Presence(Envelope),
    /// Somebody asks for something. Dropped without an answer, it is answered with `service-unavailable` (RFC 6120 §8.4).
    Request(IqRequest),
    /// The roster has changed (RFC 6121 §2.1.6). Only ever from the own account, and already confirmed.
    RosterPush {
        /// The roster's version now, where the server gives versions.
        version: Option<String>,
        /// The item as it is now; its subscription `remove` says that it is gone.
        item: Item,
    },
    /// The server has counted a message or a presence of ours (XEP-0198): it answers for it from now on. A server that keeps
    /// Vesta's promise has made a message durable by then.
    Acknowledged(Envelope),
    /// The connection is lost, and another one is being made.
    Disconnected(Error),
    /// There is a connection again, and the session goes on: nothing is lost, what was not acknowledged is sent again.
    Resumed,
    /// There is a connection again, and the session is a new one: presence, roster, carbons have to be asked for again, and what
    /// was missed is in the archive.
    NewSession {
        /// The address that the server has bound.
        jid: FullJid,
        /// Messages and presence that were not acknowledged when the earlier session was lost, in order: they may have arrived or
        /// not. A message that is sent again as it stands keeps its origin-id.
        unacknowledged: Vec<Envelope>,
        /// Messages that were not acknowledged, and are sent again already: [`Management::resend`](crate::Management::resend).
        resent: Vec<Envelope>,
    },
    /// The client has ended otherwise than by [`Client::close`](crate::Client::close), or something was left over then. The last
    /// event.
    Ended {
        /// Why.
        reason: Error,
        /// Messages and presence that were not acknowledged, in order: they may have arrived or not.
        unacknowledged: Vec<Envelope>,
    },
}

/// An IQ of type `get` or `set` that waits for its answer.
#[derive(Debug)]
pub struct IqRequest {
    stanza: Envelope,
    answer: Option<mpsc::OwnedPermit<Envelope>>,
}

impl IqRequest {
    pub(crate) fn new(stanza: Envelope, answer: mpsc::OwnedPermit<Envelope>) -> Self {
        Self { stanza, answer: Some(answer) }
    }

    /// The stanza.
    pub fn stanza(&self) -> &Envelope {
        &self.stanza
    }

    /// Whether its payload has this namespace and name.
    pub fn is(&self, namespace: &str, name: &str) -> bool {
        self.stanza.payload.as_ref().is_some_and(|it| *it.namespace == *namespace && *it.name == *name)
    }

    /// The payload as a tree.
    pub fn payload(&self) -> Option<Element> {
        self.stanza.payload_element().ok().flatten()
    }

    /// Answers with a result.
    pub fn answer(mut self, payload: Option<&Element>) {
        let result = self.stanza.result(payload);
        self.send(Some(result));
    }

    /// Answers with an error.
    pub fn refuse(mut self, error: &StanzaError) {
        let error = self.stanza.error(error);
        self.send(error);
    }

    fn send(&mut self, answer: Option<Envelope>) {
        if let (Some(permit), Some(answer)) = (self.answer.take(), answer) {
            permit.send(answer);
        }
    }
}

impl Drop for IqRequest {
    fn drop(&mut self) {
        let error = self.stanza.error(&StanzaError::new(Condition::ServiceUnavailable));
        self.send(error);
    }
}

/// The events of a client, in order. Dropped, the client ends.
pub struct Events(pub(crate) mpsc::Receiver<Event>);

impl Events {
    /// The next event. `None`: the client has ended. May be dropped and called again without loss.
    pub async fn next(&mut self) -> Option<Event> {
        self.0.recv().await
    }
}
