//! One replica of one group: the handle through which the rest of the router uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, InitializeError, RaftError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};
use vesta_wire::attach::RouterInfo;
use vesta_wire::raft::{
    AppendReply, AppendRequest, GroupId, Membership, RaftAcceptor, RaftDialer, RaftRefusal, SnapshotRequest,
    TransferRequest, Vote, VoteReply, VoteRequest,
};
use vesta_wire::{NodeId, Term};

use super::convert;
use super::host::FailureHandler;
use super::leadership::{HandingOver, Leadership, Observer};
use super::log::LogStore;
use super::machine::{Machine, Replica, StateMachine};
use super::network::Network;
use super::proposals::{self, Proposal, ProposeError};
use super::settings::{BadSettings, RaftSettings};
use super::types::{Metrics, Types};

/// A replica of a group. Clones are handles to the same one; it runs until [`Group::stop`] or the host's stop.
pub struct Group<M: Machine> {
    inner: Arc<Inner<M>>,
}

struct Inner<M: Machine> {
    id: GroupId,
    node: NodeId,
    settings: RaftSettings,
    raft: Raft<Types, StateMachine<M>>,
    replica: Arc<Replica<M>>,
    proposals: mpsc::Sender<Proposal>,
    leadership: watch::Receiver<Leadership>,
    observer: Observer,
    handing_over: HandingOver,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Why a change of a group's members, or of its leader, did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Only the leader can do it. It, where it is known.
    #[error("this node does not lead the group")]
    NotLeader(Option<NodeId>),
    /// It would not be sound, or another change is under way.
    #[error("the change is refused: {0}")]
    Refused(String),
    /// No majority, or not the new leader, answered in time: it may happen yet.
    #[error("it is not known whether the change was made")]
    Undecided,
}

/// A replica as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStatus {
    /// The group.
    pub group: GroupId,
    /// The newest term seen.
    pub term: Term,
    /// Its leader, where it is known.
    pub leader: Option<NodeId>,
    /// The last entry in the log.
    pub last_log: Option<u64>,
    /// The last entry applied.
    pub applied: Option<u64>,
    /// The last entry that the newest snapshot covers.
    pub snapshot: Option<u64>,
    /// The last entry that is no longer in the log, because a snapshot covers it.
    pub purged: Option<u64>,
    /// The voters, of both sets while a change is under way.
    pub voters: Vec<NodeId>,
    /// The members that don't vote.
    pub learners: Vec<NodeId>,
}

/// What a new replica starts from.
pub(crate) struct Start<M> {
    pub(crate) id: GroupId,
    pub(crate) node: NodeId,
    pub(crate) settings: RaftSettings,
    pub(crate) replica: Arc<Replica<M>>,
    pub(crate) state_machine: StateMachine<M>,
    pub(crate) log: LogStore,
    pub(crate) dialer: Arc<dyn RaftDialer>,
    pub(crate) on_failure: FailureHandler,
}

/// A replica could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Settings(#[from] BadSettings),
    #[error("{0}")]
    Fatal(String),
}

impl<M: Machine> Clone for Group<M> {
    fn clone(&self) -> Self {
        Group { inner: self.inner.clone() }
    }
}

impl<M: Machine> Group<M> {
    pub(crate) async fn start(start: Start<M>) -> Result<Self, StartError> {
        let Start { id, node, settings, replica, state_machine, log, dialer, on_failure } = start;
        let network = Network { group: id, node: node.0, dialer, append_timeout: settings.election_timeout.0 };
        let raft = Raft::new(node.0, settings.to_openraft()?, network, log, state_machine)
            .await
            .map_err(|error| StartError::Fatal(error.to_string()))?;
        // An answer from its task means that its metrics tell of what the disk held.
        raft.is_initialized().await.map_err(|error| StartError::Fatal(error.to_string()))?;
        elect_if_alone(&raft, node).await;

        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let handing_over = HandingOver::default();
        let observer =
            Observer { metrics: raft.metrics(), lease: settings.lease(), handing_over: handing_over.clone() };
        let (leadership_sender, leadership) = watch::channel(Leadership::default());
        let failed = move |error: &str| on_failure(&format!("group {}: {error}", id.0));
        tasks.spawn(observer.clone().run(leadership_sender, stop.clone(), failed));

        let (proposals, queue) = mpsc::channel(proposals::QUEUE);
        let proposer = proposals::run(raft.clone(), queue, settings.proposal_timeout);
        tasks.spawn(stop.clone().run_until_cancelled_owned(proposer));
        tasks.close();

        let inner =
            Inner { id, node, settings, raft, replica, proposals, leadership, observer, handing_over, tasks, stop };
        Ok(Group { inner: Arc::new(inner) })
    }

    /// The group's number.
    pub fn id(&self) -> GroupId {
        self.inner.id
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.inner.node
    }

