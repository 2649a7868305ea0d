//! What a connection manager and a router say to each other, over one [`crate::link::Link`] per pair.
//!
//! A manager keeps one link to every router. A session's frames go to the router that leads the session's shard; when that
//! changes, the manager [`ToRouter::Announce`]s the shard's sessions to the new leader and sends again what was not yet
//! accepted. Frames of a session carry its epoch and a sequence number of their direction, so that what comes twice is
//! recognised.
//!
//! ```text
//! manager                                   router (leader of the session's shard)
//!   Hello                            →
//!                                    ←      Welcome (leaders of all shards)
//!   Ask(Salt) … Ask(Proof)           →
//!                                    ←      Answered
//!   Bind                             →
//!                                    ←      Bound (session, epoch, full JID)
//!   Inbound 1, 2, 3 …                →
//!                                    ←      Accepted 3
//!                                    ←      Deliver 1 (and to whom else on this manager)
//!   Delivered 1                      →
//!   Inbound 4 (Ended)                →
//!
//!   Inbound 2 (Resumable)            →
//!   Detached                         →
//! another manager, later:
//!   Resume                           →
//!                                    ←      Resumed (the session in its next epoch)
//! ```

use std::sync::Arc;

use vesta_xmpp::client_state::ClientState;
use vesta_xmpp::management::Refusal;
use vesta_xmpp::sasl::{Answer, Question};
use vesta_xmpp::{BareJid, Envelope, FullJid, StanzaError, StreamError};

use crate::{Epoch, ManagerName, NodeId, Sequence, SessionId, ShardId, StreamId, Term};

/// The version of these frames. A side that is told an older one leaves out what that did not know.
pub const VERSION: u32 = 1;

/// Number of a request within its link, chosen by the manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub u64);

/// From a connection manager to a router.
#[derive(Clone, Debug)]
pub enum ToRouter {
    /// The first frame of a link.
    Hello {
        /// Who is there.
        manager: ManagerName,
        /// [`VERSION`] of the sender.
        version: u32,
    },
    /// A step of SASL. Answered by [`ToManager::Answered`] or [`ToManager::NotLeader`].
    Ask {
        /// To be repeated in the answer.
        request: RequestId,
        /// What is asked.
        question: Question,
    },
    /// Binds a resource (RFC 6120 §7) for a stream that has authenticated. Answered by [`ToManager::Bound`] or
    /// [`ToManager::NotLeader`].
    Bind {
        /// To be repeated in the answer.
        request: RequestId,
        /// The authenticated account.
        account: BareJid,
        /// What the client asked for, prepared.
        resource: Option<String>,
        /// The stream, for the session's record.
        stream: StreamId,
    },
    /// Resumes a session over another stream (XEP-0198 §5). Answered by [`ToManager::Resumed`] or [`ToManager::NotLeader`].
    Resume {
        /// To be repeated in the answer.
        request: RequestId,
        /// The authenticated account.
        account: BareJid,
        /// The session's number, as the client's id for resumption says.
        session: u64,
        /// The digest of that id.
        digest: Digest,
        /// How many stanzas the client says it got, modulo 2³².
        handled: u32,
        /// The stream, for the session's record.
        stream: StreamId,
    },
    /// In-band registration before authentication (XEP-0077). Answered by [`ToManager::Registered`].
    Register {
        /// To be repeated in the answer.
        request: RequestId,
        /// The account that the request names, or the virtual host where it names none.
        account: BareJid,
        /// The IQ.
        stanza: Envelope,
    },
    /// A session of this manager, told to a router that has become its leader or has lost the link for a while. Answered
    /// by [`ToManager::Announced`].
    Announce {
        /// The session.
        session: SessionId,
        /// Its epoch at the manager.
        epoch: Epoch,
        /// Its address.
        jid: FullJid,
        /// Its stream.
        stream: StreamId,
        /// The last [`ToManager::Deliver`] that came in.
        received: Sequence,
        /// The last of them that the client has got, as in [`ToRouter::Delivered`].
        delivered: Sequence,
        /// The last [`ToRouter::Inbound`] that was accepted.
        accepted: Sequence,
        /// The greatest [`Envelope::logged`] of all that came in.
        logged: u64,
    },
    /// Every [`ToManager::Deliver`] up to this receipt has come, and what has to be kept is kept: it is held by two nodes.
    Taken {
        /// The greatest receipt that came.
        receipt: u64,
        /// Those up to there that were refused, because another router leads the shard by now: the manager has nothing of them.
        refused: Vec<u64>,
    },
    /// What the manager has of a session and its client has not acknowledged, told to a leader that lacks it
    /// ([`Announced::Continues`]). Pieces come from the newest to the oldest, each joined to the one before it.
    Restore {
        /// The session.
        session: SessionId,
        /// Its epoch.
        epoch: Epoch,
        /// The place of the last of these stanzas; the others come before it, without gaps.
        last: Sequence,
        /// Oldest first.
        stanzas: Vec<Arc<Envelope>>,
    },
    /// The connection of a session that can be resumed is lost: the session waits for its client. Said again after each
    /// announcement. What the client sent before has been sent before.
    Detached {
        /// The session.
        session: SessionId,
        /// Its epoch.
        epoch: Epoch,
    },
    /// A session's client has become active or inactive (XEP-0352). Inactivity is said again after each announcement.
    State {
        /// The session.
        session: SessionId,
        /// Its epoch.
        epoch: Epoch,
        /// What it is.
        state: ClientState,
        /// Whether it has been so for a while: a leader that does not know of it has missed what another one held back.
        since_before: bool,
    },
    /// Something from a session's client.
    Inbound {
        /// The session.
        session: SessionId,
        /// Its epoch.
        epoch: Epoch,
        /// Its place.
        sequence: Sequence,
        /// What came.
        event: Inbound,
    },
    /// Everything up to `sequence` has been handed to the client (with XEP-0198: acknowledged by it; without:
    /// written to its socket).
    Delivered {
        /// The session.
        session: SessionId,
        /// Its epoch.
        epoch: Epoch,
        /// The last one delivered.
        sequence: Sequence,
    },
    /// Sent when nothing else was for a while; answered by [`ToManager::Pong`].
    Ping,
}

