//! The replicated state of `meta`, group 0: who belongs to the cluster, and which routers hold which shard.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use vesta_wire::attach::RouterInfo;
use vesta_wire::cluster::ClusterId;
use vesta_wire::{NodeId, ShardId};

/// A router that was admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterEntry {
    /// Name and address.
    pub info: RouterInfo,
    /// The number that its disk drew when it was empty.
    pub disk: u64,
}

/// A change of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetaCommand {
    /// Founds the cluster, once: its number, its shards, and the router that founds it.
    Found {
        /// Drawn at random.
        cluster: ClusterId,
        /// Greater than that of any cluster founded on the same database before: what the shards write is fenced by it.
        generation: u64,
        /// How many shards, for ever.
        shards: u32,
        /// The founder.
        founder: RouterEntry,
    },
    /// Admits a router. The id in the entry is ignored: the state gives one.
    Admit(RouterEntry),
    /// Says which routers hold each shard: shard `n` at place `n`, the preferred leader first. Once, in this version.
    Place(Vec<Vec<NodeId>>),
}

/// What a [`MetaCommand`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaOutcome {
    /// Done, or done before.
    Done,
    /// Admitted under this id, now or before.
    Admitted(NodeId),
    /// A router of that name is admitted under this id, with another disk.
    NameTaken(NodeId),
    /// Not possible in this state.
    Refused,
}

/// See the module's documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetaState {
    cluster: Option<ClusterId>,
    generation: u64,
    shards: u32,
    routers: BTreeMap<NodeId, RouterEntry>,
    placement: Vec<Vec<NodeId>>,
    /// The last id given: ids are entry indexes, and several admissions may share an entry.
    last_node: u64,
}

/// The id of the router that founds a cluster: its admission is the first entry there is.
pub const FOUNDER: NodeId = NodeId(1);

impl MetaState {
    /// Applies the command of the entry at `index`.
    pub fn apply(&mut self, index: u64, command: MetaCommand) -> MetaOutcome {
        match command {
            MetaCommand::Found { cluster, generation, shards, founder } => {
                if self.cluster.is_none() {
                    self.cluster = Some(cluster);
                    self.generation = generation;
                    self.shards = shards;
                    self.last_node = FOUNDER.0;
                    self.routers.insert(FOUNDER, founder);
                }
                MetaOutcome::Done
            }
            MetaCommand::Admit(entry) => self.admit(index, entry),
            MetaCommand::Place(placement) => {
                if !self.placement.is_empty() || placement.len() != self.shards as usize {
                    return MetaOutcome::Refused;
                }
                self.placement = placement;
                MetaOutcome::Done
            }
        }
    }

    fn admit(&mut self, index: u64, mut entry: RouterEntry) -> MetaOutcome {
        if self.cluster.is_none() {
            return MetaOutcome::Refused;
        }
        if let Some((&node, known)) = self.routers.iter_mut().find(|(_, it)| it.info.name == entry.info.name) {
            if known.disk != entry.disk {
                return MetaOutcome::NameTaken(node);
            }
            known.info.address = entry.info.address;
            return MetaOutcome::Admitted(node);
        }
        self.last_node = index.max(self.last_node + 1);
        let node = NodeId(self.last_node);
        entry.info.node = node;
        self.routers.insert(node, entry);
        MetaOutcome::Admitted(node)
    }

    /// The cluster, once it is founded.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.cluster
    }

    /// The generation of the shards' Raft groups.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// How many shards there are.
    pub fn shards(&self) -> u32 {
        self.shards
    }

    /// All routers, in the order of their ids.
    pub fn routers(&self) -> impl Iterator<Item = &RouterInfo> {
        self.routers.values().map(|entry| &entry.info)
    }

    /// One router.
    pub fn router(&self, node: NodeId) -> Option<&RouterInfo> {
        self.routers.get(&node).map(|entry| &entry.info)
    }

    /// Who holds a shard, the preferred leader first; empty while nothing is placed.
    pub fn voters(&self, shard: ShardId) -> &[NodeId] {
        self.placement.get(shard.0 as usize).map_or(&[], Vec::as_slice)
    }

    /// Whether the shards are placed.
    pub fn is_placed(&self) -> bool {
        !self.placement.is_empty()
    }
}

/// How many routers hold a shard, where there are as many.
pub const REPLICAS: usize = 3;

/// Spreads shards over routers by rendezvous hashing: for each shard the routers with the greatest `hash(shard, name)`, the
/// greatest first. A router more or less moves only what it gains or loses.
pub fn place(shards: u32, routers: &[RouterInfo]) -> Vec<Vec<NodeId>> {
    (0..shards)
        .map(|shard| {
            let mut ranked: Vec<_> = routers.iter().map(|router| (score(shard, &router.name), router.node)).collect();
            ranked.sort_by(|a, b| b.cmp(a));
            ranked.truncate(REPLICAS);
            ranked.into_iter().map(|(_, node)| node).collect()
        })
        .collect()
}

