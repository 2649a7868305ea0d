//! The stage: a machine that remembers its commands, nodes, and the wires between them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::select_all;
use parking_lot::RwLock;
use tempfile::TempDir;
use vesta_wire::NodeId;
use vesta_wire::attach::RouterInfo;
use vesta_wire::link::LinkError;
use vesta_wire::raft::{
    AppendReply, AppendRequest, GroupId, RaftAcceptor, RaftCallError, RaftDialer, SnapshotRequest, TransferRequest,
    Vote, VoteReply, VoteRequest,
};

use crate::raft::codec;
use crate::raft::types::Batch;
use crate::raft::{FailureHandler, Group, Leadership, Machine, RaftHost, RaftSettings, RestoreError};

pub(super) const GROUP: GroupId = GroupId(1);

/// Remembers all commands; replies how many there are now.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) commands: Vec<Bytes>,
}

impl Machine for Ledger {
    fn apply(&mut self, _index: u64, command: &[u8]) -> Bytes {
        self.commands.push(Bytes::copy_from_slice(command));
        Bytes::from(self.commands.len().to_string())
    }

    fn snapshot(&self) -> Bytes {
        codec::encode_batch(&self.commands).0
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        let commands = codec::decode_batch(&Batch(Bytes::copy_from_slice(state)));
        self.commands = commands.map_err(|error| RestoreError(error.to_string()))?;
        Ok(())
    }
}

/// Times short enough for a test and long enough for a busy machine.
pub(super) fn settings() -> RaftSettings {
    RaftSettings {
        heartbeat: Duration::from_millis(100),
        election_timeout: (Duration::from_millis(600), Duration::from_millis(1200)),
        proposal_timeout: Duration::from_secs(3),
        ..RaftSettings::default()
    }
}

/// No failure is expected.
pub(super) fn no_failure() -> FailureHandler {
    Arc::new(|reason| panic!("the host failed: {reason}"))
}

pub(super) fn router(node: u64) -> RouterInfo {
    RouterInfo { node: NodeId(node), name: format!("router-{node}").into(), address: "".into() }
}

/// The wires between the hosts of a test.
#[derive(Default)]
pub(super) struct Wires {
    hosts: RwLock<HashMap<NodeId, RaftHost>>,
    cut: RwLock<HashSet<NodeId>>,
    /// How many snapshots were sent.
    pub(super) snapshots: AtomicUsize,
}

impl Wires {
    /// Cuts a node off from all others.
    pub(super) fn cut(&self, node: u64) {
        self.cut.write().insert(NodeId(node));
    }

    /// Joins it again.
    pub(super) fn heal(&self, node: u64) {
        self.cut.write().remove(&NodeId(node));
    }

    fn between(&self, from: NodeId, to: NodeId) -> Result<RaftHost, RaftCallError> {
        let cut = self.cut.read();
        let host = self.hosts.read().get(&to).cloned();
        match host {
            Some(host) if !cut.contains(&from) && !cut.contains(&to) => Ok(host),
            _ => Err(LinkError::Unreachable { address: to.to_string(), reason: "cut".to_owned() }.into()),
        }
    }
}

struct Wire {
    from: NodeId,
    wires: Arc<Wires>,
}

#[async_trait]
impl RaftDialer for Wire {
    async fn append(&self, to: &RouterInfo, request: AppendRequest) -> Result<AppendReply, RaftCallError> {
        let reply = self.wires.between(self.from, to.node)?.append(request).await?;
        self.wires.between(self.from, to.node)?;
        Ok(reply)
    }

    async fn vote(&self, to: &RouterInfo, request: VoteRequest) -> Result<VoteReply, RaftCallError> {
        let reply = self.wires.between(self.from, to.node)?.vote(request).await?;
        self.wires.between(self.from, to.node)?;
        Ok(reply)
    }

    async fn snapshot(&self, to: &RouterInfo, request: SnapshotRequest) -> Result<Vote, RaftCallError> {
        self.wires.snapshots.fetch_add(1, Ordering::SeqCst);
        Ok(self.wires.between(self.from, to.node)?.snapshot(request).await?)
    }

