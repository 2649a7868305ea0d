//! Stanzas that come twice (P2): which of a shard's inbound stanzas have been worked at.
//!
//! A stanza comes twice when the link that it came over broke before it was answered, or when its sender's shard got another
//! leader before its frame was accepted. It is recognised by its [`IngressId`] and the account that it is for.
//!
//! The window: the last [`REMEMBERED_MAX`] stanzas of the shard, in the memory of its leader. What comes again does so within
//! seconds, in the order in which it came first; at most a shard's part of [`crate::links::forward::PENDING_MAX`] is under way
//! from each router. A new leader of the recipient's shard remembers nothing.
//!
//! Messages that are in the account's log, or wait behind such, are not here: the engine knows them by their marks
//! (`vesta_engine::log::Mark`), and so does the next leader.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use parking_lot::Mutex;
use vesta_wire::forward::IngressId;
use vesta_wire::{Sequence, SessionId};
use vesta_xmpp::BareJid;
use vesta_xmpp::hash::{HashSet, RandomState};

/// How many stanzas one shard's leader remembers (P7): 40 bytes each, twice. The oldest are forgotten.
pub const REMEMBERED_MAX: usize = 4_096;

/// The account's hash, and session, sequence and part of the [`IngressId`]: a session that is resumed goes on with its numbers in
/// another epoch.
type Key = (u64, SessionId, Sequence, u32);

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Seen {
    hasher: RandomState,
    keys: Mutex<Keys>,
}

#[derive(Debug, Default)]
struct Keys {
    known: HashSet<Key>,
    by_age: VecDeque<Key>,
}

impl Seen {
    /// Whether the stanza has been worked at.
    pub fn contains(&self, account: &BareJid, ingress: IngressId) -> bool {
        let key = self.key(account, ingress);
        self.keys.lock().known.contains(&key)
    }

    /// The stanza has been worked at.
    pub fn insert(&self, account: &BareJid, ingress: IngressId) {
        let key = self.key(account, ingress);
        let mut keys = self.keys.lock();
        if !keys.known.insert(key) {
            return;
        }
        keys.by_age.push_back(key);
        if keys.by_age.len() > REMEMBERED_MAX
            && let Some(oldest) = keys.by_age.pop_front()
        {
            keys.known.remove(&oldest);
        }
    }

    /// One frame may bring forth stanzas for several accounts of the shard.
    fn key(&self, account: &BareJid, ingress: IngressId) -> Key {
        (self.hasher.hash_one(account), ingress.session, ingress.sequence, ingress.part)
    }
}

#[cfg(test)]
mod tests {
    use vesta_wire::{Epoch, ShardId};

    use super::*;

    fn ingress(sequence: u64) -> IngressId {
        let session = SessionId { shard: ShardId(1), number: 1 };
        IngressId { session, epoch: Epoch(1), sequence: Sequence(sequence), part: 0 }
    }

    #[test]
    fn a_stanza_is_recognised_per_account_until_the_window_has_passed() {
        let seen = Seen::default();
        let juliet = BareJid::parse("juliet@example.com").expect("a JID");
        let nurse = BareJid::parse("nurse@example.com").expect("a JID");
        seen.insert(&juliet, ingress(0));
        assert!(seen.contains(&juliet, ingress(0)));
        assert!(!seen.contains(&nurse, ingress(0)));
        assert!(!seen.contains(&juliet, ingress(1)));
        let resumed = IngressId { epoch: Epoch(2), ..ingress(0) };
        assert!(seen.contains(&juliet, resumed), "a resumed session sends the same frame again");
        for sequence in 0..REMEMBERED_MAX as u64 {
            seen.insert(&juliet, ingress(sequence));
        }
        assert!(seen.contains(&juliet, ingress(0)), "inserting again takes no room");
        seen.insert(&nurse, ingress(0));
        assert!(!seen.contains(&juliet, ingress(0)));
        assert_eq!(seen.keys.lock().known.len(), REMEMBERED_MAX);
    }
}
