//! Takes away what archives need not keep any longer, in small steps. For each virtual host one router does it: the one that leads the
//! shard of the host's own address.

use std::sync::Arc;
use std::time::Duration;

use vesta_wire::ids::shard_of;

use crate::clock;
use crate::router::Router;

/// How often it is looked whether there is something.
const EVERY: Duration = Duration::from_secs(60);
/// How many entries are taken in a step. The database has others to serve.
const STEP: u32 = 500;
/// How long it rests between two steps.
const REST: Duration = Duration::from_millis(200);

/// Runs until the router ends.
pub async fn run(router: Arc<Router>) {
    router.founded().await;
    let mut tick = tokio::time::interval(EVERY);
    loop {
        tick.tick().await;
        for host in router.hosts.iter() {
            prune(&router, &host.domain).await;
        }
    }
}

async fn prune(router: &Router, domain: &str) {
    let is_ours = || router.leading(shard_of(domain, router.shards())).is_some();
    while is_ours() {
        match router.engine.prune(domain, &*router.store, clock::now(), STEP).await {
            Ok(taken) => {
                router.metrics.pruned(taken);
                if taken < u64::from(STEP) {
                    return;
                }
            }
            Err(error) => return tracing::warn!(domain, %error, "old messages stay in the archives for now"),
        }
        tokio::time::sleep(REST).await;
    }
}
