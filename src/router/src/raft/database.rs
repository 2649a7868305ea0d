//! The database of a node: what lies where, and how it is opened, read and checked.
//!
//! ```text
//! area       key                                        record (see `codec`)
//! node       "identity/" · name                         value
//! node       "mark"                                     the newest mark (see `marks`)
//! log        group (u32 big-endian) · 0                 vote
//! log        group · 1                                  log id: the last entry known to be committed
//! log        group · 2                                  log id: the last entry purged
//! log        group · 3 · index (u64 big-endian)         entry
//! snapshots  group                                      snapshot
//! ```

use std::collections::BTreeMap;
use std::ops::Bound;
use std::panic::AssertUnwindSafe;
use std::path::Path;

use bytes::Bytes;
use fjall::{CompressionType, Keyspace, KeyspaceCreateOptions, LsmError, PersistMode};
use vesta_wire::raft::GroupId;

use super::codec::{self, Damaged};
use super::host::OpenError;
use super::marks::{self, Mark};
use super::types::{Entry, LogId, Snapshot, Vote};

/// The open database. Clones share it.
#[derive(Clone)]
pub(crate) struct Database {
    whole: fjall::Database,
    node: Keyspace,
    log: Keyspace,
    snapshots: Keyspace,
}

/// What is stored once per node, or once per group, or for each entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A value of the node's identity.
    Identity(String),
    /// A group's vote.
    Vote,
    /// The last entry known to be committed.
    Committed,
    /// The last entry purged.
    Purged,
    /// The entry of this index.
    Entry(u64),
    /// The group's newest snapshot.
    Snapshot,
}

/// A part of the database.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Area {
    Node,
    Log,
    Snapshots,
}

/// Where a record lies.
pub(crate) type Place = (Area, Vec<u8>);

/// What a batch does to each place: a new value, or none any more.
pub(crate) type Changes<'a> = BTreeMap<Place, Option<&'a [u8]>>;

/// What the database holds of a group.
#[derive(Default)]
pub(crate) struct Recovered {
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogId>,
    pub(crate) purged: Option<LogId>,
    pub(crate) entries: BTreeMap<u64, Entry>,
    pub(crate) snapshot: Option<Snapshot>,
}

impl Record {
    /// Where this record of `group` lies; big-endian, so that the database's order is the log's.
    pub(crate) fn place(&self, group: GroupId) -> Place {
        let of_group = |rest: &[u8]| [&group.0.to_be_bytes(), rest].concat();
        match self {
            Record::Identity(name) => (Area::Node, [b"identity/", name.as_bytes()].concat()),
            Record::Vote => (Area::Log, of_group(&[0])),
            Record::Committed => (Area::Log, of_group(&[1])),
            Record::Purged => (Area::Log, of_group(&[2])),
            Record::Entry(index) => (Area::Log, of_group(&[&[3], &index.to_be_bytes()[..]].concat())),
            Record::Snapshot => (Area::Snapshots, of_group(&[])),
        }
    }
}

impl Database {
    /// Opens or makes the database in `directory`; returns it and its newest mark. Whatever it then holds is durable, and is what
    /// was written.
    pub(crate) fn open(directory: &Path) -> Result<(Self, Mark), ReadError> {
        let durable = marks::durable_before(directory)?;
        let whole = fjall::Database::builder(directory.join(marks::DATABASE))
            // Marks must be found in the journal as they were written.
            .journal_compression(CompressionType::None)
            .max_journaling_size(JOURNAL_BYTES)
            .cache_size(CACHE_BYTES)
            .worker_threads(1);
        // The recovery of a damaged journal may trip over an assertion of the database's.
        let opened = std::panic::catch_unwind(AssertUnwindSafe(|| whole.open()));
        let whole = opened.map_err(|_| ReadError::Tripped)??;
        let keyspace = |name| whole.keyspace(name, KeyspaceCreateOptions::default);
        let (node, log, snapshots) = (keyspace("node")?, keyspace("log")?, keyspace("snapshots")?);
        let database = Database { whole, node, log, snapshots };
        let mark = database.checked(durable)?;
        // What a killed process had written but not synced was read just now, and others will be told of it.
        database.whole.persist(PersistMode::SyncAll)?;
        Ok((database, mark))
    }

    fn checked(&self, durable: u64) -> Result<Mark, ReadError> {
        let newest = self.node.get(marks::KEY)?.and_then(|mark| marks::decode(&mark)).unwrap_or_default();
        if durable > newest.round {
            return Err(ReadError::Lost { durable, reached: newest.round });
        }
        if self.digest()? == newest.digest { Ok(newest) } else { Err(ReadError::Changed) }
    }

    /// The digest of all records but the mark.
    fn digest(&self) -> Result<u64, fjall::Error> {
        let mut digest = 0;
        for area in [Area::Node, Area::Log, Area::Snapshots] {
            for record in self.area(area).iter() {
                let (key, value) = record.into_inner()?;
                if *key != *marks::KEY {
                    digest ^= marks::fingerprint(area as u8, &key, &value);
                }
            }
        }
        Ok(digest)
    }

