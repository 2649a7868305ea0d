//! What a shard's leader holds of each session in memory: inbox, outbox, and the link that the session's stream is behind.
//!
//! A session that is being resumed is *fenced*: what its old stream still sends is not heard, so that the count that the new one is
//! told, and goes on from, is final.

use std::sync::Arc;

use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::Notify;
use vesta_engine::SessionKey;
use vesta_wire::attach::{Target, ToManager};
use vesta_wire::{Epoch, Sequence, SessionId, ShardId, Term};
use vesta_xmpp::client_state::ClientState;
use vesta_xmpp::hash::HashMap;
use vesta_xmpp::{Envelope, Flags};

use super::held_back::HeldBack;
use super::inbox::{Arrival, Inbox};
use super::outbox::Outbox;
use super::work::Token;
use crate::links::managers::ManagerHandle;

/// The sessions of one shard, for as long as this node leads it.
#[derive(Debug)]
pub struct Delivery {
    shard: ShardId,
    term: Term,
    /// By number; `None` once the leadership is over.
    sessions: Mutex<Option<HashMap<u64, Held>>>,
}

#[derive(Debug)]
struct Held {
    epoch: Epoch,
    /// `None` until the manager has announced the session: what was accepted before is not known.
    inbox: Option<Inbox>,
    outbox: Outbox,
    /// `None` until the manager has announced the session, and while its link is away.
    link: Option<Arc<ManagerHandle>>,
    /// Whether the link's writer is sending what the outbox holds: new stanzas queue behind.
    lagging: bool,
    /// Whether the session is about to end because its outbox is full: nothing is sent any more.
    overflowing: bool,
    /// The greatest [`Envelope::logged`] that had come to the manager when it announced the session.
    announced: u64,
    /// What waits while the client is inactive (XEP-0352).
    held_back: Option<Box<HeldBack>>,
    /// While the session is being resumed: told of each step towards its being [`Delivery::settled`].
    fence: Option<Arc<Notify>>,
}

/// What a session comes to when it is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Its inbound frames up to here are done.
    pub accepted: Sequence,
    /// What was sent to its client and not acknowledged is not known here.
    pub lacks: bool,
}

/// A session of which nothing is under way: it can go on over another stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The last frame that came from its client.
    pub accepted: Sequence,
    /// The last frame that was sent to it.
    pub sent: Sequence,
    /// The last of them that it is known to have got.
    pub confirmed: Sequence,
    /// The greatest [`Envelope::logged`] of all that it is known to have got.
    pub logged: u64,
}

/// What is left of a session that has ended.
#[derive(Debug, Default)]
pub struct Remains {
    /// The link that its stream was behind.
    pub link: Option<Arc<ManagerHandle>>,
    /// What its client has not taken, oldest first.
    pub undelivered: Vec<Arc<Envelope>>,
    /// Its inbound frames up to here were done, where that is known.
    pub accepted: Option<Sequence>,
}

/// How far a session has come at its manager, in both directions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// The last stanza for the client that the manager has.
    pub received: Sequence,
    /// The last of them that the client has.
    pub delivered: Sequence,
    /// The last frame of the client that was accepted, as far as the manager knows.
    pub accepted: Sequence,
    /// The greatest [`Envelope::logged`] that the manager has.
    pub logged: u64,
}

/// Sessions whose outbox is full: they have to end.
pub type Overflowing = SmallVec<[SessionKey; 1]>;

impl Delivery {
    /// Nothing yet.
    pub fn new(shard: ShardId, term: Term) -> Self {
        Self { shard, term, sessions: Mutex::new(Some(HashMap::default())) }
    }

    fn id(&self, number: u64) -> SessionId {
        SessionId { shard: self.shard, number }
    }

    /// A session that was bound over `link`: its stream has sent nothing and received nothing, whatever was sent to an earlier
    /// link that the manager did not live to hear of it on.
    pub fn bound(&self, key: SessionKey, link: Arc<ManagerHandle>) {
        if let Some(sessions) = self.sessions.lock().as_mut() {
            let held = sessions.entry(key.number).or_insert_with(|| Held::inherited(key));
            held.inbox = Some(Inbox::default());
            self.attach(held, key, link, Progress::default());
        }
    }

