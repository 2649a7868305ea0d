//! What the members of a Raft group say to each other: the algorithm's messages as our own types, so that neither the contract
//! nor the log on disk depends on the library that runs it.

use async_trait::async_trait;
use bytes::Bytes;

use crate::NodeId;
use crate::attach::RouterInfo;
use crate::link::LinkError;

/// A Raft group: 0 is `meta`, `n + 1` is shard `n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(pub u32);

impl GroupId {
    /// The group of members, placement and connection managers.
    pub const META: GroupId = GroupId(0);
}

/// The replica that a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// Its group.
    pub group: GroupId,
    /// Its node: at the address that was called there may be another one by now.
    pub node: NodeId,
}

/// A vote: the leader (or candidate) of a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Vote {
    /// The term.
    pub term: u64,
    /// The node voted for.
    pub node: NodeId,
    /// Whether a majority has granted it.
    pub committed: bool,
}

/// The place of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogId {
    /// The term of the leader that wrote it. There is only one in a term.
    pub term: u64,
    /// The index, from 0.
    pub index: u64,
}

/// Voters and learners of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// The voters: one set, or two while a change is under way (joint consensus).
    pub voters: Vec<Vec<NodeId>>,
    /// Every member, learners included, with its address.
    pub members: Vec<RouterInfo>,
}

/// What an entry holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Nothing: written by a new leader.
    Blank,
    /// A command to the group's state, in that state's own encoding.
    Command(Bytes),
    /// A new membership.
    Membership(Membership),
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub id: LogId,
    /// Its content.
    pub payload: Payload,
}

/// AppendEntries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendRequest {
    /// Whom this is for.
    pub receiver: Receiver,
    /// The sender's vote.
    pub vote: Vote,
    /// The entry before the first one sent.
    pub previous: Option<LogId>,
    /// The entries, in order.
    pub entries: Vec<Entry>,
    /// The last committed entry, as the leader knows.
    pub committed: Option<LogId>,
}

/// The answer to an [`AppendRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendReply {
    /// All are in the log.
    Success,
    /// Only those up to here are.
    PartialSuccess(Option<LogId>),
    /// The entry before the first one sent is not the receiver's.
    Conflict,
    /// The receiver has seen a higher vote.
    HigherVote(Vote),
}

/// RequestVote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteRequest {
    /// Whom this is for.
    pub receiver: Receiver,
    /// The vote asked for.
    pub vote: Vote,
    /// The candidate's last entry.
    pub last: Option<LogId>,
    /// Whether this only asks what the answer would be (Pre-Vote).
    pub pre_vote: bool,
    /// Whether the receiver's lease of the present leader is not to be respected (a leader hands over).
    pub leader_transfer: bool,
}

/// The answer to a [`VoteRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteReply {
    /// The receiver's vote.
    pub vote: Vote,
    /// Whether it was granted.
    pub granted: bool,
    /// The receiver's last entry.
    pub last: Option<LogId>,
}

/// InstallSnapshot, whole. Sent as a stream of chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotRequest {
    /// Whom this is for.
    pub receiver: Receiver,
    /// The sender's vote.
    pub vote: Vote,
    /// The last entry that the snapshot covers.
    pub last: Option<LogId>,
    /// Where the membership in force at that entry was written.
    pub membership_id: Option<LogId>,
    /// That membership.
    pub membership: Membership,
    /// The snapshot's name.
    pub id: String,
    /// The state, in its own encoding.
    pub state: Bytes,
}

/// A leader asks a follower to take over (TimeoutNow).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferRequest {
    /// Whom this is for.
    pub receiver: Receiver,
    /// The leader's vote.
    pub from: Vote,
    /// Who is to lead.
    pub to: NodeId,
    /// What it must have in its log for that.
    pub last: Option<LogId>,
}

/// The receiving node can't serve the call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RaftRefusal {
    /// It has no replica of this group.
    #[error("the node has no replica of group {}", .0.0)]
    NoReplica(GroupId),
    /// It is another node than the request is for.
    #[error("{0}")]
    OtherNode(String),
    /// The replica has stopped: a failed disk, a shutdown.
    #[error("the replica has stopped: {0}")]
    Stopped(String),
}

/// Why a call to another member failed.
#[derive(Debug, thiserror::Error)]
pub enum RaftCallError {
    /// The node can't be reached, or did not answer in time.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// It was reached and refuses.
    #[error(transparent)]
    Refused(#[from] RaftRefusal),
}

/// Calls other members. One connection per pair of nodes serves all groups.
#[async_trait]
pub trait RaftDialer: Send + Sync + 'static {
    /// AppendEntries.
    async fn append(&self, to: &RouterInfo, request: AppendRequest) -> Result<AppendReply, RaftCallError>;
    /// AppendEntries without entries. It may wait a little for those of other groups to the same node.
    async fn heartbeat(&self, to: &RouterInfo, request: AppendRequest) -> Result<AppendReply, RaftCallError> {
        self.append(to, request).await
    }
    /// RequestVote.
    async fn vote(&self, to: &RouterInfo, request: VoteRequest) -> Result<VoteReply, RaftCallError>;
    /// InstallSnapshot.
    async fn snapshot(&self, to: &RouterInfo, request: SnapshotRequest) -> Result<Vote, RaftCallError>;
    /// TimeoutNow.
    async fn transfer(&self, to: &RouterInfo, request: TransferRequest) -> Result<(), RaftCallError>;
}

/// Serves the calls of other members.
#[async_trait]
pub trait RaftAcceptor: Send + Sync + 'static {
    /// AppendEntries.
    async fn append(&self, request: AppendRequest) -> Result<AppendReply, RaftRefusal>;
    /// RequestVote.
    async fn vote(&self, request: VoteRequest) -> Result<VoteReply, RaftRefusal>;
    /// InstallSnapshot.
    async fn snapshot(&self, request: SnapshotRequest) -> Result<Vote, RaftRefusal>;
    /// TimeoutNow.
    async fn transfer(&self, request: TransferRequest) -> Result<(), RaftRefusal>;
}
