//! `raft.proto`: the messages of a Raft group.

use bytes::Bytes;

use super::{Malformed, required};
use crate::proto::{append_reply, entry, membership, snapshot_part};
use crate::raft::{
    AppendReply, AppendRequest, Entry, GroupId, LogId, Membership, Payload, Receiver, SnapshotRequest, TransferRequest,
    Vote, VoteReply, VoteRequest,
};
use crate::{NodeId, proto};

fn receiver(group: u32, node: u64) -> Receiver {
    Receiver { group: GroupId(group), node: NodeId(node) }
}

impl From<Vote> for proto::Vote {
    fn from(vote: Vote) -> Self {
        Self { term: vote.term, node: vote.node.0, committed: vote.committed }
    }
}

impl From<proto::Vote> for Vote {
    fn from(vote: proto::Vote) -> Self {
        Self { term: vote.term, node: NodeId(vote.node), committed: vote.committed }
    }
}

impl From<LogId> for proto::LogId {
    fn from(id: LogId) -> Self {
        Self { term: id.term, index: id.index }
    }
}

impl From<proto::LogId> for LogId {
    fn from(id: proto::LogId) -> Self {
        Self { term: id.term, index: id.index }
    }
}

impl From<Membership> for proto::Membership {
    fn from(membership: Membership) -> Self {
        let voters = |set: Vec<NodeId>| membership::Voters { nodes: set.into_iter().map(|node| node.0).collect() };
        Self {
            voters: membership.voters.into_iter().map(voters).collect(),
            members: membership.members.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<proto::Membership> for Membership {
    fn from(membership: proto::Membership) -> Self {
        let voters = |set: membership::Voters| set.nodes.into_iter().map(NodeId).collect();
        Self {
            voters: membership.voters.into_iter().map(voters).collect(),
            members: membership.members.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Entry> for proto::Entry {
    fn from(entry: Entry) -> Self {
        let payload = match entry.payload {
            Payload::Blank => entry::Payload::Blank(entry::Blank {}),
            Payload::Command(command) => entry::Payload::Command(command),
            Payload::Membership(membership) => entry::Payload::Membership(membership.into()),
        };
        Self { id: Some(entry.id.into()), payload: Some(payload) }
    }
}

impl TryFrom<proto::Entry> for Entry {
    type Error = Malformed;

    fn try_from(entry: proto::Entry) -> Result<Self, Malformed> {
        let payload = match entry.payload.ok_or(Malformed("entry.payload"))? {
            entry::Payload::Blank(_) => Payload::Blank,
            entry::Payload::Command(command) => Payload::Command(command),
            entry::Payload::Membership(membership) => Payload::Membership(membership.into()),
        };
        Ok(Self { id: required(entry.id, "entry.id")?, payload })
    }
}

impl From<AppendRequest> for proto::AppendRequest {
    fn from(request: AppendRequest) -> Self {
        Self {
            group: request.receiver.group.0,
            receiver: request.receiver.node.0,
            vote: Some(request.vote.into()),
            previous: request.previous.map(Into::into),
            entries: request.entries.into_iter().map(Into::into).collect(),
            committed: request.committed.map(Into::into),
        }
    }
}

impl TryFrom<proto::AppendRequest> for AppendRequest {
    type Error = Malformed;

    fn try_from(request: proto::AppendRequest) -> Result<Self, Malformed> {
        Ok(Self {
            receiver: receiver(request.group, request.receiver),
            vote: required(request.vote, "append.vote")?,
            previous: request.previous.map(Into::into),
            entries: request.entries.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            committed: request.committed.map(Into::into),
        })
    }
}

impl From<AppendReply> for proto::AppendReply {
    fn from(reply: AppendReply) -> Self {
        use append_reply::Result;
        let result = match reply {
            AppendReply::Success => Result::Success(append_reply::Success {}),
            AppendReply::PartialSuccess(last) => {
                Result::PartialSuccess(append_reply::PartialSuccess { last: last.map(Into::into) })
            }
            AppendReply::Conflict => Result::Conflict(append_reply::Conflict {}),
            AppendReply::HigherVote(vote) => Result::HigherVote(vote.into()),
        };
        Self { result: Some(result) }
    }
}

impl TryFrom<proto::AppendReply> for AppendReply {
    type Error = Malformed;

    fn try_from(reply: proto::AppendReply) -> Result<Self, Malformed> {
        use append_reply::Result;
        Ok(match reply.result.ok_or(Malformed("append_reply.result"))? {
            Result::Success(_) => AppendReply::Success,
            Result::PartialSuccess(partial) => AppendReply::PartialSuccess(partial.last.map(Into::into)),
            Result::Conflict(_) => AppendReply::Conflict,
            Result::HigherVote(vote) => AppendReply::HigherVote(vote.into()),
        })
    }
}

impl From<VoteRequest> for proto::VoteRequest {
    fn from(request: VoteRequest) -> Self {
        Self {
            group: request.receiver.group.0,
            receiver: request.receiver.node.0,
            vote: Some(request.vote.into()),
            last: request.last.map(Into::into),
            pre_vote: request.pre_vote,
            leader_transfer: request.leader_transfer,
        }
    }
}

impl TryFrom<proto::VoteRequest> for VoteRequest {
    type Error = Malformed;

    fn try_from(request: proto::VoteRequest) -> Result<Self, Malformed> {
        Ok(Self {
            receiver: receiver(request.group, request.receiver),
            vote: required(request.vote, "vote_request.vote")?,
            last: request.last.map(Into::into),
            pre_vote: request.pre_vote,
            leader_transfer: request.leader_transfer,
        })
    }
}

impl From<VoteReply> for proto::VoteReply {
    fn from(reply: VoteReply) -> Self {
        Self { vote: Some(reply.vote.into()), granted: reply.granted, last: reply.last.map(Into::into) }
    }
}

impl TryFrom<proto::VoteReply> for VoteReply {
    type Error = Malformed;

    fn try_from(reply: proto::VoteReply) -> Result<Self, Malformed> {
        Ok(Self {
            vote: required(reply.vote, "vote_reply.vote")?,
            granted: reply.granted,
            last: reply.last.map(Into::into),
        })
    }
}

/// Parts a snapshot into its header and its state.
pub(crate) fn snapshot_header(snapshot: SnapshotRequest) -> (snapshot_part::Header, Bytes) {
    let header = snapshot_part::Header {
        group: snapshot.receiver.group.0,
        receiver: snapshot.receiver.node.0,
        vote: Some(snapshot.vote.into()),
        last: snapshot.last.map(Into::into),
        membership_id: snapshot.membership_id.map(Into::into),
        membership: Some(snapshot.membership.into()),
        id: snapshot.id,
        state_bytes: snapshot.state.len() as u64,
    };
    (header, snapshot.state)
}

/// Joins the two again.
pub(crate) fn snapshot_from_parts(header: snapshot_part::Header, state: Bytes) -> Result<SnapshotRequest, Malformed> {
    Ok(SnapshotRequest {
        receiver: receiver(header.group, header.receiver),
        vote: required(header.vote, "snapshot.vote")?,
        last: header.last.map(Into::into),
        membership_id: header.membership_id.map(Into::into),
        membership: required(header.membership, "snapshot.membership")?,
        id: header.id,
        state,
    })
}

impl TryFrom<proto::SnapshotReply> for Vote {
    type Error = Malformed;

    fn try_from(reply: proto::SnapshotReply) -> Result<Self, Malformed> {
        required(reply.vote, "snapshot_reply.vote")
    }
}

impl From<TransferRequest> for proto::TransferRequest {
    fn from(request: TransferRequest) -> Self {
        Self {
            group: request.receiver.group.0,
            receiver: request.receiver.node.0,
            from: Some(request.from.into()),
            to: request.to.0,
            last: request.last.map(Into::into),
        }
    }
}

impl TryFrom<proto::TransferRequest> for TransferRequest {
    type Error = Malformed;

    fn try_from(request: proto::TransferRequest) -> Result<Self, Malformed> {
        Ok(Self {
            receiver: receiver(request.group, request.receiver),
            from: required(request.from, "transfer.from")?,
            to: NodeId(request.to),
            last: request.last.map(Into::into),
        })
    }
}