    /// A manager says what it has of a session. `None`: the leadership is over.
    pub fn announced(&self, key: SessionKey, link: Arc<ManagerHandle>, progress: Progress) -> Option<Announcement> {
        let mut sessions = self.sessions.lock();
        let held = sessions.as_mut()?.entry(key.number).or_insert_with(|| Held::inherited(key));
        self.attach(held, key, link, progress);
        let accepted = held.inbox.get_or_insert_with(|| Inbox::from(progress.accepted)).accepted();
        held.moved();
        Some(Announcement { accepted, lacks: held.outbox.lacks(progress.delivered) })
    }

    /// A manager gives back what another leader had sent to a session: see [`Outbox::restore`].
    pub fn restore(&self, number: u64, epoch: Epoch, last: Sequence, stanzas: Vec<Arc<Envelope>>) {
        self.with(number, epoch, |held| {
            held.outbox.restore(last, stanzas);
            held.moved();
        });
    }

    /// From now on nothing that the session's stream sends is heard. Returns what tells of each step towards its being settled;
    /// `None`: the leadership is over.
    pub fn fence(&self, key: SessionKey) -> Option<Arc<Notify>> {
        let mut sessions = self.sessions.lock();
        let held = sessions.as_mut()?.entry(key.number).or_insert_with(|| Held::inherited(key));
        Some(held.fence.get_or_insert_default().clone())
    }

    /// How far the session has come, if all that its client had sent is done. `None`: not yet, or nobody has announced it here.
    pub fn settled(&self, key: SessionKey) -> Option<Settled> {
        let sessions = self.sessions.lock();
        let held = sessions.as_ref()?.get(&key.number)?;
        let inbox = held.inbox.as_ref().filter(|inbox| inbox.is_settled())?;
        let (sent, confirmed) = held.outbox.progress()?;
        Some(Settled { accepted: inbox.accepted(), sent, confirmed, logged: held.outbox.logged_before() })
    }

    /// Whether it is known here what came from the session's client.
    pub fn knows_inbox(&self, key: SessionKey) -> bool {
        let sessions = self.sessions.lock();
        sessions.as_ref().and_then(|held| held.get(&key.number)).is_some_and(|held| held.inbox.is_some())
    }

    /// A session goes on behind `link` in the epoch of `key`, and its client has everything up to `delivered`: the rest is sent again.
    /// Its client is active again; returns whether presence was missed, as [`Delivery::set_state`].
    pub fn resumed(&self, key: SessionKey, link: Arc<ManagerHandle>, delivered: Sequence) -> bool {
        let mut sessions = self.sessions.lock();
        let Some(held) = sessions.as_mut().and_then(|held| held.get_mut(&key.number)) else { return false };
        held.epoch = Epoch(key.epoch);
        held.fence = None;
        held.link = None;
        held.lagging = false;
        let missed = held.take_held_back();
        let progress = Progress { received: delivered, delivered, accepted: Sequence(0), logged: held.announced };
        self.attach(held, key, link, progress);
        missed
    }

    /// A session's client has become active or inactive. Returns whether it has missed presence, which was held back by an earlier
    /// leader, and is to be told anew.
    pub fn set_state(&self, number: u64, epoch: Epoch, state: ClientState, since_before: bool) -> bool {
        let mut missed = false;
        self.with(number, epoch, |held| match state {
            ClientState::Inactive => {
                held.held_back.get_or_insert_with(|| Box::new(HeldBack::new(since_before)));
            }
            ClientState::Active => {
                missed = held.take_held_back();
                held.lag(self.id(number));
            }
        });
        missed
    }

