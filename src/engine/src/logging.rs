//! What a shard's leader holds of an account's log in memory, and what follows when an entry is durable.
//!
//! A message that has to be stored is delivered and acknowledged when it is durable, but its account does not wait for that. The
//! engine hands the entry to [`Ports::log`] together with what follows, a [`Logged`], and goes on; when the entry is
//! durable, that comes back as an event of its own ([`Engine::logged`](crate::Engine::logged)), and only then is it decided who gets
//! the message. Writes of an account are done in the order in which they were asked for, and so are those events. What comes from the
//! same full JID meanwhile and needs no entry joins that line as a write of nothing: it does not overtake (P3). Everything else goes on.

use std::collections::VecDeque;
use std::sync::Arc;

use vesta_xmpp::{Envelope, Jid};

use crate::log::{LogId, LogState};
use crate::recent::{Marks, Recent};
use crate::{Ports, StoreError, Timestamp};

/// How many entries and what waits behind them may be under way for one account (P7). What would be stored beyond is refused with
/// `resource-constraint`, to the sender's client. What would only wait behind is refused at four times as many.
pub const LOGGING_MAX: usize = 1_024;

/// What follows when changes to an account's log are durable. Carried by the world from [`Ports::log`] to
/// [`Engine::logged`](crate::Engine::logged).
#[derive(Debug)]
pub struct Logged {
    /// Of [`AccountLog::begin`].
    pub(crate) number: u64,
    pub(crate) step: Step,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Step {
    /// A message for the account is in its log: deliver it.
    Received {
        stanza: Arc<Envelope>,
        entry: Entry,
        /// Whether it was to wait because nobody took it.
        waits: bool,
    },
    /// A message of the account is in its log. It was routed already.
    Sent { stanza: Arc<Envelope>, entry: Entry },
    /// Everything that it must not overtake is done: treat it as if it came now.
    Behind { stanza: Arc<Envelope> },
    /// Likewise, for a message of the account that was routed already.
    SentBehind { stanza: Arc<Envelope> },
    /// The message came before: the first one is durable now, or was refused.
    Again { stanza: Arc<Envelope>, marks: Marks },
    /// An entry waits from now on that did not before.
    Waits { stanza: Arc<Envelope>, id: LogId },
    /// Entries that waited have been handed on.
    Settled,
}

/// An entry that was given its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: LogId,
    /// Whether the archive shows it.
    pub(crate) archived: bool,
}

impl Logged {
    /// Something that nothing follows from.
    #[cfg(any(test, feature = "testing"))]
    pub fn nothing() -> Self {
        Self { number: 0, step: Step::Settled }
    }

    /// The stanza to the account that this is about: should the leadership end before its turn, it is for the next leader.
    pub fn inbound(&self) -> Option<&Arc<Envelope>> {
        match &self.step {
            Step::Received { stanza, .. } | Step::Behind { stanza } | Step::Again { stanza, .. } => Some(stanza),
            Step::Sent { .. } | Step::SentBehind { .. } | Step::Waits { .. } | Step::Settled => None,
        }
    }

    /// The stanza whose sender is told where this goes wrong.
    pub fn stanza(&self) -> Option<&Arc<Envelope>> {
        match &self.step {
            Step::Sent { stanza, .. } => Some(stanza),
            _ => self.inbound(),
        }
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct AccountLog {
    /// `None`: the store was not asked yet.
    known: Option<Known>,
    pub(crate) recent: Recent,
    under_way: VecDeque<UnderWay>,
    /// The last number given.
    last_number: u64,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    last: LogId,
    waiting: u64,
}

#[derive(Debug)]
struct UnderWay {
    number: u64,
    /// Whom it comes from, and whether that is the account itself which sends it.
    from: Option<(Jid, Way)>,
    /// 0 where there is no entry.
    id: LogId,
    wait: Wait,
}

/// What becomes of an entry that is to wait, while that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// It is not to wait.
    No,
    /// It is.
    Yes,
    /// Somebody found it waiting already, and has handed it on.
    HandedOn,
    /// Somebody has handed on what waited when it did not yet: the store takes it for handed on too.
    PassedOver,
}

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the account.
    In,
    /// From the account.
    Out,
}

impl AccountLog {
    /// Whether the store has been asked.
    pub(crate) fn is_known(&self) -> bool {
        self.known.is_some()
    }

    /// What the store says.
    pub(crate) fn learn(&mut self, state: LogState) {
        self.known = Some(Known { last: state.last, waiting: state.waiting });
        self.recent.load(state.recent);
    }

