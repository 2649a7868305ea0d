//! Many Raft groups on one node, on openraft (0.10.0-alpha.37), whose types stay in this module.
//!
//! A [`RaftHost`] keeps the logs of all groups (in memory, or on one shared disk with one fsync per batch) and hands the calls of
//! other nodes to the right one. A [`Group`] is one replica: it takes commands, applies them to a [`Machine`], and says who leads.
//!
//! ```text
//! Group::propose ─ proposals ─ openraft ─┬─ log ── disk (one thread, one fsync for all groups)
//!                                        ├─ network ── RaftDialer ⇢ RaftAcceptor of the other nodes
//! Group::read ──── machine ◄─────────────┘
//! Group::leadership ◄─ leadership ◄─ openraft's metrics
//! ```
//!
//! What openraft does not do by itself and is done here: putting proposals together (`proposals`); a `leading` that holds only
//! while the lease does (`leadership`); a log that refuses to run on damaged data (`marks`); a leadership transfer
//! that ends in time ([`Group::transfer_leadership`]).
//!
//! | file | subject |
//! |---|---|
//! | `host` | the replicas of a node, dispatch of calls, the node's identity |
//! | `group` | the handle to one replica |
//! | `machine` | replicated state and snapshots |
//! | `proposals` | batching of commands |
//! | `leadership` | who may act as leader |
//! | `log` | the log of a group, for openraft |
//! | `disk` | the thread that writes for all groups |
//! | `database`, `marks` | what lies where on the disk, and how damage is found |
//! | `codec` | the format on the disk |
//! | `network`, `convert`, `types` | calls to other members; openraft's types and ours |
//! | `settings` | times and sizes |
//! | `runtime` | tokio, with the ticks of all groups falling together |

mod codec;
mod convert;
mod database;
mod disk;
mod group;
mod host;
mod leadership;
mod log;
mod machine;
mod marks;
mod network;
mod proposals;
mod runtime;
mod settings;
mod types;

pub use group::{ChangeError, Group, GroupStatus};
pub use host::{FailureHandler, OpenError, RaftHost, abort};
pub use leadership::Leadership;
pub use machine::{Machine, RestoreError};
pub use proposals::ProposeError;
pub use settings::{BadSettings, RaftSettings};

#[cfg(test)]
mod tests;
