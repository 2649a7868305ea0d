//! What routers say to each other beside Raft: stanzas on their way from the sender's shard to the recipient's.
//!
//! One link per ordered pair of routers; the receiving side answers each frame once, in any order, several with one answer. Order is kept within a
//! shard: a receiver that has refused one of its frames refuses all that come behind it, also if it leads the shard again
//! meanwhile, until one [`ToOwner::Stanza::restarts`]. The sender waits for all answers before it sends the shard's
//! stanzas again, there or elsewhere.

use std::ops::RangeInclusive;
use std::sync::Arc;

use vesta_xmpp::{Envelope, StanzaError};

use crate::attach::Leader;
use crate::{Epoch, NodeId, Sequence, SessionId, ShardId};

/// Where a stanza came into the cluster: what makes it recognisable when it comes twice (P2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IngressId {
    /// The sender's session.
    pub session: SessionId,
    /// Its epoch.
    pub epoch: Epoch,
    /// The inbound frame's place.
    pub sequence: Sequence,
    /// Which of the stanzas that the frame brought forth: 0 for the stanza itself.
    pub part: u32,
}

/// A request to the owner of a shard.
#[derive(Clone, Debug)]
pub enum ToOwner {
    /// The first frame of a link.
    Hello {
        /// The sender.
        node: NodeId,
        /// [`crate::attach::VERSION`] of the sender.
        version: u32,
    },
    /// A stanza for an account (or room, or node) of the shard.
    Stanza {
        /// Number within the link, only growing.
        number: u64,
        /// The recipient's shard.
        shard: ShardId,
        /// Where it came in; `None` for stanzas that a server made itself.
        ingress: Option<IngressId>,
        /// The first of the shard since one was refused: everything that was refused is behind it, in order.
        restarts: bool,
        /// The stanza.
        stanza: Arc<Envelope>,
    },
}

/// The answer to a [`ToOwner::Stanza`].
#[derive(Clone, Debug)]
pub enum FromOwner {
    /// Done with: delivered, stored or answered.
    Done {
        /// The requests' numbers, of one or several in a row.
        numbers: RangeInclusive<u64>,
    },
    /// The receiver does not lead the shard, or has refused an earlier frame of it.
    NotLeader {
        /// The request's number.
        number: u64,
        /// Whom it takes for the leader.
        leader: Leader,
    },
    /// It can't be done: the sender is to be told.
    Failed {
        /// The request's number.
        number: u64,
        /// What to answer.
        error: StanzaError,
    },
}
