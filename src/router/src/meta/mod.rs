//! Group 0, `meta`: who belongs to the cluster and which routers hold which shard; and what follows from it on each node.
//!
//! | file | subject |
//! |---|---|
//! | [`state`] | the replicated state |
//! | [`join`] | how a router founds a cluster or is admitted to one |
//! | [`members`] | what the leader of `meta` does: voters, placement |
//! | [`shards`] | what each router does with the placement: replicas, leaderships |

pub mod join;
pub mod members;
pub mod shards;
pub mod state;

use bytes::Bytes;
use state::{MetaCommand, MetaOutcome, MetaState};

use crate::raft::{Machine, RestoreError};

/// The state of `meta` as a Raft group applies it.
#[derive(Debug, Default)]
pub struct MetaMachine(pub MetaState);

impl Machine for MetaMachine {
    // The index of an entry becomes the id of the router that it admits.
    const COMMANDS_PER_ENTRY: usize = 1;

    fn apply(&mut self, index: u64, command: &[u8]) -> Bytes {
        match MetaCommand::decode(command) {
            Ok(command) => self.0.apply(index, command).encode(),
            Err(error) => crate::unreadable(&error),
        }
    }

    fn snapshot(&self) -> Bytes {
        self.0.encode()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        self.0 = MetaState::decode(snapshot).map_err(|error| RestoreError(error.to_string()))?;
        Ok(())
    }
}

/// Proposes a command to `meta`, if this node leads it.
///
/// # Errors
/// It does not, or the group can't agree.
pub async fn propose(
    meta: &crate::raft::Group<MetaMachine>,
    command: &MetaCommand,
) -> Result<MetaOutcome, crate::raft::ProposeError> {
    let reply = meta.propose(command.encode()).await?;
    MetaOutcome::decode(&reply).map_err(|error| {
        tracing::error!(%error, "the reply of meta can't be read");
        crate::raft::ProposeError::Undecided
    })
}
