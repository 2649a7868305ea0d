//! A shard: the sessions of the accounts that hash to it, replicated, and the work of its leader.
//!
//! ```text
//!  replicated (every voter)            in memory of the leader
//!  ┌──────────────────────┐   ┌─────────────────────────────────────────┐
//!  │ state: who is bound  │   │ queue: the events of each account       │
//!  │ codec: as log entries│   │ delivery: inbox and outbox per session  │
//!  │                      │   │ dedup: which stanzas were worked at     │
//!  └──────────────────────┘   └─────────────────────────────────────────┘
//! ```
//!
//! [`leading::Leading`] is made when this node becomes the leader and dropped when it no longer is; it holds the shard's fence.

pub mod codec;
pub mod dedup;
pub mod delivery;
pub mod held_back;
pub mod inbox;
pub mod leading;
pub mod logging;
pub mod outbox;
pub mod ports;
pub mod process;
pub mod queue;
pub mod resuming;
pub mod state;
pub mod work;
