//! Which stanza error the sender sees when something of ours failed. The detail goes to the log, once, here.

use vesta_xmpp::StanzaError;
use vesta_xmpp::stanza_error::{Condition, ErrorType};

use crate::hooks::AccountError;
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

impl From<AccountError> for StanzaError {
    /// `conflict` for a name that is taken, `not-acceptable` for a password that can't be used (XEP-0077 §3.1),
    /// `registration-required` where there is no account.
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Exists => Condition::Conflict.into(),
            AccountError::NotFound => Condition::RegistrationRequired.into(),
            AccountError::Password(_) => StanzaError::new(Condition::NotAcceptable).with_text(error.to_string()),
            AccountError::Store(error) => error.into(),
            AccountError::Undecided(error) => error.into(),
        }
    }
}
