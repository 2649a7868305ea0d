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
}

impl Account {
    /// Nothing cached.
    pub fn new(jid: BareJid) -> Self {
        Self { jid, exists: None, roster: None }
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
        if self.roster.is_none() {
            self.roster = Some(Roster::from(ports.store().roster(&self.jid).await?));
        }
        Ok(self.roster.as_mut().expect("just loaded"))
    }

    /// The account has been made or removed: what was cached is no longer so.
    pub(crate) fn reset(&mut self, exists: bool) {
        self.exists = Some(exists);
        self.roster = None;
    }
}
