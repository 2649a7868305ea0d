//! The disk under all groups of a node: one fjall database with one journal, and one thread that writes to it.
//!
//! The thread takes what all groups want written, up to a bound, puts it into one atomic batch, and syncs once for all of them:
//! that one fsync is what a vote or an appended entry waits for. If it fails, the process ends ([`super::host::abort`]).
//!
//! fjall checks each batch of its journal, but where it can't make sense of a batch it drops that one and everything behind it, as
//! it must do with a torn tail; and it doesn't check the numbers by which it orders batches. A flipped bit could so take durable
//! entries with it, unseen. Therefore each batch opens with a mark ([`super::marks`]) that proves the loss; the directory is
//! refused from then on.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use bytes::Bytes;
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use openraft::storage::IOFlushed;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tracing::error;
use vesta_wire::raft::GroupId;

use super::codec::{self, Damaged};
use super::host::{FailureHandler, OpenError};
use super::marks::{self, Mark};
use super::types::{Entry, LogId, Snapshot, Types, Vote};

/// The database of a node.
pub(crate) struct Disk {
    directory: PathBuf,
    orders: mpsc::Sender<Order>,
    thread: Mutex<Option<JoinHandle<()>>>,
    areas: Mutex<Option<Areas>>,
}

/// The parts of the database. The thread and the host each hold one.
#[derive(Clone)]
struct Areas {
    database: Database,
    /// The node's identity, and the newest mark.
    node: Keyspace,
    /// Votes and entries of all groups; a key starts with the group.
    log: Keyspace,
    /// Snapshots, by group.
    snapshots: Keyspace,
}

/// What the disk holds of a group.
#[derive(Default)]
pub(crate) struct Recovered {
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogId>,
    pub(crate) purged: Option<LogId>,
    pub(crate) entries: BTreeMap<u64, Entry>,
    pub(crate) snapshot: Option<Snapshot>,
}

impl Disk {
    /// Opens or makes the database. Blocks.
    pub(crate) fn open(directory: &Path, on_failure: FailureHandler) -> Result<Self, OpenError> {
        let io = |error: io::Error| OpenError::Io { directory: name(directory), reason: error.to_string() };
        std::fs::create_dir_all(directory).map_err(io)?;
        marks::refuse_condemned(directory)?;
        let durable = marks::durable_before(directory).map_err(io)?;
        let areas = Areas::open(directory)?;
        let mark = areas.newest_mark(directory)?;
        check(&areas, mark, durable).map_err(|error| error.into_open_error(directory))?;
        let (orders, queue) = mpsc::channel(QUEUE);
        let writer = Writer { areas: areas.clone(), mark: Mark { durable: mark.round, ..mark } };
        let thread = std::thread::Builder::new()
            .name("raft-log".to_owned())
            .spawn(move || writer.run(queue, &on_failure))
            .map_err(io)?;
        Ok(Disk {
            directory: directory.to_owned(),
            orders,
            thread: Mutex::new(Some(thread)),
            areas: Mutex::new(Some(areas)),
        })
    }

    /// Where a group writes.
    pub(crate) fn group(&self, group: GroupId) -> GroupDisk {
        GroupDisk { group, orders: self.orders.clone() }
    }

    /// Reads all that is stored of a group, and checks that the log has neither holes nor damage.
    pub(crate) fn load(&self, group: GroupId) -> Result<Recovered, OpenError> {
        let areas = self.areas()?;
        load(&areas, group).map_err(|error| error.into_open_error(&self.directory))
    }

    /// Reads a value of the node's identity.
    pub(crate) fn recall(&self, value: &str) -> Result<Option<Bytes>, OpenError> {
        let areas = self.areas()?;
        read(&areas.node, &identity_key(value), codec::decode_value)
            .map_err(|error| error.into_open_error(&self.directory))
    }

    /// Stores a value of the node's identity, durably.
    pub(crate) async fn remember(&self, name: &str, value: &[u8]) -> io::Result<()> {
        let change =
            Change { area: Area::Node, key: identity_key(name), value: Some(codec::encode_value(value)), global: true };
        // The group matters only to keys of groups.
        self.group(GroupId::META).write_durably(vec![change]).await
    }

    /// Writes what is queued, syncs, and closes the database.
    pub(crate) async fn stop(&self) {
        let _ = self.orders.send(Order::Stop).await;
        let thread = self.thread.lock().take();
        let areas = self.areas.lock().take();
        let ended = tokio::task::spawn_blocking(move || {
            drop(areas);
            thread.map(JoinHandle::join)
        });
        if matches!(ended.await, Err(_) | Ok(Some(Err(_)))) {
            error!("the thread that writes the Raft log did not end in order");
        }
    }

