//! What the leader of `meta` does: founds the state, makes admitted routers members, and places the shards once all founders are
//! there. Every step can be repeated, so a new leader simply goes on.

use std::sync::Arc;
use std::time::Duration;

use vesta_wire::NodeId;
use vesta_wire::attach::RouterInfo;
use vesta_wire::cluster::ClusterId;

use super::state::{MetaCommand, MetaState, RouterEntry, place};
use super::{MetaMachine, propose};
use crate::raft::Group;
use crate::router::Router;

/// How many routers vote in `meta`, where there are as many.
const META_VOTERS: usize = 5;
/// How long to wait before a step that failed is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// Runs until the router ends.
pub async fn keep(router: Arc<Router>, cluster: ClusterId) {
    let Some(meta) = router.meta().cloned() else { return };
    let mut leadership = meta.leadership();
    let mut applied = meta.applied();
    loop {
        let leading = leadership.borrow_and_update().leading;
        applied.borrow_and_update();
        if leading && let Err(reason) = step(&router, &meta, cluster).await {
            tracing::debug!(reason, "a step of the cluster's set-up is tried again");
            tokio::time::sleep(TRY_AGAIN).await;
            continue;
        }
        tokio::select! {
            changed = leadership.changed() => if changed.is_err() { return },
            changed = applied.changed() => if changed.is_err() { return },
        }
    }
}

async fn step(router: &Router, meta: &Group<MetaMachine>, cluster: ClusterId) -> Result<(), String> {
    let state = meta.read(|machine| machine.0.clone());
    if state.cluster().is_none() {
        return found(router, meta, cluster).await;
    }
    let joined = add_members(meta, &state).await;
    make_voters(meta, &state).await?;
    if !state.is_placed() && state.routers().count() >= router.config.founders.len() {
        let routers: Vec<_> = state.routers().cloned().collect();
        let placement = place(state.shards(), &routers);
        tracing::info!(shards = state.shards(), routers = routers.len(), "the shards are placed");
        propose(meta, &MetaCommand::Place(placement)).await.map_err(|error| error.to_string())?;
    }
    joined
}

async fn found(router: &Router, meta: &Group<MetaMachine>, cluster: ClusterId) -> Result<(), String> {
    let own = router.config.founders.iter().find(|founder| founder.name == router.config.name);
    let own = own.ok_or("this router is not among the founders")?;
    let info = RouterInfo { node: router.node(), name: own.name.as_str().into(), address: own.address.as_str().into() };
    let generation = router.store.next_generation().await.map_err(|error| error.to_string())?;
    let shards = router.config.shards;
    let founder = RouterEntry { info, disk: 0 };
    let found = MetaCommand::Found { cluster, generation, shards, founder };
    propose(meta, &found).await.map(drop).map_err(|error| error.to_string())
}

/// Makes members of all routers that were admitted. One that can't be reached keeps none of the others out.
async fn add_members(meta: &Group<MetaMachine>, state: &MetaState) -> Result<(), String> {
    let mut outcome = Ok(());
    for info in state.routers() {
        if !is_member(meta, info.node) {
            tracing::info!(router = %info.name, node = %info.node, "a router becomes a member of meta");
            if let Err(error) = meta.add_learner(info).await {
                outcome = Err(error.to_string());
            }
        }
    }
    outcome
}

async fn make_voters(meta: &Group<MetaMachine>, state: &MetaState) -> Result<(), String> {
    let members = state.routers().map(|info| info.node).filter(|node| is_member(meta, *node));
    let wanted: Vec<NodeId> = members.take(META_VOTERS).collect();
    let voters = meta.membership().voters.last().cloned().unwrap_or_default();
    if wanted.iter().any(|node| !voters.contains(node)) {
        meta.change_voters(wanted).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn is_member(meta: &Group<MetaMachine>, node: NodeId) -> bool {
    meta.membership().members.iter().any(|member| member.node == node)
}
