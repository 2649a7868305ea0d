//! The events of accounts: one after the other within an account, accounts beside each other.
//!
//! Whoever submits an event to an idle account runs it at once, on its own thread and stack: a message between two online
//! users goes from one link to the other without a task or a wake-up. Only when a handler has to wait (for the database, for
//! Raft) is what is left of the account's queue moved to a task.
//!
//! While the shard's leadership is in doubt the queues are *held*: events wait, but for stanzas to the account, which wait with
//! the router for whoever leads next, and not for ever. When the leadership is over, everything is handed on. It is always whoever
//! runs the account's events that does it, so that the order stays (P3).

use std::collections::VecDeque;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt;
use parking_lot::Mutex;
use vesta_engine::Account;
use vesta_xmpp::BareJid;
use vesta_xmpp::hash::HashMap;

use super::work::Work;

/// The most events that wait for one account (P7). More are refused, where they may be ([`Work::may_be_refused`]); their senders
/// are told.
pub const WAITING_MAX: usize = 4_096;

/// How deep inline runs may nest: an event that brings forth one for another account runs that inside itself.
const NESTED_MAX: u32 = 4;

thread_local! {
    static NESTED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// The queues of one shard's accounts.
#[derive(Debug, Default)]
pub struct Queues {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    phase: Phase,
    /// Accounts that are connected, or have something to do. Those with sessions keep their caches.
    slots: HashMap<BareJid, Slot>,
}

/// What happens to events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// They are worked at.
    #[default]
    Open,
    /// They wait; stanzas to the account are handed on.
    Held,
    /// They are handed on: nothing is worked at any more.
    Over,
}

#[derive(Debug, Default)]
struct Slot {
    /// The account's caches; away while an event runs.
    account: Option<Box<Account>>,
    /// Whether somebody runs this account's events.
    running: bool,
    waiting: VecDeque<Work>,
}

/// What [`Queues::push`] found.
pub enum Pushed {
    /// The account was idle: run its events with [`Queues::next`] until there are none.
    Run(Box<Account>),
    /// Somebody else will run the event, or it is held.
    Waits,
    /// [`WAITING_MAX`] are waiting: the event comes back.
    Full(Box<Work>),
    /// It is to be handed on: the event comes back.
    Over(Box<Work>),
}

/// What is to be done with an account's next event.
#[derive(Debug)]
pub enum Turn {
    /// Work at it.
    Process(Work),
    /// Hand it on.
    HandOn(Work),
}

impl Queues {
    /// Adds an event to an account's queue.
    pub fn push(&self, jid: &BareJid, work: Work) -> Pushed {
        let mut inner = self.inner.lock();
        let phase = inner.phase;
        let is_run = inner.slots.get(jid).is_some_and(|slot| slot.running);
        if phase.hands_on(&work) && !is_run {
            return Pushed::Over(Box::new(work));
        }
        if !inner.slots.contains_key(jid) {
            inner.slots.insert(jid.clone(), Slot::default());
        }
        let slot = inner.slots.get_mut(jid).expect("it was there or is inserted above");
        if slot.waiting.len() >= WAITING_MAX && work.may_be_refused() {
            return Pushed::Full(Box::new(work));
        }
        if work.goes_first() {
            slot.waiting.push_front(work)
        } else if work.goes_next() {
            let ahead = slot.waiting.iter().take_while(|it| it.goes_first() || it.goes_next()).count();
            slot.waiting.insert(ahead, work);
        } else {
            slot.waiting.push_back(work)
        }
        if slot.running || phase == Phase::Held {
            return Pushed::Waits;
        }
        Pushed::Run(slot.start(jid))
    }

    /// Takes the next event of an account that the caller runs. `None`: there is none to run now, and the account goes back;
    /// its caches are kept if `keep` says so, or while entries of its log are under way.
    pub fn next(&self, jid: &BareJid, account: &mut Option<Box<Account>>, keep: impl FnOnce() -> bool) -> Option<Turn> {
        let mut inner = self.inner.lock();
        let phase = inner.phase;
        let slot = inner.slots.get_mut(jid)?;
        let next = match phase {
            Phase::Open => slot.waiting.pop_front().map(Turn::Process),
            Phase::Held | Phase::Over => slot.take_handed_on(phase).map(Turn::HandOn),
        };
        if next.is_some() {
            return next;
        }
        slot.running = false;
        slot.account = account.take();
        if slot.waiting.is_empty() {
            // A deque that has grown is given back: most accounts never queue again.
            slot.waiting = VecDeque::new();
            let is_logging = || slot.account.as_ref().is_some_and(|account| account.is_logging());
            if phase == Phase::Over || !(keep() || is_logging()) {
                inner.slots.remove(jid);
            }
        }
        None
    }

