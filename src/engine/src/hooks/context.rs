//! What a handler is given: the account that the event belongs to, and the world.

use std::sync::Arc;

use vesta_xmpp::{Envelope, Jid, Secret, StreamError};

use super::Hooks;
use crate::accounts;
use crate::engine::Settings;
use crate::log::LogId;
use crate::logins::Logins;
use crate::ports::{Sessions, Undecided};
use crate::routing::logging;
use crate::store::{Change, StoreError};
use crate::{Account, Host, Ports, Session, SessionKey};

/// The surroundings of one event.
pub struct Context<'a> {
    /// The world.
    pub ports: &'a dyn Ports,
    /// The account that the event belongs to, and what is cached of it. See [`Scope`](super::Scope) for whose it is.
    pub account: &'a mut Account,
    /// The virtual host.
    pub host: &'a Host,
    /// The host's hooks, for what modules have said of themselves.
    pub hooks: &'a Hooks,
    /// The session whose client sent the stanza; `None` for what comes from elsewhere.
    pub session: Option<&'a Arc<Session>>,
    /// The engine's settings.
    pub settings: &'a Settings,
    /// The logins that are under way.
    pub(crate) logins: &'a Logins,
    /// What the session of this event ends with, once it has its answer.
    pub(crate) parting: Option<StreamError>,
}

/// Why an account was not made, changed or removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// It exists.
    #[error("the account exists already")]
    Exists,
    /// It does not exist.
    #[error("there is no such account")]
    NotFound,
    /// The password can't be used: what is wrong with it.
    #[error("the password can't be used: {0}")]
    Password(&'static str),
    /// Durable data can't be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The work could not be done just now.
    #[error(transparent)]
    Undecided(#[from] Undecided),
}

impl Context<'_> {
    /// The account's bound sessions.
    pub fn sessions(&self) -> Sessions {
        self.ports.sessions(&self.account.jid)
    }

    /// Hands a stanza to a session of the account.
    pub fn deliver(&self, target: SessionKey, stanza: Envelope) {
        self.ports.deliver(&self.account.jid, &[target], Arc::new(stanza));
    }

    /// Whether `entity` may see the account's presence: it is subscribed to it, or is of the account itself.
    ///
    /// # Errors
    /// The store's, where the roster is not cached yet.
    pub async fn presence_is_visible_to(&mut self, entity: &Jid) -> Result<bool, StoreError> {
        if entity.bare_str() == self.account.jid.as_str() {
            return Ok(true);
        }
        Ok(self.account.roster(self.ports).await?.sees_us(entity))
    }

    /// Writes changes to the account's durable data, all or none. Roster changes are the engine's alone.
    ///
    /// # Errors
    /// The store's; nothing is changed then.
    pub async fn write(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.ports.store().write(self.ports.fence(), &self.account.jid, changes).await
    }

    /// Entries of the account's log that waited have been handed to a session: the oldest ones, in order. The store is told, and not
    /// waited for: should that fail they are handed on again, to the next session.
    pub fn settle_waiting(&mut self, ids: &[LogId]) {
        logging::settle(self, ids);
    }

    /// Makes the account. `password` as typed.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn create_account(&mut self, password: &Secret) -> Result<(), AccountError> {
        accounts::create(self, password).await
    }

    /// Replaces the account's password and ends its sessions but the one of this event (T20). `password` as typed.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn set_password(&mut self, password: &Secret) -> Result<(), AccountError> {
        accounts::set_password(self, password).await
    }

    /// Removes the account and its data, cancels its subscriptions and ends its sessions; that of this event when it has its
    /// answer.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn remove_account(&mut self) -> Result<(), AccountError> {
        accounts::remove(self).await
    }
}
