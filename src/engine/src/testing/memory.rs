//! The store, in memory. It can be made to fail, and tells what it was asked.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use vesta_xmpp::{BareJid, Secret};

use crate::log::{LogEntry, LogId, LogQuery, LogState, LoggedMessage, View};
use crate::store::{AccountRecord, Change, Credentials, Fence, Store, StoreError, StoredRoster};
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
    /// The newest generation and term that has written for each shard.
    fences: HashMap<u32, (u64, u64)>,
    away: bool,
    is_held: bool,
    held: VecDeque<Held>,
    asked: Vec<&'static str>,
}

/// A write that is not done yet, and who is told.
struct Held {
    fence: Fence,
    account: BareJid,
    changes: Vec<Change>,
    done: Box<dyn FnOnce(Result<(), StoreError>) + Send>,
}

#[derive(Default)]
struct Row {
    credentials: Option<Credentials>,
    created_at: Timestamp,
    roster: StoredRoster,
    log: BTreeMap<LogId, LogEntry>,
    log_last: LogId,
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

    /// From now on what is submitted waits.
    pub fn hold(&self) {
        self.lock().is_held = true;
    }

    /// What was held is done, in order.
    pub fn release(&self) {
        loop {
            let held = {
                let mut data = self.lock();
                data.is_held = false;
                data.held.pop_front()
            };
            let Some(Held { fence, account, changes, done }) = held else { return };
            done(self.write_now("release", fence, &account, changes));
        }
    }

    /// An account's log, in the order of its entries.
    pub fn log(&self, account: &BareJid) -> Vec<LogEntry> {
        self.lock().accounts.get(account).map(|row| row.log.values().cloned().collect()).unwrap_or_default()
    }

    fn write_now(
        &self,
        call: &'static str,
        fence: Fence,
        account: &BareJid,
        changes: Vec<Change>,
    ) -> Result<(), StoreError> {
        let mut data = self.open(call)?;
        data.pass(fence)?;
        if changes.is_empty() {
            return Ok(());
        }
        let Some(row) = data.accounts.get_mut(account) else {
            return Err(StoreError::Broken(format!("{account} does not exist")));
        };
        changes.into_iter().try_for_each(|change| row.apply(change))
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

impl Data {
    /// Only the newest leader of a shard writes.
    fn pass(&mut self, fence: Fence) -> Result<(), StoreError> {
        let newest = self.fences.entry(fence.shard).or_default();
        let own = (fence.generation, fence.term);
        if own < *newest {
            return Err(StoreError::Fenced);
        }
        *newest = own;
        Ok(())
    }
}

impl Row {
    fn apply(&mut self, change: Change) -> Result<(), StoreError> {
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
            Change::Log(entry) if entry.id <= self.log_last => {
                return Err(StoreError::Broken(format!("{} does not come after {}", entry.id, self.log_last)));
            }
            Change::Log(entry) => {
                self.log_last = entry.id;
                self.log.insert(entry.id, entry);
            }
            Change::LogWait(id) => {
                if let Some(entry) = self.log.get_mut(&id) {
                    entry.waiting = true;
                }
            }
            Change::LogSettle { up_to } => {
                self.log.range_mut(..=up_to).for_each(|(_, entry)| entry.waiting = false);
                self.log.retain(|_, entry| entry.archived || entry.waiting);
            }
            Change::DataPut { key, value } => {
                self.values.insert(key, value);
            }
            Change::DataRemove { key } => {
                self.values.remove(&key);
            }
        }
        Ok(())
    }

    fn find(&self, query: &LogQuery) -> Vec<&LogEntry> {
        let matches = |entry: &&LogEntry| {
            let of_view = match query.view {
                View::Archived => entry.archived,
                View::Waiting => entry.waiting,
            };
            let of_peer = query.peer.as_ref().is_none_or(|peer| match peer.is_full() {
                true => entry.peer == *peer,
                false => entry.peer.bare_str() == peer.as_str(),
            });
            let in_range =
                query.after.is_none_or(|after| entry.id > after) && query.before.is_none_or(|before| entry.id < before);
            of_view && of_peer && in_range && query.ids.as_ref().is_none_or(|ids| ids.contains(&entry.id))
        };
        self.log.values().filter(matches).collect()
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

    async fn log_state(&self, fence: Fence, account: &BareJid, recent: u32) -> Result<LogState, StoreError> {
        let mut data = self.open("log_state")?;
        data.pass(fence)?;
        let Some(row) = data.accounts.get(account) else { return Ok(LogState::default()) };
        let newest = row.log.values().rev().take(recent as usize);
        Ok(LogState {
            last: row.log_last,
            waiting: row.log.values().filter(|entry| entry.waiting).count() as u64,
            recent: newest.map(|entry| (entry.id, entry.ingress, entry.origin)).collect(),
        })
    }

    async fn log_page(&self, account: &BareJid, query: &LogQuery) -> Result<Vec<LoggedMessage>, StoreError> {
        let data = self.open("log_page")?;
        let Some(row) = data.accounts.get(account) else { return Ok(Vec::new()) };
        let found = row.find(query);
        let limit = query.limit as usize;
        let skipped = if query.backwards { found.len().saturating_sub(limit) } else { 0 };
        let message =
            |entry: &&LogEntry| LoggedMessage { id: entry.id, archived: entry.archived, stanza: entry.stanza.clone() };
        Ok(found[skipped..].iter().take(limit).map(message).collect())
    }

    async fn log_count(&self, account: &BareJid, query: &LogQuery) -> Result<u64, StoreError> {
        let data = self.open("log_count")?;
        Ok(data.accounts.get(account).map_or(0, |row| row.find(query).len() as u64))
    }

    async fn log_prune(&self, host: &str, before: LogId, limit: u32) -> Result<u64, StoreError> {
        let mut data = self.open("log_prune")?;
        let mut taken = 0;
        for (_, row) in data.accounts.iter_mut().filter(|(account, _)| account.domain() == host) {
            row.log.retain(|id, entry| {
                let stays = *id >= before || entry.waiting || taken == u64::from(limit);
                taken += u64::from(!stays);
                stays
            });
        }
        Ok(taken)
    }

    async fn data(&self, account: &BareJid, key: &str) -> Result<Option<Bytes>, StoreError> {
        Ok(self.open("data")?.accounts.get(account).and_then(|row| row.values.get(key).cloned()))
    }

    async fn write(&self, fence: Fence, account: &BareJid, changes: Vec<Change>) -> Result<(), StoreError> {
        self.write_now("write", fence, account, changes)
    }

    fn submit(
        &self,
        fence: Fence,
        account: &BareJid,
        changes: Vec<Change>,
        done: Box<dyn FnOnce(Result<(), StoreError>) + Send>,
    ) {
        let mut data = self.lock();
        if data.is_held || !data.held.is_empty() {
            data.held.push_back(Held { fence, account: account.clone(), changes, done });
            return;
        }
        drop(data);
        done(self.write_now("submit", fence, account, changes));
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
