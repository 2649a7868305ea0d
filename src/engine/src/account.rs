//! An account as its shard's leader holds it: caches of durable data. The leader is the only writer, so nothing is ever stale.

use vesta_xmpp::BareJid;

use crate::Ports;
use crate::roster::Roster;
use crate::store::StoreError;

/// Caches of one account. May be dropped at any time between two events, and is then loaded again.
#[derive(Debug)]
pub struct Account {
    /// Whose.
    pub jid: BareJid,
    exists: Option<bool>,
    roster: Option<Roster>,
    /// A write of the roster has failed, and may have been done all the same: it is to be loaded again.
    roster_in_doubt: bool,
}

impl Account {
    /// Nothing cached.
    pub fn new(jid: BareJid) -> Self {
        Self { jid, exists: None, roster: None, roster_in_doubt: false }
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
    }
}
