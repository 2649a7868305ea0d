//! The events of an account.

use std::sync::Arc;

use vesta_xmpp::sasl::{Answer, Question};
use vesta_xmpp::{BareJid, Envelope, Secret};

use crate::store::StoreError;
use crate::{Account, Ports, Session};

/// Everything the server decides. One for a process, shared by all shards.
pub struct Engine {}

/// What an administrator asks of an account. Runs among the account's other events.
#[derive(Clone, Debug)]
pub enum AdminCommand {
    /// Makes the account.
    Create {
        /// Its password, as typed.
        password: Secret,
    },
    /// Replaces the password and ends all sessions (T20).
    SetPassword {
        /// The new password, as typed.
        password: Secret,
    },
    /// Removes the account, its data and its sessions.
    Remove,
    /// Ends one session, or all.
    CloseSessions {
        /// The resourcepart; `None` for all.
        resource: Option<String>,
    },
}

/// Why an [`AdminCommand`] was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// The account exists.
    #[error("the account exists already")]
    Exists,
    /// No such account or session.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The host is not served here.
    #[error("the domain {0} is not served here")]
    UnknownHost(String),
    /// The password can't be used.
    #[error("the password can't be used: {0}")]
    Password(String),
    /// Durable data can't be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The cluster can't agree just now.
    #[error(transparent)]
    Undecided(#[from] crate::ports::Undecided),
}

impl Engine {
    /// A stanza from a session's client. `from` is the session's full JID.
    pub async fn outbound(
        &self,
        account: &mut Account,
        session: &Arc<Session>,
        stanza: Arc<Envelope>,
        ports: &dyn Ports,
    ) {
        let _ = (account, session, stanza, ports);
    }

    /// A stanza for the account, from anywhere.
    pub async fn inbound(&self, account: &mut Account, stanza: Arc<Envelope>, ports: &dyn Ports) {
        let _ = (account, stanza, ports);
    }

    /// A session has ended, in whatever way. `session` is its record as it was; it is no longer among the account's sessions.
    pub async fn ended(&self, account: &mut Account, session: &Arc<Session>, ports: &dyn Ports) {
        let _ = (account, session, ports);
    }

    /// Stanzas that a session's client never took, in order: RFC 6121 §8 again, without that session.
    pub async fn undelivered(&self, account: &mut Account, stanzas: Vec<Arc<Envelope>>, ports: &dyn Ports) {
        let _ = (account, stanzas, ports);
    }

    /// A step of SASL (T14: unknown accounts are answered like known ones).
    pub async fn authenticate(&self, question: Question, ports: &dyn Ports) -> Answer {
        let _ = (question, ports);
        Answer::Denied(vesta_xmpp::sasl::SaslCondition::TemporaryAuthFailure)
    }

    /// In-band registration before authentication (XEP-0077): the IQ's answer.
    pub async fn register(&self, account: &mut Account, host: &BareJid, stanza: &Envelope, ports: &dyn Ports) -> Envelope {
        let _ = (account, host, ports);
        stanza.result(None)
    }

    /// What an administrator asks.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn administer(
        &self,
        account: &mut Account,
        command: AdminCommand,
        ports: &dyn Ports,
    ) -> Result<(), AdminError> {
        let _ = (account, command, ports);
        Ok(())
    }
}
