//! Why something did not work.

use std::sync::Arc;

use vesta_xmpp::management::TooMany;
use vesta_xmpp::negotiation::initiating::Failure;
use vesta_xmpp::payload::PayloadError;
use vesta_xmpp::scan::ScanError;
use vesta_xmpp::stream_error::StreamCondition;
use vesta_xmpp::{JidError, StanzaError, StreamError};

/// Why something did not work.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The server's address could not be found.
    #[error("the server of {domain} can't be found: {reason}")]
    Lookup {
        /// The account's domain.
        domain: String,
        /// What the DNS said.
        reason: String,
    },
    /// The configuration names the server by an empty list.
    #[error("no endpoint of the server is configured")]
    NoEndpoint,
    /// No connection to the server, or TLS failed.
    #[error("no connection to {address}: {reason}")]
    Connect {
        /// The last address tried.
        address: String,
        /// What happened.
        reason: String,
    },
    /// The settings for TLS can't be used.
    #[error("TLS can't be set up: {0}")]
    Tls(String),
    /// Data came in clear behind the server's leave to start TLS: somebody may be in between (T6).
    #[error("the server sent data in clear where TLS was to begin")]
    DataBeforeTls,
    /// The server did not let us in.
    #[error(transparent)]
    Negotiation(#[from] Failure),
    /// The server ended the stream with an error.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// What the server sent is no XMPP.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The server acknowledged more stanzas than were sent (XEP-0198 §4).
    #[error(transparent)]
    Miscounted(#[from] TooMany),
    /// The server wants answers without end and acknowledges none.
    #[error("the server acknowledges nothing")]
    Unacknowledged,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(Arc<std::io::Error>),
    /// The server closed the connection, or a client that ended is used.
    #[error("the connection is closed")]
    Closed,
    /// There is no connection just now.
    #[error("there is no connection just now")]
    NotConnected,
    /// It took longer than it may.
    #[error("{0} took too long")]
    TimedOut(&'static str),
    /// More requests wait for their answers than [`PENDING_MAX`](crate::PENDING_MAX).
    #[error("too many requests wait for their answers")]
    TooManyRequests,
    /// A request was answered with an error.
    #[error(transparent)]
    Refused(#[from] StanzaError),
    /// A request was answered with something else than its specification says.
    #[error("the answer is malformed: {0}")]
    Malformed(String),
}

impl Error {
    /// Whether trying again later makes sense. Wrong credentials and an own newer session do not pass.
    pub fn may_pass(&self) -> bool {
        let condition = match self {
            Error::Stream(error) | Error::Negotiation(Failure::Stream(error)) => Some(error.condition),
            _ => None,
        };
        if let Some(condition) = condition {
            return !matches!(
                condition,
                StreamCondition::Conflict | StreamCondition::HostUnknown | StreamCondition::NotAuthorized
            );
        }
        match self {
            Error::Negotiation(Failure::Authentication(failure)) => {
                failure.condition == vesta_xmpp::sasl::SaslCondition::TemporaryAuthFailure
            }
            Error::Negotiation(Failure::Bind(_) | Failure::Closed) => true,
            Error::Negotiation(_) | Error::Tls(_) | Error::NoEndpoint => false,
            _ => true,
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Error::Io(Arc::new(error))
    }
}

impl From<PayloadError> for Error {
    fn from(error: PayloadError) -> Self {
        Error::Malformed(error.to_string())
    }
}

impl From<JidError> for Error {
    fn from(error: JidError) -> Self {
        Error::Malformed(error.to_string())
    }
}

impl From<vesta_xmpp::element::ElementError> for Error {
    fn from(error: vesta_xmpp::element::ElementError) -> Self {
        Error::Malformed(error.to_string())
    }
}
