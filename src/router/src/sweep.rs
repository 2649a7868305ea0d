//! Ends the sessions that nobody will end otherwise: those of connection managers that are lost, and those that a manager that is
//! there does not speak of. Sees to sessions that have ended and whose contacts were not told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use vesta_engine::SessionKey;
use vesta_wire::attach::EndReason;
use vesta_wire::{Epoch, ManagerName};

use crate::clock;
use crate::router::Router;
use crate::shard::leading::Leading;
use crate::shard::work::Work;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(1);
/// How many sessions of one shard are ended at a time: the proposals of more would queue up before everything else.
const AT_ONCE: usize = 2_000;
/// How long a manager whose link is up has to announce a session to a new leader.
const ANNOUNCE_WITHIN: Duration = Duration::from_secs(30);

/// Runs until the router ends.
pub async fn run(router: Arc<Router>) {
    let mut tick = tokio::time::interval(EVERY);
    loop {
        tick.tick().await;
        let now = clock::instant();
        let mut sessions = 0;
        for leading in router.led_shards() {
            sessions += leading.group.read(|machine| machine.0.len());
            for key in to_end(&router, &leading, now) {
                end(&leading, key);
            }
            leading.settle_departed();
        }
        router.managers.forget_lost(now, router.config.manager_grace);
        router.metrics.sessions.set(sessions as i64);
        router.metrics.managers.set(router.managers.links().len() as i64);
    }
}

fn to_end(router: &Router, leading: &Leading, now: Instant) -> Vec<SessionKey> {
    let lost = |name: &ManagerName| router.managers.is_lost(name, leading.since(), now, router.config.manager_grace);
    let settled = now.saturating_duration_since(leading.since()) > ANNOUNCE_WITHIN;
    leading.group.read(|machine| {
        let lost: Vec<_> = machine.0.managers().filter(|(name, _)| lost(name)).map(|(name, _)| name.clone()).collect();
        if lost.is_empty() && !settled {
            return Vec::new();
        }
        let silent = |key: SessionKey, name: &ManagerName| {
            settled && router.managers.attached_for(name, now) > Some(ANNOUNCE_WITHIN) && !leading.delivery.knows(key)
        };
        let over = machine.0.all().filter(|it| lost.contains(&it.manager) || silent(it.session.key, &it.manager));
        over.map(|record| record.session.key).take(AT_ONCE).collect()
    })
}

fn end(leading: &Arc<Leading>, key: SessionKey) {
    let Some(account) = leading.account_of(key) else { return };
    let lost =
        Work::StreamEnded { session: key.number, epoch: Epoch(key.epoch), reason: EndReason::Lost, said_by: None };
    leading.submit_or_refuse(&account, lost);
}
