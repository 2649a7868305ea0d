//! The replicas of a node: where they keep their logs, and who gets which call.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::RwLock;
use tracing::error;
use vesta_wire::NodeId;
use vesta_wire::raft::{
    AppendReply, AppendRequest, GroupId, RaftAcceptor, RaftDialer, RaftRefusal, Receiver, SnapshotRequest,
    TransferRequest, Vote, VoteReply, VoteRequest,
};

use super::disk::Disk;
use super::group::{AnyReplica, Group, Start, StartError};
use super::log::LogStore;
use super::machine::{Machine, Replica, StateMachine};
use super::settings::RaftSettings;

/// What happens when the disk fails or a replica finds its own data unsound: called with the reason. It should end the process
/// ([`abort`]); if it returns, the replica is dead, its proposals are undecided, and other replicas may call it too.
pub type FailureHandler = Arc<dyn Fn(&str) + Send + Sync>;

/// Ends the process after a log line. After a failed fsync the kernel may have dropped what it could not write, so nothing that
/// this process believes to be on the disk can be trusted (D7); a restart reads what really is there.
pub fn abort() -> FailureHandler {
    Arc::new(|reason| {
        error!(reason, "Raft's data can't be trusted any more: the process ends");
        std::process::abort();
    })
}

/// The replicas of one node. Clones are handles to the same host.
#[derive(Clone)]
pub struct RaftHost {
    inner: Arc<Inner>,
}

struct Inner {
    settings: RaftSettings,
    storage: Storage,
    /// None for a replica that is being opened or closed.
    replicas: RwLock<HashMap<GroupId, Option<Arc<dyn AnyReplica>>>>,
    on_failure: FailureHandler,
}

enum Storage {
    Memory(RwLock<HashMap<String, Bytes>>),
    Disk(Disk),
}

/// The host's data can't be used, or a replica can't be started.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process uses the directory.
    #[error("{directory} is in use by another process")]
    InUse {
        /// The directory.
        directory: String,
    },
    /// The file system refuses.
    #[error("{directory} can't be used: {reason}")]
    Io {
        /// The directory.
        directory: String,
        /// The system's words.
        reason: String,
    },
    /// What is stored is not what was written. Such a node must neither vote nor lead: its directory is to be moved away, and
    /// the node admitted again as a new member.
    #[error(
        "the Raft log in {directory} is damaged ({reason}); it must not be used any more: move the directory away and \
         start with an empty one, so that the node joins as a new member"
    )]
    Damaged {
        /// The directory.
        directory: String,
        /// What was found.
        reason: String,
    },
    /// Written by a release that this one does not know.
    #[error("the Raft log in {directory} was written by another release: {reason}")]
    OtherRelease {
        /// The directory.
        directory: String,
        /// What was found.
        reason: String,
    },
    /// The node has a replica of this group already.
    #[error("the node has a replica of group {} already", .0.0)]
    AlreadyOpen(GroupId),
    /// The replica can't start.
    #[error("the replica of group {} can't start: {reason}", .group.0)]
    Start {
        /// The group.
        group: GroupId,
        /// Why.
        reason: String,
    },
}

impl RaftHost {
    /// A host whose groups are forgotten when the process ends: for one process that is the whole cluster.
    pub fn in_memory(settings: RaftSettings, on_failure: FailureHandler) -> Self {
        RaftHost::new(settings, Storage::Memory(RwLock::default()), on_failure)
    }

    /// A host that keeps its groups in `directory`, which is made if it doesn't exist. Blocks while it reads.
    pub fn on_disk(directory: &Path, settings: RaftSettings, on_failure: FailureHandler) -> Result<Self, OpenError> {
        let disk = Disk::open(directory, on_failure.clone())?;
        Ok(RaftHost::new(settings, Storage::Disk(disk), on_failure))
    }

    fn new(settings: RaftSettings, storage: Storage, on_failure: FailureHandler) -> Self {
        RaftHost { inner: Arc::new(Inner { settings, storage, replicas: RwLock::default(), on_failure }) }
    }

    /// Starts this node's replica of a group, with what the disk holds of it. `node` must be the id under which the group knows
    /// this node, and never one that belonged to another disk (D1).
    pub async fn open_group<M: Machine>(
        &self,
        group: GroupId,
        node: NodeId,
        machine: M,
        dialer: Arc<dyn RaftDialer>,
    ) -> Result<Group<M>, OpenError> {
        if !self.reserve(group) {
            return Err(OpenError::AlreadyOpen(group));
        }
        let opened = self.start_replica(group, node, machine, dialer).await;
        match &opened {
            Ok(replica) => drop(self.inner.replicas.write().insert(group, Some(Arc::new(replica.clone())))),
            Err(_) => drop(self.inner.replicas.write().remove(&group)),
        }
        opened
    }

