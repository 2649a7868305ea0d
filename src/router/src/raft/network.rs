//! openraft's calls to other members, made through the group's [`RaftDialer`].
//!
//! AppendEntries go one after another per follower; proposals are batched before they get here ([`super::proposals`]), so that the
//! next call carries whatever came in during the last one.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use vesta_wire::attach::RouterInfo;
use vesta_wire::raft::{GroupId, RaftCallError, RaftDialer, Receiver};

use super::convert;
use super::types::{Member, Snapshot, Types, Vote};

type CallError = RPCError<Types>;

/// Makes a group's connections.
pub(crate) struct Network {
    /// The group.
    pub(crate) group: GroupId,
    /// This node.
    pub(crate) node: u64,
    /// How others are reached.
    pub(crate) dialer: Arc<dyn RaftDialer>,
    /// How long an AppendEntries with entries may take: the follower's fsync is in it.
    pub(crate) append_timeout: Duration,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Connection;

    async fn new_client(&mut self, target: u64, member: &Member) -> Connection {
        Connection {
            group: self.group,
            node: self.node,
            target: convert::router_of(target, member),
            dialer: self.dialer.clone(),
            append_timeout: self.append_timeout,
            is_for_heartbeats: false,
        }
    }

    async fn new_heartbeat_client(&mut self, target: u64, member: &Member) -> Connection {
        Connection { is_for_heartbeats: true, ..self.new_client(target, member).await }
    }
}

/// The way to one member of one group.
pub(crate) struct Connection {
    group: GroupId,
    node: u64,
    target: RouterInfo,
    dialer: Arc<dyn RaftDialer>,
    append_timeout: Duration,
    is_for_heartbeats: bool,
}

impl Connection {
    fn receiver(&self) -> Receiver {
        Receiver { group: self.group, node: self.target.node }
    }

    async fn within<T>(
        &self,
        timeout: Duration,
        action: RPCTypes,
        call: impl Future<Output = Result<T, RaftCallError>>,
    ) -> Result<T, CallError> {
        match tokio::time::timeout(timeout, call).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(RPCError::Unreachable(Unreachable::new(&error))),
            Err(_) => Err(RPCError::Timeout(Timeout { action, id: self.node, target: self.target.node.0, timeout })),
        }
    }

    async fn ask_for_vote(
        &self,
        request: VoteRequest<Types>,
        pre_vote: bool,
        option: &RPCOption,
    ) -> Result<VoteResponse<Types>, CallError> {
        let request = convert::vote_request_to_wire(self.receiver(), request, pre_vote);
        let call = self.dialer.vote(&self.target, request);
        let reply = self.within(option.soft_ttl(), RPCTypes::Vote, call).await?;
        Ok(convert::vote_reply_from_wire(reply))
    }
}

impl RaftNetworkV2<Types> for Connection {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, CallError> {
        let timeout = if request.entries.is_empty() { option.hard_ttl() } else { self.append_timeout };
        let request = convert::append_to_wire(self.receiver(), request);
        let call = match self.is_for_heartbeats {
            true => self.dialer.heartbeat(&self.target, request),
            false => self.dialer.append(&self.target, request),
        };
        let reply = self.within(timeout, RPCTypes::AppendEntries, call).await?;
        Ok(convert::append_reply_from_wire(reply))
    }

    async fn vote(&mut self, request: VoteRequest<Types>, option: RPCOption) -> Result<VoteResponse<Types>, CallError> {
        self.ask_for_vote(request, false, &option).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, CallError> {
        self.ask_for_vote(request, true, &option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let request = convert::snapshot_to_wire(self.receiver(), &vote, snapshot);
        let call = self.dialer.snapshot(&self.target, request);
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            reply = self.within(option.soft_ttl(), RPCTypes::InstallSnapshot, call) => {
                Ok(SnapshotResponse::new(convert::vote_from_wire(reply?)))
            }
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, CallError> {
        let call = self.dialer.transfer(&self.target, convert::transfer_to_wire(self.receiver(), &request));
        self.within(option.soft_ttl(), RPCTypes::TransferLeader, call).await?;
        Ok(Ok(()))
    }
}
