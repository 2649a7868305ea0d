//! The Raft service: calls between the members of groups.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};

use super::connect::call_error;
use super::dialer::{GrpcDialer, within};
use super::{CALL_TIMEOUT, MESSAGE_BYTES_MAX, SNAPSHOT_BYTES_MAX, SNAPSHOT_TIMEOUT, heartbeats};
use crate::attach::RouterInfo;
use crate::convert::{Malformed, snapshot_from_parts, snapshot_header};
use crate::link::LinkError;
use crate::proto;
use crate::proto::raft_client::RaftClient;
use crate::proto::raft_server::Raft;
use crate::proto::snapshot_part::Part;
use crate::raft::{
    AppendReply, AppendRequest, GroupId, RaftAcceptor, RaftCallError, RaftDialer, RaftRefusal, SnapshotRequest,
    TransferRequest, Vote, VoteReply, VoteRequest,
};

/// Bytes of a snapshot's state in one message.
const PIECE_BYTES: usize = 1024 * 1024;

/// Hands the calls that come in to the router.
pub(super) struct RaftService {
    pub(super) acceptor: Arc<dyn RaftAcceptor>,
}

#[tonic::async_trait]
impl Raft for RaftService {
    async fn append(&self, request: Request<proto::AppendRequest>) -> Result<Response<proto::AppendReply>, Status> {
        let reply = self.acceptor.append(request.into_inner().try_into()?).await?;
        Ok(Response::new(reply.into()))
    }

    async fn heartbeat(
        &self,
        request: Request<proto::HeartbeatBatch>,
    ) -> Result<Response<proto::HeartbeatOutcomes>, Status> {
        let requests: Vec<AppendRequest> =
            request.into_inner().requests.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
        // Beside each other: a group that is busy must not keep the others' leaders waiting.
        let outcomes = join_all(requests.into_iter().map(|request| self.acceptor.append(request))).await;
        Ok(Response::new(proto::HeartbeatOutcomes { outcomes: outcomes.into_iter().map(Into::into).collect() }))
    }

    async fn request_vote(&self, request: Request<proto::VoteRequest>) -> Result<Response<proto::VoteReply>, Status> {
        let reply = self.acceptor.vote(request.into_inner().try_into()?).await?;
        Ok(Response::new(reply.into()))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<proto::SnapshotPart>>,
    ) -> Result<Response<proto::SnapshotReply>, Status> {
        let snapshot =
            within(SNAPSHOT_TIMEOUT, async { collect(request.into_inner()).await.map(Response::new) }).await?;
        let vote = self.acceptor.snapshot(snapshot).await?;
        Ok(Response::new(proto::SnapshotReply { vote: Some(vote.into()) }))
    }

    async fn transfer(
        &self,
        request: Request<proto::TransferRequest>,
    ) -> Result<Response<proto::TransferReply>, Status> {
        self.acceptor.transfer(request.into_inner().try_into()?).await?;
        Ok(Response::new(proto::TransferReply {}))
    }
}

/// Puts a snapshot together. It must be as long as its header says.
async fn collect(mut parts: Streaming<proto::SnapshotPart>) -> Result<SnapshotRequest, Status> {
    let Some(Part::Header(header)) = parts.message().await?.and_then(|first| first.part) else {
        return Err(Malformed("snapshot.header").into());
    };
    let expected = usize::try_from(header.state_bytes).unwrap_or(usize::MAX);
    if expected > SNAPSHOT_BYTES_MAX {
        return Err(Status::out_of_range(format!("a snapshot may have at most {SNAPSHOT_BYTES_MAX} bytes")));
    }
    let mut state = BytesMut::new();
    while let Some(next) = parts.message().await? {
        let Some(Part::State(piece)) = next.part else { return Err(Malformed("snapshot.state").into()) };
        if state.len() + piece.len() > expected {
            return Err(Malformed("snapshot.state_bytes").into());
        }
        state.extend_from_slice(&piece);
    }
    if state.len() != expected {
        return Err(Malformed("snapshot.state_bytes").into());
    }
    Ok(snapshot_from_parts(header, state.freeze())?)
}