    fn areas(&self) -> Result<Areas, OpenError> {
        let stopped = || OpenError::Io { directory: name(&self.directory), reason: "the host has stopped".to_owned() };
        self.areas.lock().clone().ok_or_else(stopped)
    }
}

/// What a group wants written.
pub(crate) struct Change {
    area: Area,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    global: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Area {
    Node,
    Log,
    Snapshots,
}

impl Change {
    pub(crate) fn vote(vote: &Vote) -> Self {
        Change::in_log(vec![VOTE], Some(codec::encode_vote(vote)))
    }

    pub(crate) fn committed(committed: Option<LogId>) -> Self {
        Change::in_log(vec![COMMITTED], committed.as_ref().map(codec::encode_log_id))
    }

    pub(crate) fn purged(upto: &LogId) -> Self {
        Change::in_log(vec![PURGED], Some(codec::encode_log_id(upto)))
    }

    pub(crate) fn append(entry: &Entry) -> Self {
        Change::in_log(entry_key(entry.log_id.index()), Some(codec::encode_entry(entry)))
    }

    pub(crate) fn remove(index: u64) -> Self {
        Change::in_log(entry_key(index), None)
    }

    pub(crate) fn snapshot(snapshot: &Snapshot) -> Self {
        let value = Some(codec::encode_snapshot(snapshot));
        Change { area: Area::Snapshots, key: Vec::new(), value, global: false }
    }

    fn in_log(key: Vec<u8>, value: Option<Vec<u8>>) -> Self {
        Change { area: Area::Log, key, value, global: false }
    }

    fn full_key(&self, group: GroupId) -> Vec<u8> {
        if self.global { self.key.clone() } else { group_key(group, &self.key) }
    }

    fn size(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Vec::len)
    }
}

/// Who is told when changes are durable.
pub(crate) enum Done {
    /// Nobody waits: they become durable with the next ones that somebody waits for.
    Nobody,
    /// openraft, which has appended entries.
    Flushed(IOFlushed<Types>),
    /// A task.
    Told(oneshot::Sender<()>),
}

/// Writes for one group. The queue is the node's; when it is full, groups wait.
#[derive(Clone)]
pub(crate) struct GroupDisk {
    group: GroupId,
    orders: mpsc::Sender<Order>,
}

impl GroupDisk {
    /// Queues changes, in order with all others of the group.
    pub(crate) async fn write(&self, changes: Vec<Change>, done: Done) -> io::Result<()> {
        let order = Order::Write(Write { group: self.group, changes, done });
        self.orders.send(order).await.map_err(|_| writer_gone())
    }

    /// Queues changes and waits until they are durable.
    pub(crate) async fn write_durably(&self, changes: Vec<Change>) -> io::Result<()> {
        let (told, durable) = oneshot::channel();
        self.write(changes, Done::Told(told)).await?;
        durable.await.map_err(|_| writer_gone())
    }
}

fn writer_gone() -> io::Error {
    io::Error::other("the Raft log takes no more writes")
}

enum Order {
    Write(Write),
    Stop,
}

struct Write {
    group: GroupId,
    changes: Vec<Change>,
    done: Done,
}

/// The thread: owns the order of all writes of the node.
struct Writer {
    areas: Areas,
    /// The mark of the last batch, but for `durable`, which is that of the next one.
    mark: Mark,
}

impl Writer {
    fn run(mut self, mut queue: mpsc::Receiver<Order>, on_failure: &FailureHandler) {
        loop {
            let (writes, stop) = gather(&mut queue);
            if let Err(error) = self.write(&writes, stop) {
                error!(%error, "the Raft log can't be written");
                on_failure(&format!("the Raft log can't be written: {error}"));
                writes.into_iter().for_each(|write| write.done.fail(&error));
                return;
            }
            writes.into_iter().for_each(|write| write.done.succeed());
            if stop {
                return;
            }
        }
    }

    /// Writes one batch; syncs if somebody waits for it.
    fn write(&mut self, writes: &[Write], stop: bool) -> Result<(), fjall::Error> {
        let changes = merged(writes);
        let sync = stop || writes.iter().any(|write| !matches!(write.done, Done::Nobody));
        let mode = if sync { PersistMode::SyncData } else { PersistMode::Buffer };
        self.mark.round += 1;
        self.mark.digest ^= self.effect(&changes)?;
        let mut batch = self.areas.database.batch().durability(Some(mode));
        batch.insert(&self.areas.node, marks::KEY, marks::encode(self.mark));
        for ((area, key), value) in changes {
            match value {
                Some(value) => batch.insert(self.areas.of(area), key, value),
                None => batch.remove(self.areas.of(area), key),
            }
        }
        batch.commit()?;
        if sync {
            self.mark.durable = self.mark.round;
        }
        Ok(())
    }