    /// The account is another one from now on: what is under way was the old one's.
    pub(crate) fn forget(&mut self) {
        self.known = None;
        self.recent = Recent::default();
    }

    /// How many entries wait; 0 where the store was not asked.
    pub(crate) fn waiting(&self) -> u64 {
        self.known.map_or(0, |known| known.waiting)
    }

    /// Whether anything is under way: until it is done nobody else knows which ids were given.
    pub(crate) fn is_busy(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// Whether there is room for another entry.
    pub(crate) fn has_room(&self) -> bool {
        self.under_way.len() < LOGGING_MAX
    }

    /// Whether there is room for something that waits behind the entries.
    pub(crate) fn has_room_behind(&self) -> bool {
        self.under_way.len() < 4 * LOGGING_MAX
    }

    /// Whether something of this sender is under way, which what comes now must not overtake.
    pub(crate) fn is_under_way(&self, from: &Jid, way: Way) -> bool {
        self.under_way.iter().any(|it| it.from.as_ref().is_some_and(|(other, its)| *its == way && other == from))
    }

    /// Whether this entry is not durable yet.
    pub(crate) fn is_entry_under_way(&self, id: LogId) -> bool {
        self.under_way.iter().any(|it| it.id == id)
    }

    /// Whether an entry of this sender may be under way that is to wait: of one that waits again the sender is not known.
    pub(crate) fn is_waiting_under_way(&self, from: &Jid) -> bool {
        let is_it = |it: &UnderWay| it.wait == Wait::Yes && it.from.as_ref().is_none_or(|(other, _)| other == from);
        self.under_way.iter().any(is_it)
    }

    /// Gives an entry its id. The store must have been asked.
    pub(crate) fn next_id(&mut self, now: Timestamp, waits: bool) -> LogId {
        let known = self.known.as_mut().expect("an entry is made only when the log's state was loaded");
        known.last = LogId::next(known.last, now);
        known.waiting += u64::from(waits);
        known.last
    }

    /// Something is under way from now on. Returns the number to [`AccountLog::end`] it with.
    pub(crate) fn begin(&mut self, from: Option<(Jid, Way)>, id: LogId, wait: Wait) -> u64 {
        self.last_number += 1;
        self.under_way.push_back(UnderWay { number: self.last_number, from, id, wait });
        self.last_number
    }

    /// It is done, well or not.
    pub(crate) fn end(&mut self, number: u64) -> Wait {
        // Nearly always the first.
        let at = self.under_way.iter().position(|it| it.number == number);
        at.and_then(|at| self.under_way.remove(at)).map_or(Wait::No, |it| it.wait)
    }

    /// One more entry waits, or one less.
    pub(crate) fn count_waiting(&mut self, one_more: bool) {
        if let Some(known) = &mut self.known {
            known.waiting = if one_more { known.waiting + 1 } else { known.waiting.saturating_sub(1) };
        }
    }

    /// Whether of all entries that wait and are durable, the one that has just become so is the only one.
    pub(crate) fn is_only_one_waiting(&self) -> bool {
        self.waiting()
            == 1 + self.under_way.iter().filter(|it| matches!(it.wait, Wait::Yes | Wait::PassedOver)).count() as u64
    }

    /// These entries, oldest first, waited and have been handed on.
    pub(crate) fn settle(&mut self, ids: &[LogId]) {
        let last = ids.last().copied().unwrap_or_default();
        for entry in self.under_way.iter_mut().filter(|it| it.wait == Wait::Yes && it.id <= last) {
            entry.wait = if ids.contains(&entry.id) { Wait::HandedOn } else { Wait::PassedOver };
        }
        if let Some(known) = &mut self.known {
            known.waiting = known.waiting.saturating_sub(ids.len() as u64);
        }
    }
}

impl crate::Account {
    /// Makes sure that the state of the account's log is known. Asks the store the first time.
    ///
    /// # Errors
    /// The store's.
    pub async fn load_log(&mut self, ports: &dyn Ports) -> Result<(), StoreError> {
        if !self.log.is_known() {
            let recent = crate::recent::RECENT_MAX as u32;
            let state = ports.store().log_state(ports.fence(), &self.jid, recent).await?;
            self.log.learn(state);
        }
        Ok(())
    }

    /// How many messages wait for a client that takes them. Asks the store the first time.
    ///
    /// # Errors
    /// The store's.
    pub async fn waiting_messages(&mut self, ports: &dyn Ports) -> Result<u64, StoreError> {
        self.load_log(ports).await?;
        Ok(self.log.waiting())
    }

    /// Whether entries of its log are under way: the cache must not be dropped.
    pub fn is_logging(&self) -> bool {
        self.log.is_busy()
    }
}
