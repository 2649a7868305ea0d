//! What a session has been sent and has not yet confirmed.
//!
//! The router's half of a twin: the connection manager holds the same stanzas until its client has them. Numbers are given in
//! order without gaps; the manager confirms them cumulatively. After a change of leader the numbers are unknown until the
//! manager announces the session; stanzas that come meanwhile wait without one.

use std::collections::VecDeque;
use std::sync::Arc;

use vesta_wire::Sequence;
use vesta_xmpp::{Envelope, Flags};

/// The limit of an outbox: a client that is further behind loses its session, its stanzas are routed again (P7).
pub const STANZAS_MAX: usize = 2_000;
/// The limit of an outbox in bytes, see [`Envelope::weight`].
pub const BYTES_MAX: usize = 4 * 1024 * 1024;

/// The outbox is full: its session has to end.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

/// See the module's documentation. An idle one owns no heap memory.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Stanzas not yet confirmed, oldest first.
    stanzas: VecDeque<Arc<Envelope>>,
    /// What they weigh.
    bytes: usize,
    /// The number of the first of them; `None` until the manager has announced the session.
    first: Option<u64>,
    /// How many of them have been handed to the link.
    sent: usize,
    /// The greatest [`Envelope::logged`] that was ever in it, or that the manager has announced.
    logged: u64,
}

impl Outbox {
    /// The outbox of a session that was bound just now: the first stanza gets number 1.
    pub fn fresh() -> Self {
        Self { first: Some(1), ..Self::default() }
    }

    /// The outbox of a session that another leader has served before: numbers follow with [`Outbox::resynchronise`].
    pub fn inherited() -> Self {
        Self::default()
    }

    /// Adds a stanza at the end.
    ///
    /// # Errors
    /// [`Full`]: nothing was added.
    pub fn push(&mut self, stanza: Arc<Envelope>) -> Result<(), Full> {
        if self.stanzas.len() >= STANZAS_MAX || self.bytes + stanza.weight() > BYTES_MAX {
            return Err(Full);
        }
        self.append(stanza);
        Ok(())
    }

    /// Adds a stanza of a session that ends because it is full: that one and what follows until the end are not to be lost.
    ///
    /// # Errors
    /// [`Full`], at twice the limit.
    pub fn push_over(&mut self, stanza: Arc<Envelope>) -> Result<(), Full> {
        if self.stanzas.len() >= 2 * STANZAS_MAX || self.bytes + stanza.weight() > 2 * BYTES_MAX {
            return Err(Full);
        }
        self.append(stanza);
        Ok(())
    }

    fn append(&mut self, stanza: Arc<Envelope>) {
        self.bytes += stanza.weight();
        self.logged = self.logged.max(stanza.logged);
        self.stanzas.push_back(stanza);
    }

    /// Takes the next stanza to hand to the link, with its number. `None`: all are sent, or the numbers are not known.
    pub fn next_unsent(&mut self) -> Option<(Sequence, Arc<Envelope>)> {
        let number = self.first? + self.sent as u64;
        let stanza = self.stanzas.get(self.sent)?.clone();
        self.sent += 1;
        Some((Sequence(number), stanza))
    }

    /// Takes back the last [`Outbox::next_unsent`]: the link had no room.
    pub fn unsend(&mut self) {
        self.sent -= 1;
    }

    /// Whether there is something that can be sent.
    pub fn has_unsent(&self) -> bool {
        self.first.is_some() && self.sent < self.stanzas.len()
    }

    /// Forgets what the manager has confirmed. Numbers never sent are ignored: only a faulty manager confirms them.
    pub fn confirm(&mut self, up_to: Sequence) {
        let Some(first) = self.first else { return };
        let confirmed = up_to.0.saturating_add(1).saturating_sub(first).min(self.sent as u64) as usize;
        for stanza in self.stanzas.drain(..confirmed) {
            self.bytes -= stanza.weight();
        }
        self.first = Some(first + confirmed as u64);
        self.sent -= confirmed;
        if self.stanzas.is_empty() {
            self.stanzas = VecDeque::new();
        }
    }

