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
use crate::shard::state::Record;
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
            for key in to_end(&leading, now) {
                end(&leading, key);
            }
            leading.settle_departed();
        }
        router.managers.forget_lost(now, router.config.manager_grace);
        router.metrics.sessions.set(sessions as i64);
        router.metrics.managers.set(router.managers.links().len() as i64);
    }
}

fn to_end(leading: &Leading, now: Instant) -> Vec<SessionKey> {
    leading.group.read(|machine| {
        let lost = machine.0.managers().filter(|(name, _)| is_lost(leading, name, now));
        let lost: Vec<_> = lost.map(|(name, _)| name.clone()).collect();
        if lost.is_empty() && !is_settled(leading, now) {
            return Vec::new();
        }
        let is_over = |it: &&Record| lost.contains(&it.manager) || is_silent(leading, it.session.key, &it.manager, now);
        machine.0.all().filter(is_over).map(|record| record.session.key).take(AT_ONCE).collect()
    })
}

/// Whether nobody will end a session but the sweep. To be asked among the events of its account: while one binds it, its manager
/// may not have heard of it yet.
pub fn is_abandoned(leading: &Leading, key: SessionKey) -> bool {
    let now = clock::instant();
    let manager = leading.group.read(|machine| machine.0.record(key).map(|record| record.manager.clone()));
    manager.is_some_and(|manager| is_lost(leading, &manager, now) || is_silent(leading, key, &manager, now))
}

fn is_lost(leading: &Leading, manager: &ManagerName, now: Instant) -> bool {
    let router = &leading.router;
    router.managers.is_lost(manager, leading.since(), now, router.config.manager_grace)
}

/// Whether the session's manager has had its time to announce it here, and has not.
fn is_silent(leading: &Leading, key: SessionKey, manager: &ManagerName, now: Instant) -> bool {
    is_settled(leading, now)
        && leading.router.managers.attached_for(manager, now) > Some(ANNOUNCE_WITHIN)
        && !leading.delivery.knows(key)
}

fn is_settled(leading: &Leading, now: Instant) -> bool {
    now.saturating_duration_since(leading.since()) > ANNOUNCE_WITHIN
}

fn end(leading: &Arc<Leading>, key: SessionKey) {
    let Some(account) = leading.account_of(key) else { return };
    let lost =
        Work::StreamEnded { session: key.number, epoch: Epoch(key.epoch), reason: EndReason::Lost, said_by: None };
    leading.submit_or_refuse(&account, lost);
}