    fn attach(&self, held: &mut Held, key: SessionKey, link: Arc<ManagerHandle>, progress: Progress) {
        held.announced = progress.logged;
        held.outbox.announced(progress.logged);
        // On the same link, its writer finds what is to be sent from now on where it looks next.
        let is_queued = held.lagging && held.is_behind(&link);
        held.outbox.resynchronise(progress.received, progress.delivered);
        held.lagging = held.outbox.has_unsent() && !held.overflowing;
        if held.lagging && !is_queued {
            link.lag(self.id(key.number));
        }
        // A link that went before this was known is told of to nobody: see `link_lost`.
        held.link = (!link.is_gone()).then_some(link);
    }

    /// Whether the session's manager has bound or announced it here.
    pub fn knows(&self, key: SessionKey) -> bool {
        let sessions = self.sessions.lock();
        sessions.as_ref().and_then(|held| held.get(&key.number)).is_some_and(|held| held.link.is_some())
    }

    /// A link has gone: its sessions wait for their manager to come back.
    pub fn link_lost(&self, link: &Arc<ManagerHandle>) {
        for held in self.sessions.lock().iter_mut().flat_map(HashMap::values_mut) {
            if held.is_behind(link) {
                held.link = None;
                held.lagging = false;
            }
        }
    }

    /// A session has ended.
    pub fn ended(&self, key: SessionKey) -> Remains {
        match self.sessions.lock().as_mut().and_then(|sessions| sessions.remove(&key.number)) {
            Some(held) => Remains {
                accepted: held.inbox.map(|inbox| inbox.accepted()),
                link: held.link,
                undelivered: held.outbox.into_unconfirmed(),
            },
            None => Remains::default(),
        }
    }

    /// The leadership is over: nothing is delivered or accepted from now on. Returns what no manager has, by session.
    pub fn close(&self) -> Vec<(SessionKey, Vec<Arc<Envelope>>)> {
        let sessions = self.sessions.lock().take().unwrap_or_default();
        let alone = sessions
            .into_iter()
            .map(|(number, held)| (SessionKey { number, epoch: held.epoch.0 }, held.into_what_no_manager_has()));
        alone.filter(|(_, stanzas)| !stanzas.is_empty()).collect()
    }

    /// An inbound frame has come. `None`: the session is not held here in this epoch, was not announced yet, or is being resumed.
    pub fn arrive(&self, number: u64, epoch: Epoch, sequence: Sequence) -> Option<Arrival> {
        let mut sessions = self.sessions.lock();
        let held = sessions.as_mut()?.get_mut(&number).filter(|held| held.epoch == epoch && held.fence.is_none())?;
        Some(held.inbox.as_mut()?.arrive(sequence))
    }

    /// An inbound frame is done with: the manager is told when the prefix has grown.
    pub fn finish(&self, number: u64, epoch: Epoch, sequence: Sequence) {
        self.with(number, epoch, |held| {
            let Some(accepted) = held.inbox.as_mut().and_then(|inbox| inbox.finish(sequence)) else { return };
            if let Some(link) = &held.link {
                link.accept(self.id(number), epoch, accepted);
            }
            held.moved();
        });
    }

    /// The manager confirms what it has delivered.
    pub fn confirm(&self, number: u64, epoch: Epoch, sequence: Sequence) {
        self.with(number, epoch, |held| held.outbox.confirm(sequence));
    }

    fn with(&self, number: u64, epoch: Epoch, act: impl FnOnce(&mut Held)) {
        let mut sessions = self.sessions.lock();
        let held = sessions.as_mut().and_then(|held| held.get_mut(&number));
        if let Some(held) = held.filter(|held| held.epoch == epoch) {
            act(held);
        }
    }

