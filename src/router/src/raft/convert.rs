//! Between openraft's types and those of `vesta_wire::raft`.

use std::collections::{BTreeMap, BTreeSet};

use openraft::EntryPayload;
use openraft::errors::MembershipError;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest as VoteRequestOf, VoteResponse,
};
use vesta_wire::NodeId;
use vesta_wire::attach::RouterInfo;
use vesta_wire::raft as wire;
use vesta_wire::raft::Receiver;

use super::types::{
    Batch, Entry, LogId, Member, Membership, Snapshot, SnapshotMeta, StoredMembership, Types, Vote, log_id,
};

/// A message that no member of a group sends: its membership has a voter without an address, or none at all.
pub(crate) type BadMembership = MembershipError<u64>;

pub(crate) fn vote_to_wire(vote: &Vote) -> wire::Vote {
    wire::Vote { term: vote.leader_id.term, node: NodeId(vote.leader_id.voted_for), committed: vote.committed }
}

pub(crate) fn vote_from_wire(vote: wire::Vote) -> Vote {
    let mut translated = Vote::new(vote.term, vote.node.0);
    translated.committed = vote.committed;
    translated
}

pub(crate) fn log_id_to_wire(id: &LogId) -> wire::LogId {
    wire::LogId { term: id.committed_leader_id().term, index: id.index() }
}

pub(crate) fn log_id_from_wire(id: wire::LogId) -> LogId {
    log_id(id.term, id.index)
}

pub(crate) fn member_of(router: &RouterInfo) -> Member {
    Member { name: router.name.clone(), address: router.address.clone() }
}

pub(crate) fn router_of(node: u64, member: &Member) -> RouterInfo {
    RouterInfo { node: NodeId(node), name: member.name.clone(), address: member.address.clone() }
}

pub(crate) fn membership_to_wire(membership: &Membership) -> wire::Membership {
    wire::Membership {
        voters: membership.get_joint_config().iter().map(|set| set.iter().copied().map(NodeId).collect()).collect(),
        members: membership.nodes().map(|(node, member)| router_of(*node, member)).collect(),
    }
}

pub(crate) fn membership_from_wire(membership: wire::Membership) -> Result<Membership, BadMembership> {
    let voters: Vec<BTreeSet<u64>> =
        membership.voters.iter().map(|set| set.iter().map(|node| node.0).collect()).collect();
    let members: BTreeMap<u64, Member> =
        membership.members.iter().map(|router| (router.node.0, member_of(router))).collect();
    Membership::new(voters, members)
}

pub(crate) fn entry_to_wire(entry: Entry) -> wire::Entry {
    let payload = match entry.payload {
        EntryPayload::Blank => wire::Payload::Blank,
        EntryPayload::Normal(Batch(bytes)) => wire::Payload::Command(bytes),
        EntryPayload::Membership(membership) => wire::Payload::Membership(membership_to_wire(&membership)),
    };
    wire::Entry { id: log_id_to_wire(&entry.log_id), payload }
}

pub(crate) fn entry_from_wire(entry: wire::Entry) -> Result<Entry, BadMembership> {
    let payload = match entry.payload {
        wire::Payload::Blank => EntryPayload::Blank,
        wire::Payload::Command(bytes) => EntryPayload::Normal(Batch(bytes)),
        wire::Payload::Membership(membership) => EntryPayload::Membership(membership_from_wire(membership)?),
    };
    Ok(Entry { log_id: log_id_from_wire(entry.id), payload })
}

pub(crate) fn append_to_wire(receiver: Receiver, request: AppendEntriesRequest<Types>) -> wire::AppendRequest {
    wire::AppendRequest {
        receiver,
        vote: vote_to_wire(&request.vote),
        previous: request.prev_log_id.as_ref().map(log_id_to_wire),
        entries: request.entries.into_iter().map(entry_to_wire).collect(),
        committed: request.leader_commit.as_ref().map(log_id_to_wire),
    }
}

pub(crate) fn append_from_wire(request: wire::AppendRequest) -> Result<AppendEntriesRequest<Types>, BadMembership> {
    Ok(AppendEntriesRequest {
        vote: vote_from_wire(request.vote),
        prev_log_id: request.previous.map(log_id_from_wire),
        entries: request.entries.into_iter().map(entry_from_wire).collect::<Result<_, _>>()?,
        leader_commit: request.committed.map(log_id_from_wire),
    })
}

