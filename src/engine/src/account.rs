//! An account as its shard's leader holds it: caches of durable data. The leader is the only writer, so nothing is ever stale.

use std::any::Any;

use vesta_xmpp::BareJid;

use crate::logging::AccountLog;
use crate::roster::Roster;
use crate::store::StoreError;
use crate::{Ports, SessionKey};

/// Caches of one account. May be dropped at any time between two events, unless [`Account::is_logging`], and is then loaded again.
#[derive(Debug)]
pub struct Account {
    /// Whose.
    pub jid: BareJid,
    exists: Option<bool>,
    roster: Option<Roster>,
    /// A write of the roster has failed, and may have been done all the same: it is to be loaded again.
    roster_in_doubt: bool,
    pub(crate) log: AccountLog,
    /// The numbers of sessions whose clients have read the archive.
    archive_readers: Vec<u64>,
    /// What modules keep, one value of each type.
    modules: Vec<Box<dyn Any + Send + Sync>>,
}

impl Account {
    /// Nothing cached.
    pub fn new(jid: BareJid) -> Self {
        Self {
            jid,
            exists: None,
            roster: None,
            roster_in_doubt: false,
            log: AccountLog::default(),
            archive_readers: Vec::new(),
            modules: Vec::new(),
        }
    }

    /// What is left when a handler has panicked: all but the log may be in disorder, and is loaded again.
    #[must_use]
    pub fn after_panic(self) -> Self {
        Self { log: self.log, ..Self::new(self.jid) }
    }

    /// What a module has cached of the account, by its type.
    pub fn cached<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.modules.iter().find_map(|value| value.downcast_ref())
    }

    /// Caches a module's value, in place of the one of the same type. Forgotten when the account is removed or its caches are
    /// dropped.
    pub fn cache<T: Send + Sync + 'static>(&mut self, value: T) {
        self.forget_cached::<T>();
        self.modules.push(Box::new(value));
    }

    /// Forgets a module's value: a write has failed, and may have been done all the same.
    pub fn forget_cached<T: Send + Sync + 'static>(&mut self) {
        self.modules.retain(|value| !value.is::<T>());
    }

    /// A session's client has read the archive: it needs no offline messages (XEP-0160) that it finds there. Known until the session
    /// ends or the shard gets another leader.
    pub fn note_archive_reader(&mut self, session: SessionKey) {
        if !self.reads_archive(session) {
            self.archive_readers.push(session.number);
        }
    }

    /// Whether a session's client has read the archive.
    pub fn reads_archive(&self, session: SessionKey) -> bool {
        self.archive_readers.contains(&session.number)
    }

    /// A session has ended.
    pub(crate) fn forget_session(&mut self, session: SessionKey) {
        self.archive_readers.retain(|number| *number != session.number);
    }

    /// Whether the account exists. Asks the store the first time.
    ///
    /// # Errors
    /// The store's.
    pub async fn exists(&mut self, ports: &dyn Ports) -> Result<bool, StoreError> {
        match self.exists {
            Some(exists) => Ok(exists),
            None => {
                let exists = ports.store().account_exists(&self.jid).await?;
                self.exists = Some(exists);
                Ok(exists)
            }
        }
    }

    /// The account's roster, empty where there is no account. Asks the store the first time.
    ///
    /// # Errors
    /// The store's.
    pub async fn roster(&mut self, ports: &dyn Ports) -> Result<&mut Roster, StoreError> {
        if self.roster.is_none() || self.roster_in_doubt {
            self.roster = Some(Roster::from(ports.store().roster(&self.jid).await?));
            self.roster_in_doubt = false;
        }
        Ok(self.roster.as_mut().expect("just loaded"))
    }

    /// The roster as it was last known, for what has to be told even while the store is away.
    pub(crate) fn last_known_roster(&self) -> Option<&Roster> {
        self.roster.as_ref()
    }

    /// A write of the roster has failed: nobody knows whether it was done.
    pub(crate) fn doubt_roster(&mut self) {
        self.roster_in_doubt = true;
    }

    /// The account has been made or removed (`None`: nobody knows): what was cached is no longer so.
    pub(crate) fn reset(&mut self, exists: Option<bool>) {
        self.exists = exists;
        self.roster = None;
        self.log.forget();
        self.modules.clear();
    }
}
