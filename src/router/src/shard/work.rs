//! The events of an account, and the token that tells when all that an inbound frame brought forth is done.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use tokio::sync::oneshot;
use vesta_engine::Session;
use vesta_engine::engine::{AdminCommand, AdminError};
use vesta_wire::attach::{EndReason, RequestId};
use vesta_wire::forward::{FromOwner, IngressId};
use vesta_wire::{Epoch, Sequence, StreamId};
use vesta_xmpp::{Envelope, StanzaError, StreamError};

use super::leading::Leading;
use crate::links::forward::Answers;
use crate::links::managers::ManagerHandle;

/// An event of one account.
#[derive(Debug)]
pub enum Work {
    /// A stanza from a session's client.
    Outbound {
        /// The session's number.
        session: u64,
        /// Its epoch.
        epoch: Epoch,
        /// The stanza.
        stanza: Arc<Envelope>,
        /// What it brings forth, and when that is done.
        token: Token,
    },
    /// A stanza for the account.
    Inbound {
        /// The stanza.
        stanza: Arc<Envelope>,
        /// The frame that it comes from, if a client's.
        token: Token,
    },
    /// A stream has authenticated and wants a resource.
    Bind {
        /// To be answered there.
        manager: Arc<ManagerHandle>,
        /// The request.
        request: RequestId,
        /// What was asked for, prepared.
        resource: Option<String>,
        /// The stream.
        stream: StreamId,
    },
    /// A session's stream has ended at its manager, or its manager is lost.
    StreamEnded {
        /// The session's number.
        session: u64,
        /// Its epoch.
        epoch: Epoch,
        /// Why.
        reason: EndReason,
        /// The manager's frame that says so: the manager keeps it until it is accepted. `None`: nobody says so.
        said_by: Option<(Arc<ManagerHandle>, Sequence)>,
    },
    /// A session is to end with an error.
    Close {
        /// The session's number.
        session: u64,
        /// Its epoch.
        epoch: Epoch,
        /// What its client is told.
        error: StreamError,
    },
    /// A session is no longer in the replicated state: the contacts have to know, what it has not taken is routed again.
    Ended {
        /// The session as it was.
        session: Arc<Session>,
        /// What its client has not taken.
        undelivered: Vec<Arc<Envelope>>,
    },
    /// An administrator's command.
    Administer {
        /// The command.
        command: AdminCommand,
        /// Where the outcome goes.
        reply: oneshot::Sender<Result<(), AdminError>>,
    },
    /// In-band registration before authentication.
    Register {
        /// To be answered there.
        manager: Arc<ManagerHandle>,
        /// The request.
        request: RequestId,
        /// The IQ.
        stanza: Box<Envelope>,
    },
}

impl Work {
    /// Gives the event up without counting the frame behind it as done.
    pub fn abandon(self) {
        if let Work::Outbound { token, .. } | Work::Inbound { token, .. } = self {
            token.abandon();
        }
    }
}

/// Follows an inbound frame through everything that it brings forth. When the last clone is dropped, the frame is done: what had
/// to be stored is stored, what had to be handed to another shard is there.
#[derive(Clone, Debug, Default)]
pub struct Token(Option<Arc<Frame>>);

struct Frame {
    ingress: Option<IngressId>,
    parts: AtomicU32,
    abandoned: AtomicBool,
    origin: Origin,
}

/// Where a frame came from, and so who is told when it is done.
enum Origin {
    /// A client's session. Weak: a frame on its way must not keep a leadership alive that has ended.
    Session(Weak<Leading>),
    /// Another router.
    Router { number: u64, answers: Arc<Answers> },
}

impl Token {
    /// The token of a client's frame that came in at `leading`.
    pub fn new(ingress: IngressId, leading: &Arc<Leading>) -> Self {
        Self::of(Some(ingress), Origin::Session(Arc::downgrade(leading)))
    }

    /// The token of a stanza that another router has sent as its frame `number`.
    pub fn forwarded(ingress: Option<IngressId>, number: u64, answers: &Arc<Answers>) -> Self {
        Self::of(ingress, Origin::Router { number, answers: answers.clone() })
    }

    fn of(ingress: Option<IngressId>, origin: Origin) -> Self {
        let (parts, abandoned) = (AtomicU32::new(0), AtomicBool::new(false));
        Self(Some(Arc::new(Frame { ingress, parts, abandoned, origin })))
    }

    /// The token of something that no client's frame stands behind.
    pub fn none() -> Self {
        Self(None)
    }

    /// An id for the next stanza that a client's frame brings forth.
    pub fn next_part(&self) -> Option<IngressId> {
        let frame = self.0.as_ref()?;
        let Origin::Session(_) = frame.origin else { return None };
        let part = frame.parts.fetch_add(1, Ordering::Relaxed);
        frame.ingress.map(|ingress| IngressId { part, ..ingress })
    }

    /// The frame could not be worked at: it must not count as done. Its manager keeps it and sends it to the next leader.
    pub fn abandon(self) {
        if let Some(frame) = &self.0 {
            frame.abandoned.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        if *self.abandoned.get_mut() {
            return;
        }
        match &self.origin {
            Origin::Router { number, answers } => answers.send(FromOwner::Done { number: *number }),
            Origin::Session(leading) => {
                if let (Some(leading), Some(ingress)) = (leading.upgrade(), self.ingress) {
                    leading.delivery.finish(ingress.session.number, ingress.epoch, ingress.sequence);
                }
            }
        }
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Frame({:?})", self.ingress)
    }
}

/// What a refused event is answered with.
pub fn overloaded() -> StanzaError {
    StanzaError::new(vesta_xmpp::stanza_error::Condition::ResourceConstraint)
        .with_text("This account has too much to do just now. Try again later.")
}