    /// What the changes do to the digest: the old records go, the new ones come.
    fn effect(&self, changes: &Changes<'_>) -> Result<u64, fjall::Error> {
        let mut effect = 0;
        for ((area, key), value) in changes {
            if let Some(old) = self.areas.of(*area).get(key)? {
                effect ^= marks::fingerprint(*area as u8, key, &old);
            }
            if let Some(new) = value {
                effect ^= marks::fingerprint(*area as u8, key, new);
            }
        }
        Ok(effect)
    }
}

/// Waits for a write, and takes those that wait behind it. The second value says that the writer is to stop.
fn gather(queue: &mut mpsc::Receiver<Order>) -> (Vec<Write>, bool) {
    let mut writes = Vec::new();
    let mut bytes = 0;
    let mut next = queue.blocking_recv();
    loop {
        match next {
            Some(Order::Write(write)) => {
                bytes += write.changes.iter().map(Change::size).sum::<usize>();
                writes.push(write);
            }
            Some(Order::Stop) | None => return (writes, true),
        }
        if writes.len() >= QUEUE || bytes >= BATCH_BYTES {
            return (writes, false);
        }
        match queue.try_recv() {
            Ok(order) => next = Some(order),
            Err(mpsc::error::TryRecvError::Empty) => return (writes, false),
            Err(mpsc::error::TryRecvError::Disconnected) => return (writes, true),
        }
    }
}

/// What a batch does to each key.
type Changes<'a> = BTreeMap<(Area, Vec<u8>), Option<&'a [u8]>>;

/// All changes of a batch bear the same number in the database, so of several to one key only the last may be in it.
fn merged(writes: &[Write]) -> Changes<'_> {
    let mut changes = BTreeMap::new();
    for write in writes {
        for change in &write.changes {
            changes.insert((change.area, change.full_key(write.group)), change.value.as_deref());
        }
    }
    changes
}

impl Done {
    fn succeed(self) {
        match self {
            Done::Nobody => {}
            Done::Flushed(flushed) => flushed.io_completed(Ok(())),
            // A task that no longer waits has been cancelled with its group.
            Done::Told(told) => drop(told.send(())),
        }
    }

    fn fail(self, error: &fjall::Error) {
        if let Done::Flushed(flushed) = self {
            flushed.io_completed(Err(io::Error::other(error.to_string())));
        }
    }
}

impl Areas {
    fn open(directory: &Path) -> Result<Self, OpenError> {
        let failed = |error: fjall::Error| ReadError::from(error).into_open_error(directory);
        let database = Database::builder(directory.join(marks::DATABASE))
            // Marks must be found in the journal as they were written.
            .journal_compression(CompressionType::None)
            .max_journaling_size(JOURNAL_BYTES)
            .cache_size(CACHE_BYTES)
            .worker_threads(1);
        // The recovery of a damaged journal may trip over an assertion of the database's.
        let opened = std::panic::catch_unwind(AssertUnwindSafe(|| database.open()));
        let database = opened.map_err(|_| ReadError::Tripped.into_open_error(directory))?.map_err(failed)?;
        let keyspace = |name| database.keyspace(name, KeyspaceCreateOptions::default).map_err(failed);
        let (node, log, snapshots) = (keyspace("node")?, keyspace("log")?, keyspace("snapshots")?);
        Ok(Areas { database, node, log, snapshots })
    }

    fn of(&self, area: Area) -> &Keyspace {
        match area {
            Area::Node => &self.node,
            Area::Log => &self.log,
            Area::Snapshots => &self.snapshots,
        }
    }

    fn newest_mark(&self, directory: &Path) -> Result<Mark, OpenError> {
        let failed = |error: fjall::Error| ReadError::from(error).into_open_error(directory);
        let mark = self.node.get(marks::KEY).map_err(failed)?;
        Ok(mark.and_then(|mark| marks::decode(&mark)).unwrap_or_default())
    }

