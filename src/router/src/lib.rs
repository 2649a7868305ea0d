//! The session-routing tier: who is connected, in what presence, and where each stanza goes.
//!
//! | folder | subject |
//! |---|---|
//! | [`raft`] | many Raft groups on one node, on openraft |
//! | [`meta`] | group 0: the routers of the cluster, and which of them hold which shard |
//! | [`shard`] | the sessions of the accounts that hash to a shard, and the work of its leader |
//! | [`links`] | connection managers and other routers: what comes in, what goes out, what waits |
//! | [`router`] | the node: its shards and links, and the way of a stanza between them |
//! | `retention` | what archives need not keep any longer |
//! | [`administration`] | what operators and other routers may ask |

pub mod administration;
mod clock;
pub mod config;
pub mod links;
pub mod meta;
pub mod metrics;
pub mod raft;
mod retention;
pub mod router;
pub mod shard;
mod sweep;
#[cfg(test)]
mod tests;

pub use config::{Founder, LogPlace, RouterConfig};
pub use metrics::RouterMetrics;
pub use router::{Acceptor, Dialers, Parts, Router};

/// The log holds something that this version can't read. Going on would let this replica's state part from the others': the
/// process ends.
fn unreadable(error: &dyn std::fmt::Display) -> ! {
    tracing::error!(%error, "this version is too old for what the cluster has agreed on: the process ends. Upgrade it.");
    std::process::exit(70);
}