pub(crate) fn append_reply_to_wire(reply: AppendEntriesResponse<Types>) -> wire::AppendReply {
    match reply {
        AppendEntriesResponse::Success => wire::AppendReply::Success,
        AppendEntriesResponse::PartialSuccess(last) => {
            wire::AppendReply::PartialSuccess(last.as_ref().map(log_id_to_wire))
        }
        AppendEntriesResponse::Conflict => wire::AppendReply::Conflict,
        AppendEntriesResponse::HigherVote(vote) => wire::AppendReply::HigherVote(vote_to_wire(&vote)),
    }
}

pub(crate) fn append_reply_from_wire(reply: wire::AppendReply) -> AppendEntriesResponse<Types> {
    match reply {
        wire::AppendReply::Success => AppendEntriesResponse::Success,
        wire::AppendReply::PartialSuccess(last) => AppendEntriesResponse::PartialSuccess(last.map(log_id_from_wire)),
        wire::AppendReply::Conflict => AppendEntriesResponse::Conflict,
        wire::AppendReply::HigherVote(vote) => AppendEntriesResponse::HigherVote(vote_from_wire(vote)),
    }
}

pub(crate) fn vote_request_to_wire(
    receiver: Receiver,
    request: VoteRequestOf<Types>,
    pre_vote: bool,
) -> wire::VoteRequest {
    wire::VoteRequest {
        receiver,
        vote: vote_to_wire(&request.vote),
        last: request.last_log_id.as_ref().map(log_id_to_wire),
        pre_vote,
        leader_transfer: request.leadership_transfer,
    }
}

pub(crate) fn vote_request_from_wire(request: wire::VoteRequest) -> VoteRequestOf<Types> {
    VoteRequestOf {
        vote: vote_from_wire(request.vote),
        last_log_id: request.last.map(log_id_from_wire),
        leadership_transfer: request.leader_transfer,
    }
}

pub(crate) fn vote_reply_to_wire(reply: VoteResponse<Types>) -> wire::VoteReply {
    wire::VoteReply {
        vote: vote_to_wire(&reply.vote),
        granted: reply.vote_granted,
        last: reply.last_log_id.as_ref().map(log_id_to_wire),
    }
}

pub(crate) fn vote_reply_from_wire(reply: wire::VoteReply) -> VoteResponse<Types> {
    VoteResponse {
        vote: vote_from_wire(reply.vote),
        vote_granted: reply.granted,
        last_log_id: reply.last.map(log_id_from_wire),
    }
}

pub(crate) fn snapshot_to_wire(receiver: Receiver, vote: &Vote, snapshot: Snapshot) -> wire::SnapshotRequest {
    let SnapshotMeta { last_log_id, last_membership } = snapshot.meta;
    let id = match &last_log_id {
        Some(last) => format!("{}-{}", last.committed_leader_id().term, last.index()),
        None => "empty".to_owned(),
    };
    wire::SnapshotRequest {
        receiver,
        vote: vote_to_wire(vote),
        last: last_log_id.as_ref().map(log_id_to_wire),
        membership_id: last_membership.log_id().as_ref().map(log_id_to_wire),
        membership: membership_to_wire(last_membership.membership()),
        id,
        state: snapshot.snapshot,
    }
}

pub(crate) fn snapshot_from_wire(request: wire::SnapshotRequest) -> Result<(Vote, Snapshot), BadMembership> {
    let membership = membership_from_wire(request.membership)?;
    let meta = SnapshotMeta {
        last_log_id: request.last.map(log_id_from_wire),
        last_membership: StoredMembership::new(request.membership_id.map(log_id_from_wire), membership),
    };
    Ok((vote_from_wire(request.vote), Snapshot { meta, snapshot: request.state }))
}

pub(crate) fn transfer_to_wire(receiver: Receiver, request: &TransferLeaderRequest<Types>) -> wire::TransferRequest {
    wire::TransferRequest {
        receiver,
        from: vote_to_wire(request.from_leader()),
        to: NodeId(*request.to_node_id()),
        last: request.last_log_id().map(log_id_to_wire),
    }
}

pub(crate) fn transfer_from_wire(request: wire::TransferRequest) -> TransferLeaderRequest<Types> {
    TransferLeaderRequest::new(vote_from_wire(request.from), request.to.0, request.last.map(log_id_from_wire))
}
