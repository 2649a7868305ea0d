//! XEP-0198 §5 at a shard's leader: a session goes on over another stream, at whatever connection manager.
//!
//! ```text
//! proof ─► fence: the old stream is heard no more ─► all that it had sent is done ─► Raft: the next epoch ─► answer, then what is missing
//! ```
//!
//! The wait in the middle makes both counts final: the client is told exactly what came, and sends the rest again. It happens
//! beside the account's other events, since what is waited for may be among them.
//!
//! Whoever resumes last has the session: a stream that has resumed it before is closed with `conflict`. Where both the
//! old manager and the leader were lost, nobody knows what came from the client any more; the session ends, and its client
//! binds anew.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use vesta_engine::SessionKey;
use vesta_wire::attach::{BoundSession, Digest, RequestId, ResumedSession, ToManager};
use vesta_wire::{Epoch, Sequence, SessionId, StreamId};
use vesta_xmpp::management::{Counters, Refusal};
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::stream_error::StreamCondition;
use vesta_xmpp::{BareJid, FullJid, StreamError};

use super::delivery::Settled;
use super::leading::Leading;
use super::state::{Command, Outcome, Record, Resumption};
use super::work::Work;
use crate::clock;
use crate::links::managers::ManagerHandle;
use crate::sweep;

/// How long it may take until all is done that the old stream had sent: as long as a database may be away. Then the client may try
/// again.
const SETTLE_PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked meanwhile whether the old manager is lost.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The counts of so many sessions that have ended are kept for their clients (P7), in each shard.
const COUNTS_MAX: usize = 1_024;

/// A client's wish to resume.
#[derive(Clone, Debug)]
pub struct Resume {
    /// To be answered there.
    pub manager: Arc<ManagerHandle>,
    /// The request.
    pub request: RequestId,
    /// The session's number.
    pub number: u64,
    /// What the client proves itself with.
    pub digest: Digest,
    /// How many stanzas it says it got.
    pub handled: u32,
    /// Its new stream.
    pub stream: StreamId,
}

impl Resume {
    fn answer(&self, result: Result<ResumedSession, Refusal>) {
        self.manager.send(ToManager::Resumed { request: self.request, result });
    }
}

/// The counts of sessions that ended while they could be resumed: a client that comes too late learns what was handled (§5).
#[derive(Debug, Default)]
pub struct LastCounts(VecDeque<(Digest, u32)>);

impl LastCounts {
    /// A session has ended with so many of its client's stanzas handled.
    pub fn insert(&mut self, digest: Digest, handled: u32) {
        if self.0.len() >= COUNTS_MAX {
            self.0.pop_front();
        }
        self.0.push_back((digest, handled));
    }

    fn of(&self, digest: Digest) -> Option<u32> {
        self.0.iter().find(|(known, _)| *known == digest).map(|(_, handled)| *handled)
    }
}

/// Begins to resume a session. The answer goes to the manager.
pub fn begin(leading: &Arc<Leading>, account: BareJid, resume: Resume) {
    let leader = leading.clone();
    leading.spawn(async move { prepare(&leader, account, resume).await });
}

/// Waits until the session is settled, then has the account's event take it over.
async fn prepare(leading: &Arc<Leading>, account: BareJid, resume: Resume) {
    let Some((key, _)) = find(leading, &account, &resume) else {
        let handled = leading.last_counts.lock().of(resume.digest);
        return resume.answer(Err(Refusal::Failed { condition: Condition::ItemNotFound, handled }));
    };
    let settled = timeout(SETTLE_PATIENCE, settle(leading, key)).await;
    match settled {
        Ok(true) => leading.submit_or_refuse(&account, Work::Resume { key, resume }),
        Ok(false) => {
            tracing::info!(%account, session = key.number, "a session can't be resumed: its manager and its leader were lost");
            let error = StreamError::new(StreamCondition::Reset).with_text("The session was lost.");
            leading.submit_or_refuse(&account, Work::Close { session: key.number, epoch: Epoch(key.epoch), error });
            resume.answer(Err(Refusal::Failed { condition: Condition::ItemNotFound, handled: None }));
        }
        Err(_) => {
            tracing::warn!(%account, session = key.number, "a session can't be resumed yet: what it had sent is not done");
            resume.answer(Err(Refusal::Failed { condition: Condition::ResourceConstraint, handled: None }));
        }
    }
}

/// The session meant, if the client proves that it is its own.
fn find(leading: &Leading, account: &BareJid, resume: &Resume) -> Option<(SessionKey, Resumption)> {
    leading.group.read(|machine| {
        let record = machine.0.of_number(resume.number)?;
        let resumption = record.resumption.as_deref()?;
        // A digest of 256 bit of a secret: the time that the comparison takes tells nothing of use (T15).
        let is_own = record.session.jid.bare_str() == account.as_str() && resumption.digest == resume.digest;
        is_own.then(|| (record.session.key, resumption.clone()))
    })
}

