//! XEP-0198 on one session's stream: what is owed to the client, and what is asked of it.

use vesta_wire::Sequence;
use vesta_xmpp::management::{Counters, TooMany};

/// See the module's documentation. No I/O: whoever holds it writes what it says.
#[derive(Debug)]
pub(super) struct Management {
    counters: Counters,
    /// Whether the client has asked, and not all that it had sent was accepted then: it is told when that grows (§4).
    owes: bool,
    /// Whether the client has been asked and has not answered.
    awaits: bool,
    /// The last place that the client was asked about.
    asked: u64,
}

impl Management {
    /// Counts what comes behind these places, in both directions.
    pub(super) fn new(received_before: Sequence, sent_before: Sequence) -> Self {
        let counters = Counters::new(received_before.0, sent_before.0);
        Self { counters, owes: false, awaits: false, asked: sent_before.0 }
    }

    /// The client asks. What to answer, if everything up to `accepted` is done, and more has come where it `is_behind`.
    pub(super) fn requested(&mut self, accepted: Sequence, is_behind: bool) -> u32 {
        self.owes = is_behind;
        self.counters.handled(accepted.0)
    }

    /// More is accepted. What to tell the client, if it waits for that.
    pub(super) fn accepted(&mut self, accepted: Sequence, is_behind: bool) -> Option<u32> {
        let owed = self.owes;
        self.owes &= is_behind;
        owed.then(|| self.counters.handled(accepted.0))
    }

    /// The count to end with.
    pub(super) fn handled(&self, accepted: Sequence) -> u32 {
        self.counters.handled(accepted.0)
    }

    /// Everything up to `sent` goes out: whether the client is to be asked. One question is under way at a time, so that a busy
    /// stream has one for each round trip, and each tells something new.
    pub(super) fn asks(&mut self, sent: Sequence) -> bool {
        let is_due = !self.awaits && sent.0 > self.asked;
        if is_due {
            self.awaits = true;
            self.asked = sent.0;
        }
        is_due
    }

    /// The client has got so many.
    ///
    /// # Errors
    /// That is more than were sent.
    pub(super) fn answered(&mut self, handled: u32, sent: Sequence) -> Result<(), TooMany> {
        self.counters.acknowledge(handled, sent.0)?;
        self.awaits = false;
        Ok(())
    }

    /// The last place that the client has got for certain.
    pub(super) fn acknowledged(&self) -> Sequence {
        Sequence(self.counters.acknowledged())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asked_too_early_is_told_again_until_nothing_is_open() {
        let mut management = Management::new(Sequence(2), Sequence(0));
        assert_eq!(management.accepted(Sequence(3), true), None, "nobody asked");
        assert_eq!(management.requested(Sequence(3), true), 1);
        assert_eq!(management.accepted(Sequence(4), true), Some(2));
        assert_eq!(management.accepted(Sequence(5), false), Some(3));
        assert_eq!(management.accepted(Sequence(6), false), None);
    }

    #[test]
    fn one_question_is_under_way_at_a_time_and_none_is_asked_twice() {
        let mut management = Management::new(Sequence(0), Sequence(4));
        assert!(!management.asks(Sequence(4)), "nothing was sent since");
        assert!(management.asks(Sequence(6)));
        assert!(!management.asks(Sequence(7)), "the first is not answered");
        management.answered(1, Sequence(7)).expect("not too many");
        assert_eq!(management.acknowledged(), Sequence(5));
        assert!(management.asks(Sequence(7)));
        management.answered(1, Sequence(7)).expect("not too many");
        assert!(!management.asks(Sequence(7)), "whoever answers less than it was sent is asked with the next stanza");
    }
}
