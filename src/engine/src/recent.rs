//! The newest messages of an account, by the marks that they are recognised by when they come again (P2).
//!
//! What a new leader has read of the log is *inherited*: it was stored, and whether it was delivered as well only the leader before
//! knew. When such a message comes again, it goes once more to the sessions that have not got it ([`vesta_xmpp::Flags::AGAIN`]), once.
//!
//! The window: [`RECENT_MAX`] messages per account, sent and received, in the memory of its shard's leader. Those that are in the log
//! are known to a new leader too; the others (chat states, what is not to be stored) only to the one that saw them. A client that sends
//! again what was not acknowledged on a broken stream sends at most a window of 256 frames again.

use std::collections::VecDeque;

use crate::log::{LogId, Mark};

/// How many messages are remembered of one account (P7), 24 bytes each. The oldest are forgotten.
pub const RECENT_MAX: usize = 256;

/// See the module's documentation. Owns no memory until a message with a mark comes.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// Oldest first.
    messages: VecDeque<Message>,
}

/// Half of each mark is enough to tell some hundred messages apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Message {
    /// [`INHERITED`] may be set in it.
    id: u64,
    ingress: u64,
    origin: u64,
}

/// What a message is recognised by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    /// Where it came into the cluster.
    pub(crate) ingress: Option<Mark>,
    /// How its sender calls it.
    pub(crate) origin: Option<Mark>,
}

impl Recent {
    /// What a new leader has read of the log, newest first. What is known already is newer.
    pub(crate) fn load(&mut self, logged: Vec<(LogId, Option<Mark>, Option<Mark>)>) {
        for (id, ingress, origin) in logged {
            if self.messages.len() < RECENT_MAX {
                let message = Message::of(id, Marks { ingress, origin });
                self.messages.push_front(Message { id: message.id | INHERITED, ..message });
            }
        }
    }

    /// Whether a message with one of these marks has come before, and its id; 0 where it is not in the log.
    pub(crate) fn find(&self, marks: Marks) -> Option<LogId> {
        let wanted = Message::of(LogId::default(), marks);
        let same = |one: u64, other: u64| one != NONE && one == other;
        let is_same = |message: &&Message| same(message.ingress, wanted.ingress) || same(message.origin, wanted.origin);
        self.messages.iter().rev().find(is_same).map(|message| message.id())
    }

    /// Whether the message is inherited. From now on it is not: whoever asks sees to it.
    pub(crate) fn claim(&mut self, id: LogId) -> bool {
        let inherited = self.messages.iter_mut().find(|message| message.id == id.0 | INHERITED);
        inherited.map(|message| message.id = id.0).is_some()
    }

    /// A message has come. Without a mark it could not be recognised.
    pub(crate) fn insert(&mut self, id: LogId, marks: Marks) {
        if marks == Marks::default() {
            return;
        }
        if self.messages.len() == RECENT_MAX {
            self.messages.pop_front();
        }
        self.messages.push_back(Message::of(id, marks));
    }

    /// The message has no entry and was refused.
    pub(crate) fn forget_unlogged(&mut self, marks: Marks) {
        let refused = Message::of(LogId::default(), marks);
        self.messages.retain(|message| *message != refused);
    }

    /// The entry did not become one.
    pub(crate) fn forget(&mut self, id: LogId) {
        self.messages.retain(|message| message.id() != id);
    }
}

/// Stands for a mark that is not there.
const NONE: u64 = 0;
/// The bit of an id that says so: milliseconds leave it free for some hundred years.
const INHERITED: u64 = 1 << 63;

impl Message {
    fn of(id: LogId, marks: Marks) -> Self {
        let half = |mark: Option<Mark>| mark.map_or(NONE, |mark| (mark.0 as u64).max(1));
        Self { id: id.0, ingress: half(marks.ingress), origin: half(marks.origin) }
    }

    fn id(&self) -> LogId {
        LogId(self.id & !INHERITED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(ingress: u128, origin: u128) -> Marks {
        let mark = |number| (number != 0).then_some(Mark(number));
        Marks { ingress: mark(ingress), origin: mark(origin) }
    }

    #[test]
    fn a_message_is_recognised_by_either_mark() {
        let mut recent = Recent::default();
        recent.insert(LogId(7), marks(1, 2));
        recent.insert(LogId(0), marks(0, 3));
        assert_eq!(recent.find(marks(1, 9)), Some(LogId(7)));
        assert_eq!(recent.find(marks(9, 2)), Some(LogId(7)));
        assert_eq!(recent.find(marks(0, 3)), Some(LogId(0)));
        assert_eq!(recent.find(marks(2, 1)), None);
        assert_eq!(recent.find(marks(0, 0)), None);
        recent.forget(LogId(7));
        assert_eq!(recent.find(marks(1, 2)), None);
        recent.forget_unlogged(marks(0, 3));
        assert_eq!(recent.find(marks(0, 3)), None);
    }

    #[test]
    fn what_is_inherited_is_claimed_once() {
        let mut recent = Recent::default();
        recent.insert(LogId(8), marks(8, 0));
        recent.load(vec![(LogId(7), Some(Mark(7)), None)]);
        assert_eq!(recent.find(marks(7, 0)), Some(LogId(7)));
        assert!(!recent.claim(LogId(8)), "it came to this leader");
        assert!(recent.claim(LogId(7)) && !recent.claim(LogId(7)));
        assert_eq!(recent.find(marks(7, 0)), Some(LogId(7)));
    }

    #[test]
    fn the_oldest_are_forgotten_and_what_was_read_is_older_than_what_was_seen() {
        let mut recent = Recent::default();
        recent.insert(LogId(1_000), marks(1_000, 0));
        recent.load((0..RECENT_MAX as u64).rev().map(|id| (LogId(id), Some(Mark(u128::from(id) + 1)), None)).collect());
        assert_eq!(recent.messages.len(), RECENT_MAX);
        assert_eq!(recent.find(marks(1, 0)), None, "it had no room");
        assert_eq!(recent.find(marks(2, 0)), Some(LogId(1)));
        recent.insert(LogId(1_001), marks(1_001, 0));
        assert_eq!(recent.find(marks(2, 0)), None, "it was the oldest");
        assert_eq!(recent.find(marks(1_000, 0)), Some(LogId(1_000)));
    }
}
