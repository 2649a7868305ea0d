//! The connection managers as a router sees them: one link each, and what waits for room on it.
//!
//! Nothing that handles stanzas ever waits for a link. A frame that finds it full stays where it is accounted for: a stanza in
//! its session's outbox (the session *lags*), an acceptance in the table of the link, a control frame in the link's own queue.
//! The link's writer sends them as soon as there is room.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use vesta_wire::attach::ToManager;
use vesta_wire::{Epoch, ManagerName, Sequence, SessionId};
use vesta_xmpp::hash::HashMap;

use crate::shard::work::Token;

/// Control frames that may wait for room on one link. More end the link: its manager does not read.
const CONTROL_MAX: usize = 65_536;

/// A link to a connection manager.
#[derive(Debug)]
pub struct ManagerHandle {
    /// Whose.
    pub name: ManagerName,
    sender: mpsc::Sender<ToManager>,
    waiting: Mutex<Waiting>,
    wake: Notify,
    /// Whether the link's reader is in the middle of a batch: acceptances are then sent at its end.
    in_batch: AtomicBool,
    /// More waits than [`CONTROL_MAX`]: the link is to end.
    broken: CancellationToken,
    gone: AtomicBool,
    /// Stanzas of a log whose receipt the manager has not given: their frames are done when it has. `None`: this process is the whole cluster,
    /// and nobody would be left to know.
    on_the_way: Option<Mutex<OnTheWay>>,
}

/// See [`ManagerHandle::try_deliver`]. Bounded by what the link holds.
#[derive(Debug, Default)]
struct OnTheWay {
    last: u64,
    tokens: VecDeque<(u64, Token)>,
}

#[derive(Debug, Default)]
struct Waiting {
    control: VecDeque<ToManager>,
    accepted: HashMap<SessionId, (Epoch, Sequence)>,
    lagging: VecDeque<SessionId>,
}

/// What the writer of a link does next.
pub enum Next {
    /// Send this frame.
    Frame(ToManager),
    /// Send one stanza of this session; put it back with [`ManagerHandle::lag`] while it has more.
    Session(SessionId),
}

impl ManagerHandle {
    /// A handle on the sending half of a link. `wants_receipts`: what a stanza brought forth is done only when the manager has it, so
    /// that it is held by two nodes.
    pub fn new(name: ManagerName, sender: mpsc::Sender<ToManager>, wants_receipts: bool) -> Self {
        Self {
            on_the_way: wants_receipts.then(Mutex::default),
            name,
            sender,
            waiting: Mutex::default(),
            wake: Notify::new(),
            in_batch: AtomicBool::new(false),
            broken: CancellationToken::new(),
            gone: AtomicBool::new(false),
        }
    }

    /// The link is gone. Said before the sessions behind it are looked for, so that none is put behind it unseen.
    pub fn set_gone(&self) {
        self.gone.store(true, Ordering::SeqCst);
        // What was on its way stays in the outboxes, and goes to whichever manager comes.
        self.taken(u64::MAX, &[]);
    }

    /// The manager has everything up to this receipt, but what it has `refused`: that is undone, and comes again to whoever leads now.
    pub fn taken(&self, receipt: u64, refused: &[u64]) {
        let Some(on_the_way) = &self.on_the_way else { return };
        let come: SmallVec<[(u64, Token); 16]> = {
            let mut on_the_way = on_the_way.lock();
            let count = on_the_way.tokens.partition_point(|(number, _)| *number <= receipt);
            on_the_way.tokens.drain(..count).collect()
        };
        // Not under the lock: a frame that is done may have an answer to be delivered.
        for (number, token) in come {
            if !refused.contains(&number) {
                token.done();
            }
        }
    }

    /// Whether the link is gone.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }

    /// Sends a control frame, in order with other control frames and never behind a later stanza.
    pub fn send(&self, frame: ToManager) {
        let mut waiting = self.waiting.lock();
        if waiting.control.is_empty() {
            match self.sender.try_send(frame) {
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => return,
                Err(mpsc::error::TrySendError::Full(frame)) => waiting.control.push_back(frame),
            }
        } else if waiting.control.len() < CONTROL_MAX {
            waiting.control.push_back(frame);
        } else {
            self.broken.cancel();
        }
        drop(waiting);
        self.wake.notify_one();
    }

    /// Sends a stanza if there is room now, and keeps its token until the manager has it. `false`: there is no room, the stanza must
    /// stay in its outbox.
    pub fn try_deliver(&self, mut frame: ToManager, token: &Token) -> bool {
        let waiting = self.waiting.lock();
        if !waiting.control.is_empty() {
            return false;
        }
        let Ok(permit) = self.sender.try_reserve() else { return false };
        // What is in no log, the next leader could not tell from what has come already.
        if let (Some(on_the_way), ToManager::Deliver { stanza, receipt, .. }) = (&self.on_the_way, &mut frame)
            && stanza.logged > 0
            && token.is_awaited()
        {
            let mut on_the_way = on_the_way.lock();
            // Whoever says so takes everything out afterwards.
            if !self.is_gone() {
                on_the_way.last += 1;
                *receipt = on_the_way.last;
                on_the_way.tokens.push_back((*receipt, token.clone()));
            }
        }
        permit.send(frame);
        true
    }

