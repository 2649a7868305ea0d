//! The message log of an account: what its archive shows (XEP-0313) and what waits for a client that takes it (XEP-0160) are entries
//! of one log, so that no message is kept twice.
//!
//! An entry's id is the time at which it came, made unique and growing: pages by time and pages by id are the same thing, and no
//! clock that goes back makes an entry appear before one that was read already.

use std::fmt;

use bytes::Bytes;
use vesta_xmpp::hash::digest128;
use vesta_xmpp::payload::stanza_id::StanzaId;
use vesta_xmpp::{BareJid, Envelope, Jid};

use crate::Timestamp;

/// Bits of an id below its milliseconds.
const COUNTER_BITS: u32 = 20;

/// The id of an entry: only grows within an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogId(pub u64);

impl LogId {
    /// The id of an entry that comes `now`, behind `last`.
    pub fn next(last: LogId, now: Timestamp) -> Self {
        Self::first_of(now).max(Self(last.0 + 1))
    }

    /// The least id of an entry that came at `time` or later.
    pub fn first_of(time: Timestamp) -> Self {
        Self(time.0 << COUNTER_BITS)
    }

    /// When the entry came.
    pub fn at(self) -> Timestamp {
        Timestamp(self.0 >> COUNTER_BITS)
    }
}

impl fmt::Display for LogId {
    /// As clients see it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:x}", self.0)
    }
}

impl LogId {
    /// Reads what [`fmt::Display`] writes, and nothing else: `None` for what can't be an id of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let id = u64::from_str_radix(text, 16).map(Self).ok()?;
        (id.to_string() == text).then_some(id)
    }
}

/// What an entry is recognised by when its message comes again: a hash of 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark(pub u128);

impl Mark {
    /// The mark of a stanza that a client's frame brought forth: the `part`th one of the frame with this number, of that session.
    /// `generation` tells the lives of a cluster apart, since in each of them sessions are numbered anew.
    pub fn ingress(generation: u64, shard: u32, session: u64, sequence: u64, part: u32) -> Self {
        let numbers = [generation, u64::from(shard), session, sequence, u64::from(part)].map(u64::to_be_bytes);
        Self(digest128(&[b"ingress", numbers.as_flattened()]))
    }

    /// The mark of a message that its sender's account calls `id` (XEP-0359).
    pub fn origin(sender: &BareJid, id: &str) -> Self {
        Self(digest128(&[b"origin", sender.as_str().as_bytes(), id.as_bytes()]))
    }
}

/// A message in an account's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Its id.
    pub id: LogId,
    /// The other side of the conversation, as the stanza has it: a bare or a full JID.
    pub peer: Jid,
    /// What the message is recognised by when it comes again: where it came into the cluster.
    pub ingress: Option<Mark>,
    /// Likewise: its sender's account and the id that the sender gave it (XEP-0359).
    pub origin: Option<Mark>,
    /// Whether the archive shows it. An entry that is not shown is forgotten when it waits no longer.
    pub archived: bool,
    /// Whether it waits for a client that takes it.
    pub waiting: bool,
    /// The stanza as XML that stands alone ([`vesta_xmpp::Envelope::write_alone`]).
    pub stanza: Bytes,
}

/// What a shard's new leader has to know of an account's log before it appends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    /// The last id ever given.
    pub last: LogId,
    /// How many entries wait.
    pub waiting: u64,
    /// The marks of the newest entries, newest first.
    pub recent: Vec<(LogId, Option<Mark>, Option<Mark>)>,
}

/// Which entries of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Those that the archive shows.
    Archived,
    /// Those that wait for a client.
    Waiting,
}

/// A question about a log. All conditions hold together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogQuery {
    /// Which entries.
    pub view: View,
    /// Only those with this other side: a bare JID means all of its resources.
    pub peer: Option<Jid>,
    /// Only those with a greater id.
    pub after: Option<LogId>,
    /// Only those with a lesser id.
    pub before: Option<LogId>,
    /// Only these.
    pub ids: Option<Vec<LogId>>,
    /// At most so many: the first ones, or with [`LogQuery::backwards`] the last ones. Always in the order of their ids.
    pub limit: u32,
    /// Whether the last ones are meant.
    pub backwards: bool,
}

/// An entry as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedMessage {
    /// Its id.
    pub id: LogId,
    /// Whether the archive shows it.
    pub archived: bool,
    /// The stanza as XML that stands alone.
    pub stanza: Bytes,
}

impl LoggedMessage {
    /// The stanza as its owner may see it: one that the archive shows bears its id there (XEP-0313 §3.2). `None`: the store holds
    /// something that is no stanza.
    pub fn read(&self, owner: &BareJid) -> Option<Envelope> {
        let mut stanza = Envelope::read_alone(&self.stanza).ok()?;
        if self.archived {
            bear_id(&mut stanza, owner, self.id);
        }
        Some(stanza)
    }
}

/// Writes an entry's id into the owner's copy of its stanza (XEP-0359).
pub(crate) fn bear_id(stanza: &mut Envelope, owner: &BareJid, id: LogId) {
    stanza.append(&StanzaId { id: id.to_string(), by: owner.clone().into() }.to_element());
    stanza.logged = id.0;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written_and_in_no_other_way() {
        for id in [LogId(1), LogId(0xab_cdef), LogId(u64::MAX)] {
            assert_eq!(LogId::parse(&id.to_string()), Some(id));
        }
        for text in ["", "01", "AB", "+1", "x", "10000000000000000"] {
            assert_eq!(LogId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn ids_grow_also_when_the_clock_goes_back() {
        let first = LogId::next(LogId::default(), Timestamp(1_000));
        assert_eq!(first.at(), Timestamp(1_000));
        let second = LogId::next(first, Timestamp(400));
        assert!(second > first);
        assert_eq!(second.at(), Timestamp(1_000), "stamps don't go back either");
        assert_eq!(LogId::next(second, Timestamp(1_001)), LogId::first_of(Timestamp(1_001)));
    }
}
