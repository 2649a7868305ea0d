//! The initiating entity's side: a client that connects.
//!
//! ```text
//! header → features → STARTTLS → header → features → SASL → header → features → bind → established
//! ```

use bytes::Bytes;

use crate::sasl::{ChannelBindings, SaslFailure};
use crate::scan::Item;
use crate::{BareJid, Element, FullJid, Secret, StanzaError, StreamError};

/// Who logs in where, and on what conditions.
#[derive(Clone, Debug)]
pub struct Config {
    /// The account: localpart and domain.
    pub account: BareJid,
    /// Its password, as typed.
    pub password: Secret,
    /// The resource to ask for; `None` leaves it to the server.
    pub resource: Option<String>,
    /// Whether to go on only inside TLS (T7). Off for development alone.
    pub require_tls: bool,
    /// Whether PLAIN may be used where the server offers nothing better. Only ever inside TLS.
    pub allow_plain: bool,
}

/// What the machine is told.
#[derive(Debug)]
pub enum Event {
    /// The connection is there, in clear.
    Connected,
    /// The TLS handshake that [`Action::StartTls`] asked for is done and the certificate is the domain's; or direct TLS was
    /// there from the start, and then there is no [`Event::Connected`].
    TlsEstablished(ChannelBindings),
    /// The scanner yielded an item.
    Item(Item),
}

/// What the machine wants done, in this order.
#[derive(Debug)]
pub enum Action {
    /// Write these bytes.
    Send(Bytes),
    /// No further byte may be waiting in the input (T6); then the TLS handshake as client, a new scanner,
    /// [`Event::TlsEstablished`].
    StartTls,
    /// A new scanner for the restarted stream; the bytes behind the item stay.
    Restart,
    /// The stream is up; the machine has done its work.
    Established {
        /// The address that the server has bound.
        jid: FullJid,
        /// The features of the authenticated stream.
        features: Element,
    },
    /// Send the end tag if anything was sent, and close.
    Fail(Failure),
}

/// Why there is no stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The server offers no TLS, and [`Config::require_tls`] wants it.
    #[error("the server offers no TLS")]
    TlsNotOffered,
    /// The server offered TLS and then refused.
    #[error("the server refused to start TLS")]
    TlsRefused,
    /// None of the mechanisms offered may be used here. Holds their names.
    #[error("the server offers no mechanism that can be used here, only: {0}")]
    NoMechanism(String),
    /// The password holds a character that no password may hold, or is empty.
    #[error("the password is empty or holds a character that is not allowed")]
    Password,
    /// The server refused the credentials.
    #[error(transparent)]
    Authentication(#[from] SaslFailure),
    /// What the server sent is not of the mechanism's form, or weaker than any honest server's.
    #[error("the server's part of the authentication is wrong: {0}")]
    Challenge(&'static str),
    /// The server could not prove that it knows the account: it is not the server that it says.
    #[error("the server could not prove that it knows the account")]
    ServerNotAuthentic,
    /// The server refused to bind a resource.
    #[error("no resource was bound: {0}")]
    Bind(StanzaError),
    /// The server ended the stream with an error.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The server ended the stream.
    #[error("the server closed the stream")]
    Closed,
    /// The server did not keep to RFC 6120.
    #[error("the server does not keep to the protocol: {0}")]
    Protocol(&'static str),
}

/// The machine. See the module's documentation.
#[derive(Debug)]
pub struct Initiating {
    config: Config,
}

impl Initiating {
    /// A machine that waits for [`Event::Connected`] or [`Event::TlsEstablished`].
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    /// Takes a step. `random` fills a slice with unpredictable bytes. A step of SCRAM costs milliseconds of CPU: PBKDF2.
    pub fn handle(&mut self, event: Event, random: &mut dyn FnMut(&mut [u8])) -> Vec<Action> {
        let _ = (event, random, &self.config);
        Vec::new()
    }
}