    /// Proposes a command; returns the machine's reply when a majority has it and it has been applied here.
    ///
    /// Proposals are put together: those that arrive while an entry is under way make up the next one. 4,096 may wait; whoever
    /// comes later waits for a place. If the caller stops waiting, the command may be applied all the same.
    pub async fn propose(&self, command: Bytes) -> Result<Bytes, ProposeError> {
        let (reply, answer) = oneshot::channel();
        let not_taken = |_| ProposeError::NotLeader(None);
        self.inner.proposals.send(Proposal { command, reply }).await.map_err(not_taken)?;
        answer.await.unwrap_or(Err(ProposeError::Undecided))
    }

    /// Looks at the state under a read lock; applying waits meanwhile, so `look` should be short. On a follower, or on a leader
    /// that doesn't lead ([`Leadership::leading`]), the state may be an old one.
    pub fn read<R>(&self, look: impl FnOnce(&M) -> R) -> R {
        self.inner.replica.read(look)
    }

    /// The index of the last entry applied here, as it grows: on leader and followers.
    pub fn applied(&self) -> watch::Receiver<Option<u64>> {
        self.inner.replica.applied()
    }

    /// Who leads, as it changes.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.leadership.clone()
    }

    /// Whether this node leads at this very moment, by its clock: also right after the process was paused, when
    /// [`Group::leadership`] doesn't know yet.
    pub fn leads_now(&self) -> bool {
        self.inner.observer.assess().0.leading
    }

    /// Writes the first membership into an empty log, all of `members` as voters, and asks for votes. The first members of a
    /// group may all do so, with the same list. Returns false, and does nothing, if the group has a membership already.
    pub async fn initialize(&self, members: &[RouterInfo]) -> Result<bool, ChangeError> {
        let nodes: BTreeMap<_, _> = members.iter().map(|router| (router.node.0, convert::member_of(router))).collect();
        match self.inner.raft.initialize(nodes).await {
            Ok(()) => Ok(true),
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(false),
            Err(error) => Err(ChangeError::Refused(error.to_string())),
        }
    }

    /// Adds a member that gets the log but has no vote, and waits until it has caught up.
    pub async fn add_learner(&self, router: &RouterInfo) -> Result<(), ChangeError> {
        if self.inner.settings.alone {
            return Err(ChangeError::Refused("this process keeps no history that another could be given".into()));
        }
        let added = self.inner.raft.add_learner(router.node.0, convert::member_of(router), true);
        let caught_up = tokio::time::timeout(self.inner.settings.snapshot_timeout, added).await;
        explain(caught_up.map_err(|_| ChangeError::Undecided)?.map(drop))
    }

    /// Makes these members the voters, by joint consensus; the present voters that are not among them leave the group. New ones
    /// must be learners before.
    pub async fn change_voters(&self, voters: impl IntoIterator<Item = NodeId>) -> Result<(), ChangeError> {
        let voters: BTreeSet<u64> = voters.into_iter().map(|node| node.0).collect();
        let changed = self.inner.raft.change_membership(voters, false);
        let agreed = tokio::time::timeout(self.inner.settings.snapshot_timeout, changed).await;
        explain(agreed.map_err(|_| ChangeError::Undecided)?.map(drop))
    }

    /// The members as this replica knows them; they may not be committed yet.
    pub fn membership(&self) -> Membership {
        convert::membership_to_wire(self.metrics().membership_config.membership())
    }

    /// Makes another voter the leader. [`Leadership::leading`] turns false at once and proposals are refused.
    ///
    /// Returns when `to` leads. If it doesn't within two election timeouts, the answer is [`ChangeError::Undecided`]: this node
    /// has stopped its heartbeats, so that the voters elect somebody, which may be this node again.
    pub async fn transfer_leadership(&self, to: NodeId) -> Result<(), ChangeError> {
        let metrics = self.metrics();
        if metrics.current_leader != Some(self.inner.node.0) {
            return Err(ChangeError::NotLeader(metrics.current_leader.map(NodeId)));
        }
        if to == self.inner.node {
            return Ok(());
        }
        if metrics.membership_config.voter_ids().all(|voter| voter != to.0) {
            return Err(ChangeError::Refused(format!("node {to} is not a voter")));
        }
        let patience = self.inner.settings.election_timeout.1 * 2;
        self.wait_until(patience, |metrics| has_all_but_newest(metrics, to)).await?;
        info!(group = self.inner.id.0, %to, "handing over the leadership");
        self.inner.handing_over.begin(metrics.current_term);
        let refused = |error: openraft::errors::Fatal<Types>| ChangeError::Refused(error.to_string());
        self.inner.raft.trigger().transfer_leader(to.0).await.map_err(refused)?;
        self.wait_until(patience, |metrics| metrics.current_leader == Some(to.0)).await
    }

    /// How the replica is.
    pub fn status(&self) -> GroupStatus {
        let metrics = self.metrics();
        let membership = metrics.membership_config.membership();
        GroupStatus {
            group: self.inner.id,
            term: Term(metrics.current_term),
            leader: metrics.current_leader.map(NodeId),
            last_log: metrics.last_log_index,
            applied: metrics.last_applied.map(|last| last.index()),
            snapshot: metrics.snapshot.map(|last| last.index()),
            purged: metrics.purged.map(|last| last.index()),
            voters: membership.voter_ids().map(NodeId).collect(),
            learners: membership.learner_ids().map(NodeId).collect(),
        }
    }

    /// Stops the replica: proposals under way end as undecided, other members get no answer any more.
    pub async fn stop(&self) {
        self.inner.stop.cancel();
        if let Err(error) = self.inner.raft.shutdown().await {
            warn!(group = self.inner.id.0, %error, "the replica did not stop in order");
        }
        self.inner.tasks.wait().await;
    }

    fn metrics(&self) -> Metrics {
        self.inner.observer.metrics.borrow_watched().clone()
    }

    async fn wait_until(
        &self,
        patience: std::time::Duration,
        condition: impl Fn(&Metrics) -> bool + Send,
    ) -> Result<(), ChangeError> {
        let reached = self.inner.raft.wait(Some(patience)).metrics(condition, "leadership transfer").await;
        reached.map(drop).map_err(|_| ChangeError::Undecided)
    }
}