#[async_trait]
impl RaftDialer for GrpcDialer {
    async fn append(&self, to: &RouterInfo, request: AppendRequest) -> Result<AppendReply, RaftCallError> {
        let (group, mut client) = (request.receiver.group, raft_client(self, to)?);
        let reply = within(CALL_TIMEOUT, client.append(proto::AppendRequest::from(request))).await;
        checked(to, reply.map_err(|status| raft_error(to, group, &status))?)
    }

    async fn heartbeat(&self, to: &RouterInfo, request: AppendRequest) -> Result<AppendReply, RaftCallError> {
        heartbeats::send(self, to, request).await
    }

    async fn vote(&self, to: &RouterInfo, request: VoteRequest) -> Result<VoteReply, RaftCallError> {
        let (group, mut client) = (request.receiver.group, raft_client(self, to)?);
        let reply = within(CALL_TIMEOUT, client.request_vote(proto::VoteRequest::from(request))).await;
        checked(to, reply.map_err(|status| raft_error(to, group, &status))?)
    }

    async fn snapshot(&self, to: &RouterInfo, request: SnapshotRequest) -> Result<Vote, RaftCallError> {
        let (group, mut client) = (request.receiver.group, raft_client(self, to)?);
        let reply = within(SNAPSHOT_TIMEOUT, client.install_snapshot(tokio_stream::iter(parts(request)))).await;
        checked(to, reply.map_err(|status| raft_error(to, group, &status))?)
    }

    async fn transfer(&self, to: &RouterInfo, request: TransferRequest) -> Result<(), RaftCallError> {
        let (group, mut client) = (request.receiver.group, raft_client(self, to)?);
        let reply = within(CALL_TIMEOUT, client.transfer(proto::TransferRequest::from(request))).await;
        reply.map(drop).map_err(|status| raft_error(to, group, &status))
    }
}

pub(super) fn raft_client(dialer: &GrpcDialer, to: &RouterInfo) -> Result<RaftClient<Channel>, LinkError> {
    let channel = dialer.channel(&to.address, Some(&to.name))?;
    Ok(RaftClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX))
}

/// A snapshot as messages: the pieces share its buffer.
fn parts(snapshot: SnapshotRequest) -> impl Iterator<Item = proto::SnapshotPart> {
    let (header, mut state) = snapshot_header(snapshot);
    let pieces = std::iter::from_fn(move || {
        let piece: Bytes = state.split_to(state.len().min(PIECE_BYTES));
        (!piece.is_empty()).then_some(Part::State(piece))
    });
    std::iter::once(Part::Header(header)).chain(pieces).map(|part| proto::SnapshotPart { part: Some(part) })
}

fn checked<T, P: TryInto<T, Error = Malformed>>(to: &RouterInfo, reply: P) -> Result<T, RaftCallError> {
    let reply = reply.try_into().map_err(|malformed| malformed.into_refusal(&to.address));
    reply.map_err(RaftCallError::Link)
}

impl From<RaftRefusal> for Status {
    fn from(refusal: RaftRefusal) -> Self {
        match refusal {
            RaftRefusal::NoReplica(_) => Status::not_found(refusal.to_string()),
            RaftRefusal::OtherNode(reason) => Status::aborted(reason),
            RaftRefusal::Stopped(reason) => Status::failed_precondition(reason),
        }
    }
}

pub(super) fn raft_error(to: &RouterInfo, group: GroupId, status: &Status) -> RaftCallError {
    match status.code() {
        Code::NotFound => RaftRefusal::NoReplica(group).into(),
        Code::Aborted => RaftRefusal::OtherNode(status.message().to_owned()).into(),
        Code::FailedPrecondition => RaftRefusal::Stopped(status.message().to_owned()).into(),
        _ => call_error(&to.address, status).into(),
    }
}