    /// Puts a stanza into the outboxes of sessions and sends it: one frame for each connection manager. Returns the sessions that
    /// have to end, once each; `None`: the leadership is over, nobody gets the stanza.
    /// `token`: of what brought the stanza forth.
    pub fn deliver(&self, targets: &[SessionKey], stanza: &Arc<Envelope>, token: &Token) -> Option<Overflowing> {
        let mut overflowing = Overflowing::new();
        let mut frames: SmallVec<[(Arc<ManagerHandle>, Vec<Target>); 2]> = SmallVec::new();
        let mut sessions = self.sessions.lock();
        let sessions = sessions.as_mut()?;
        for key in targets {
            // Whatever its epoch: the session is the same when another stream takes it over meanwhile.
            let held = sessions.entry(key.number).or_insert_with(|| Held::inherited(*key));
            if held.has_got(stanza) {
                continue;
            }
            if held.held_back.as_mut().is_some_and(|held_back| held_back.keep(stanza)) {
                continue;
            }
            held.send_held_back(self.id(key.number));
            if !held.take(stanza) {
                if !std::mem::replace(&mut held.overflowing, true) {
                    overflowing.push(*key);
                }
                continue;
            }
            let Some(link) = held.link.as_ref().filter(|_| !held.lagging) else { continue };
            let Some((sequence, _)) = held.outbox.next_unsent() else { continue };
            let target = Target { session: key.number, epoch: held.epoch, sequence };
            match frames.iter_mut().find(|(it, _)| Arc::ptr_eq(it, link)) {
                Some((_, targets)) => targets.push(target),
                None => frames.push((link.clone(), vec![target])),
            }
        }
        // Sent under the lock, so that two threads can't turn the numbers of a session around. Sending never waits.
        for (link, targets) in frames {
            let numbers: SmallVec<[u64; 2]> = targets.iter().map(|target| target.session).collect();
            if link.try_deliver(self.frame(targets, stanza.clone()), token) {
                continue;
            }
            for number in numbers {
                if let Some(held) = sessions.get_mut(&number) {
                    held.outbox.unsend();
                    held.lagging = true;
                    link.lag(self.id(number));
                }
            }
        }
        Some(overflowing)
    }

    /// The next stanza of a lagging session, for its link's writer. `None`: it lags no longer.
    pub fn next_lagging(&self, number: u64, link: &Arc<ManagerHandle>) -> Option<ToManager> {
        let mut sessions = self.sessions.lock();
        let held = sessions.as_mut()?.get_mut(&number).filter(|held| held.is_behind(link) && held.lagging)?;
        let Some((sequence, stanza)) = held.outbox.next_unsent() else {
            held.lagging = false;
            return None;
        };
        let target = Target { session: number, epoch: held.epoch, sequence };
        // It stays lagging until a call finds nothing more: what comes meanwhile must not overtake the frame on its way.
        Some(self.frame(vec![target], stanza))
    }

    fn frame(&self, targets: Vec<Target>, stanza: Arc<Envelope>) -> ToManager {
        ToManager::Deliver { shard: self.shard, term: self.term, targets, stanza, receipt: 0 }
    }
}

impl Held {
    /// A session that another leader has served before, not yet announced.
    fn inherited(key: SessionKey) -> Self {
        Self {
            epoch: Epoch(key.epoch),
            inbox: None,
            outbox: Outbox::inherited(),
            link: None,
            lagging: false,
            overflowing: false,
            announced: 0,
            held_back: None,
            fence: None,
        }
    }

    /// Something has come a step further that somebody who resumes the session may wait for.
    fn moved(&self) {
        if let Some(fence) = &self.fence {
            fence.notify_waiters();
        }
    }

    /// What was handed to a manager that is there is with it too.
    fn into_what_no_manager_has(self) -> Vec<Arc<Envelope>> {
        let mut stanzas = match self.link {
            Some(_) => self.outbox.into_unsent(),
            None => self.outbox.into_unconfirmed(),
        };
        stanzas.extend(self.held_back.map(|mut held_back| held_back.take()).unwrap_or_default());
        stanzas
    }

    /// Whether another leader has sent the stanza, and it has arrived. Before the session is announced nobody knows.
    fn has_got(&self, stanza: &Envelope) -> bool {
        stanza.flags.has(Flags::AGAIN) && self.inbox.is_some() && stanza.logged <= self.announced
    }