    /// The manager says that it has everything up to `received`, of which its client has what comes up to `delivered`: what is
    /// behind the first is sent again, what is behind the second is kept.
    pub fn resynchronise(&mut self, received: Sequence, delivered: Sequence) {
        if self.first.is_some() {
            self.confirm(delivered);
        }
        let first = *self.first.get_or_insert(received.0.saturating_add(1));
        let kept = received.0.saturating_add(1).saturating_sub(first);
        self.sent = usize::try_from(kept).unwrap_or(usize::MAX).min(self.sent);
    }

    /// The manager says that everything up to the entry `logged` has come to it. Forgets what another leader may have sent
    /// ([`Flags::AGAIN`]) and has.
    pub fn announced(&mut self, logged: u64) {
        self.logged = self.logged.max(logged);
        if self.first.is_none() {
            self.stanzas.retain(|stanza| !stanza.flags.has(Flags::AGAIN) || stanza.logged > logged);
            self.bytes = self.stanzas.iter().map(|stanza| stanza.weight()).sum();
        }
    }

    /// The greatest [`Envelope::logged`] of everything that came before what is not confirmed.
    pub fn logged_before(&self) -> u64 {
        let open = self.stanzas.iter().map(|stanza| stanza.logged).filter(|logged| *logged > 0).min();
        open.map_or(self.logged, |least| least - 1)
    }

    /// Whether something between what the client has got (`delivered`) and what is held here is missing: only the manager has it.
    pub fn lacks(&self, delivered: Sequence) -> bool {
        self.first.is_some_and(|first| first > delivered.0.saturating_add(1))
    }

    /// Takes stanzas that another leader had sent and the client has not acknowledged: `last` is the place of the last of them. What
    /// is not joined to what is held here is ignored, and what would be far too much: the client can't resume then.
    pub fn restore(&mut self, last: Sequence, stanzas: Vec<Arc<Envelope>>) {
        let Some(first) = self.first.filter(|first| *first == last.0.saturating_add(1)) else { return };
        let bytes: usize = stanzas.iter().map(|stanza| stanza.weight()).sum();
        if self.stanzas.len() + stanzas.len() > 2 * STANZAS_MAX || self.bytes + bytes > 2 * BYTES_MAX {
            return;
        }
        let count = stanzas.len() as u64;
        if count >= first {
            return; // More than there were: only a faulty manager says so.
        }
        self.first = Some(first - count);
        self.sent += stanzas.len();
        self.bytes += bytes;
        stanzas.into_iter().rev().for_each(|stanza| self.stanzas.push_front(stanza));
    }

    /// The place of the last stanza that was handed to a link, and of the last one confirmed; `None`: numbers are not known.
    pub fn progress(&self) -> Option<(Sequence, Sequence)> {
        let first = self.first?;
        Some((Sequence(first - 1 + self.sent as u64), Sequence(first - 1)))
    }

    /// Everything that was not sent, oldest first.
    pub fn into_unsent(mut self) -> Vec<Arc<Envelope>> {
        self.stanzas.drain(..self.sent);
        self.stanzas.into()
    }

    /// Everything that was not confirmed, oldest first.
    pub fn into_unconfirmed(self) -> Vec<Arc<Envelope>> {
        self.stanzas.into()
    }
}

#[cfg(test)]
mod tests {
    use vesta_xmpp::{MessageType, StanzaType};

    use super::*;

    fn message(id: &str) -> Arc<Envelope> {
        let mut envelope = Envelope::new(StanzaType::Message(MessageType::Chat));
        envelope.id = Some(id.into());
        Arc::new(envelope)
    }

    fn sent(outbox: &mut Outbox) -> Vec<(u64, String)> {
        std::iter::from_fn(|| outbox.next_unsent())
            .map(|(sequence, stanza)| (sequence.0, stanza.id.as_deref().unwrap_or_default().to_owned()))
            .collect()
    }

    #[test]
    fn stanzas_are_numbered_from_one_and_forgotten_when_confirmed() {
        let mut outbox = Outbox::fresh();
        for id in ["a", "b", "c"] {
            outbox.push(message(id)).expect("room");
        }
        assert_eq!(sent(&mut outbox), [(1, "a".into()), (2, "b".into()), (3, "c".into())]);
        outbox.confirm(Sequence(2));
        outbox.confirm(Sequence(1));
        assert_eq!(outbox.into_unconfirmed(), [message("c")]);
    }