    /// Has the writer send what the session's outbox holds.
    pub fn lag(&self, session: SessionId) {
        self.waiting.lock().lagging.push_back(session);
        self.wake.notify_one();
    }

    /// Tells the manager that a session's frames up to `sequence` are done, together with what else is to be told.
    pub fn accept(&self, session: SessionId, epoch: Epoch, sequence: Sequence) {
        self.waiting.lock().accepted.insert(session, (epoch, sequence));
        // The reader clears the flag before it flushes: either it sees the entry, or this sees the flag cleared.
        if !self.in_batch.load(Ordering::SeqCst) {
            self.wake.notify_one();
        }
    }

    /// The reader begins a batch.
    pub fn begin_batch(&self) {
        self.in_batch.store(true, Ordering::SeqCst);
    }

    /// The reader has done its batch: acceptances go out.
    pub fn end_batch(&self) {
        self.in_batch.store(false, Ordering::SeqCst);
        let mut waiting = self.waiting.lock();
        if !waiting.control.is_empty() {
            return;
        }
        let Waiting { accepted, .. } = &mut *waiting;
        let mut full = false;
        accepted.retain(|&session, &mut (epoch, sequence)| {
            full = full || self.sender.try_send(ToManager::Accepted { session, epoch, sequence }).is_err();
            full
        });
        if full {
            self.wake.notify_one();
        }
    }

    /// Waits for something to send and for room to send it. `None`: the link has to end, or has ended.
    pub async fn next(&self) -> Option<(mpsc::Permit<'_, ToManager>, Next)> {
        self.broken.run_until_cancelled(self.next_of_link()).await?
    }

    async fn next_of_link(&self) -> Option<(mpsc::Permit<'_, ToManager>, Next)> {
        loop {
            let notified = self.wake.notified();
            if self.is_idle() {
                tokio::select! {
                    () = notified => continue,
                    () = self.sender.closed() => return None,
                }
            }
            let permit = self.sender.reserve().await.ok()?;
            if let Some(next) = self.take() {
                return Some((permit, next));
            }
        }
    }

    /// How many sessions wait for the writer.
    #[cfg(test)]
    pub fn lagging(&self) -> usize {
        self.waiting.lock().lagging.len()
    }

    fn is_idle(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.control.is_empty() && waiting.accepted.is_empty() && waiting.lagging.is_empty()
    }

    fn take(&self) -> Option<Next> {
        let mut waiting = self.waiting.lock();
        if let Some(frame) = waiting.control.pop_front() {
            return Some(Next::Frame(frame));
        }
        if let Some(&session) = waiting.accepted.keys().next()
            && let Some((epoch, sequence)) = waiting.accepted.remove(&session)
        {
            return Some(Next::Frame(ToManager::Accepted { session, epoch, sequence }));
        }
        waiting.lagging.pop_front().map(Next::Session)
    }
}

/// The connection managers that are there, and those that have gone not long ago.
#[derive(Debug, Default)]
pub struct Managers {
    known: Mutex<HashMap<Arc<str>, Known>>,
}

#[derive(Debug)]
struct Known {
    incarnation: u64,
    link: Option<Arc<ManagerHandle>>,
    /// When the link came; without link: when it went.
    since: Instant,
}

impl Managers {
    /// A manager has said hello. The older link of the same name, if there is one, is to be dropped by its reader.
    pub fn attach(&self, link: Arc<ManagerHandle>, now: Instant) {
        let known = Known { incarnation: link.name.incarnation, link: Some(link.clone()), since: now };
        let older = self.known.lock().insert(link.name.name.clone(), known).and_then(|older| older.link);
        if older.is_some_and(|older| older.name.incarnation != link.name.incarnation) {
            tracing::warn!(manager = %link.name, "a newer run of a connection manager takes over while the older one is linked");
        }
    }

    /// A link has gone.
    pub fn detach(&self, link: &Arc<ManagerHandle>, now: Instant) {
        if let Some(known) = self.known.lock().get_mut(&link.name.name)
            && known.link.as_ref().is_some_and(|it| Arc::ptr_eq(it, link))
        {
            known.link = None;
            known.since = now;
        }
    }

    /// Forgets those that have been away for longer than `grace`: nothing depends on them any more (P7).
    pub fn forget_lost(&self, now: Instant, grace: Duration) {
        self.known
            .lock()
            .retain(|_, known| known.link.is_some() || now.saturating_duration_since(known.since) <= grace);
    }