/// FNV-1a over shard and name, then a finalising mix so that neighbouring shards differ in all bits. Frozen for ever.
fn score(shard: u32, name: &str) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in shard.to_be_bytes().into_iter().chain(name.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

/// Bytes that are no command, outcome or snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log of meta holds what this version can't read: {0}")]
pub struct MetaCodecError(String);

impl From<prost::DecodeError> for MetaCodecError {
    fn from(error: prost::DecodeError) -> Self {
        Self(error.to_string())
    }
}

#[derive(Clone, PartialEq, Message)]
struct EntryMessage {
    #[prost(uint64, tag = "1")]
    node: u64,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    address: String,
    #[prost(fixed64, tag = "4")]
    disk: u64,
}

#[derive(Clone, PartialEq, Message)]
struct VotersMessage {
    #[prost(uint64, repeated, tag = "1")]
    nodes: Vec<u64>,
}

/// Serves as command and as snapshot: a snapshot is all the fields at once.
#[derive(Clone, PartialEq, Message)]
struct MetaMessage {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(fixed64, optional, tag = "2")]
    cluster: Option<u64>,
    #[prost(uint32, tag = "3")]
    shards: u32,
    #[prost(message, repeated, tag = "4")]
    routers: Vec<EntryMessage>,
    #[prost(message, repeated, tag = "5")]
    placement: Vec<VotersMessage>,
    #[prost(uint64, tag = "6")]
    last_node: u64,
    #[prost(uint64, tag = "7")]
    generation: u64,
}

const FOUND: u32 = 1;
const ADMIT: u32 = 2;
const PLACE: u32 = 3;
const SNAPSHOT: u32 = 4;

impl MetaCommand {
    /// As a log entry.
    pub fn encode(&self) -> Bytes {
        let message = match self {
            MetaCommand::Found { cluster, generation, shards, founder } => MetaMessage {
                kind: FOUND,
                cluster: Some(cluster.0),
                generation: *generation,
                shards: *shards,
                routers: vec![founder.into()],
                ..MetaMessage::default()
            },
            MetaCommand::Admit(entry) => {
                MetaMessage { kind: ADMIT, routers: vec![entry.into()], ..MetaMessage::default() }
            }
            MetaCommand::Place(placement) => {
                MetaMessage { kind: PLACE, placement: encode_placement(placement), ..MetaMessage::default() }
            }
        };
        message.encode_to_vec().into()
    }

    /// From a log entry.
    ///
    /// # Errors
    /// See [`MetaCodecError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MetaCodecError> {
        let mut message = MetaMessage::decode(bytes)?;
        let mut router = || message.routers.pop().map(RouterEntry::from).ok_or(MetaCodecError("no router".into()));
        Ok(match message.kind {
            FOUND => MetaCommand::Found {
                founder: router()?,
                cluster: ClusterId(message.cluster.ok_or(MetaCodecError("no cluster".into()))?),
                generation: message.generation,
                shards: message.shards,
            },
            ADMIT => MetaCommand::Admit(router()?),
            PLACE => MetaCommand::Place(decode_placement(message.placement)),
            other => return Err(MetaCodecError(format!("command {other}"))),
        })
    }
}

impl MetaOutcome {
    /// As the reply of the state: its kind and a number.
    pub fn encode(self) -> Bytes {
        let (kind, node) = match self {
            MetaOutcome::Done => (0, 0),
            MetaOutcome::Admitted(node) => (1, node.0),
            MetaOutcome::NameTaken(node) => (2, node.0),
            MetaOutcome::Refused => (3, 0),
        };
        let mut out = vec![kind];
        out.extend_from_slice(&u64::to_be_bytes(node));
        out.into()
    }

    /// From the reply of the state.
    ///
    /// # Errors
    /// See [`MetaCodecError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MetaCodecError> {
        let (kind, number) = bytes.split_first().ok_or(MetaCodecError("an empty outcome".into()))?;
        let node = || number.try_into().map(|bytes| NodeId(u64::from_be_bytes(bytes)));
        Ok(match (kind, node()) {
            (0, _) => MetaOutcome::Done,
            (1, Ok(node)) => MetaOutcome::Admitted(node),
            (2, Ok(node)) => MetaOutcome::NameTaken(node),
            (3, _) => MetaOutcome::Refused,
            (kind, _) => return Err(MetaCodecError(format!("outcome {kind}"))),
        })
    }
}

impl MetaState {
    /// The whole state.
    pub fn encode(&self) -> Bytes {
        MetaMessage {
            kind: SNAPSHOT,
            cluster: self.cluster.map(|cluster| cluster.0),
            generation: self.generation,
            shards: self.shards,
            routers: self.routers.values().map(EntryMessage::from).collect(),
            placement: encode_placement(&self.placement),
            last_node: self.last_node,
        }
        .encode_to_vec()
        .into()
    }

    /// From [`MetaState::encode`].
    ///
    /// # Errors
    /// See [`MetaCodecError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MetaCodecError> {
        let message = MetaMessage::decode(bytes)?;
        if message.kind != SNAPSHOT {
            return Err(MetaCodecError(format!("kind {} where a snapshot should be", message.kind)));
        }
        let routers = message.routers.into_iter().map(RouterEntry::from);
        Ok(Self {
            cluster: message.cluster.map(ClusterId),
            generation: message.generation,
            shards: message.shards,
            routers: routers.map(|entry| (entry.info.node, entry)).collect(),
            placement: decode_placement(message.placement),
            last_node: message.last_node,
        })
    }
}

