//! XEP-0198 on one session's stream: what is owed to the client, what is asked of it, and what it has not acknowledged.
//!
//! When the client is asked: one that can't resume at once, so that little is delivered twice when its connection breaks; one that
//! can, when [`ASK_STANZAS`] are open, and for fewer when the manager looks at silent sessions.

use std::collections::VecDeque;
use std::sync::Arc;

use vesta_wire::Sequence;
use vesta_xmpp::Envelope;
use vesta_xmpp::management::{Counters, Resumable, TooMany};

/// A client that can resume is asked when it has so many stanzas to acknowledge.
const ASK_STANZAS: u64 = 8;
/// How many stanzas one piece of what is given back to a router holds at most, and about how many bytes.
const PIECE_STANZAS: usize = 64;
const PIECE_BYTES: usize = 256 * 1024;

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
    /// What the client has not acknowledged, oldest first, up to the last frame that came in: the twin of the router's outbox, which
    /// bounds it.
    twin: VecDeque<Arc<Envelope>>,
    resumption: Resumption,
    /// What is to be given back to a router: everything up to here.
    restoring: Option<Sequence>,
}

/// Whether the client may resume the session.
#[derive(Debug)]
pub(super) enum Resumption {
    /// It has not asked for that, or may not.
    Never,
    /// It will be told when the router knows: when the frame at this place is accepted.
    Asked(Sequence, Box<Resumable>),
    /// It has been told; for so many seconds after the loss of its connection.
    Granted(u32),
}

impl Management {
    /// Counts what comes behind these places, in both directions.
    pub(super) fn new(received_before: Sequence, sent_before: Sequence, resumption: Resumption) -> Self {
        Self::counting(Counters::new(received_before.0, sent_before.0), resumption)
    }

    /// Goes on counting on another stream.
    pub(super) fn counting(counters: Counters, resumption: Resumption) -> Self {
        let asked = counters.acknowledged();
        let (owes, awaits, twin, restoring) = (false, false, VecDeque::new(), None);
        Self { counters, owes, awaits, asked, twin, resumption, restoring }
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

    /// Everything up to `accepted` is done: what to tell the client, if it has just become able to resume.
    pub(super) fn granted(&mut self, accepted: Sequence) -> Option<Box<Resumable>> {
        if !matches!(&self.resumption, Resumption::Asked(place, _) if *place <= accepted) {
            return None;
        }
        match std::mem::replace(&mut self.resumption, Resumption::Never) {
            Resumption::Asked(_, resumable) => {
                self.resumption = Resumption::Granted(resumable.max);
                Some(resumable)
            }
            other => {
                self.resumption = other;
                None
            }
        }
    }

    /// For how long after the loss of its connection the client may resume, in seconds; `None`: it may not.
    pub(super) fn resumable_for(&self) -> Option<u32> {
        match self.resumption {
            Resumption::Granted(seconds) => Some(seconds),
            Resumption::Never | Resumption::Asked(..) => None,
        }
    }

    /// The count to end with.
    pub(super) fn handled(&self, accepted: Sequence) -> u32 {
        self.counters.handled(accepted.0)
    }

    /// Everything up to `sent` goes out: whether the client is to be asked. One question is under way at a time, so that a busy
    /// stream has one for each round trip, and each tells something new.
    pub(super) fn asks(&mut self, sent: Sequence) -> bool {
        let enough = match self.resumption {
            Resumption::Never => 1,
            Resumption::Granted(_) => ASK_STANZAS,
            // It does not count yet.
            Resumption::Asked(..) => return false,
        };
        self.asks_for(sent, enough)
    }

    /// As [`Management::asks`], for whatever is open.
    pub(super) fn asks_at_last(&mut self, sent: Sequence) -> bool {
        !matches!(self.resumption, Resumption::Asked(..)) && self.asks_for(sent, 1)
    }

    fn asks_for(&mut self, sent: Sequence, enough: u64) -> bool {
        let is_due = !self.awaits && sent.0 >= self.asked.max(self.counters.acknowledged()) + enough;
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
        let before = self.counters.acknowledged();
        self.counters.acknowledge(handled, sent.0)?;
        let news = (self.counters.acknowledged() - before) as usize;
        self.twin.drain(..news.min(self.twin.len()));
        if self.twin.is_empty() {
            self.twin = VecDeque::new();
        }
        self.awaits = false;
        Ok(())
    }

    /// The last place that the client has got for certain.
    pub(super) fn acknowledged(&self) -> Sequence {
        Sequence(self.counters.acknowledged())
    }

    /// A frame to the client has come.
    pub(super) fn keep(&mut self, stanza: Arc<Envelope>) {
        self.twin.push_back(stanza);
    }

    /// A new leader lacks what the client has not acknowledged, or does not.
    pub(super) fn restore(&mut self, received: Option<Sequence>) {
        self.restoring = received.filter(|_| !self.twin.is_empty());
    }

    /// Whether something is to be given back.
    pub(super) fn restores(&self) -> bool {
        self.restoring.is_some()
    }

    /// The next piece to give back, newest first: the place of its last stanza, and the stanzas, oldest first.
    pub(super) fn next_piece(&mut self) -> Option<(Sequence, Vec<Arc<Envelope>>)> {
        let last = self.restoring.take()?;
        let end = usize::try_from(last.0.checked_sub(self.counters.acknowledged())?).ok()?.min(self.twin.len());
        let mut bytes = 0;
        let begin = (0..end)
            .rev()
            .take(PIECE_STANZAS)
            .take_while(|at| {
                let fits = bytes < PIECE_BYTES;
                bytes += self.twin[*at].weight();
                fits
            })
            .last()?;
        if begin > 0 {
            self.restoring = Some(Sequence(last.0 - (end - begin) as u64));
        }
        Some((last, self.twin.range(begin..end).cloned().collect()))
    }
}

#[cfg(test)]
mod tests {
    use vesta_xmpp::{MessageType, StanzaType};