    /// What changes will do to the digest: the old records go, the new ones come.
    pub(crate) fn effect(&self, changes: &Changes<'_>) -> Result<u64, fjall::Error> {
        let mut effect = 0;
        for ((area, key), value) in changes {
            if let Some(old) = self.area(*area).get(key)? {
                effect ^= marks::fingerprint(*area as u8, key, &old);
            }
            if let Some(new) = value {
                effect ^= marks::fingerprint(*area as u8, key, new);
            }
        }
        Ok(effect)
    }

    /// Writes changes and their mark, all or nothing. With `sync` they are durable on return.
    pub(crate) fn write(&self, changes: Changes<'_>, mark: Mark, sync: bool) -> Result<(), fjall::Error> {
        let mode = if sync { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut batch = self.whole.batch().durability(Some(mode));
        batch.insert(&self.node, marks::KEY, marks::encode(mark));
        for ((area, key), value) in changes {
            match value {
                Some(value) => batch.insert(self.area(area), key, value),
                None => batch.remove(self.area(area), key),
            }
        }
        batch.commit()
    }

    /// All that is stored of a group; fails if its log has holes.
    pub(crate) fn load(&self, group: GroupId) -> Result<Recovered, ReadError> {
        let mut found = Recovered {
            vote: self.read(&Record::Vote, group, codec::decode_vote)?,
            committed: self.read(&Record::Committed, group, codec::decode_log_id)?,
            purged: self.read(&Record::Purged, group, codec::decode_log_id)?,
            entries: BTreeMap::new(),
            snapshot: self.read(&Record::Snapshot, group, codec::decode_snapshot)?,
        };
        let first = found.purged.map_or(0, |purged| purged.index() + 1);
        let [from, to] = [first, u64::MAX].map(|index| Bound::Included(Record::Entry(index).place(group).1));
        for (expected, stored) in (first..).zip(self.log.range((from, to))) {
            let entry = codec::decode_entry(&stored.value()?)?;
            if entry.log_id.index() != expected {
                return Err(ReadError::Hole { expected, found: entry.log_id.index() });
            }
            found.entries.insert(expected, entry);
        }
        Ok(found)
    }

    /// A value of the node's identity.
    pub(crate) fn identity(&self, name: &str) -> Result<Option<Bytes>, ReadError> {
        self.read(&Record::Identity(name.to_owned()), GroupId::META, codec::decode_value)
    }

    fn read<T>(
        &self,
        record: &Record,
        group: GroupId,
        decode: impl FnOnce(&[u8]) -> Result<T, Damaged>,
    ) -> Result<Option<T>, ReadError> {
        let (area, key) = record.place(group);
        match self.area(area).get(key)? {
            Some(stored) => Ok(Some(decode(&stored)?)),
            None => Ok(None),
        }
    }

    fn area(&self, area: Area) -> &Keyspace {
        match area {
            Area::Node => &self.node,
            Area::Log => &self.log,
            Area::Snapshots => &self.snapshots,
        }
    }
}

/// What is stored can't be read, or not be trusted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Database(#[from] fjall::Error),
    #[error(transparent)]
    Record(#[from] Damaged),
    #[error("the journal can't be recovered")]
    Tripped,
    #[error("batch {durable} was durable, but what can be read ends at batch {reached}")]
    Lost { durable: u64, reached: u64 },
    #[error("what is stored is not what was written")]
    Changed,
    #[error("entry {found} stands where entry {expected} belongs")]
    Hole { expected: u64, found: u64 },
}

impl ReadError {
    /// Says it to the operator. A loss condemns the directory: the database has cut its journal where it stopped reading, so that
    /// the next start would see nothing.
    pub(crate) fn into_open_error(self, directory: &Path) -> OpenError {
        let reason = self.to_string();
        if matches!(self, ReadError::Lost { .. }) {
            marks::condemn(directory, &reason);
        }
        let directory = directory.display().to_string();
        match self {
            ReadError::Database(fjall::Error::Locked) => OpenError::InUse { directory },
            ReadError::Io(_) | ReadError::Database(fjall::Error::Io(_) | fjall::Error::Storage(LsmError::Io(_))) => {
                OpenError::Io { directory, reason }
            }
            ReadError::Record(Damaged::Version(_)) | ReadError::Database(fjall::Error::InvalidVersion(_)) => {
                OpenError::OtherRelease { directory, reason }
            }
            _ => OpenError::Damaged { directory, reason },
        }
    }
}

/// The journal may grow to so many bytes before its content is moved to tables.
const JOURNAL_BYTES: u64 = 128 * 1024 * 1024;

/// The log is held in memory ([`super::log`]); the database is read at the start only.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;
