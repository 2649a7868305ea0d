//! What came from a session's client and is not yet accepted by a router: kept to be sent again.

use std::collections::VecDeque;

use vesta_wire::Sequence;
use vesta_wire::attach::Inbound;

/// Stanzas not yet accepted above which the client's socket is read no further.
pub(crate) const STANZAS_MAX: usize = 256;
/// Bytes not yet accepted above which the client's socket is read no further.
pub(crate) const BYTES_MAX: usize = 1024 * 1024;
/// The room that an empty window may keep, in events.
const IDLE_CAPACITY: usize = 4;

/// The events behind the last accepted one, in order. The first `sent` of them are on their way.
#[derive(Debug, Default)]
pub(super) struct Window {
    accepted: Sequence,
    events: VecDeque<Inbound>,
    sent: usize,
    bytes: usize,
}

impl Window {
    /// The window of a session that goes on behind what another manager has had accepted.
    pub(super) fn from(accepted: Sequence) -> Self {
        Self { accepted, ..Self::default() }
    }

    /// Appends an event. The limit is for the reader of the socket to hold: see [`Window::has_room`].
    pub(super) fn push(&mut self, event: Inbound) {
        self.bytes += weight(&event);
        self.events.push_back(event);
    }

    /// Whether another stanza may be read.
    pub(super) fn has_room(&self) -> bool {
        self.events.len() < STANZAS_MAX && self.bytes < BYTES_MAX
    }

    /// The last event that is done with.
    pub(super) fn accepted(&self) -> Sequence {
        self.accepted
    }

    /// How many events are kept.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// Takes the next event to be sent.
    pub(super) fn next_unsent(&mut self) -> Option<(Sequence, Inbound)> {
        let event = self.events.get(self.sent)?.clone();
        self.sent += 1;
        Some((Sequence(self.accepted.0 + self.sent as u64), event))
    }

    /// Whether something is to be sent.
    pub(super) fn has_unsent(&self) -> bool {
        self.sent < self.events.len()
    }

    /// Forgets everything up to `sequence`; what comes twice or too early changes nothing.
    pub(super) fn accept(&mut self, sequence: Sequence) {
        let done = (sequence.0.saturating_sub(self.accepted.0) as usize).min(self.events.len());
        for event in self.events.drain(..done) {
            self.bytes -= weight(&event);
        }
        self.accepted.0 += done as u64;
        self.sent = self.sent.saturating_sub(done);
        if self.events.is_empty() && self.events.capacity() > IDLE_CAPACITY {
            self.events = VecDeque::new();
        }
    }

    /// Everything is to be sent again.
    pub(super) fn rewind(&mut self) {
        self.sent = 0;
    }

    /// Forgets everything: nobody waits for it any more.
    pub(super) fn clear(&mut self) {
        self.accept(Sequence(u64::MAX));
    }
}

fn weight(event: &Inbound) -> usize {
    match event {
        Inbound::Stanza(stanza) | Inbound::Rejected(Some(stanza)) => stanza.weight(),
        Inbound::Rejected(None) | Inbound::Ended(_) | Inbound::Resumable(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vesta_wire::attach::EndReason;
    use vesta_xmpp::{Envelope, MessageType, StanzaType};

    use super::*;

    fn stanza() -> Inbound {
        Inbound::Stanza(Arc::new(Envelope::new(StanzaType::Message(MessageType::Chat))))
    }

    fn sent(window: &mut Window) -> Vec<u64> {
        std::iter::from_fn(|| window.next_unsent()).map(|(sequence, _)| sequence.0).collect()
    }

    #[test]
    fn after_a_rewind_the_unaccepted_go_again_in_order_before_anything_new() {
        let mut window = Window::default();
        (0..4).for_each(|_| window.push(stanza()));
        assert_eq!(sent(&mut window), [1, 2, 3, 4]);
        window.accept(Sequence(2));
        window.rewind();
        window.push(stanza());
        assert_eq!(sent(&mut window), [3, 4, 5]);
    }

    #[test]
    fn an_acceptance_that_comes_twice_or_is_older_changes_nothing() {
        let mut window = Window::default();
        (0..3).for_each(|_| window.push(stanza()));
        sent(&mut window);
        window.accept(Sequence(2));
        window.accept(Sequence(2));
        window.accept(Sequence(1));
        assert_eq!((window.accepted(), window.len()), (Sequence(2), 1));
    }

    #[test]
    fn the_window_is_full_at_its_bounds_and_an_empty_one_keeps_no_room() {
        let mut window = Window::default();
        (0..STANZAS_MAX).for_each(|_| window.push(stanza()));
        assert!(!window.has_room());
        window.accept(Sequence(1));
        assert!(window.has_room());
        window.push(Inbound::Ended(EndReason::Closed));
        window.clear();
        assert_eq!((window.len(), window.bytes, window.events.capacity()), (0, 0, 0));
    }
}
