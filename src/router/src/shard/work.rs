//! The events of an account, and the token that tells when all that an inbound frame brought forth is done.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use tokio::sync::oneshot;
use vesta_engine::engine::{AdminCommand, AdminError};
use vesta_engine::{Session, SessionKey};
use vesta_wire::attach::{EndReason, RequestId, Resumable};
use vesta_wire::forward::IngressId;
use vesta_wire::{Epoch, Sequence, ShardId, StreamId};
use vesta_xmpp::{BareJid, Envelope, StanzaError, StreamError};

use super::leading::Leading;
use super::logging::Durable;
use super::resuming::Resume;
use crate::links::managers::ManagerHandle;
use crate::links::owner::Answers;

/// An event of one account.
#[derive(Debug)]
pub enum Work {
    /// A stanza from a session's client.
    Outbound {
        /// Where it came in: session, epoch and place.
        ingress: IngressId,
        /// The stanza.
        stanza: Arc<Envelope>,
        /// What it brings forth, and when that is done.
        token: Token,
    },
    /// What a session's client sent is no stanza.
    Rejected {
        /// The session.
        session: SessionKey,
        /// The error that answers it, if one does.
        answer: Option<Arc<Envelope>>,
        /// The frame's.
        token: Token,
    },
    /// A stanza for the account.
    Inbound(Arrived),
    /// What the account's log was to take is durable, or can't be.
    Logged(Box<Durable>),
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
    /// A session's client has asked to be able to resume it.
    MakeResumable {
        /// The session.
        session: SessionKey,
        /// The place from which on its client counts.
        place: Sequence,
        /// How.
        resumable: Resumable,
        /// The frame's.
        token: Token,
    },
    /// Another stream resumes a session. All that its old one had sent is done.
    Resume {
        /// The session, as it was when it was looked at.
        key: SessionKey,
        /// Who asks.
        resume: Resume,
    },
    /// The connection of a session that can be resumed is lost.
    Detach {
        /// The session's number.
        session: u64,
        /// Its epoch.
        epoch: Epoch,
    },
    /// A session's client has missed presence: it is told anew.
    Refresh {
        /// The session.
        session: SessionKey,
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
    /// A session has departed: the contacts have to know, what it has not taken is routed again.
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

/// A stanza on its way to the account of its `to`.
#[derive(Debug)]
pub struct Arrived {
    /// The stanza.
    pub stanza: Arc<Envelope>,
    /// What it is recognised by when it comes twice; `None` for what a server made itself.
    pub ingress: Option<IngressId>,
    /// Who waits for it to be done.
    pub token: Token,
}

impl Work {
    /// Whether the account's queue may be full for it. What a session of the account sends is bounded by the window at its
    /// manager, and what follows from an event by that event; those can't be refused.
    pub fn may_be_refused(&self) -> bool {
        match self {
            Work::Inbound(_) | Work::Bind { .. } | Work::Administer { .. } | Work::Register { .. } => true,
            Work::StreamEnded { said_by, .. } => said_by.is_none(),
            // A client's wish: it may try again.
            Work::Resume { .. } => true,
            Work::Outbound { .. }
            | Work::Rejected { .. }
            | Work::MakeResumable { .. }
            | Work::Detach { .. }
            | Work::Refresh { .. }
            | Work::Close { .. }
            | Work::Ended { .. } => false,
            // Bounded by the engine.
            Work::Logged(_) => false,
        }
    }

    /// Whether it goes before everything but those that go first and others like it, which came earlier.
    pub fn goes_next(&self) -> bool {
        matches!(self, Work::Logged(_))
    }

    /// Whether it goes before everything that waits: it is older than that. What a session did not take came before what waits
    /// for the account now (P3).
    pub fn goes_first(&self) -> bool {
        matches!(self, Work::Close { .. } | Work::Ended { .. })
    }

    /// The stanza and the token of an event that has them.
    pub fn stanza(&self) -> Option<(Arc<Envelope>, Token)> {
        match self {
            Work::Outbound { stanza, token, .. } | Work::Inbound(Arrived { stanza, token, .. }) => {
                Some((stanza.clone(), token.clone()))
            }
            Work::Logged(durable) => Some((durable.logged.stanza()?.clone(), durable.token.clone())),
            _ => None,
        }
    }
}

/// Follows an inbound frame through everything that it brings forth. Each clone ends by [`Token::done`]; when the last one has,
/// the frame is accepted: what had to be stored is stored, what had to be handed to another shard is there.
///
/// A clone that is dropped otherwise (its queue is gone, the process ends) leaves the frame undone: a client's stays with its
/// manager, a router's is refused, and each comes again to the next leader.
#[derive(Clone, Debug, Default)]
pub struct Token(Option<Arc<Frame>>);

struct Frame {
    outcome: AtomicU8,
    origin: Origin,
    /// What the session is told when it is done, and the session's account.
    answer: OnceLock<Box<(BareJid, Arc<Envelope>)>>,
}

/// Nothing was dropped yet.
const GOING_WELL: u8 = 0;
/// A clone was dropped undone.
const UNDONE: u8 = 1;
/// It counts as done whatever becomes of it.
const GIVEN_UP: u8 = 2;

/// Where a frame came from, and so who is told when it is done.
enum Origin {
    /// A client's session. Weak: a frame on its way must not keep a leadership alive that has ended.
    Session { leading: Weak<Leading>, ingress: IngressId },
    /// Another router.
    Router { answers: Arc<Answers>, number: u64, shard: ShardId },
}

impl Token {
    /// The token of a client's frame that came in at `leading`.
    pub fn of_session(leading: &Arc<Leading>, ingress: IngressId) -> Self {
        Self::of(Origin::Session { leading: Arc::downgrade(leading), ingress })
    }

    /// The token of a stanza that another router has sent as its frame `number`.
    pub fn of_router(answers: &Arc<Answers>, number: u64, shard: ShardId) -> Self {
        Self::of(Origin::Router { answers: answers.clone(), number, shard })
    }

    fn of(origin: Origin) -> Self {
        Self(Some(Arc::new(Frame { outcome: AtomicU8::new(GOING_WELL), origin, answer: OnceLock::new() })))
    }

    /// The token of something that nobody waits for.
    pub fn none() -> Self {
        Self(None)
    }

    /// Whether somebody waits for it to be done.
    pub fn is_awaited(&self) -> bool {
        self.0.is_some()
    }

    /// Whether another router has sent the stanza: it sends it again where it is not done.
    pub fn is_of_router(&self) -> bool {
        matches!(self.0.as_deref(), Some(Frame { origin: Origin::Router { .. }, .. }))
    }

    /// Keeps the answer for a frame's session until the frame is done. `false`: it is not the session's frame, or has an answer.
    pub fn answer(&self, account: &BareJid, session: SessionKey, answer: &Arc<Envelope>) -> bool {
        let Some(Frame { origin: Origin::Session { ingress, .. }, answer: kept, .. }) = self.0.as_deref() else {
            return false;
        };
        let is_own = ingress.session.number == session.number && ingress.epoch.0 == session.epoch;
        is_own && kept.set(Box::new((account.clone(), answer.clone()))).is_ok()
    }

    /// This part of what the frame brought forth is done.
    pub fn done(mut self) {
        self.0.take();
    }

    /// The frame can't be worked at, and could not if it came again: it counts as done.
    pub fn give_up(mut self) {
        if let Some(frame) = self.0.take() {
            frame.outcome.store(GIVEN_UP, Ordering::Relaxed);
        }
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        if let Some(frame) = &self.0 {
            // Fails where it was given up: that stays.
            let _ = frame.outcome.compare_exchange(GOING_WELL, UNDONE, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        let done = *self.outcome.get_mut() != UNDONE;
        match &self.origin {
            Origin::Router { answers, number, .. } if done => answers.done(*number),
            Origin::Router { answers, number, shard } => answers.refuse(*number, *shard),
            Origin::Session { leading, ingress } => {
                if let Some(leading) = leading.upgrade().filter(|_| done) {
                    if let Some((account, answer)) = self.answer.take().map(|kept| *kept) {
                        let key = SessionKey { number: ingress.session.number, epoch: ingress.epoch.0 };
                        leading.deliver(&account, &[key], &answer, &Token::none());
                    }
                    leading.delivery.finish(ingress.session.number, ingress.epoch, ingress.sequence);
                }
            }
        }
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.origin {
            Origin::Session { ingress, .. } => write!(formatter, "Frame({ingress:?})"),
            Origin::Router { number, .. } => write!(formatter, "Frame({number})"),
        }
    }
}

/// What a refused event is answered with.
pub fn overloaded() -> StanzaError {
    StanzaError::new(vesta_xmpp::stanza_error::Condition::ResourceConstraint)
        .with_text("This account has too much to do just now. Try again later.")
}
