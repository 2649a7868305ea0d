//! Proposals, put together: what arrives while an entry is on its way to the majority goes into the next one. A login storm so
//! becomes a few large entries, and a lonely proposal waits for nobody.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use openraft::Raft;
use openraft::errors::{ClientWriteError, RaftError};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;
use vesta_wire::NodeId;

use super::codec;
use super::machine::{Machine, StateMachine};
use super::types::Types;

/// Why a proposal has no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Not proposed: this node doesn't lead the group (any more), or its lease has lapsed. The one that does, where it is known.
    #[error("this node does not lead the group")]
    NotLeader(Option<NodeId>),
    /// Proposed, and no telling whether it is or will be applied: no majority answered in time, another leader took over, or the
    /// replica stopped. The proposer must be able to repeat it.
    #[error("it is not known whether the proposal was applied")]
    Undecided,
}

/// A command on its way, and who waits for the reply.
pub(crate) struct Proposal {
    pub(crate) command: Bytes,
    pub(crate) reply: oneshot::Sender<Result<Bytes, ProposeError>>,
}

/// Proposes what comes out of the queue, one entry at a time, until the queue is closed.
pub(crate) async fn run<M: Machine>(
    raft: Raft<Types, StateMachine<M>>,
    mut queue: mpsc::Receiver<Proposal>,
    timeout: Duration,
) {
    while let Some(first) = queue.recv().await {
        let (commands, waiting) = gather(first, &mut queue, M::COMMANDS_PER_ENTRY);
        let entry = codec::encode_batch(&commands);
        let outcome = match tokio::time::timeout(timeout, raft.client_write(entry)).await {
            Ok(Ok(response)) => Ok(response.data),
            Ok(Err(error)) => Err(explain(error)),
            Err(_) => Err(ProposeError::Undecided),
        };
        settle(waiting, outcome);
    }
}

fn gather(
    first: Proposal,
    queue: &mut mpsc::Receiver<Proposal>,
    most: usize,
) -> (Vec<Bytes>, Vec<oneshot::Sender<Result<Bytes, ProposeError>>>) {
    let mut bytes = first.command.len();
    let (mut commands, mut waiting) = (vec![first.command], vec![first.reply]);
    while commands.len() < most && bytes < ENTRY_BYTES {
        let Ok(next) = queue.try_recv() else { break };
        bytes += next.command.len();
        commands.push(next.command);
        waiting.push(next.reply);
    }
    (commands, waiting)
}

fn settle(waiting: Vec<oneshot::Sender<Result<Bytes, ProposeError>>>, outcome: Result<Vec<Bytes>, ProposeError>) {
    let mut replies = outcome.map(VecDeque::from);
    for proposer in waiting {
        let reply = match &mut replies {
            Ok(replies) => Ok(replies.pop_front().unwrap_or_default()),
            Err(error) => Err(*error),
        };
        // A proposer that has gone away misses its reply; the command is applied all the same.
        let _ = proposer.send(reply);
    }
}

fn explain(error: RaftError<Types, ClientWriteError<Types>>) -> ProposeError {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => {
            ProposeError::NotLeader(forward.leader_id.map(NodeId))
        }
        RaftError::APIError(error) => {
            warn!(%error, "a proposal was cut off");
            ProposeError::Undecided
        }
        RaftError::Fatal(error) => {
            warn!(%error, "a proposal met a replica that has stopped");
            ProposeError::Undecided
        }
    }
}

/// The commands that may wait; whoever comes later waits for a place.
pub(crate) const QUEUE: usize = 4096;

/// An entry takes no further command once it holds so many bytes.
const ENTRY_BYTES: usize = 256 * 1024;