    /// The digest of all records but the mark.
    fn digest(&self) -> Result<u64, fjall::Error> {
        let mut digest = 0;
        for area in [Area::Node, Area::Log, Area::Snapshots] {
            for record in self.of(area).iter() {
                let (key, value) = record.into_inner()?;
                if *key != *marks::KEY {
                    digest ^= marks::fingerprint(area as u8, &key, &value);
                }
            }
        }
        Ok(digest)
    }
}

/// Fails if durable data is missing or what is stored is not what was written.
fn check(areas: &Areas, mark: Mark, durable: u64) -> Result<(), ReadError> {
    if durable > mark.round {
        return Err(ReadError::Lost { durable, reached: mark.round });
    }
    if areas.digest()? == mark.digest { Ok(()) } else { Err(ReadError::Changed) }
}

/// Stored data can't be read.
enum ReadError {
    Database(fjall::Error),
    Record(Damaged),
    Lost { durable: u64, reached: u64 },
    Changed,
    Hole { expected: u64, found: u64 },
    Tripped,
}

impl From<fjall::Error> for ReadError {
    fn from(error: fjall::Error) -> Self {
        ReadError::Database(error)
    }
}

impl From<Damaged> for ReadError {
    fn from(error: Damaged) -> Self {
        ReadError::Record(error)
    }
}

impl ReadError {
    /// Damage condemns the directory.
    fn into_open_error(self, directory: &Path) -> OpenError {
        let reason = match self {
            ReadError::Database(fjall::Error::Locked) => return OpenError::InUse { directory: name(directory) },
            ReadError::Database(fjall::Error::Io(error)) => {
                return OpenError::Io { directory: name(directory), reason: error.to_string() };
            }
            ReadError::Database(error) => error.to_string(),
            ReadError::Record(damaged) => damaged.to_string(),
            ReadError::Lost { durable, reached } => {
                format!("batch {durable} was durable, but what can be read ends at batch {reached}")
            }
            ReadError::Changed => "what is stored is not what was written".to_owned(),
            ReadError::Hole { expected, found } => format!("entry {found} stands where entry {expected} belongs"),
            ReadError::Tripped => "the journal can't be recovered".to_owned(),
        };
        marks::condemn(directory, reason)
    }
}

fn load(areas: &Areas, group: GroupId) -> Result<Recovered, ReadError> {
    let key = |kind| group_key(group, &[kind]);
    let mut found = Recovered {
        vote: read(&areas.log, &key(VOTE), codec::decode_vote)?,
        committed: read(&areas.log, &key(COMMITTED), codec::decode_log_id)?,
        purged: read(&areas.log, &key(PURGED), codec::decode_log_id)?,
        entries: BTreeMap::new(),
        snapshot: read(&areas.snapshots, &group_key(group, &[]), codec::decode_snapshot)?,
    };
    let first = found.purged.map_or(0, |purged| purged.index() + 1);
    let from = Bound::Included(group_key(group, &entry_key(first)));
    let to = Bound::Included(group_key(group, &entry_key(u64::MAX)));
    for (expected, stored) in (first..).zip(areas.log.range((from, to))) {
        let entry = codec::decode_entry(&stored.value()?)?;
        if entry.log_id.index() != expected {
            return Err(ReadError::Hole { expected, found: entry.log_id.index() });
        }
        found.entries.insert(expected, entry);
    }
    Ok(found)
}

fn read<T>(
    area: &Keyspace,
    key: &[u8],
    decode: impl FnOnce(&[u8]) -> Result<T, Damaged>,
) -> Result<Option<T>, ReadError> {
    match area.get(key)? {
        Some(record) => Ok(Some(decode(&record)?)),
        None => Ok(None),
    }
}

fn group_key(group: GroupId, rest: &[u8]) -> Vec<u8> {
    [&group.0.to_be_bytes(), rest].concat()
}

/// Big-endian, so that the database's order is the log's.
fn entry_key(index: u64) -> Vec<u8> {
    [&[ENTRY], &index.to_be_bytes()[..]].concat()
}

fn identity_key(name: &str) -> Vec<u8> {
    [b"identity/", name.as_bytes()].concat()
}

fn name(directory: &Path) -> String {
    directory.display().to_string()
}

const VOTE: u8 = 0;
const COMMITTED: u8 = 1;
const PURGED: u8 = 2;
const ENTRY: u8 = 3;

/// The writes that may wait, and the most that go into one batch.
const QUEUE: usize = 1024;

/// A batch takes no further write once it holds so many bytes.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// The journal may grow to so many bytes before its content is moved to tables.
const JOURNAL_BYTES: u64 = 128 * 1024 * 1024;

/// The log is held in memory ([`super::log`]); the database is read at the start only.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;
