//! XEP-0352: what an inactive client can wait for. Of several presences of one sender only the last counts, of several chat states
//! likewise: they are collapsed, and sent before the next thing that matters, or when the client becomes active.
//!
//! They have no place in the outbox yet, so that what is collapsed leaves no gap in the client's count (XEP-0198).

use std::sync::Arc;

use vesta_xmpp::{Envelope, Flags, MessageType, PresenceType, StanzaType};

/// The most stanzas that wait (P7). One more sends them all.
pub const HELD_BACK_MAX: usize = 256;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct HeldBack {
    stanzas: Vec<Arc<Envelope>>,
    /// Whether an earlier leader held something back that nobody knows of any more.
    pub missed: bool,
}

impl HeldBack {
    /// Nothing yet. `missed`: an earlier leader may have held something back.
    pub fn new(missed: bool) -> Self {
        Self { stanzas: Vec::new(), missed }
    }

    /// Takes a stanza that can wait, in the place of what it makes out of date. `false`: everything is to be sent, and it behind
    /// that.
    pub fn keep(&mut self, stanza: &Arc<Envelope>) -> bool {
        let Some(kind) = kind_of(stanza) else { return false };
        self.stanzas.retain(|older| kind_of(older) != Some(kind) || older.from != stanza.from);
        if self.stanzas.len() >= HELD_BACK_MAX {
            return false;
        }
        self.stanzas.push(stanza.clone());
        true
    }

    /// Takes everything out, in the order in which the last ones came.
    pub fn take(&mut self) -> Vec<Arc<Envelope>> {
        std::mem::take(&mut self.stanzas)
    }
}

/// What can wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Presence,
    ChatState,
}

/// Requests for subscription and their answers matter, and so do messages with anything but a chat state.
fn kind_of(stanza: &Envelope) -> Option<Kind> {
    const SUBSTANCE: Flags =
        Flags(Flags::BODY.0 | Flags::SUBJECT.0 | Flags::RECEIPT.0 | Flags::MARKER.0 | Flags::OTHER.0 | Flags::STORE.0);
    match stanza.kind {
        StanzaType::Presence(PresenceType::Available | PresenceType::Unavailable) => Some(Kind::Presence),
        StanzaType::Message(MessageType::Error) => None,
        StanzaType::Message(_) => {
            let is_state_alone = stanza.flags.has(Flags::CHAT_STATE) && stanza.flags.0 & SUBSTANCE.0 == 0;
            is_state_alone.then_some(Kind::ChatState)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vesta_xmpp::Jid;

    fn presence(from: &str, show: &str) -> Arc<Envelope> {
        let mut stanza = Envelope::new(StanzaType::Presence(PresenceType::Available));
        stanza.from = Some(Jid::parse(from).expect("a JID"));
        stanza.content = format!("<show>{show}</show>").into();
        Arc::new(stanza)
    }

    fn message(flags: Flags) -> Arc<Envelope> {
        let mut stanza = Envelope::new(StanzaType::Message(MessageType::Chat));
        stanza.from = Some(Jid::parse("romeo@example.net/orchard").expect("a JID"));
        stanza.flags = flags;
        Arc::new(stanza)
    }

    #[test]
    fn the_last_presence_and_chat_state_of_each_sender_wait() {
        let mut held = HeldBack::default();
        let (romeo, nurse) = ("romeo@example.net/orchard", "nurse@example.com/house");
        assert!(held.keep(&presence(romeo, "away")));
        assert!(held.keep(&message(Flags::CHAT_STATE)));
        assert!(held.keep(&presence(nurse, "dnd")));
        assert!(held.keep(&presence(romeo, "xa")));
        assert!(held.keep(&message(Flags::CHAT_STATE | Flags::THREAD)));
        let expected = [presence(nurse, "dnd"), presence(romeo, "xa"), message(Flags::CHAT_STATE | Flags::THREAD)];
        assert_eq!(held.take(), expected);
        assert!(held.take().is_empty());
    }

    #[test]
    fn what_matters_does_not_wait() {
        let mut held = HeldBack::default();
        for flags in [Flags::BODY, Flags::CHAT_STATE | Flags::BODY, Flags::CHAT_STATE | Flags::OTHER, Flags::MARKER] {
            assert!(!held.keep(&message(flags)), "{flags:?}");
        }
        let subscribe = Envelope::new(StanzaType::Presence(PresenceType::Subscribe));
        assert!(!held.keep(&Arc::new(subscribe)));
    }

    #[test]
    fn so_many_wait_and_no_more() {
        let mut held = HeldBack::default();
        for number in 0..HELD_BACK_MAX {
            assert!(held.keep(&presence(&format!("room@example.com/{number}"), "away")));
        }
        assert!(held.keep(&presence("room@example.com/0", "xa")), "in the place of another one");
        assert!(!held.keep(&presence("room@example.com/one-more", "away")));
    }
}
