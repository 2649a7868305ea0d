//! The types with which openraft is instantiated. They do not leave this module: outside, the words of `vesta_wire::raft` are
//! spoken, and [`super::convert`] translates.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use openraft::vote::leader_id_std;

use super::runtime::Runtime;

openraft::declare_raft_types!(
    /// Standard Raft: one leader per term at the most. Stores fence their transactions by term alone, so openraft's own variant
    /// of several leaders in a term would not do.
    pub(crate) Types:
        D = Batch,
        R = Vec<Bytes>,
        NodeId = u64,
        Node = Member,
        LeaderId = leader_id_std::LeaderId<u64, u64>,
        AsyncRuntime = Runtime,
);

pub(crate) type LeaderId = leader_id_std::LeaderId<u64, u64>;
pub(crate) type CommittedLeaderId = leader_id_std::CommittedLeaderId<u64>;
pub(crate) type Vote = openraft::Vote<LeaderId>;
pub(crate) type LogId = openraft::LogId<CommittedLeaderId>;
pub(crate) type Payload = openraft::EntryPayload<Batch, u64, Member>;
pub(crate) type Entry = openraft::Entry<CommittedLeaderId, Payload>;
pub(crate) type Membership = openraft::Membership<u64, Member>;
pub(crate) type StoredMembership = openraft::StoredMembership<CommittedLeaderId, u64, Member>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<CommittedLeaderId, u64, Member>;
pub(crate) type Snapshot = openraft::Snapshot<CommittedLeaderId, u64, Member, Bytes>;
pub(crate) type Metrics = openraft::RaftMetrics<Types>;

/// The commands of one entry, encoded by [`super::codec::encode_batch`].
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Batch(pub(crate) Bytes);

// Commands carry what users wrote: only their size is for the log.
impl fmt::Display for Batch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes", self.0.len())
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// What a membership entry says of a member, besides its id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its configured name.
    pub(crate) name: Arc<str>,
    /// Where it listens: `host:port`.
    pub(crate) address: Arc<str>,
}

/// The place of an entry.
pub(crate) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term), index)
}
