//! Who leads a group, and from when to when a leader may act as one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::Fatal;
use openraft::type_config::alias::WatchReceiverOf;
use openraft::{Instant, ServerState};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use vesta_wire::{NodeId, Term};

use super::types::{Metrics, Types};

/// What a node knows of a group's leader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The newest term that this node has seen.
    pub term: Term,
    /// The leader of that term, where it is known.
    pub leader: Option<NodeId>,
    /// Whether this node leads and may act: it has applied all that earlier leaders committed (up to and including the first
    /// entry of its own term), a majority has answered within the lease, and it is not handing over. It is told as soon as this
    /// ends; a process that was paused learns late, so what it writes elsewhere is fenced by the term (D3).
    pub leading: bool,
}

/// Computes a group's [`Leadership`] from openraft's metrics.
#[derive(Clone)]
pub(crate) struct Observer {
    pub(crate) metrics: WatchReceiverOf<Types, Metrics>,
    pub(crate) lease: Duration,
    pub(crate) handing_over: HandingOver,
}

/// The term in which leadership is being handed over; openraft takes no proposals from then on, until the next term.
#[derive(Clone, Default)]
pub(crate) struct HandingOver(Arc<AtomicU64>);

impl HandingOver {
    /// Marks a term. Terms start at 1.
    pub(crate) fn begin(&self, term: u64) {
        self.0.store(term, Ordering::SeqCst);
    }

    fn is_under_way(&self, term: u64) -> bool {
        self.0.load(Ordering::SeqCst) == term
    }
}

impl Observer {
    /// The present state, and for how much longer a leader leads without another sign of a majority.
    pub(crate) fn assess(&self) -> (Leadership, Option<Duration>) {
        let metrics = self.metrics.borrow_watched();
        let term = metrics.current_term;
        let leader = metrics.current_leader.map(NodeId);
        let elected = metrics.running_state.is_ok() && metrics.state == ServerState::Leader;
        let applied = metrics.last_applied.is_some_and(|last| last.committed_leader_id().term == term);
        let remaining = remaining_lease(&metrics, self.lease);
        let leading = elected && applied && remaining.is_some() && !self.handing_over.is_under_way(term);
        (Leadership { term: Term(term), leader, leading }, remaining.filter(|_| leading))
    }

    /// Publishes changes until the group stops. `failed` is called if it stops by an error.
    pub(crate) async fn run(
        mut self,
        leadership: watch::Sender<Leadership>,
        stop: CancellationToken,
        failed: impl FnOnce(&str),
    ) {
        loop {
            let (now, remaining) = self.assess();
            leadership.send_if_modified(|known| std::mem::replace(known, now) != now);
            let fatal = self.metrics.borrow_watched().running_state.clone().err();
            if let Some(error) = fatal {
                if error != Fatal::Stopped {
                    failed(&error.to_string());
                }
                break;
            }
            tokio::select! {
                () = stop.cancelled() => break,
                changed = self.metrics.changed() => if changed.is_err() { break },
                () = lapse(remaining) => {}
            }
        }
        leadership.send_modify(|known| known.leading = false);
    }
}

/// None if the lease has lapsed. A leader that is its group's only voter needs nobody's answer.
fn remaining_lease(metrics: &Metrics, lease: Duration) -> Option<Duration> {
    let alone = metrics.membership_config.voter_ids().all(|voter| voter == metrics.id);
    if alone {
        return Some(Duration::MAX);
    }
    lease.checked_sub(metrics.last_quorum_acked?.elapsed()).filter(|remaining| !remaining.is_zero())
}

async fn lapse(remaining: Option<Duration>) {
    match remaining {
        Some(remaining) if remaining < Duration::MAX => tokio::time::sleep(remaining).await,
        _ => std::future::pending().await,
    }
}