/// What comes from a session's client, in order.
#[derive(Clone, Debug)]
pub enum Inbound {
    /// A stanza, `from` stamped.
    Stanza(Arc<Envelope>),
    /// What would be a stanza but for an address or attribute, and the error that answers it, if one does. It goes to the router
    /// because both are counted: what came, and what the client gets (XEP-0198).
    Rejected(Option<Arc<Envelope>>),
    /// The stream has ended; the session ends with it.
    Ended(EndReason),
    /// From here on the client counts (XEP-0198 §3), and may resume the session. The event's own place is not counted, those behind it
    /// are.
    Resumable(Resumable),
}

/// SHA-256 of the secret in a client's id for resumption: only the client and, while the session is with it, its manager know
/// the secret itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl std::fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Digest(…)")
    }
}

/// How a session can be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resumable {
    /// What proves that it is the session's client.
    pub digest: Digest,
    /// For how long after the loss of its connection, in seconds.
    pub seconds: u32,
    /// The last [`ToManager::Deliver`] that is not counted.
    pub sent_before: Sequence,
}

/// Why a session ended at its manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The client closed its stream.
    Closed,
    /// The connection broke, timed out or was reset.
    Lost,
    /// The manager ended it: a stream error, a limit.
    Failed,
    /// The manager is being drained.
    Draining,
}

/// A recipient of [`ToManager::Deliver`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The session's number within the frame's shard.
    pub session: u64,
    /// Its epoch.
    pub epoch: Epoch,
    /// The frame's place among those to this session.
    pub sequence: Sequence,
}

/// Who leads a shard, as far as the sender knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leader {
    /// The shard.
    pub shard: ShardId,
    /// The term of that knowledge: older news is to be ignored.
    pub term: Term,
    /// The leader; `None` while there is an election.
    pub node: Option<NodeId>,
}

/// A router of the cluster, as managers must know it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RouterInfo {
    /// Its Raft id.
    pub node: NodeId,
    /// Its configured name; empty where only the address is known yet.
    pub name: Arc<str>,
    /// Where it listens for links: `host:port`. Empty within one process.
    pub address: Arc<str>,
}