    /// What was held back goes before the next stanza.
    fn send_held_back(&mut self, id: SessionId) {
        let Some(stanzas) = self.held_back.as_mut().map(|held_back| held_back.take()) else { return };
        self.take_all(&stanzas);
        self.lag(id);
    }

    /// Where that is too much, the next stanza finds it so.
    fn take_all(&mut self, stanzas: &[Arc<Envelope>]) {
        for stanza in stanzas {
            let _is_room = self.take(stanza);
        }
    }

    /// The client is active: nothing is held back any more. Returns whether an earlier leader may have held something back.
    fn take_held_back(&mut self) -> bool {
        let Some(mut held_back) = self.held_back.take() else { return false };
        self.take_all(&held_back.take());
        held_back.missed
    }

    /// Has the link's writer send what the outbox holds, unless it is at it.
    fn lag(&mut self, id: SessionId) {
        if let Some(link) = self.link.as_ref().filter(|_| !self.lagging && self.outbox.has_unsent()) {
            self.lagging = true;
            link.lag(id);
        }
    }

    fn is_behind(&self, link: &Arc<ManagerHandle>) -> bool {
        self.link.as_ref().is_some_and(|it| Arc::ptr_eq(it, link))
    }

    /// Puts a stanza into the outbox. `false`: it is too full for the session to go on. The stanza that finds it so is kept with
    /// the others, to be routed again; far beyond the limit the next ones are lost with the session.
    fn take(&mut self, stanza: &Arc<Envelope>) -> bool {
        if !self.overflowing && self.outbox.push(stanza.clone()).is_ok() {
            return true;
        }
        if self.outbox.push_over(stanza.clone()).is_err() {
            tracing::warn!("a stanza for a session that is about to end is lost: far too much waits for it");
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use vesta_wire::ManagerName;
    use vesta_xmpp::{MessageType, StanzaType};

    use super::*;

    const KEY: SessionKey = SessionKey { number: 1, epoch: 1 };

    fn link(room: usize) -> (Arc<ManagerHandle>, mpsc::Receiver<ToManager>) {
        let (sender, receiver) = mpsc::channel(room);
        let name = ManagerName { name: "cm-1".into(), incarnation: 1 };
        (Arc::new(ManagerHandle::new(name, sender, true)), receiver)
    }

    fn message(id: &str) -> Arc<Envelope> {
        let mut envelope = Envelope::new(StanzaType::Message(MessageType::Chat));
        envelope.id = Some(id.into());
        Arc::new(envelope)
    }

    fn received(receiver: &mut mpsc::Receiver<ToManager>) -> Vec<(u64, u64, String)> {
        let mut all = Vec::new();
        while let Ok(frame) = receiver.try_recv() {
            let ToManager::Deliver { targets, stanza, .. } = frame else { continue };
            for target in targets {
                all.push((target.session, target.sequence.0, stanza.id.as_deref().unwrap_or_default().to_owned()));
            }
        }
        all
    }

    #[test]
    fn two_sessions_behind_one_manager_share_a_frame() {
        let delivery = Delivery::new(ShardId(0), Term(1));
        let (link, mut receiver) = link(8);
        let other = SessionKey { number: 2, epoch: 1 };
        delivery.bound(KEY, link.clone());
        delivery.bound(other, link);
        delivery.deliver(&[KEY, other], &message("a"), &Token::none());
        let Ok(ToManager::Deliver { targets, .. }) = receiver.try_recv() else { panic!("nothing came") };
        assert_eq!(targets.len(), 2);
        assert!(receiver.try_recv().is_err());
    }

    #[test]
    fn what_finds_the_link_full_is_sent_later_in_order() {
        let delivery = Delivery::new(ShardId(0), Term(1));
        let (link, mut receiver) = link(1);
        delivery.bound(KEY, link.clone());
        for id in ["a", "b", "c"] {
            delivery.deliver(&[KEY], &message(id), &Token::none());
        }
        assert_eq!(received(&mut receiver), [(1, 1, "a".into())]);
        let mut later = Vec::new();
        while let Some(ToManager::Deliver { stanza, .. }) = delivery.next_lagging(1, &link) {
            later.push(stanza.id.as_deref().unwrap_or_default().to_owned());
        }
        assert_eq!(later, ["b", "c"]);
        delivery.deliver(&[KEY], &message("d"), &Token::none());
        assert_eq!(received(&mut receiver), [(1, 4, "d".into())]);
    }

    #[test]
    fn a_session_of_an_earlier_leader_gets_its_stanzas_once_it_is_announced() {
        let delivery = Delivery::new(ShardId(0), Term(2));
        let (link, _receiver) = link(8);
        delivery.deliver(&[KEY], &message("a"), &Token::none());
        assert_eq!(delivery.arrive(1, Epoch(1), Sequence(1)), None);
        let progress = Progress { received: Sequence(9), delivered: Sequence(9), accepted: Sequence(4), logged: 0 };
        let announcement = delivery.announced(KEY, link.clone(), progress);
        assert_eq!(announcement.map(|it| it.accepted), Some(Sequence(4)));
        let Some(ToManager::Deliver { targets, .. }) = delivery.next_lagging(1, &link) else { panic!("nothing") };
        assert_eq!(targets[0].sequence, Sequence(10));
        assert_eq!(delivery.arrive(1, Epoch(1), Sequence(5)), Some(Arrival::Next));
    }

    #[test]
    fn an_old_epoch_is_not_heard_and_what_was_meant_for_it_is_for_the_new_one() {
        let delivery = Delivery::new(ShardId(0), Term(1));
        let (link, mut receiver) = link(8);
        delivery.bound(SessionKey { number: 1, epoch: 2 }, link);
        assert_eq!(delivery.arrive(1, Epoch(1), Sequence(1)), None);
        delivery.confirm(1, Epoch(1), Sequence(1));
        delivery.deliver(&[KEY], &message("a"), &Token::none());
        assert_eq!(received(&mut receiver), [(1, 1, "a".into())]);
    }

    #[test]
    fn what_was_not_taken_is_given_back_when_the_session_ends() {
        let delivery = Delivery::new(ShardId(0), Term(1));
        let (link, _receiver) = link(8);
        delivery.bound(KEY, link);
        delivery.deliver(&[KEY], &message("a"), &Token::none());
        delivery.deliver(&[KEY], &message("b"), &Token::none());
        delivery.confirm(1, Epoch(1), Sequence(1));
        assert_eq!(delivery.ended(KEY).undelivered, [message("b")]);
    }

    #[test]
    fn a_stream_that_asks_to_be_bound_again_over_a_new_link_gets_everything_there() {
        let delivery = Delivery::new(ShardId(0), Term(1));
        let (first, _receiver) = link(8);
        delivery.bound(KEY, first.clone());
        delivery.deliver(&[KEY], &message("a"), &Token::none());
        first.set_gone();
        delivery.link_lost(&first);
        let (second, mut receiver) = link(8);
        delivery.bound(KEY, second.clone());
        let Some(frame) = delivery.next_lagging(1, &second) else { panic!("nothing") };
        let ToManager::Deliver { targets, .. } = frame else { panic!("{frame:?}") };
        assert_eq!(targets[0].sequence, Sequence(1));
        assert!(delivery.next_lagging(1, &second).is_none());
        delivery.deliver(&[KEY], &message("b"), &Token::none());
        assert_eq!(received(&mut receiver), [(1, 2, "b".into())]);
        assert_eq!(delivery.arrive(1, Epoch(1), Sequence(1)), Some(Arrival::Next));
    }

    #[test]
    fn a_session_bound_over_a_link_that_has_gone_is_not_known_to_have_one() {
        let delivery = Delivery::new(ShardId(0), Term(1));
        let (link, _receiver) = link(8);
        link.set_gone();
        delivery.link_lost(&link);
        delivery.bound(KEY, link);
        assert!(!delivery.knows(KEY));
    }

    #[test]
    fn a_full_outbox_ends_its_session_once_and_loses_nothing() {
        let delivery = Delivery::new(ShardId(0), Term(1));
        delivery.deliver(&[KEY], &message("first"), &Token::none());
        let more = super::super::outbox::STANZAS_MAX + 9;
        let overflowing: usize = (0..more)
            .filter_map(|_| delivery.deliver(&[KEY], &message("more"), &Token::none()))
            .map(|keys| keys.len())
            .sum();
        assert_eq!(overflowing, 1);
        assert_eq!(delivery.ended(KEY).undelivered.len(), more + 1);
    }

    #[test]
    fn after_the_end_nothing_is_delivered_and_what_was_not_sent_is_given_back() {
        let delivery = Delivery::new(ShardId(0), Term(1));
        let (link, mut receiver) = link(1);
        delivery.bound(KEY, link);
        delivery.deliver(&[KEY], &message("sent"), &Token::none());
        delivery.deliver(&[KEY], &message("not sent"), &Token::none());
        assert_eq!(delivery.close(), [(KEY, vec![message("not sent")])]);
        assert_eq!(delivery.deliver(&[KEY], &message("late"), &Token::none()), None);
        delivery.finish(1, Epoch(1), Sequence(1));
        assert_eq!(received(&mut receiver), [(1, 1, "sent".into())]);
    }

    fn presence(show: &str) -> Arc<Envelope> {
        let mut envelope = Envelope::new(StanzaType::Presence(vesta_xmpp::PresenceType::Available));
        envelope.id = Some(show.into());
        Arc::new(envelope)
    }

    /// XEP-0352: the numbers have no gaps, and nothing is overtaken but what can wait.
    #[test]
    fn what_can_wait_goes_before_the_next_stanza_that_can_not() {
        let delivery = Delivery::new(ShardId(0), Term(1));
        let (link, mut receiver) = link(8);
        delivery.bound(KEY, link.clone());
        assert!(!delivery.set_state(1, Epoch(1), ClientState::Inactive, false));
        delivery.deliver(&[KEY], &presence("away"), &Token::none());
        delivery.deliver(&[KEY], &presence("xa"), &Token::none());
        assert_eq!(received(&mut receiver), []);
        delivery.deliver(&[KEY], &message("a"), &Token::none());
        for expected in [Some((1, "xa")), Some((2, "a")), None] {
            let next = delivery.next_lagging(1, &link).map(|frame| match frame {
                ToManager::Deliver { targets, stanza, .. } => {
                    (targets[0].sequence.0, stanza.id.clone().expect("an id"))
                }
                other => panic!("{other:?}"),
            });
            assert_eq!(next.as_ref().map(|(place, id)| (*place, &**id)), expected);
        }
        delivery.deliver(&[KEY], &presence("dnd"), &Token::none());
        assert!(!delivery.set_state(1, Epoch(1), ClientState::Active, false));
        assert!(delivery.next_lagging(1, &link).is_some());
        assert!(delivery.next_lagging(1, &link).is_none());
        delivery.deliver(&[KEY], &presence("chat"), &Token::none());
        assert_eq!(received(&mut receiver), [(1, 4, "chat".into())]);
    }

    #[test]
    fn a_leader_that_was_not_told_of_the_beginning_knows_that_presence_was_missed() {
        let delivery = Delivery::new(ShardId(0), Term(1));
        let (link, _receiver) = link(8);
        delivery.announced(KEY, link, Progress::default());
        assert!(!delivery.set_state(1, Epoch(1), ClientState::Inactive, true));
        assert!(delivery.set_state(1, Epoch(1), ClientState::Active, false));
        assert!(!delivery.set_state(1, Epoch(1), ClientState::Active, false));
    }

    #[test]
    fn announcing_a_session_again_and_again_takes_no_room() {
        let delivery = Delivery::new(ShardId(0), Term(1));
        let (link, _receiver) = link(8);
        delivery.deliver(&[KEY], &message("a"), &Token::none());
        for _ in 0..3 {
            delivery.announced(KEY, link.clone(), Progress::default());
        }
        assert_eq!(link.lagging(), 1);
    }
}
