//! Which of a session's inbound frames have come, and which are done with.
//!
//! Frames are taken in order and without gaps; they may be done with in any order (one waits for the database, another was
//! handed to another shard). What is told to the connection manager is the longest prefix that is done: it keeps the rest, to
//! send it again should this router be lost.

use vesta_wire::Sequence;

/// What to do with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is the next one: process it, then call [`Inbox::finish`].
    Next,
    /// It has come before.
    Duplicate,
    /// Frames before it are missing: it will be sent again after them.
    Gap,
}

/// See the module's documentation. An idle one owns no heap memory.
#[derive(Debug, Default)]
pub struct Inbox {
    /// The last frame taken.
    received: u64,
    /// The last frame of the prefix that is done.
    accepted: u64,
    /// Frames behind `accepted` that are done, sorted. Bounded by the manager's window of unaccepted frames.
    finished: Vec<u64>,
}

impl Inbox {
    /// An inbox whose manager has had everything up to `accepted` accepted by an earlier leader.
    pub fn from(accepted: Sequence) -> Self {
        Self { received: accepted.0, accepted: accepted.0, finished: Vec::new() }
    }

    /// A frame has come.
    pub fn arrive(&mut self, sequence: Sequence) -> Arrival {
        if sequence.0 <= self.received {
            return Arrival::Duplicate;
        }
        if sequence.0 - self.received > 1 {
            return Arrival::Gap;
        }
        self.received = sequence.0;
        Arrival::Next
    }

    /// A frame is done with. Returns the new end of the prefix, if it grew.
    pub fn finish(&mut self, sequence: Sequence) -> Option<Sequence> {
        if sequence.0 <= self.accepted {
            return None;
        }
        // Nearly always it is the next one, and none behind it is done yet.
        if sequence.0 == self.accepted + 1 && self.finished.is_empty() {
            self.accepted = sequence.0;
            return Some(sequence);
        }
        if let Err(at) = self.finished.binary_search(&sequence.0) {
            self.finished.insert(at, sequence.0);
        }
        let run = self.finished.iter().zip(self.accepted + 1..).take_while(|(done, next)| **done == *next).count();
        if run == 0 {
            return None;
        }
        self.finished.drain(..run);
        self.accepted += run as u64;
        if self.finished.is_empty() {
            self.finished = Vec::new();
        }
        Some(Sequence(self.accepted))
    }

    /// Whether everything that has come is done.
    pub fn is_settled(&self) -> bool {
        self.accepted == self.received
    }

    /// The last frame of the prefix that is done.
    pub fn accepted(&self) -> Sequence {
        Sequence(self.accepted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_once_and_in_order() {
        let mut inbox = Inbox::default();
        assert_eq!(inbox.arrive(Sequence(1)), Arrival::Next);
        assert_eq!(inbox.arrive(Sequence(1)), Arrival::Duplicate);
        assert_eq!(inbox.arrive(Sequence(3)), Arrival::Gap);
        assert_eq!(inbox.arrive(Sequence(2)), Arrival::Next);
        assert_eq!(inbox.arrive(Sequence(3)), Arrival::Next);
    }

    #[test]
    fn a_slow_frame_holds_back_those_behind_it() {
        let mut inbox = Inbox::default();
        for sequence in 1..=3 {
            inbox.arrive(Sequence(sequence));
        }
        assert_eq!(inbox.finish(Sequence(2)), None);
        assert_eq!(inbox.finish(Sequence(3)), None);
        assert_eq!(inbox.finish(Sequence(1)), Some(Sequence(3)));
        assert_eq!(inbox.finish(Sequence(1)), None);
    }

    #[test]
    fn a_new_leader_goes_on_behind_what_was_accepted() {
        let mut inbox = Inbox::from(Sequence(7));
        assert_eq!(inbox.arrive(Sequence(7)), Arrival::Duplicate);
        assert_eq!(inbox.arrive(Sequence(8)), Arrival::Next);
        assert_eq!(inbox.finish(Sequence(8)), Some(Sequence(8)));
    }
}
