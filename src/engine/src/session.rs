//! A bound session as the cluster knows it: replicated, so that it outlives the router that leads its shard (P5).

use std::collections::BTreeSet;

use vesta_xmpp::{Envelope, FullJid, Jid};

use crate::Timestamp;

/// A session and its epoch. A key with an old epoch names a stream that has been replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey {
    /// The session's number within the shard of its account.
    pub number: u64,
    /// How often another stream has taken it over.
    pub epoch: u32,
}

/// A *connected resource* in the sense of RFC 6121 §1.4. With [`Session::available`] it is an *available resource*, with
/// [`Session::interested`] an *interested resource*.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Number and epoch.
    pub key: SessionKey,
    /// Its address.
    pub jid: FullJid,
    /// When it was bound.
    pub bound_at: Timestamp,
    /// The latest available presence, if there is one.
    pub available: Option<Available>,
    /// Whether it has asked for the roster and so gets roster pushes (RFC 6121 §2.2).
    pub interested: bool,
    /// Whether its client wants copies of what the account's other resources send and receive (XEP-0280).
    pub carbons: bool,
    /// Whom it has sent available presence to beside the roster (RFC 6121 §4.6): they are told when it ends. Bounded by
    /// [`DIRECTED_MAX`].
    pub directed: BTreeSet<Jid>,
}

/// How many entities one session may keep directed presence with.
pub const DIRECTED_MAX: usize = 1000;

/// An available presence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Available {
    /// RFC 6121 §4.7.2.3: −128 to 127.
    pub priority: i8,
    /// The stanza as broadcast: `from` is the full JID, `to` is empty.
    pub stanza: std::sync::Arc<Envelope>,
    /// When it came.
    pub since: Timestamp,
}

/// A change to a session's replicated record. Each may be applied twice without harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionChange {
    /// A new available presence, or none: then the directed presence is over as well (RFC 6121 §4.6.3).
    Presence(Option<Available>),
    /// The session has asked for its roster.
    Interested,
    /// Its client wants copies from now on, or wants them no longer (XEP-0280).
    Carbons(bool),
    /// Directed presence went to this entity.
    AddDirected(Jid),
    /// Directed unavailable presence went to this entity.
    RemoveDirected(Jid),
}

impl Session {
    /// Applies a change: the one place where it is defined, for the replicated state and for tests.
    pub fn apply(&mut self, change: SessionChange) {
        match change {
            SessionChange::Presence(available) => {
                if available.is_none() {
                    self.directed.clear();
                }
                self.available = available;
            }
            SessionChange::Interested => self.interested = true,
            SessionChange::Carbons(carbons) => self.carbons = carbons,
            SessionChange::AddDirected(to) => {
                if self.directed.len() < DIRECTED_MAX {
                    self.directed.insert(to);
                }
            }
            SessionChange::RemoveDirected(to) => {
                self.directed.remove(&to);
            }
        }
    }

    /// Whether it takes messages to the bare JID: available, with a priority that is not negative (RFC 6121 §8.5.2.1.1).
    pub fn takes_messages(&self) -> bool {
        self.priority().is_some_and(|priority| priority >= 0)
    }

    /// The priority, if the resource is available.
    pub fn priority(&self) -> Option<i8> {
        self.available.as_ref().map(|available| available.priority)
    }
}
