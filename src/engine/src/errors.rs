//! Which stanza error the sender sees when something of ours failed. The detail goes to the log, once, here.

use vesta_xmpp::StanzaError;
use vesta_xmpp::stanza_error::{Condition, ErrorType};

use crate::ports::Undecided;
use crate::store::StoreError;

impl From<StoreError> for StanzaError {
    /// `wait / resource-constraint` while the database or the shard is away, `cancel / internal-server-error` for a bug.
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "a stanza is answered with an error");
        match error {
            StoreError::Unavailable(_) | StoreError::Fenced => StanzaError::new(Condition::ResourceConstraint),
            StoreError::Broken(_) => StanzaError::new(Condition::InternalServerError),
        }
        .with_text("the server can't do this just now")
    }
}

impl From<Undecided> for StanzaError {
    /// `wait / resource-constraint`.
    fn from(error: Undecided) -> Self {
        tracing::warn!(%error, "a stanza is answered with an error");
        StanzaError::new(Condition::ResourceConstraint)
            .with_type(ErrorType::Wait)
            .with_text("the server can't do this just now")
    }
}
