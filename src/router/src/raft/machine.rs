//! A group's replicated state, and how openraft feeds it.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use parking_lot::RwLock;
use tokio::sync::watch;

use super::codec;
use super::disk::{Change, GroupDisk};
use super::types::{Batch, Entry, LogId, Snapshot, SnapshotMeta, StoredMembership, Types};

/// The deterministic state of a group: the same commands in the same order give the same state and the same replies on every
/// replica and in every release that may take part. No clock, no chance, no I/O. How commands, replies and snapshots are encoded
/// is the machine's own affair.
pub trait Machine: Send + Sync + 'static {
    /// The most commands that one log entry may carry. All commands of an entry see the same `index`; a machine that hands
    /// indexes out as names that must differ sets 1.
    const COMMANDS_PER_ENTRY: usize = 1024;

    /// Applies a committed command and returns the reply for its proposer. `index` is the entry's place in the log and only
    /// grows. A command that makes no sense gets a reply that says so; it must not panic.
    fn apply(&mut self, index: u64, command: &[u8]) -> Bytes;

    /// The whole state. Called on the group's own task, with the state locked for writers: its time holds up the group.
    fn snapshot(&self) -> Bytes;

    /// Replaces the state by what [`Machine::snapshot`] returned, here or on another replica. On an error the state may be
    /// anything: the replica stops.
    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError>;
}

/// A snapshot can't be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the snapshot can't be read: {0}")]
pub struct RestoreError(pub String);

/// The machine and how far it has come, shared by openraft's worker and the readers.
pub(crate) struct Replica<M> {
    state: RwLock<State<M>>,
    applied: watch::Sender<Option<u64>>,
}

struct State<M> {
    machine: M,
    last_applied: Option<LogId>,
    membership: StoredMembership,
}

impl<M: Machine> Replica<M> {
    pub(crate) fn new(machine: M) -> Self {
        let state = State { machine, last_applied: None, membership: StoredMembership::default() };
        Replica { state: RwLock::new(state), applied: watch::Sender::new(None) }
    }

    /// Looks at the state under its read lock.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&M) -> R) -> R {
        look(&self.state.read().machine)
    }

    /// The index of the last entry applied, as it grows.
    pub(crate) fn applied(&self) -> watch::Receiver<Option<u64>> {
        self.applied.subscribe()
    }

    fn apply(&self, entry: Entry) -> Result<Vec<Bytes>, codec::Damaged> {
        let mut state = self.state.write();
        let replies = match entry.payload {
            EntryPayload::Blank => Vec::new(),
            EntryPayload::Normal(batch) => state.apply_batch(entry.log_id.index(), &batch)?,
            EntryPayload::Membership(membership) => {
                state.membership = StoredMembership::new(Some(entry.log_id), membership);
                Vec::new()
            }
        };
        state.last_applied = Some(entry.log_id);
        drop(state);
        self.applied.send_replace(Some(entry.log_id.index()));
        Ok(replies)
    }

    fn restore(&self, meta: &SnapshotMeta, bytes: &[u8]) -> Result<(), RestoreError> {
        let mut state = self.state.write();
        state.machine.restore(bytes)?;
        state.last_applied = meta.last_log_id;
        state.membership = meta.last_membership.clone();
        drop(state);
        self.applied.send_replace(meta.last_log_id.map(|last| last.index()));
        Ok(())
    }

    /// The state, encoded by `encode`, and what it is the state of.
    fn snapshot(&self, encode: impl FnOnce(&M) -> Bytes) -> Snapshot {
        let state = self.state.read();
        let meta = SnapshotMeta { last_log_id: state.last_applied, last_membership: state.membership.clone() };
        Snapshot { meta, snapshot: encode(&state.machine) }
    }
}

impl<M: Machine> State<M> {
    fn apply_batch(&mut self, index: u64, batch: &Batch) -> Result<Vec<Bytes>, codec::Damaged> {
        let commands = codec::decode_batch(batch)?;
        Ok(commands.iter().map(|command| self.machine.apply(index, command)).collect())
    }
}

/// openraft's view of a [`Replica`]: applies entries, keeps the newest snapshot.
pub(crate) struct StateMachine<M> {
    replica: Arc<Replica<M>>,
    snapshots: Snapshots,
    /// Whether nobody will ever read a snapshot: see [`RaftSettings::alone`](super::RaftSettings::alone).
    alone: bool,
}

impl<M: Machine> StateMachine<M> {
    /// In memory; `alone` as in [`RaftSettings::alone`](super::RaftSettings::alone).
    pub(crate) fn in_memory(replica: Arc<Replica<M>>, alone: bool) -> Self {
        StateMachine { replica, snapshots: Snapshots { current: Arc::default(), disk: None }, alone }
    }

    /// `stored` is the snapshot found on the disk; openraft installs it before it applies what the log holds beyond.
    pub(crate) fn on_disk(replica: Arc<Replica<M>>, disk: GroupDisk, stored: Option<Snapshot>) -> Self {
        let snapshots = Snapshots { current: Arc::new(RwLock::new(stored)), disk: Some(disk) };
        StateMachine { replica, snapshots, alone: false }
    }
}

impl<M: Machine> RaftStateMachine<Types> for StateMachine<M> {
    type SnapshotData = Bytes;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let state = self.replica.state.read();
        Ok((state.last_applied, state.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let replies = self.replica.apply(entry).map_err(io::Error::other)?;
            if let Some(responder) = responder {
                responder.send(replies);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        let taken = self.replica.snapshot(|machine| if self.alone { Bytes::new() } else { machine.snapshot() });
        SnapshotBuilder { taken, snapshots: self.snapshots.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Bytes) -> Result<(), io::Error> {
        self.replica.restore(meta, &snapshot).map_err(io::Error::other)?;
        self.snapshots.keep(Snapshot { meta: meta.clone(), snapshot }).await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        Ok(self.snapshots.current.read().clone())
    }
}

/// A snapshot that has been taken and is to be made durable, beside the entries that are applied meanwhile.
pub(crate) struct SnapshotBuilder {
    taken: Snapshot,
    snapshots: Snapshots,
}

impl RaftSnapshotBuilder<Types> for SnapshotBuilder {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        self.snapshots.keep(self.taken.clone()).await?;
        Ok(self.taken.clone())
    }
}

/// The newest snapshot of a group, in memory and, where there is one, on the disk.
#[derive(Clone)]
struct Snapshots {
    current: Arc<RwLock<Option<Snapshot>>>,
    disk: Option<GroupDisk>,
}

impl Snapshots {
    /// Returns when the snapshot is durable: only then may the entries it covers be purged.
    async fn keep(&self, snapshot: Snapshot) -> Result<(), io::Error> {
        let known = self.current.read().as_ref().is_some_and(|current| current.meta == snapshot.meta);
        if known {
            return Ok(());
        }
        if let Some(disk) = &self.disk {
            disk.write_durably(vec![Change::snapshot(&snapshot)]).await?;
        }
        *self.current.write() = Some(snapshot);
        Ok(())
    }
}
