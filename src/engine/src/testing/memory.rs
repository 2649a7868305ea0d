//! The store, in memory. It can be made to fail, and tells what it was asked.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use vesta_xmpp::{BareJid, Secret};

use crate::store::{AccountRecord, Change, Credentials, Fence, OfflineMessage, Store, StoreError, StoredRoster};
use crate::{Timestamp, roster::RosterItem};

/// Durable data in memory.
#[derive(Default)]
pub struct MemoryStore {
    data: Mutex<Data>,
}

#[derive(Default)]
struct Data {
    accounts: BTreeMap<BareJid, Row>,
    secrets: HashMap<String, Secret>,
    generation: u64,
    away: bool,
    asked: Vec<&'static str>,
}

#[derive(Default)]
struct Row {
    credentials: Option<Credentials>,
    created_at: Timestamp,
    roster: StoredRoster,
    offline: BTreeMap<u64, OfflineMessage>,
    offline_last: u64,
    values: BTreeMap<String, Bytes>,
}

impl MemoryStore {
    /// From now on every call fails with [`StoreError::Unavailable`], or works again.
    pub fn set_away(&self, away: bool) {
        self.lock().away = away;
    }

    /// The names of the calls since this was last asked.
    pub fn take_asked(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.lock().asked)
    }

    /// The items of an account's roster, in the order of their contacts.
    pub fn roster_items(&self, account: &BareJid) -> Vec<RosterItem> {
        self.lock().accounts.get(account).map(|row| row.roster.items.clone()).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, call: &'static str) -> Result<MutexGuard<'_, Data>, StoreError> {
        let mut data = self.lock();
        data.asked.push(call);
        if data.away { Err(StoreError::Unavailable("made to fail".into())) } else { Ok(data) }
    }
}

impl Row {
    fn apply(&mut self, change: Change) {
        match change {
            Change::RosterPut { version, item } => {
                self.roster.version = version;
                self.roster.items.retain(|it| it.contact != item.contact);
                self.roster.items.push(item);
                self.roster.items.sort_by(|left, right| left.contact.cmp(&right.contact));
            }
            Change::RosterRemove { version, contact } => {
                self.roster.version = version;
                self.roster.items.retain(|it| it.contact != contact);
            }
            Change::OfflinePush(message) => {
                self.offline_last = message.id;
                self.offline.insert(message.id, message);
            }
            Change::OfflineRemove { up_to } => self.offline.retain(|id, _| *id > up_to),
            Change::DataPut { key, value } => {
                self.values.insert(key, value);
            }
            Change::DataRemove { key } => {
                self.values.remove(&key);
            }
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn credentials(&self, account: &BareJid) -> Result<Option<Credentials>, StoreError> {
        Ok(self.open("credentials")?.accounts.get(account).and_then(|row| row.credentials.clone()))
    }

    async fn account_exists(&self, account: &BareJid) -> Result<bool, StoreError> {
        Ok(self.open("account_exists")?.accounts.contains_key(account))
    }

    async fn create_account(
        &self,
        _: Fence,
        account: &BareJid,
        credentials: &Credentials,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut data = self.open("create_account")?;
        if data.accounts.contains_key(account) {
            return Ok(false);
        }
        let row = Row { credentials: Some(credentials.clone()), created_at: now, ..Row::default() };
        data.accounts.insert(account.clone(), row);
        Ok(true)
    }

    async fn set_credentials(
        &self,
        _: Fence,
        account: &BareJid,
        credentials: &Credentials,
    ) -> Result<bool, StoreError> {
        let mut data = self.open("set_credentials")?;
        let Some(row) = data.accounts.get_mut(account) else { return Ok(false) };
        row.credentials = Some(credentials.clone());
        Ok(true)
    }

    async fn remove_account(&self, _: Fence, account: &BareJid) -> Result<bool, StoreError> {
        Ok(self.open("remove_account")?.accounts.remove(account).is_some())
    }

    async fn accounts(
        &self,
        host: &str,
        after: Option<&BareJid>,
        limit: u32,
    ) -> Result<Vec<AccountRecord>, StoreError> {
        let data = self.open("accounts")?;
        let of_host = data.accounts.iter().filter(|(account, _)| account.domain() == host);
        let rest = of_host.filter(|(account, _)| after.is_none_or(|after| *account > after));
        let record =
            |(account, row): (&BareJid, &Row)| AccountRecord { account: account.clone(), created_at: row.created_at };
        Ok(rest.take(limit as usize).map(record).collect())
    }

    async fn roster(&self, account: &BareJid) -> Result<StoredRoster, StoreError> {
        Ok(self.open("roster")?.accounts.get(account).map(|row| row.roster.clone()).unwrap_or_default())
    }

    async fn offline_messages(
        &self,
        account: &BareJid,
        after: u64,
        limit: u32,
    ) -> Result<Vec<OfflineMessage>, StoreError> {
        let data = self.open("offline_messages")?;
        let Some(row) = data.accounts.get(account) else { return Ok(Vec::new()) };
        Ok(row.offline.values().filter(|message| message.id > after).take(limit as usize).cloned().collect())
    }

    async fn offline_state(&self, account: &BareJid) -> Result<(u64, u64), StoreError> {
        let data = self.open("offline_state")?;
        Ok(data.accounts.get(account).map_or((0, 0), |row| (row.offline.len() as u64, row.offline_last)))
    }

    async fn data(&self, account: &BareJid, key: &str) -> Result<Option<Bytes>, StoreError> {
        Ok(self.open("data")?.accounts.get(account).and_then(|row| row.values.get(key).cloned()))
    }

    async fn write(&self, _: Fence, account: &BareJid, changes: Vec<Change>) -> Result<(), StoreError> {
        let mut data = self.open("write")?;
        let Some(row) = data.accounts.get_mut(account) else {
            return Err(StoreError::Broken(format!("{account} does not exist")));
        };
        changes.into_iter().for_each(|change| row.apply(change));
        Ok(())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.open("ping").map(drop)
    }

    async fn next_generation(&self) -> Result<u64, StoreError> {
        let mut data = self.open("next_generation")?;
        data.generation += 1;
        Ok(data.generation)
    }

    async fn deployment_secret(&self, name: &str, fresh: [u8; 32]) -> Result<Secret, StoreError> {
        let mut data = self.open("deployment_secret")?;
        Ok(data.secrets.entry(name.to_owned()).or_insert_with(|| Secret::new(fresh)).clone())
    }
}