    /// From now on events are worked at, wait, or are handed on. Returns the accounts whose waiting events the caller must run.
    pub fn enter(&self, phase: Phase) -> Vec<(BareJid, Box<Account>)> {
        let mut inner = self.inner.lock();
        if inner.phase == Phase::Over {
            return Vec::new();
        }
        inner.phase = phase;
        if phase == Phase::Held {
            return Vec::new();
        }
        let idle = inner.slots.iter_mut().filter(|(_, slot)| !slot.running && !slot.waiting.is_empty());
        idle.map(|(jid, slot)| (jid.clone(), slot.start(jid))).collect()
    }

    /// What happens to events now.
    pub fn phase(&self) -> Phase {
        self.inner.lock().phase
    }
}

impl Phase {
    fn hands_on(self, work: &Work) -> bool {
        match self {
            Phase::Open => false,
            Phase::Held => matches!(work, Work::Inbound(_)),
            Phase::Over => true,
        }
    }
}

impl Slot {
    fn take_handed_on(&mut self, phase: Phase) -> Option<Work> {
        let at = self.waiting.iter().position(|work| phase.hands_on(work))?;
        self.waiting.remove(at)
    }

    fn start(&mut self, jid: &BareJid) -> Box<Account> {
        self.running = true;
        self.account.take().unwrap_or_else(|| Box::new(Account::new(jid.clone())))
    }
}

/// Runs `future` here and now as far as it goes without waiting. `Some(future)`: it waits; it has to be spawned.
pub fn run_inline<F: Future<Output = ()> + Unpin>(mut future: F) -> Option<F> {
    let Some(_nested) = Nested::enter() else { return Some(future) };
    // Nobody is to be woken: whoever gets the future back polls it again before it can wait for anything.
    let outcome = pin!(&mut future).poll(&mut Context::from_waker(Waker::noop()));
    match outcome {
        Poll::Ready(()) => None,
        Poll::Pending => Some(future),
    }
}

/// A level of nesting, left even by a panic.
struct Nested(u32);

impl Nested {
    fn enter() -> Option<Self> {
        let depth = NESTED.get();
        NESTED.set((depth + 1).min(NESTED_MAX));
        (depth < NESTED_MAX).then_some(Self(depth))
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        NESTED.set(self.0);
    }
}