    /// False if there is a replica of the group already.
    fn reserve(&self, group: GroupId) -> bool {
        match self.inner.replicas.write().entry(group) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(None);
                true
            }
        }
    }

    async fn start_replica<M: Machine>(
        &self,
        group: GroupId,
        node: NodeId,
        machine: M,
        dialer: Arc<dyn RaftDialer>,
    ) -> Result<Group<M>, OpenError> {
        let replica = Arc::new(Replica::new(machine));
        let (log, state_machine) = self.stores(group, replica.clone())?;
        let start = Start {
            id: group,
            node,
            settings: self.inner.settings.clone(),
            replica,
            state_machine,
            log,
            dialer,
            on_failure: self.inner.on_failure.clone(),
        };
        let refused = |error: StartError| OpenError::Start { group, reason: error.to_string() };
        Group::start(start).await.map_err(refused)
    }

    fn stores<M: Machine>(
        &self,
        group: GroupId,
        replica: Arc<Replica<M>>,
    ) -> Result<(LogStore, StateMachine<M>), OpenError> {
        match &self.inner.storage {
            Storage::Memory(_) => {
                let alone = self.inner.settings.alone;
                Ok((LogStore::in_memory(), StateMachine::in_memory(replica, alone)))
            }
            Storage::Disk(disk) => {
                let mut found = disk.load(group)?;
                let snapshot = found.snapshot.take();
                let log = LogStore::on_disk(disk.group(group), found);
                Ok((log, StateMachine::on_disk(replica, disk.group(group), snapshot)))
            }
        }
    }

    /// Stops one replica, if there is one. What it has stored stays, and it may be opened again.
    pub async fn close_group(&self, group: GroupId) {
        let Some(replica) = self.inner.replicas.write().get_mut(&group).and_then(Option::take) else { return };
        replica.stop().await;
        if let Storage::Disk(disk) = &self.inner.storage
            && let Err(error) = disk.group(group).write_durably(Vec::new()).await
        {
            error!(group = group.0, %error, "the last writes of a closed group are lost");
        }
        self.inner.replicas.write().remove(&group);
    }

    /// A value of the node's identity (its cluster, its Raft id, the number of its disk), as [`RaftHost::remember`] stored it.
    pub fn recall(&self, name: &str) -> Result<Option<Bytes>, OpenError> {
        match &self.inner.storage {
            Storage::Memory(values) => Ok(values.read().get(name).cloned()),
            Storage::Disk(disk) => disk.recall(name),
        }
    }

    /// Stores a value of the node's identity; returns when it is durable.
    pub async fn remember(&self, name: &str, value: Bytes) -> std::io::Result<()> {
        match &self.inner.storage {
            Storage::Memory(values) => {
                values.write().insert(name.to_owned(), value);
                Ok(())
            }
            Storage::Disk(disk) => disk.remember(name, &value).await,
        }
    }

    /// Stops all replicas, makes durable what they wrote, and lets go of the directory.
    pub async fn stop(&self) {
        let replicas: Vec<_> = self.inner.replicas.write().drain().filter_map(|(_, replica)| replica).collect();
        for replica in replicas {
            replica.stop().await;
        }
        if let Storage::Disk(disk) = &self.inner.storage {
            disk.stop().await;
        }
    }

    /// The replica that a request is for. One that was meant for another node, as after an address went to a new one, must do
    /// nothing here: its sender counts votes and entries by node.
    fn replica(&self, receiver: Receiver) -> Result<Arc<dyn AnyReplica>, RaftRefusal> {
        let Receiver { group, node } = receiver;
        let replica = self.inner.replicas.read().get(&group).cloned().flatten();
        let replica = replica.ok_or(RaftRefusal::NoReplica(group))?;
        let own = replica.node();
        if own != node {
            return Err(RaftRefusal::OtherNode(format!("the request is for node {node}, but this is node {own}")));
        }
        Ok(replica)
    }
}

#[async_trait]
impl RaftAcceptor for RaftHost {
    async fn append(&self, request: AppendRequest) -> Result<AppendReply, RaftRefusal> {
        self.replica(request.receiver)?.append(request).await
    }

    async fn vote(&self, request: VoteRequest) -> Result<VoteReply, RaftRefusal> {
        self.replica(request.receiver)?.vote(request).await
    }

    async fn snapshot(&self, request: SnapshotRequest) -> Result<Vote, RaftRefusal> {
        self.replica(request.receiver)?.snapshot(request).await
    }

    async fn transfer(&self, request: TransferRequest) -> Result<(), RaftRefusal> {
        self.replica(request.receiver)?.transfer(request).await
    }
}