    #[test]
    fn after_a_broken_link_what_was_not_received_is_sent_again_with_its_old_number() {
        let mut outbox = Outbox::fresh();
        for id in ["a", "b", "c"] {
            outbox.push(message(id)).expect("room");
        }
        sent(&mut outbox);
        outbox.resynchronise(Sequence(1), Sequence(1));
        assert_eq!(sent(&mut outbox), [(2, "b".into()), (3, "c".into())]);
    }

    #[test]
    fn what_the_manager_has_and_its_client_has_not_is_kept_and_not_sent_again() {
        let mut outbox = Outbox::fresh();
        for id in ["a", "b", "c"] {
            outbox.push(message(id)).expect("room");
        }
        sent(&mut outbox);
        outbox.resynchronise(Sequence(2), Sequence(1));
        assert_eq!(sent(&mut outbox), [(3, "c".into())]);
        assert_eq!(outbox.into_unconfirmed(), [message("b"), message("c")]);
    }

    #[test]
    fn a_new_leader_numbers_on_from_what_the_manager_has_received() {
        let mut outbox = Outbox::inherited();
        outbox.push(message("a")).expect("room");
        assert!(!outbox.has_unsent());
        outbox.resynchronise(Sequence(41), Sequence(40));
        assert_eq!(sent(&mut outbox), [(42, "a".into())]);
    }

    #[test]
    fn what_only_the_manager_has_is_restored_in_pieces_from_the_newest_on() {
        let mut outbox = Outbox::inherited();
        outbox.push(message("e")).expect("room");
        outbox.resynchronise(Sequence(14), Sequence(10));
        assert!(outbox.lacks(Sequence(10)));
        outbox.restore(Sequence(14), vec![message("c"), message("d")]);
        assert!(outbox.lacks(Sequence(10)));
        outbox.restore(Sequence(13), vec![message("not joined")]);
        outbox.restore(Sequence(12), vec![message("a"), message("b")]);
        assert!(!outbox.lacks(Sequence(10)));
        assert_eq!(outbox.progress(), Some((Sequence(14), Sequence(10))));
        assert_eq!(sent(&mut outbox), [(15, "e".into())]);
        outbox.confirm(Sequence(12));
        outbox.resynchronise(Sequence(12), Sequence(12));
        assert_eq!(sent(&mut outbox), [(13, "c".into()), (14, "d".into()), (15, "e".into())]);
    }

    #[test]
    fn a_stanza_that_the_link_had_no_room_for_keeps_its_place() {
        let mut outbox = Outbox::fresh();
        outbox.push(message("a")).expect("room");
        assert!(outbox.next_unsent().is_some());
        outbox.unsend();
        assert_eq!(sent(&mut outbox), [(1, "a".into())]);
    }

    #[test]
    fn a_confirmation_of_what_was_never_sent_is_ignored() {
        let mut outbox = Outbox::fresh();
        outbox.push(message("a")).expect("room");
        outbox.confirm(Sequence(9));
        assert_eq!(sent(&mut outbox), [(1, "a".into())]);
    }

    #[test]
    fn a_full_outbox_says_so_and_keeps_what_it_has() {
        let mut outbox = Outbox::fresh();
        for _ in 0..STANZAS_MAX {
            outbox.push(message("a")).expect("room");
        }
        assert_eq!(outbox.push(message("b")), Err(Full));
        for _ in 0..STANZAS_MAX {
            outbox.push_over(message("c")).expect("room until the session has ended");
        }
        assert_eq!(outbox.push_over(message("d")), Err(Full));
        assert_eq!(outbox.into_unconfirmed().len(), 2 * STANZAS_MAX);
    }

    #[test]
    fn what_was_never_sent_is_told_from_what_was() {
        let mut outbox = Outbox::fresh();
        outbox.push(message("a")).expect("room");
        outbox.push(message("b")).expect("room");
        outbox.next_unsent();
        assert_eq!(outbox.into_unsent(), [message("b")]);
    }
}