/// From a router to a connection manager.
#[derive(Clone, Debug)]
pub enum ToManager {
    /// The answer to [`ToRouter::Hello`].
    Welcome {
        /// [`VERSION`] of the sender.
        version: u32,
        /// The router itself.
        node: NodeId,
        /// The number of shards, fixed for the cluster's life.
        shards: u32,
        /// All routers.
        routers: Vec<RouterInfo>,
        /// Whom the sender takes for the leaders.
        leaders: Vec<Leader>,
    },
    /// News of leaders.
    Leaders(Vec<Leader>),
    /// To [`ToRouter::Ask`].
    Answered {
        /// The request's number.
        request: RequestId,
        /// The answer.
        answer: Answer,
    },
    /// To [`ToRouter::Bind`].
    Bound {
        /// The request's number.
        request: RequestId,
        /// The session, or why there is none.
        result: Result<BoundSession, StanzaError>,
    },
    /// To [`ToRouter::Resume`].
    Resumed {
        /// The request's number.
        request: RequestId,
        /// The session, or why it does not go on.
        result: Result<ResumedSession, Refusal>,
    },
    /// To [`ToRouter::Register`].
    Registered {
        /// The request's number.
        request: RequestId,
        /// The result or error to send.
        stanza: Envelope,
    },
    /// To a request that this router can't serve: ask the shard's leader, or again after a while.
    NotLeader {
        /// The request's number.
        request: RequestId,
        /// Whom the sender takes for the leader.
        leader: Leader,
    },
    /// To [`ToRouter::Announce`].
    Announced {
        /// The session.
        session: SessionId,
        /// The epoch that was announced.
        epoch: Epoch,
        /// What is to be done.
        outcome: Announced,
    },
    /// A stanza for sessions of this manager; it writes each one's full JID into `to` only where the stanza has none.
    Deliver {
        /// The shard that sends.
        shard: ShardId,
        /// The term of its leader: frames of an older one are to be refused.
        term: Term,
        /// The recipients.
        targets: Vec<Target>,
        /// The stanza.
        stanza: Arc<Envelope>,
        /// Wants [`ToRouter::Taken`] by this number, which grows on each link; 0: it wants none.
        receipt: u64,
    },
    /// Every [`ToRouter::Inbound`] of the session up to `sequence` is done with: durable where it must be.
    Accepted {
        /// The session.
        session: SessionId,
        /// Its epoch.
        epoch: Epoch,
        /// The last one done.
        sequence: Sequence,
    },
    /// Ends the session's stream with an error. The session is gone already.
    Close {
        /// The session.
        session: SessionId,
        /// Its epoch.
        epoch: Epoch,
        /// What to tell the client.
        error: StreamError,
    },
    /// To [`ToRouter::Ping`].
    Pong,
}

/// A session that was bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundSession {
    /// The session.
    pub session: SessionId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its address.
    pub jid: FullJid,
}

/// A session that goes on over another stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumedSession {
    /// The session, in its new epoch: frames of the old one are refused from now on.
    pub bound: BoundSession,
    /// For how long it can be resumed once more, in seconds.
    pub seconds: u32,
    /// The last [`ToRouter::Inbound`]; all of them are done with.
    pub accepted: Sequence,
    /// The last of them that is not counted.
    pub received_before: Sequence,
    /// The last [`ToManager::Deliver`] that the client has got. The next one has the next number.
    pub delivered: Sequence,
    /// The last of them that is not counted.
    pub sent_before: Sequence,
    /// The greatest [`Envelope::logged`] of all that the client has got.
    pub logged: u64,
}

/// What became of an announced session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// It goes on: send again every inbound frame behind `accepted`.
    Continues {
        /// The last inbound frame that is done with.
        accepted: Sequence,
        /// Whether the router lacks what the client has not acknowledged: then the manager restores it.
        lacks: bool,
    },
    /// The shard does not know it, or knows a newer epoch: close the stream.
    Unknown,
    /// This router does not lead the shard: announce to its leader.
    NotLeader(Leader),
}
