//! Ends or detaches the sessions that nobody will end otherwise: those of connection managers that are lost, those that a manager
//! that is there does not speak of, those that have waited for their client for long enough. Sees to sessions that have ended and
//! whose contacts were not told.

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
        let (mut sessions, mut detached) = (0, 0);
        for leading in router.led_shards() {
            leading.group.read(|machine| {
                sessions += machine.0.len();
                detached += machine.0.all().filter(|record| record.detached().is_some()).count();
            });
            for key in to_end(&leading, now) {
                end(&leading, key);
            }
            leading.settle_departed();
        }
        router.managers.forget_lost(now, router.config.manager_grace);
        router.metrics.sessions.set(sessions as i64);
        router.metrics.detached.set(detached as i64);
        router.metrics.managers.set(router.managers.links().len() as i64);
    }
}

/// What becomes of a session that nobody looks after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It ends.
    Ends,
    /// It waits for its client to resume it.
    Detaches,
}

fn to_end(leading: &Leading, now: Instant) -> Vec<SessionKey> {
    leading.group.read(|machine| {
        let lost = machine.0.managers().filter(|(name, _)| is_lost(leading, name, now));
        let lost: Vec<_> = lost.map(|(name, _)| name.clone()).collect();
        let has_fate = |record: &&Record| fate_of(leading, record, lost.contains(&record.manager), now).is_some();
        machine.0.all().filter(has_fate).map(|record| record.session.key).take(AT_ONCE).collect()
    })
}

/// What becomes of a session if nobody looks after it; `None`: somebody does. To be asked among the events of its account: while
/// one binds it, its manager may not have heard of it yet.
pub fn fate(leading: &Leading, key: SessionKey) -> Option<Fate> {
    let now = clock::instant();
    leading.group.read(|machine| {
        let record = machine.0.record(key)?;
        fate_of(leading, record, is_lost(leading, &record.manager, now), now)
    })
}

fn fate_of(leading: &Leading, record: &Record, is_lost: bool, now: Instant) -> Option<Fate> {
    let key = record.session.key;
    if let Some(resumption) = record.detached() {
        let waits_for = Duration::from_secs(resumption.seconds.into());
        return (leading.detached_for(key, now) >= waits_for).then_some(Fate::Ends);
    }
    let is_abandoned = is_lost || is_silent(leading, key, &record.manager, now);
    is_abandoned.then_some(if record.resumption.is_some() { Fate::Detaches } else { Fate::Ends })
}

/// Whether the manager that a session was last at is lost.
pub fn is_without_manager(leading: &Leading, key: SessionKey) -> bool {
    let manager = leading.group.read(|machine| machine.0.record(key).map(|record| record.manager.clone()));
    manager.is_some_and(|manager| is_lost(leading, &manager, clock::instant()))
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
