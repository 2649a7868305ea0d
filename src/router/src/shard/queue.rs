//! The events of accounts: one after the other within an account, accounts beside each other.
//!
//! Whoever submits an event to an idle account runs it at once, on its own thread and stack: a message between two online
//! users goes from one link to the other without a task or a wake-up. Only when a handler has to wait (for the database, for
//! Raft) is what is left of the account's queue moved to a task.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use vesta_engine::Account;
use vesta_xmpp::BareJid;

use super::work::Work;

/// The most events that wait for one account (P7). More are refused; their senders are told.
pub const WAITING_MAX: usize = 4_096;

/// The most accounts kept while they are idle. Beyond it, caches are dropped as accounts become idle.
pub const IDLE_ACCOUNTS_MAX: usize = 100_000;

/// How deep inline runs may nest: an event that brings forth one for another account runs that inside itself.
const NESTED_MAX: u32 = 4;

thread_local! {
    static NESTED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// The queues of one shard's accounts.
#[derive(Debug, Default)]
pub struct Queues {
    slots: Mutex<HashMap<BareJid, Slot>>,
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
    /// Somebody else will run the event.
    Waits,
    /// [`WAITING_MAX`] are waiting: the event comes back.
    Full(Box<Work>),
}

impl Queues {
    /// Adds an event to an account's queue.
    pub fn push(&self, jid: &BareJid, work: Work) -> Pushed {
        let mut slots = self.slots.lock();
        if !slots.contains_key(jid) {
            slots.insert(jid.clone(), Slot::default());
        }
        let slot = slots.get_mut(jid).expect("inserted above");
        if slot.waiting.len() >= WAITING_MAX {
            return Pushed::Full(Box::new(work));
        }
        slot.waiting.push_back(work);
        if slot.running {
            return Pushed::Waits;
        }
        slot.running = true;
        Pushed::Run(slot.account.take().unwrap_or_else(|| Box::new(Account::new(jid.clone()))))
    }

    /// Takes the next event of an account that the caller runs. At the end of the queue the account goes back and becomes idle.
    pub fn next(&self, jid: &BareJid, account: &mut Option<Box<Account>>) -> Option<Work> {
        let mut slots = self.slots.lock();
        let count = slots.len();
        let slot = slots.get_mut(jid)?;
        if let Some(work) = slot.waiting.pop_front() {
            return Some(work);
        }
        slot.running = false;
        slot.account = account.take();
        // A deque that has grown is given back: most accounts never queue again.
        slot.waiting = VecDeque::new();
        if count > IDLE_ACCOUNTS_MAX {
            slots.remove(jid);
        }
        None
    }

    /// Takes everything that waits: this node leads the shard no longer.
    pub fn drain(&self) -> Vec<Work> {
        let mut slots = self.slots.lock();
        slots.values_mut().flat_map(|slot| slot.waiting.drain(..)).collect()
    }
}

/// Runs `future` here and now as far as it goes without waiting. `Some(future)`: it waits; it has to be spawned.
pub fn run_inline<F: Future<Output = ()> + Unpin>(mut future: F) -> Option<F> {
    let depth = NESTED.get();
    if depth >= NESTED_MAX {
        return Some(future);
    }
    NESTED.set(depth + 1);
    // Nobody is to be woken: whoever gets the future back polls it again before it can wait for anything.
    let outcome = pin!(&mut future).poll(&mut Context::from_waker(Waker::noop()));
    NESTED.set(depth);
    match outcome {
        Poll::Ready(()) => None,
        Poll::Pending => Some(future),
    }
}
