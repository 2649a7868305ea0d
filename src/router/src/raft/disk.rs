//! The disk under all groups of a node: one database with one journal, and one thread that writes to it.
//!
//! The thread takes what all groups want written, up to a bound, puts it into one atomic batch, and syncs once for all of them:
//! that one fsync is what a vote or an appended entry waits for. If it fails, the process ends ([`super::host::abort`]).
//!
//! fjall checks each batch of its journal, but where it can't make sense of a batch it drops that one and everything behind it, as
//! it must do with a torn tail; and it doesn't check the numbers by which it orders batches. A flipped bit could so take durable
//! entries with it, unseen. Therefore each batch opens with a mark ([`super::marks`]) that proves the loss; the directory is
//! refused from then on.

use std::io;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use bytes::Bytes;
use openraft::storage::IOFlushed;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tracing::error;
use vesta_wire::raft::GroupId;

use super::codec;
use super::database::{Changes, Database, Record, Recovered};
use super::host::{FailureHandler, OpenError};
use super::marks::{self, Mark};
use super::types::{Entry, LogId, Snapshot, Types, Vote};

/// The disk of a node.
pub(crate) struct Disk {
    directory: PathBuf,
    orders: mpsc::Sender<Order>,
    thread: Mutex<Option<JoinHandle<()>>>,
    database: Mutex<Option<Database>>,
}

impl Disk {
    /// Opens or makes the directory. Blocks.
    pub(crate) fn open(directory: &Path, on_failure: FailureHandler) -> Result<Self, OpenError> {
        let io = |error: io::Error| OpenError::Io { directory: name(directory), reason: error.to_string() };
        std::fs::create_dir_all(directory).map_err(io)?;
        marks::refuse_condemned(directory)?;
        let (database, mark) = Database::open(directory).map_err(|error| error.into_open_error(directory))?;
        let (orders, queue) = mpsc::channel(QUEUE);
        let writer = Writer { database: database.clone(), mark: Mark { durable: mark.round, ..mark } };
        let thread = std::thread::Builder::new()
            .name("raft-log".to_owned())
            .spawn(move || writer.run(queue, &on_failure))
            .map_err(io)?;
        Ok(Disk {
            directory: directory.to_owned(),
            orders,
            thread: Mutex::new(Some(thread)),
            database: Mutex::new(Some(database)),
        })
    }

    /// Where a group writes.
    pub(crate) fn group(&self, group: GroupId) -> GroupDisk {
        GroupDisk { group, orders: self.orders.clone() }
    }

    /// Reads all that is stored of a group.
    pub(crate) fn load(&self, group: GroupId) -> Result<Recovered, OpenError> {
        self.database()?.load(group).map_err(|error| error.into_open_error(&self.directory))
    }

    /// Reads a value of the node's identity.
    pub(crate) fn recall(&self, name: &str) -> Result<Option<Bytes>, OpenError> {
        self.database()?.identity(name).map_err(|error| error.into_open_error(&self.directory))
    }

    /// Stores a value of the node's identity, durably.
    pub(crate) async fn remember(&self, name: &str, value: &[u8]) -> io::Result<()> {
        let change = Change { record: Record::Identity(name.to_owned()), value: Some(codec::encode_value(value)) };
        self.group(GroupId::META).write_durably(vec![change]).await
    }

    /// Writes what is queued, syncs, and closes the database.
    pub(crate) async fn stop(&self) {
        // If the thread has gone, it has said why.
        let _ = self.orders.send(Order::Stop).await;
        let thread = self.thread.lock().take();
        let database = self.database.lock().take();
        let ended = tokio::task::spawn_blocking(move || {
            drop(database);
            thread.map(JoinHandle::join)
        });
        if matches!(ended.await, Err(_) | Ok(Some(Err(_)))) {
            error!("the thread that writes the Raft log did not end in order");
        }
    }

    fn database(&self) -> Result<Database, OpenError> {
        let stopped = || OpenError::Io { directory: name(&self.directory), reason: "the host has stopped".to_owned() };
        self.database.lock().clone().ok_or_else(stopped)
    }
}

fn name(directory: &Path) -> String {
    directory.display().to_string()
}

/// What a group wants written: a record's new value, or none any more.
pub(crate) struct Change {
    record: Record,
    value: Option<Vec<u8>>,
}

impl Change {
    pub(crate) fn vote(vote: &Vote) -> Self {
        Change { record: Record::Vote, value: Some(codec::encode_vote(vote)) }
    }

    pub(crate) fn committed(committed: Option<LogId>) -> Self {
        Change { record: Record::Committed, value: committed.as_ref().map(codec::encode_log_id) }
    }

    pub(crate) fn purged(upto: &LogId) -> Self {
        Change { record: Record::Purged, value: Some(codec::encode_log_id(upto)) }
    }

    pub(crate) fn append(entry: &Entry) -> Self {
        Change { record: Record::Entry(entry.log_id.index()), value: Some(codec::encode_entry(entry)) }
    }

    pub(crate) fn remove(index: u64) -> Self {
        Change { record: Record::Entry(index), value: None }
    }

    pub(crate) fn snapshot(snapshot: &Snapshot) -> Self {
        Change { record: Record::Snapshot, value: Some(codec::encode_snapshot(snapshot)) }
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.value.as_ref().map_or(0, Vec::len)
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
    database: Database,
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
        self.mark.round += 1;
        self.mark.digest ^= self.database.effect(&changes)?;
        self.database.write(changes, self.mark, sync)?;
        if sync {
            self.mark.durable = self.mark.round;
        }
        Ok(())
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

/// All changes of a batch bear the same number in the database, so of several to one place only the last may be in it.
fn merged(writes: &[Write]) -> Changes<'_> {
    let mut changes = Changes::new();
    for write in writes {
        for change in &write.changes {
            changes.insert(change.record.place(write.group), change.value.as_deref());
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

/// The writes that may wait, and the most that go into one batch.
const QUEUE: usize = 1024;

/// A batch takes no further write once it holds so many bytes.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