    use super::*;

    fn new(received_before: u64, sent_before: u64) -> Management {
        Management::new(Sequence(received_before), Sequence(sent_before), Resumption::Never)
    }

    fn message(id: usize) -> Arc<Envelope> {
        let mut envelope = Envelope::new(StanzaType::Message(MessageType::Chat));
        envelope.id = Some(id.to_string().into());
        Arc::new(envelope)
    }

    #[test]
    fn a_client_may_resume_when_the_router_knows_of_it() {
        let resumable = Resumable { id: "x".into(), max: 300, location: None };
        let asked = Resumption::Asked(Sequence(3), Box::new(resumable.clone()));
        let mut management = Management::new(Sequence(3), Sequence(0), asked);
        assert!(!management.asks(Sequence(20)), "it does not count yet");
        assert_eq!((management.granted(Sequence(2)), management.resumable_for()), (None, None));
        assert_eq!(management.granted(Sequence(3)), Some(Box::new(resumable)));
        assert_eq!((management.granted(Sequence(3)), management.resumable_for()), (None, Some(300)));
    }

    #[test]
    fn a_client_that_can_resume_is_asked_for_many_or_after_a_while() {
        let mut management = Management::counting(Counters::new(0, 0), Resumption::Granted(300));
        assert!(!management.asks(Sequence(ASK_STANZAS - 1)));
        assert!(management.asks_at_last(Sequence(ASK_STANZAS - 1)));
        assert!(!management.asks(Sequence(2 * ASK_STANZAS)), "one question at a time");
        management.answered(7, Sequence(2 * ASK_STANZAS)).expect("not too many");
        assert!(management.asks(Sequence(2 * ASK_STANZAS)));
        assert!(!management.asks_at_last(Sequence(2 * ASK_STANZAS)));
    }

    #[test]
    fn what_is_not_acknowledged_is_given_back_in_pieces_from_the_newest_on() {
        let mut management = new(0, 100);
        let count = PIECE_STANZAS + 10;
        (1..=count).for_each(|id| management.keep(message(id)));
        let received = Sequence(100 + count as u64);
        management.answered(3, received).expect("not too many");
        management.restore(Some(received));
        let (last, newest) = management.next_piece().expect("a piece");
        assert_eq!((last, newest.len(), newest.last()), (received, PIECE_STANZAS, Some(&message(count))));
        management.answered(5, received).expect("not too many");
        management.keep(message(count + 1));
        let (last, oldest) = management.next_piece().expect("a piece");
        assert_eq!(last, Sequence(110));
        assert_eq!(oldest, (6..=10).map(message).collect::<Vec<_>>());
        assert!(!management.restores() && management.next_piece().is_none());
    }

    #[test]
    fn who_asked_too_early_is_told_again_until_nothing_is_open() {
        let mut management = new(2, 0);
        assert_eq!(management.accepted(Sequence(3), true), None, "nobody asked");
        assert_eq!(management.requested(Sequence(3), true), 1);
        assert_eq!(management.accepted(Sequence(4), true), Some(2));
        assert_eq!(management.accepted(Sequence(5), false), Some(3));
        assert_eq!(management.accepted(Sequence(6), false), None);
    }

    #[test]
    fn one_question_is_under_way_at_a_time_and_none_is_asked_twice() {
        let mut management = new(0, 4);
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