    /// The link to this run of the manager, if it is up.
    pub fn link(&self, name: &ManagerName) -> Option<Arc<ManagerHandle>> {
        let known = self.known.lock();
        known.get(&name.name).filter(|it| it.incarnation == name.incarnation)?.link.clone()
    }

    /// All links that are up.
    pub fn links(&self) -> Vec<Arc<ManagerHandle>> {
        self.known.lock().values().filter_map(|known| known.link.clone()).collect()
    }

    /// For how long the link to this run of a manager has been up; `None`: it is not.
    pub fn attached_for(&self, name: &ManagerName, now: Instant) -> Option<Duration> {
        let known = self.known.lock();
        let known = known.get(&name.name).filter(|it| it.incarnation == name.incarnation && it.link.is_some())?;
        Some(now.saturating_duration_since(known.since))
    }

    /// Whether the sessions of this run of a manager are to end: a newer run has come, or it has been away for longer than
    /// `grace`. One that was never seen counts as away since `since`.
    pub fn is_lost(&self, name: &ManagerName, since: Instant, now: Instant, grace: Duration) -> bool {
        let away = |from: Instant| now.saturating_duration_since(from) > grace;
        match self.known.lock().get(&name.name) {
            Some(known) if known.incarnation != name.incarnation => true,
            Some(Known { link: Some(_), .. }) => false,
            Some(known) => away(known.since.max(since)),
            None => away(since),
        }
    }
}

#[cfg(test)]
mod tests {
    use vesta_wire::ShardId;

    use super::*;
    use crate::clock;

    fn name(incarnation: u64) -> ManagerName {
        ManagerName { name: "cm-1".into(), incarnation }
    }

    fn handle(room: usize) -> (Arc<ManagerHandle>, mpsc::Receiver<ToManager>) {
        let (sender, receiver) = mpsc::channel(room);
        (Arc::new(ManagerHandle::new(name(1), sender, true)), receiver)
    }

    #[tokio::test]
    async fn control_frames_keep_their_order_when_there_is_no_room() {
        let (link, mut receiver) = handle(1);
        for shard in 0..3 {
            let leader = vesta_wire::attach::Leader { shard: ShardId(shard), term: Default::default(), node: None };
            link.send(ToManager::Leaders(vec![leader]));
        }
        assert!(!link.try_deliver(ToManager::Pong, &Token::none()));
        let mut shards = Vec::new();
        while shards.len() < 3 {
            if let Some(ToManager::Leaders(leaders)) = receiver.recv().await {
                shards.push(leaders[0].shard.0);
            }
            if shards.len() < 3 {
                let (permit, next) = link.next().await.expect("the link is up");
                let Next::Frame(frame) = next else { panic!("no session lags") };
                permit.send(frame);
            }
        }
        assert_eq!(shards, [0, 1, 2]);
    }

    #[test]
    fn acceptances_of_a_batch_go_out_together_as_one_per_session() {
        let (link, mut receiver) = handle(8);
        let session = SessionId { shard: ShardId(0), number: 1 };
        link.begin_batch();
        link.accept(session, Epoch(1), Sequence(1));
        link.accept(session, Epoch(1), Sequence(2));
        link.end_batch();
        assert!(matches!(receiver.try_recv(), Ok(ToManager::Accepted { sequence: Sequence(2), .. })));
        assert!(receiver.try_recv().is_err());
    }

    #[test]
    fn a_manager_is_lost_after_its_grace_or_when_a_newer_run_has_come() {
        let managers = Managers::default();
        let start = clock::instant();
        let grace = Duration::from_secs(5);
        let later = start + Duration::from_secs(6);
        let (link, _receiver) = handle(1);
        assert!(!managers.is_lost(&name(1), start, start, grace));
        assert!(managers.is_lost(&name(1), start, later, grace));
        managers.attach(link.clone(), start);
        assert!(!managers.is_lost(&name(1), start, later, grace));
        assert!(managers.is_lost(&name(0), start, start, grace));
        managers.detach(&link, later);
        assert!(!managers.is_lost(&name(1), start, later, grace));
        let much_later = later + Duration::from_secs(6);
        assert!(managers.is_lost(&name(1), start, much_later, grace));
        managers.forget_lost(much_later, grace);
        assert!(managers.known.lock().is_empty());
        assert!(managers.is_lost(&name(1), start, much_later, grace), "also when it is forgotten");
    }

    #[tokio::test]
    async fn a_manager_that_does_not_read_loses_its_link() {
        let (link, _receiver) = handle(1);
        for _ in 0..=CONTROL_MAX + 1 {
            link.send(ToManager::Pong);
        }
        assert!(link.next().await.is_none());
    }
}