    async fn transfer(&self, to: &RouterInfo, request: TransferRequest) -> Result<(), RaftCallError> {
        Ok(self.wires.between(self.from, to.node)?.transfer(request).await?)
    }
}

/// A node: its host and its replica of [`GROUP`].
pub(super) struct Node {
    pub(super) host: RaftHost,
    pub(super) group: Group<Ledger>,
}

/// Nodes by their ids, and their directories if they have any.
pub(super) struct Cluster {
    pub(super) nodes: HashMap<u64, Node>,
    pub(super) wires: Arc<Wires>,
    settings: RaftSettings,
    directories: Option<TempDir>,
}

impl Cluster {
    /// Nodes 1 to `size`, with a group of nodes 1 to `members`.
    pub(super) async fn in_memory(size: u64, members: u64, settings: RaftSettings) -> Self {
        Cluster::new(None, settings).populated(size, members).await
    }

    /// The same, each with a directory.
    pub(super) async fn on_disk(size: u64, settings: RaftSettings) -> Self {
        let directories = tempfile::tempdir().unwrap();
        Cluster::new(Some(directories), settings).populated(size, size).await
    }

    fn new(directories: Option<TempDir>, settings: RaftSettings) -> Self {
        Cluster { nodes: HashMap::new(), wires: Arc::default(), settings, directories }
    }

    async fn populated(mut self, size: u64, members: u64) -> Self {
        for node in 1..=size {
            self.start(node).await;
        }
        let list: Vec<_> = (1..=members).map(router).collect();
        for node in 1..=members {
            self.nodes[&node].group.initialize(&list).await.unwrap();
        }
        self
    }

    /// Starts a node, with what its directory holds.
    pub(super) async fn start(&mut self, node: u64) {
        let host = match &self.directories {
            None => RaftHost::in_memory(self.settings.clone(), no_failure()),
            Some(root) => {
                let directory = root.path().join(node.to_string());
                RaftHost::on_disk(&directory, self.settings.clone(), no_failure()).unwrap()
            }
        };
        self.wires.hosts.write().insert(NodeId(node), host.clone());
        let wire = Arc::new(Wire { from: NodeId(node), wires: self.wires.clone() });
        let group = host.open_group(GROUP, NodeId(node), Ledger::default(), wire).await.unwrap();
        self.nodes.insert(node, Node { host, group });
    }

    /// Stops a node; its directory stays.
    pub(super) async fn stop(&mut self, node: u64) {
        let stopped = self.nodes.remove(&node).unwrap();
        self.wires.hosts.write().remove(&NodeId(node));
        stopped.host.stop().await;
    }

    pub(super) async fn stop_all(&mut self) {
        let nodes: Vec<u64> = self.nodes.keys().copied().collect();
        for node in nodes {
            self.stop(node).await;
        }
    }

    pub(super) fn group(&self, node: u64) -> &Group<Ledger> {
        &self.nodes[&node].group
    }

    /// Waits until one of the nodes leads.
    pub(super) async fn leader(&self) -> u64 {
        self.leader_but(0).await
    }

    /// Waits until one of the nodes but `other` leads.
    pub(super) async fn leader_but(&self, other: u64) -> u64 {
        let candidates = self.nodes.iter().filter(|(node, _)| **node != other);
        let leading = candidates.map(|(node, found)| {
            Box::pin(async {
                wait_for(&found.group, |leadership| leadership.leading).await;
                *node
            })
        });
        select_all(leading).await.0
    }

    /// Proposes on whoever leads, until it is applied once.
    pub(super) async fn propose(&self, command: &'static str) -> Bytes {
        loop {
            let leader = self.leader().await;
            if let Ok(reply) = self.group(leader).propose(Bytes::from_static(command.as_bytes())).await {
                return reply;
            }
        }
    }
}

/// Waits for a leadership that fulfils the condition.
pub(super) async fn wait_for(group: &Group<Ledger>, condition: impl Fn(&Leadership) -> bool) -> Leadership {
    *group.leadership().wait_for(|leadership| condition(leadership)).await.unwrap()
}

/// Waits until a replica has applied so many commands.
pub(super) async fn wait_for_commands(group: &Group<Ledger>, count: usize) {
    group.applied().wait_for(|_| group.read(|ledger| ledger.commands.len() >= count)).await.unwrap();
}