/// A group of one voter needs no election timeout: nobody else could lead.
async fn elect_if_alone<M: Machine>(raft: &Raft<Types, StateMachine<M>>, node: NodeId) {
    if raft.voter_ids().eq([node.0])
        && let Err(error) = raft.trigger().elect(false).await
    {
        warn!(%error, "the only voter could not be elected");
    }
}

/// The log is within one message of the leader's: the rest arrives while the vote is asked for.
fn has_all_but_newest(metrics: &Metrics, node: NodeId) -> bool {
    let matched = metrics.replication.as_ref().and_then(|members| members.get(&node.0)).copied().flatten();
    let last = metrics.last_log_index.unwrap_or(0);
    metrics.replication.is_none() || matched.is_some_and(|matched| matched.index() + NEARLY >= last)
}

fn explain(outcome: Result<(), RaftError<Types, ClientWriteError<Types>>>) -> Result<(), ChangeError> {
    match outcome {
        Ok(()) => Ok(()),
        Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => {
            Err(ChangeError::NotLeader(forward.leader_id.map(NodeId)))
        }
        Err(RaftError::APIError(ClientWriteError::LogEntryDiscarded(_)) | RaftError::Fatal(_)) => {
            Err(ChangeError::Undecided)
        }
        Err(RaftError::APIError(error)) => Err(ChangeError::Refused(error.to_string())),
    }
}

/// What other members ask of a replica, whatever its machine.
#[async_trait]
pub(crate) trait AnyReplica: RaftAcceptor {
    /// [`Group::node`].
    fn node(&self) -> NodeId;
    /// [`Group::stop`].
    async fn stop(&self);
}

#[async_trait]
impl<M: Machine> AnyReplica for Group<M> {
    fn node(&self) -> NodeId {
        Group::node(self)
    }

    async fn stop(&self) {
        Group::stop(self).await;
    }
}

#[async_trait]
impl<M: Machine> RaftAcceptor for Group<M> {
    async fn append(&self, request: AppendRequest) -> Result<AppendReply, RaftRefusal> {
        let request = convert::append_from_wire(request).map_err(stopped)?;
        self.inner.raft.append_entries(request).await.map(convert::append_reply_to_wire).map_err(stopped)
    }

    async fn vote(&self, request: VoteRequest) -> Result<VoteReply, RaftRefusal> {
        let pre_vote = request.pre_vote;
        let request = convert::vote_request_from_wire(request);
        let reply =
            if pre_vote { self.inner.raft.pre_vote(request).await } else { self.inner.raft.vote(request).await };
        reply.map(convert::vote_reply_to_wire).map_err(stopped)
    }

    async fn snapshot(&self, request: SnapshotRequest) -> Result<Vote, RaftRefusal> {
        let (vote, snapshot) = convert::snapshot_from_wire(request).map_err(stopped)?;
        let reply = self.inner.raft.install_full_snapshot(vote, snapshot).await.map_err(stopped)?;
        Ok(convert::vote_to_wire(&reply.vote))
    }

    async fn transfer(&self, request: TransferRequest) -> Result<(), RaftRefusal> {
        let request = convert::transfer_from_wire(request);
        if let Err(error) = self.inner.raft.handle_transfer_leader(request).await.map_err(stopped)? {
            warn!(group = self.inner.id.0, %error, "the leadership was not taken over");
        }
        Ok(())
    }
}

fn stopped(error: impl std::fmt::Display) -> RaftRefusal {
    RaftRefusal::Stopped(error.to_string())
}

/// How many entries behind a successor may be when the handing over begins.
const NEARLY: u64 = 64;