fn encode_placement(placement: &[Vec<NodeId>]) -> Vec<VotersMessage> {
    placement.iter().map(|nodes| VotersMessage { nodes: nodes.iter().map(|node| node.0).collect() }).collect()
}

fn decode_placement(placement: Vec<VotersMessage>) -> Vec<Vec<NodeId>> {
    placement.into_iter().map(|voters| voters.nodes.into_iter().map(NodeId).collect()).collect()
}

impl From<&RouterEntry> for EntryMessage {
    fn from(entry: &RouterEntry) -> Self {
        Self {
            node: entry.info.node.0,
            name: entry.info.name.to_string(),
            address: entry.info.address.to_string(),
            disk: entry.disk,
        }
    }
}

impl From<EntryMessage> for RouterEntry {
    fn from(message: EntryMessage) -> Self {
        let info = RouterInfo {
            node: NodeId(message.node),
            name: Arc::from(message.name),
            address: Arc::from(message.address),
        };
        Self { info, disk: message.disk }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(name: &str, disk: u64) -> RouterEntry {
        RouterEntry { info: RouterInfo { node: FOUNDER, name: name.into(), address: "localhost:1".into() }, disk }
    }

    fn founded() -> MetaState {
        let mut state = MetaState::default();
        state.apply(
            2,
            MetaCommand::Found { cluster: ClusterId(9), generation: 6, shards: 4, founder: router("sr-0", 1) },
        );
        state
    }

    #[test]
    fn an_id_is_the_index_of_the_entry_and_never_given_twice() {
        let mut state = founded();
        assert_eq!(state.apply(7, MetaCommand::Admit(router("sr-1", 2))), MetaOutcome::Admitted(NodeId(7)));
        assert_eq!(state.apply(7, MetaCommand::Admit(router("sr-2", 3))), MetaOutcome::Admitted(NodeId(8)));
        assert_eq!(state.apply(8, MetaCommand::Admit(router("sr-3", 4))), MetaOutcome::Admitted(NodeId(9)));
    }

    #[test]
    fn asking_again_gets_the_same_id_and_an_empty_disk_does_not_get_an_old_one() {
        let mut state = founded();
        state.apply(7, MetaCommand::Admit(router("sr-1", 2)));
        assert_eq!(state.apply(9, MetaCommand::Admit(router("sr-1", 2))), MetaOutcome::Admitted(NodeId(7)));
        assert_eq!(state.apply(10, MetaCommand::Admit(router("sr-1", 5))), MetaOutcome::NameTaken(NodeId(7)));
    }

    #[test]
    fn a_cluster_is_founded_and_placed_once() {
        let mut state = founded();
        state.apply(
            3,
            MetaCommand::Found { cluster: ClusterId(10), generation: 7, shards: 8, founder: router("other", 1) },
        );
        assert_eq!((state.cluster(), state.generation(), state.shards()), (Some(ClusterId(9)), 6, 4));
        assert_eq!(state.apply(4, MetaCommand::Place(vec![vec![FOUNDER]; 3])), MetaOutcome::Refused);
        assert_eq!(state.apply(4, MetaCommand::Place(vec![vec![FOUNDER]; 4])), MetaOutcome::Done);
        assert_eq!(state.apply(5, MetaCommand::Place(vec![vec![]; 4])), MetaOutcome::Refused);
        assert_eq!(state.voters(ShardId(3)), [FOUNDER]);
    }

    #[test]
    fn commands_outcomes_and_state_read_as_they_were_written() {
        let commands = [
            MetaCommand::Found { cluster: ClusterId(9), generation: 6, shards: 4, founder: router("sr-0", 1) },
            MetaCommand::Admit(router("sr-1", 2)),
            MetaCommand::Place(vec![vec![FOUNDER], vec![], vec![NodeId(2), FOUNDER], vec![]]),
        ];
        let mut state = MetaState::default();
        for (index, command) in commands.into_iter().enumerate() {
            assert_eq!(MetaCommand::decode(&command.encode()).expect("readable"), command);
            let outcome = state.apply(index as u64 + 2, command);
            assert_eq!(MetaOutcome::decode(&outcome.encode()).expect("readable"), outcome);
        }
        assert_eq!(MetaState::decode(&state.encode()).expect("readable"), state);
    }

    #[test]
    fn shards_are_spread_evenly_over_three_of_five_routers() {
        let routers: Vec<_> = (1..=5)
            .map(|n| RouterInfo { node: NodeId(n), name: format!("sr-{n}").into(), address: "".into() })
            .collect();
        let placement = place(64, &routers);
        assert!(placement.iter().all(|voters| voters.len() == REPLICAS));
        for router in &routers {
            let led = placement.iter().filter(|voters| voters[0] == router.node).count();
            assert!((5..=22).contains(&led), "{} leads {led} of 64", router.name);
        }
    }
}
