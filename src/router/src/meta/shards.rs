//! What each router does with the placement: opens the replicas that are its own, and follows who leads them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tracing::{Instrument, Span, info_span};
use vesta_wire::attach::{Leader, RouterInfo};
use vesta_wire::raft::GroupId;
use vesta_wire::{NodeId, ShardId, Term};

use crate::raft::{ChangeError, Group, Leadership, RaftHost};
use crate::router::Router;
use crate::shard::leading::{Leading, ShardMachine};

/// How long the preferred leader of a new shard is waited for before another founds its group.
const PREFERRED_FIRST: Duration = Duration::from_secs(3);

/// Runs until the router ends.
pub async fn keep(router: Arc<Router>, host: RaftHost) {
    let Some(meta) = router.meta().cloned() else { return };
    let mut applied = meta.applied();
    let mut open = HashSet::new();
    loop {
        applied.borrow_and_update();
        if router.shards() > 0 {
            router.set_founded();
        }
        let own = router.node();
        let shards: Vec<_> = meta.read(|machine| {
            let all = (0..machine.0.shards()).map(ShardId);
            let held = all.filter(|shard| machine.0.voters(*shard).contains(&own));
            held.map(|shard| (shard, voters(&machine.0, shard))).collect()
        });
        for (shard, voters) in shards {
            if open.insert(shard) && !open_shard(&router, &host, shard, voters).await {
                return;
            }
        }
        if applied.changed().await.is_err() {
            return;
        }
    }
}

fn voters(state: &super::state::MetaState, shard: ShardId) -> Vec<RouterInfo> {
    state.voters(shard).iter().filter_map(|node| state.router(*node).cloned()).collect()
}

/// Opens one replica. `false`: it can't be opened, the router ends.
async fn open_shard(router: &Arc<Router>, host: &RaftHost, shard: ShardId, voters: Vec<RouterInfo>) -> bool {
    let id = GroupId(shard.0 + 1);
    let opened = host.open_group(id, router.node(), ShardMachine::default(), router.dialers.raft.clone()).await;
    let group = match opened {
        Ok(group) => group,
        Err(error) => {
            tracing::error!(%shard, %error, "a shard's replica can't be opened: the router ends");
            router.cancel.cancel();
            return false;
        }
    };
    router.hold(shard, group.clone());
    router.spawn(follow(router.clone(), shard, group.clone()));
    let preferred = voters.first().is_some_and(|first| first.node == router.node());
    let found = async move {
        if !preferred {
            tokio::time::sleep(PREFERRED_FIRST).await;
        }
        // Does nothing where the group has a membership already.
        if let Err(error) = group.initialize(&voters).await {
            tracing::error!(%shard, %error, "a shard's group can't be founded");
        }
    };
    if preferred {
        found.await
    } else {
        router.spawn(found)
    }
    true
}

/// Follows who leads a shard, and leads it while this node does.
async fn follow(router: Arc<Router>, shard: ShardId, group: Group<ShardMachine>) {
    let mut leadership = group.leadership();
    // For the traces: from its election until it leads, while it applies what earlier leaders have left.
    let mut taking_over = Span::none();
    loop {
        let now = *leadership.borrow_and_update();
        let is_elected = now.leader == Some(router.node()) && router.holding(shard).is_none();
        if is_elected && taking_over.is_none() {
            taking_over = info_span!("take over a shard", vesta.shard = shard.0, raft.term = now.term.0);
        }
        match router.holding(shard) {
            Some(led) if led.fence.term != now.term.0 => {
                tracing::info!(%shard, term = led.fence.term, "leads no longer");
                router.set_acts(shard, false);
                tell(&router, shard, Leadership { leading: false, ..now });
                led.end().await;
                router.lead(shard, None);
                // Looks again: this node may lead in the new term.
                continue;
            }
            Some(led) => set_acting(&router, &led, now.leading),
            None if now.leading => {
                taking_over.in_scope(|| tracing::info!(%shard, term = now.term.0, "leads"));
                let leading = Leading::new(router.clone(), shard, now.term, group.clone());
                router.lead(shard, Some(Arc::new(leading)));
            }
            None => {}
        }
        if now.leading || !is_elected {
            taking_over = Span::none();
        }
        tell(&router, shard, now);
        if leadership.changed().await.is_err() {
            return;
        }
    }
}

/// A leader whom no majority has answered for a while waits: nobody else leads in its term, so that it goes on where it was as soon
/// as one answers.
pub(crate) fn set_acting(router: &Router, led: &Arc<Leading>, acts: bool) {
    if !router.set_acts(led.shard, acts) {
        return;
    }
    if acts {
        tracing::info!(shard = %led.shard, term = led.fence.term, "leads again");
        led.resume();
    } else {
        tracing::warn!(shard = %led.shard, term = led.fence.term, "waits: no majority answers, or another router takes over");
        led.hold();
    }
}

/// Hands every shard that this node leads to another voter, so that nobody has to wait for an election when it stops. What can't
/// be handed over in time is elected anew by the others.
#[tracing::instrument(name = "hand over the shards", skip_all, fields(vesta.shards = router.led_shards().len()))]
pub async fn hand_over(router: &Router) {
    futures_util::future::join_all(router.led_shards().iter().map(|leading| hand_over_one(router.node(), leading)))
        .await;
}

async fn hand_over_one(own: NodeId, leading: &Leading) {
    let heirs = leading.group.status().voters.into_iter().filter(|voter| *voter != own);
    for heir in heirs {
        let span = info_span!("hand over a shard", vesta.shard = leading.shard.0, vesta.heir = heir.0);
        match leading.group.transfer_leadership(heir).instrument(span).await {
            Ok(()) | Err(ChangeError::NotLeader(_)) => return leading.handed_on().await,
            Err(error) => tracing::warn!(shard = %leading.shard, %heir, %error, "a shard could not be handed over"),
        }
    }
}

fn tell(router: &Router, shard: ShardId, leadership: Leadership) {
    let own = router.node();
    let node = leadership.leader.filter(|node| *node != own || leadership.leading);
    // Term 0 is nobody's.
    if leadership.term > Term(0) {
        router.set_leader(Leader { shard, term: leadership.term, node });
    }
}
