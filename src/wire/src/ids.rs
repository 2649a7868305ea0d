//! The names of things that more than one tier speaks of.

use std::fmt;
use std::sync::Arc;

/// A shard: `hash(bare JID) mod shards`. Shard numbers are also the numbers of the Raft groups, but for `meta`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u32);

/// A router's Raft id: the index of the `meta` entry that admitted it. Never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u64);

/// The Raft term of a shard's leader: what fences a leader that slept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Term(pub u64);

/// A bound session: numbered by its shard, never twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId {
    /// The shard of the session's account.
    pub shard: ShardId,
    /// Given by the shard's replicated state, only growing.
    pub number: u64,
}

/// How often a session has been taken over by another stream. Only the newest epoch may write (P6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u32);

/// The place of a frame in its session and direction: 1 for the first, no gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sequence(pub u64);

/// A client's stream at its connection manager, unique within one run of that process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// A connection manager: its configured name and a number drawn at each start. Sessions of an older run of the same name
/// are dead.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ManagerName {
    /// The configured name.
    pub name: Arc<str>,
    /// Drawn at random at start.
    pub incarnation: u64,
}

impl fmt::Display for ShardId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

impl fmt::Display for ManagerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}#{:016x}", self.name, self.incarnation)
    }
}

/// The shard that owns `bare`, a prepared bare JID. The function is frozen for ever: FNV-1a of 64 bit over the bytes,
/// folded to 32, modulo the number of shards.
pub fn shard_of(bare: &str, shards: u32) -> ShardId {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in bare.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    ShardId(((hash >> 32) as u32 ^ hash as u32) % shards.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shard_of_an_account_is_frozen() {
        assert_eq!(shard_of("juliet@example.com", 64), shard_of("juliet@example.com", 64));
        let spread: std::collections::HashSet<_> =
            (0..1000).map(|n| shard_of(&format!("user{n}@example.com"), 64)).collect();
        assert_eq!(spread.len(), 64);
    }
}
