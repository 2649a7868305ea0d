//! A group's log and vote: all of it in memory, and the same on the disk where there is one.
//!
//! Memory is bounded by the snapshot policy: what a snapshot covers is purged but for a few entries. Reads never touch the disk.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::RangeBounds;
use std::sync::Arc;

use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{EntryPayload, LogState, OptionalSend, RaftLogReader};
use parking_lot::Mutex;

use super::database::Recovered;
use super::disk::{Change, Done, GroupDisk};
use super::types::{Entry, LogId, Types, Vote};

/// The log of one group, for openraft. Clones share it.
#[derive(Clone)]
pub(crate) struct LogStore {
    log: Arc<Mutex<Log>>,
    disk: Option<GroupDisk>,
}

#[derive(Default)]
struct Log {
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
    entries: BTreeMap<u64, Entry>,
}

impl LogStore {
    /// A log that ends with the process.
    pub(crate) fn in_memory() -> Self {
        LogStore { log: Arc::default(), disk: None }
    }

    /// A log that continues what was found on the disk.
    pub(crate) fn on_disk(disk: GroupDisk, found: Recovered) -> Self {
        let Recovered { vote, committed, purged, entries, snapshot: _ } = found;
        LogStore { log: Arc::new(Mutex::new(Log { vote, committed, purged, entries })), disk: Some(disk) }
    }

    /// Hands changes to the writer; they are durable with the next ones that wait for it.
    async fn write_behind(&self, changes: Vec<Change>) -> Result<(), io::Error> {
        match &self.disk {
            Some(disk) => disk.write(changes, Done::Nobody).await,
            None => Ok(()),
        }
    }
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, io::Error> {
        Ok(self.log.lock().entries.range(range).map(|(_, entry)| entry.clone()).collect())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.log.lock().vote)
    }

    /// At least one entry, and then as many as fit into [`MESSAGE_BYTES`]: what one AppendEntries carries.
    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        let mut room = MESSAGE_BYTES;
        let log = self.log.lock();
        let fits = |entry: &&Entry| {
            let within = room > 0;
            room = room.saturating_sub(size_of_payload(entry));
            within
        };
        Ok(log.entries.range(start..end).map(|(_, entry)| entry).take_while(fits).cloned().collect())
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let log = self.log.lock();
        let last = log.entries.last_key_value().map(|(_, entry)| entry.log_id);
        Ok(LogState { last_purged_log_id: log.purged, last_log_id: last.or(log.purged) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        self.log.lock().vote = Some(*vote);
        match &self.disk {
            Some(disk) => disk.write_durably(vec![Change::vote(vote)]).await,
            None => Ok(()),
        }
    }

    /// Not waited for: a lost one only means that entries are applied when the leader says again that they are committed.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.log.lock().committed = committed;
        self.write_behind(vec![Change::committed(committed)]).await
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.log.lock().committed)
    }

    async fn append<I>(&mut self, entries: I, flushed: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let changes = self.disk.as_ref().map(|_| entries.iter().map(Change::append).collect());
        self.log.lock().entries.extend(entries.into_iter().map(|entry| (entry.log_id.index(), entry)));
        match (&self.disk, changes) {
            (Some(disk), Some(changes)) => disk.write(changes, Done::Flushed(flushed)).await,
            _ => {
                flushed.io_completed(Ok(()));
                Ok(())
            }
        }
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let first_removed = last.map_or(0, |last| last.index() + 1);
        let removed = self.log.lock().entries.split_off(&first_removed);
        self.write_behind(removed.into_keys().map(Change::remove).collect()).await
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        let removed = {
            let mut log = self.log.lock();
            log.purged = log.purged.max(Some(upto));
            let kept = log.entries.split_off(&(upto.index() + 1));
            std::mem::replace(&mut log.entries, kept)
        };
        let mut changes = vec![Change::purged(&upto)];
        changes.extend(removed.into_keys().map(Change::remove));
        self.write_behind(changes).await
    }
}

fn size_of_payload(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(batch) => batch.0.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    }
}

/// The bytes of commands in one AppendEntries; the last entry may exceed it.
const MESSAGE_BYTES: usize = 1024 * 1024;