/// Keeps a panic within one event: `None`. A bug in a handler must not take a link's task, and with it everybody else, along.
pub async fn contain<T>(what: &'static str, event: impl Future<Output = T>) -> Option<T> {
    match AssertUnwindSafe(event).catch_unwind().await {
        Ok(value) => Some(value),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            tracing::error!(what, panic = text.unwrap_or("no text"), "a handler has a bug; its event is given up");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use vesta_wire::Epoch;
    use vesta_wire::attach::EndReason;
    use vesta_xmpp::StreamError;
    use vesta_xmpp::stream_error::StreamCondition;

    use super::*;
    use crate::shard::logging::Durable;
    use crate::shard::work::{Arrived, Token};

    fn juliet() -> BareJid {
        BareJid::parse("juliet@example.com").expect("a JID")
    }

    fn ended(session: u64) -> Work {
        Work::StreamEnded { session, epoch: Epoch(1), reason: EndReason::Lost, said_by: None }
    }

    fn close(session: u64) -> Work {
        Work::Close { session, epoch: Epoch(1), error: StreamError::new(StreamCondition::Conflict) }
    }

    fn message() -> Work {
        let stanza = vesta_xmpp::Envelope::new(vesta_xmpp::StanzaType::Message(vesta_xmpp::MessageType::Chat));
        Work::Inbound(Arrived { stanza: std::sync::Arc::new(stanza), ingress: None, token: Token::none() })
    }

    fn durable(number: u64) -> Work {
        let session = vesta_wire::SessionId { shard: vesta_wire::ShardId(0), number };
        let ingress =
            vesta_wire::forward::IngressId { session, epoch: Epoch(1), sequence: vesta_wire::Sequence(1), part: 0 };
        Work::Logged(Box::new(Durable {
            logged: vesta_engine::Logged::nothing(),
            outcome: Ok(()),
            ingress: Some(ingress),
            token: Token::none(),
        }))
    }

    fn number(work: &Work) -> u64 {
        match work {
            Work::Logged(durable) => durable.ingress.map_or(0, |ingress| ingress.session.number),
            Work::StreamEnded { session, .. } | Work::Close { session, .. } => *session,
            other => panic!("{other:?}"),
        }
    }

    /// The numbers of all that is run until the account is idle, and whether it was handed on.
    fn run(queues: &Queues, account: Box<Account>) -> Vec<(u64, bool)> {
        let mut account = Some(account);
        let mut all = Vec::new();
        while let Some(turn) = queues.next(&juliet(), &mut account, || false) {
            all.push(match turn {
                Turn::Process(work) => (number(&work), false),
                Turn::HandOn(work) => (number(&work), true),
            });
        }
        all
    }

    fn start(queues: &Queues, work: Work) -> Box<Account> {
        let Pushed::Run(account) = queues.push(&juliet(), work) else { panic!("the account is not idle") };
        account
    }

    #[test]
    fn events_of_an_account_run_in_order_and_what_follows_from_one_goes_first() {
        let queues = Queues::default();
        let account = start(&queues, ended(1));
        assert!(matches!(queues.push(&juliet(), ended(2)), Pushed::Waits));
        assert!(matches!(queues.push(&juliet(), close(3)), Pushed::Waits));
        assert_eq!(run(&queues, account), [(3, false), (1, false), (2, false)]);
        assert!(queues.inner.lock().slots.is_empty(), "an account without sessions leaves nothing");
    }

    /// P3: what became durable is older than what waits, and keeps its order.
    #[test]
    fn what_has_become_durable_goes_before_what_waits_and_behind_what_was_not_taken() {
        let queues = Queues::default();
        let account = start(&queues, ended(1));
        queues.push(&juliet(), message());
        let Some(Turn::Process(_)) = queues.next(&juliet(), &mut None, || true) else { panic!("the first one") };
        queues.push(&juliet(), durable(2));
        queues.push(&juliet(), durable(3));
        queues.push(&juliet(), close(4));
        queues.push(&juliet(), durable(5));
        let mut account = Some(account);
        let mut numbers = Vec::new();
        while let Some(Turn::Process(work)) = queues.next(&juliet(), &mut account, || false) {
            numbers.push(if matches!(work, Work::Inbound(_)) { 0 } else { number(&work) });
        }
        assert_eq!(numbers, [4, 2, 3, 5, 0]);
    }

    #[test]
    fn held_events_wait_and_run_in_order_when_the_leadership_is_sure_again() {
        let queues = Queues::default();
        let account = start(&queues, ended(1));
        assert_eq!(queues.enter(Phase::Held).len(), 0);
        assert!(matches!(queues.push(&juliet(), ended(2)), Pushed::Waits));
        assert_eq!(run(&queues, account), []);
        assert!(matches!(queues.push(&juliet(), ended(3)), Pushed::Waits));
        let (_, account) = queues.enter(Phase::Open).pop().expect("something waits");
        assert_eq!(run(&queues, account), [(1, false), (2, false), (3, false)]);
    }

    #[test]
    fn what_waits_at_the_end_is_handed_on_before_what_comes_later() {
        let queues = Queues::default();
        let account = start(&queues, ended(1));
        queues.push(&juliet(), ended(2));
        assert!(queues.enter(Phase::Over).is_empty(), "somebody is at it");
        assert!(matches!(queues.push(&juliet(), ended(3)), Pushed::Waits), "behind what waits");
        assert_eq!(run(&queues, account), [(1, true), (2, true), (3, true)]);
        assert!(matches!(queues.push(&juliet(), ended(4)), Pushed::Over(_)));
        assert!(queues.enter(Phase::Open).is_empty());
        assert_eq!(queues.phase(), Phase::Over, "for good");
    }

    #[test]
    fn stanzas_to_an_account_are_not_held() {
        let queues = Queues::default();
        let account = start(&queues, ended(1));
        queues.push(&juliet(), message());
        queues.enter(Phase::Held);
        assert!(matches!(queues.push(&juliet(), message()), Pushed::Waits), "behind the other one");
        let mut account = Some(account);
        for _ in 0..2 {
            let turn = queues.next(&juliet(), &mut account, || true);
            assert!(matches!(turn, Some(Turn::HandOn(Work::Inbound(_)))), "{turn:?}");
        }
        assert!(queues.next(&juliet(), &mut account, || true).is_none());
        assert!(matches!(queues.push(&juliet(), message()), Pushed::Over(_)));
        assert_eq!(queues.enter(Phase::Open).len(), 1, "the rest was held");
    }

    #[test]
    fn what_was_held_is_handed_on_when_the_leadership_ends_after_all() {
        let queues = Queues::default();
        queues.enter(Phase::Held);
        queues.push(&juliet(), ended(1));
        let (_, account) = queues.enter(Phase::Over).pop().expect("something waits");
        assert_eq!(run(&queues, account), [(1, true)]);
    }

    #[test]
    fn a_full_queue_refuses_what_may_be_refused_and_nothing_else() {
        let queues = Queues::default();
        let _running = start(&queues, ended(1));
        for _ in 0..WAITING_MAX - 1 {
            assert!(matches!(queues.push(&juliet(), message()), Pushed::Waits));
        }
        assert!(matches!(queues.push(&juliet(), message()), Pushed::Full(_)));
        assert!(matches!(queues.push(&juliet(), close(1)), Pushed::Waits));
    }

    #[tokio::test]
    async fn a_panic_stays_within_its_event() {
        assert_eq!(contain("a test", async { panic!("on purpose") }).await, None::<()>);
        assert_eq!(contain("a test", async { 7 }).await, Some(7));
    }

    #[test]
    fn runs_nest_only_so_deep() {
        fn nest(depth: u32) -> u32 {
            let mut deepest = depth;
            let inner = Box::pin(async { deepest = nest(depth + 1) });
            if run_inline(inner).is_some() { depth } else { deepest }
        }
        assert_eq!(nest(0), NESTED_MAX);
        assert_eq!(nest(0), NESTED_MAX, "and leave nothing behind");
    }
}