/// Fences the session and waits until all that came from its client is done. `false`: nobody knows what came.
async fn settle(leading: &Arc<Leading>, key: SessionKey) -> bool {
    loop {
        let Some(step) = leading.delivery.fence(key) else {
            // The leadership is over: the event is handed on.
            return true;
        };
        let mut next = std::pin::pin!(step.notified());
        next.as_mut().enable();
        if leading.delivery.settled(key).is_some() {
            return true;
        }
        if !leading.delivery.knows_inbox(key) && sweep::is_without_manager(leading, key) {
            return false;
        }
        // Looked again after a while in any case: a lost manager tells nothing.
        let _ = timeout(LOOK_EVERY, next).await;
    }
}

/// The event: the session goes on over the stream that asks.
pub async fn resume(leading: &Arc<Leading>, account: &BareJid, key: SessionKey, resume: Resume) {
    let Some((newest, resumption)) = find(leading, account, &resume) else {
        return resume.answer(Err(Refusal::Failed { condition: Condition::ItemNotFound, handled: None }));
    };
    // Another stream has resumed it meanwhile: that one is fenced now. Or something was still under way.
    let Some(settled) = leading.delivery.settled(key).filter(|_| newest == key) else {
        return begin(leading, account.clone(), resume);
    };
    let counters = Counters::new(resumption.received_before, resumption.sent_before);
    let mut counters = counters.with_acknowledged(settled.confirmed.0.max(resumption.sent_before));
    let before = leading.group.read(|machine| machine.0.record(key).cloned());
    if let Err(too_many) = counters.acknowledge(resume.handled, settled.sent.0) {
        // Its client has left the old stream all the same.
        detach(leading, account, key).await;
        if let Some(before) = before {
            close_before(leading, before);
        }
        return resume.answer(Err(Refusal::TooMany(too_many)));
    }
    let delivered = Sequence(counters.acknowledged());
    let command = Command::Resume { key, manager: resume.manager.name.clone(), stream: resume.stream };
    match leading.propose(command).await {
        Ok(Outcome::Resumed { session }) => {
            take_over(leading, session, &resumption, &resume, (settled, delivered));
            if let Some(before) = before.filter(|before| before.session.key != session) {
                close_before(leading, before);
            }
        }
        Ok(_) => resume.answer(Err(Refusal::Failed { condition: Condition::ItemNotFound, handled: None })),
        // It may be resumed yet. The manager asks again, here or elsewhere, and its stream gets the epoch that it has.
        Err(_) => leading.not_leader(&resume.manager, resume.request),
    }
}

fn take_over(
    leading: &Arc<Leading>,
    key: SessionKey,
    resumption: &Resumption,
    resume: &Resume,
    (settled, delivered): (Settled, Sequence),
) {
    let Some(jid) = leading.session(key).map(|session| session.jid.clone()) else { return };
    leading.attached_again(key);
    leading.router.metrics.resumed();
    // Before the stanzas that are sent again.
    resume.answer(Ok(ResumedSession {
        bound: bound(leading, key, jid),
        seconds: resumption.seconds,
        accepted: settled.accepted,
        received_before: Sequence(resumption.received_before),
        delivered,
        sent_before: Sequence(resumption.sent_before),
        logged: settled.logged,
    }));
    if leading.delivery.resumed(key, resume.manager.clone(), delivered) {
        refresh(leading, key);
    }
}

fn bound(leading: &Leading, key: SessionKey, jid: FullJid) -> BoundSession {
    BoundSession { session: SessionId { shard: leading.shard, number: key.number }, epoch: Epoch(key.epoch), jid }
}

/// The stream that the session had before, if it is still there, has nothing to say any more.
fn close_before(leading: &Leading, before: Record) {
    if let Some(link) = leading.router.managers.link(&before.manager) {
        let conflict =
            StreamError::new(StreamCondition::Conflict).with_text("Another stream has resumed this session.");
        leading.send_close(&link, before.session.key, conflict);
    }
}

/// A session's client has missed presence: it is told anew.
pub fn refresh(leading: &Arc<Leading>, key: SessionKey) {
    if let Some(account) = leading.account_of(key) {
        leading.submit_or_refuse(&account, Work::Refresh { session: key });
    }
}

/// From this place on a session's client counts, and may resume the session.
pub fn made_resumable(key: SessionKey, place: Sequence, resumable: &vesta_wire::attach::Resumable) -> Command {
    let resumption = Resumption {
        digest: resumable.digest,
        seconds: resumable.seconds,
        received_before: place.0,
        sent_before: resumable.sent_before.0,
        detached_at: None,
    };
    Command::MakeResumable { key, resumption }
}

/// The connection of a session is lost: it waits for its client.
pub async fn detach(leading: &Arc<Leading>, account: &BareJid, key: SessionKey) {
    match leading.propose(Command::Detach { key, at: clock::now() }).await {
        Ok(_) => tracing::debug!(%account, session = key.number, "session detached"),
        Err(_) => leading.retry(account, Work::Detach { session: key.number, epoch: Epoch(key.epoch) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_ended_sessions_are_kept_for_a_while() {
        let digest = |number: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            Digest(bytes)
        };
        let mut counts = LastCounts::default();
        for number in 0..=COUNTS_MAX {
            counts.insert(digest(number), number as u32);
        }
        assert_eq!(counts.of(digest(0)), None, "the oldest is forgotten");
        assert_eq!(counts.of(digest(COUNTS_MAX)), Some(COUNTS_MAX as u32));
        assert_eq!(counts.0.len(), COUNTS_MAX);
    }
}
