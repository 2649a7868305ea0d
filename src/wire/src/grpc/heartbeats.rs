//! Heartbeats of Raft groups. A router leads many groups and tells each follower four times a second that it lives; those to one
//! router travel together. A call of its own for each took a third of a core in an idle cluster of 64 shards.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::CALL_TIMEOUT;
use super::dialer::{GrpcDialer, within};
use super::raft::{raft_client, raft_error};
use crate::attach::RouterInfo;
use crate::link::LinkError;
use crate::proto;
use crate::raft::{AppendReply, AppendRequest, GroupId, RaftCallError, RaftRefusal};

/// How long the first one waits for others: those of a router's groups are sent at the same moment, one after another. Far below the
/// time that a group waits for a heartbeat's answer, 250 ms by default.
const WINDOW: Duration = Duration::from_millis(10);

type Outcome = Result<AppendReply, RaftCallError>;

/// Those that wait to go, by the address and name of their router: one at most for each group that is led here.
#[derive(Default)]
pub(super) struct Heartbeats(Mutex<HashMap<RouterInfo, Vec<Waiting>>>);

struct Waiting {
    request: AppendRequest,
    reply: oneshot::Sender<Outcome>,
}

/// Sends a heartbeat with whatever else goes to the same router within [`WINDOW`].
pub(super) async fn send(dialer: &GrpcDialer, to: &RouterInfo, request: AppendRequest) -> Outcome {
    let (reply, outcome) = oneshot::channel();
    let is_first = {
        let mut waiting = dialer.heartbeats().0.lock();
        let waiting = waiting.entry(to.clone()).or_default();
        waiting.push(Waiting { request, reply });
        waiting.len() == 1
    };
    if is_first {
        let (dialer, to) = (dialer.clone(), to.clone());
        // A task: whoever came first may give up before the others.
        dialer.clone().spawn(async move {
            tokio::time::sleep(WINDOW).await;
            let batch = dialer.heartbeats().0.lock().remove(&to).unwrap_or_default();
            deliver(&dialer, &to, batch).await;
        });
    }
    let stopped = || LinkError::Unreachable { address: to.address.to_string(), reason: "this node stops".into() };
    outcome.await.unwrap_or_else(|_| Err(stopped().into()))
}

async fn deliver(dialer: &GrpcDialer, to: &RouterInfo, batch: Vec<Waiting>) {
    let taken_apart = |Waiting { request, reply }: Waiting| {
        let group = request.receiver.group;
        (request, (group, reply))
    };
    let (requests, replies): (Vec<_>, Vec<_>) = batch.into_iter().map(taken_apart).unzip();
    let outcomes = call(dialer, to, requests).await;
    for (place, (group, reply)) in replies.into_iter().enumerate() {
        let outcome = match &outcomes {
            Ok(outcomes) => outcome(to, group, outcomes.get(place).cloned()),
            Err(status) => Err(raft_error(to, group, status)),
        };
        // Whoever asked may have given up.
        let _ = reply.send(outcome);
    }
}

async fn call(
    dialer: &GrpcDialer,
    to: &RouterInfo,
    requests: Vec<AppendRequest>,
) -> Result<Vec<proto::HeartbeatOutcome>, tonic::Status> {
    let mut client = raft_client(dialer, to).map_err(|error| tonic::Status::unavailable(error.to_string()))?;
    let batch = proto::HeartbeatBatch { requests: requests.into_iter().map(Into::into).collect() };
    Ok(within(CALL_TIMEOUT, client.heartbeat(batch)).await?.outcomes)
}

fn outcome(to: &RouterInfo, group: GroupId, outcome: Option<proto::HeartbeatOutcome>) -> Outcome {
    use proto::heartbeat_outcome::Outcome;
    let malformed = |what| RaftCallError::Link(crate::convert::Malformed(what).into_refusal(&to.address));
    match outcome.and_then(|it| it.outcome).ok_or_else(|| malformed("heartbeat_outcome.outcome"))? {
        Outcome::Reply(reply) => {
            reply.try_into().map_err(|error: crate::convert::Malformed| error.into_refusal(&to.address).into())
        }
        Outcome::NoReplica(_) => Err(RaftRefusal::NoReplica(group).into()),
        Outcome::OtherNode(reason) => Err(RaftRefusal::OtherNode(reason).into()),
        Outcome::Stopped(reason) => Err(RaftRefusal::Stopped(reason).into()),
    }
}

impl From<Result<AppendReply, RaftRefusal>> for proto::HeartbeatOutcome {
    fn from(result: Result<AppendReply, RaftRefusal>) -> Self {
        use proto::heartbeat_outcome::{NoReplica, Outcome};
        let outcome = match result {
            Ok(reply) => Outcome::Reply(reply.into()),
            Err(RaftRefusal::NoReplica(_)) => Outcome::NoReplica(NoReplica {}),
            Err(RaftRefusal::OtherNode(reason)) => Outcome::OtherNode(reason),
            Err(RaftRefusal::Stopped(reason)) => Outcome::Stopped(reason),
        };
        Self { outcome: Some(outcome) }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::NodeId;
    use crate::raft::{Receiver, Vote};
    use crate::tls::Security;

    #[tokio::test]
    async fn those_to_one_router_wait_for_each_other_and_those_to_another_do_not() {
        let dialer = GrpcDialer::new(Security::PlainText, TaskTracker::new(), CancellationToken::new());
        let router = |node| RouterInfo { node: NodeId(node), name: "".into(), address: "127.0.0.1:1".into() };
        let beat = |node, group| AppendRequest {
            receiver: Receiver { group: GroupId(group), node: NodeId(node) },
            vote: Vote { term: 1, node: NodeId(9), committed: true },
            previous: None,
            entries: Vec::new(),
            committed: None,
        };
        let (one, other) = (router(1), router(2));
        let mut first = pin!(send(&dialer, &one, beat(1, 1)));
        let mut second = pin!(send(&dialer, &one, beat(1, 2)));
        let mut third = pin!(send(&dialer, &other, beat(2, 1)));
        assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending() && poll!(&mut third).is_pending());
        let waiting = |router| dialer.heartbeats().0.lock().get(router).map_or(0, Vec::len);
        assert_eq!((waiting(&one), waiting(&other)), (2, 1));
        for outcome in [first.await, second.await, third.await] {
            assert!(matches!(outcome, Err(RaftCallError::Link(LinkError::Unreachable { .. }))), "{outcome:?}");
        }
        assert_eq!((waiting(&one), waiting(&other)), (0, 0));
    }
}
