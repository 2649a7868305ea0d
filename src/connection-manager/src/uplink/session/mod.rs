//! A bound session at its connection manager: where its connection and the links to the routers meet.
//!
//! The connection's task puts in what the client sent ([`Window`]) and takes out what is to be written; a link's task does
//! the reverse. Neither waits for the other: both hold the lock for as long as it takes to move some bytes, and what can't
//! go on is picked up later, by the connection when it is woken, by the link when it has room.
//!
//! A session that can be resumed outlives its connection: *detached*, it goes on taking what routers send, as the twin of the leader's
//! outbox, until its client has resumed it anywhere or its time is over.

mod activity;
mod managed;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Waker};

use parking_lot::Mutex;
use vesta_wire::attach::{Announced, BoundSession, EndReason, Inbound, ResumedSession, Target, ToRouter};
use vesta_wire::{Epoch, Sequence, SessionId, StreamId};
use vesta_xmpp::management::{self, Counters};
use vesta_xmpp::stream_error::StreamCondition;
use vesta_xmpp::{Envelope, FullJid, StreamError};

use super::link::{NoPermit, RouterLink};
use super::management::{Management, Resumption};
use super::outgoing::{Batch, Outgoing, OutgoingLimits};
use super::window::Window;
pub(crate) use managed::ResumptionConfig;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Session {
    /// Its number.
    pub(crate) id: SessionId,
    /// Its epoch at this manager.
    pub(crate) epoch: Epoch,
    /// Its address.
    pub(crate) jid: FullJid,
    /// Its stream, once the connection has taken the session over.
    stream: AtomicU64,
    /// When the client was last heard, in seconds of the manager's clock.
    heard_s: AtomicU32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    attachment: Attachment,
    window: Window,
    outgoing: Outgoing,
    /// The last frame that came in.
    received: Sequence,
    /// The greatest [`Envelope::logged`] of all that came in: a new leader does not know it.
    logged: u64,
    /// The last frame that the client has got: acknowledged by it, or without XEP-0198 written to its socket.
    delivered: Sequence,
    /// The last frame that the router was told of as delivered.
    acknowledged: Sequence,
    /// The task of the connection.
    waker: Option<Waker>,
    /// Set once: what the connection is to end with.
    ending: Option<Box<Ending>>,
    phase: Phase,
    /// When a space was last sent, in seconds of the manager's clock.
    pinged_s: u32,
    /// XEP-0198, once the client has asked for it.
    management: Option<Box<Management>>,
    activity: Activity,
}

/// What the client says of itself (XEP-0352), and whether the router knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Activity {
    #[default]
    Active,
    /// To be told.
    BecameActive,
    /// To be told; `since_before`: another time.
    BecameInactive {
        since_before: bool,
    },
    Inactive,
}

/// How the session stands with the router that leads its shard.
#[derive(Debug, Default)]
pub(super) enum Attachment {
    /// No leader is known or linked. Frames wait.
    #[default]
    Detached,
    /// To be announced on this link, as soon as that has room.
    ToAnnounce(Arc<RouterLink>),
    /// Announced on this link. Frames wait for the answer.
    Announced(Arc<RouterLink>),
    /// Frames go over this link.
    Attached(Arc<RouterLink>),
}

impl Attachment {
    fn link(&self) -> Option<&Arc<RouterLink>> {
        match self {
            Attachment::Detached => None,
            Attachment::ToAnnounce(link) | Attachment::Announced(link) | Attachment::Attached(link) => Some(link),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Live,
    /// The connection is lost; the session waits for its client, here or anywhere.
    Detached {
        /// Whether the router that leads its shard has been told.
        is_told: bool,
    },
    /// The connection has ended; the router has yet to accept that.
    Ended,
    /// The router knows the session no longer.
    Gone,
}

/// What a connection ends with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    /// What the router is told.
    pub(crate) reason: EndReason,
    /// What the client is told.
    pub(crate) error: StreamError,
}

/// What became of a frame to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// It waits to be written.
    Taken,
    /// It has come before, or the session is over.
    Ignored,
    /// One before it is missing.
    Gap,
    /// The client reads too slowly: its stream ends.
    Overflow,
}

/// What waits in a session, for the gauges.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waiting {
    /// Stanzas that no router has accepted.
    pub(crate) unaccepted: usize,
    /// Bytes to be written to the client.
    pub(crate) outgoing_bytes: usize,
    /// Sessions that wait for their client.
    pub(crate) detached: usize,
}

/// What a router's frames do.
impl Session {
    /// A session that `link`'s router has bound.
    pub(super) fn new(bound: BoundSession, link: &Arc<RouterLink>, now_s: u32) -> Arc<Self> {
        Self::with(bound, State { attachment: Attachment::Attached(link.clone()), ..State::default() }, now_s)
    }

    /// A session that goes on over another stream, at `link`'s router.
    pub(super) fn resumed(resumed: ResumedSession, link: &Arc<RouterLink>, now_s: u32) -> Arc<Self> {
        let ResumedSession { bound, seconds, accepted, received_before, delivered, sent_before, logged } = resumed;
        let counters = Counters::new(received_before.0, sent_before.0).with_acknowledged(delivered.0);
        let state = State {
            attachment: Attachment::Attached(link.clone()),
            window: Window::from(accepted),
            received: delivered,
            logged,
            delivered,
            acknowledged: delivered,
            management: Some(Box::new(Management::counting(counters, Resumption::Granted(seconds)))),
            ..State::default()
        };
        Self::with(bound, state, now_s)
    }

    fn with(bound: BoundSession, state: State, now_s: u32) -> Arc<Self> {
        Arc::new(Self {
            id: bound.session,
            epoch: bound.epoch,
            jid: bound.jid,
            stream: AtomicU64::new(0),
            heard_s: AtomicU32::new(now_s),
            state: Mutex::new(state),
        })
    }

    /// Takes one frame: checks its place, and has `write` append its XML.
    pub(super) fn deliver(
        &self,
        target: &Target,
        stanza: &Arc<Envelope>,
        limits: OutgoingLimits,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Delivery {
        let mut state = self.state.lock();
        if target.epoch != self.epoch || !state.takes_frames() {
            return Delivery::Ignored;
        }
        if target.sequence <= state.received {
            // The router has not heard of our acknowledgement: the next one goes out again.
            state.acknowledged = Sequence(state.acknowledged.0.min(target.sequence.0.saturating_sub(1)));
            return Delivery::Ignored;
        }
        if target.sequence.0 != state.received.0 + 1 {
            // Once announced, the router knows where to begin: what is still on its way from before is passed over.
            let is_news = matches!(state.attachment, Attachment::Attached(_));
            return if is_news { Delivery::Gap } else { Delivery::Ignored };
        }
        let is_written = state.writes();
        let overflows = is_written && !state.outgoing.has_room(limits);
        if overflows {
            // Its client may resume it, when it reads again.
            let error = StreamError::new(StreamCondition::ResourceConstraint).with_text("too much waits to be read");
            state.end_with(EndReason::Lost, error);
            if !state.takes_frames() {
                return Delivery::Overflow;
            }
        }
        if is_written && !overflows {
            state.outgoing.push(write);
            state.wake();
        }
        if let Some(management) = &mut state.management {
            management.keep(stanza.clone());
        }
        state.received = target.sequence;
        state.logged = state.logged.max(stanza.logged);
        if overflows { Delivery::Overflow } else { Delivery::Taken }
    }

    /// Everything up to `sequence` is done with. Whether the session is over with that.
    ///
    /// Only the router that the session is attached to is heard: a new leader goes on behind what it was announced as accepted,
    /// and an older one's word that comes later would leave a gap in what it is sent.
    pub(super) fn accept(&self, epoch: Epoch, sequence: Sequence, link: &Arc<RouterLink>) -> bool {
        let mut state = self.state.lock();
        let is_attached = matches!(&state.attachment, Attachment::Attached(on) if Arc::ptr_eq(on, link));
        if epoch != self.epoch || !is_attached {
            return false;
        }
        let was_full = !state.window.has_room();
        state.accept(sequence);
        if was_full && state.window.has_room() {
            state.wake();
        }
        state.phase == Phase::Ended && state.window.len() == 0
    }

    /// The router's answer to an announcement. Whether the session is over with that.
    pub(super) fn announced(self: &Arc<Self>, epoch: Epoch, outcome: Announced, link: &Arc<RouterLink>) -> bool {
        let mut state = self.state.lock();
        let is_awaited = matches!(&state.attachment, Attachment::Announced(on) if Arc::ptr_eq(on, link));
        if epoch != self.epoch || !is_awaited {
            return false;
        }
        match outcome {
            Announced::Continues { accepted, lacks } => {
                state.accept(accepted);
                state.window.rewind();
                state.acknowledged = Sequence(0);
                let received = state.received;
                if let Some(management) = &mut state.management {
                    management.restore(lacks.then_some(received));
                }
                if state.activity == Activity::Inactive {
                    state.activity = Activity::BecameInactive { since_before: true };
                }
                if let Phase::Detached { is_told } = &mut state.phase {
                    *is_told = false;
                }
                state.attachment = Attachment::Attached(link.clone());
                state.pump(self);
                state.wake();
                state.phase == Phase::Ended && state.window.len() == 0
            }
            Announced::Unknown => {
                let error = StreamError::new(StreamCondition::Reset).with_text("the session was lost");
                state.gone(EndReason::Lost, error);
                true
            }
            Announced::NotLeader(_) => {
                state.attachment = Attachment::Detached;
                false
            }
        }
    }

    /// The router has ended the session.
    pub(super) fn closed(&self, error: StreamError) {
        self.state.lock().gone(EndReason::Failed, error);
    }
}

/// Which link the session's frames go over.
impl Session {
    /// Turns to the link that `route` names (asked under the session's lock, so that the newest answer stays). Announces
    /// the session there, unless it is attached to that link and `anew` is false.
    pub(super) fn attach(self: &Arc<Self>, anew: bool, route: impl FnOnce() -> Option<Arc<RouterLink>>) {
        let mut state = self.state.lock();
        if state.phase == Phase::Gone {
            return;
        }
        let Some(link) = route() else {
            state.attachment = Attachment::Detached;
            return;
        };
        if anew || !state.attachment.link().is_some_and(|on| Arc::ptr_eq(on, &link)) {
            state.attachment = Attachment::ToAnnounce(link);
            state.pump(self);
        }
    }

    /// Sends what is to be sent, as far as the link has room.
    pub(super) fn pump(self: &Arc<Self>) {
        self.state.lock().pump(self);
    }
}

/// What the connection's task does.
impl Session {
    /// Takes the session over.
    pub(crate) fn set_stream(&self, stream: StreamId) {
        self.stream.store(stream.0, Ordering::Relaxed);
    }

    /// Hands in what the client sent.
    pub(crate) fn submit(self: &Arc<Self>, event: Inbound) {
        let mut state = self.state.lock();
        if state.phase == Phase::Live {
            state.window.push(event);
            state.pump(self);
        }
    }

    /// The connection is over: the router will be told, if it does not know. Whether the session is over with that.
    pub(super) fn end(self: &Arc<Self>, reason: EndReason) -> bool {
        let mut state = self.state.lock();
        state.waker = None;
        state.outgoing = Outgoing::default();
        if state.phase == Phase::Live {
            let reason = state.ending.as_ref().map_or(reason, |ending| ending.reason);
            if state.is_resumable_after(reason) {
                state.phase = Phase::Detached { is_told: false };
            } else {
                state.management = None;
                state.window.push(Inbound::Ended(reason));
                state.phase = Phase::Ended;
            }
            state.pump(self);
        }
        state.phase == Phase::Gone
    }

    /// Whether another stanza may be read from the client: no more than the window wait for a router, and fewer than
    /// `outgoing_bytes` for the client, who could otherwise make us answer without ever reading. The task is woken when
    /// the window has room again; the rest the task writes itself.
    pub(crate) fn may_read(&self, outgoing_bytes: usize) -> bool {
        let state = self.state.lock();
        state.window.has_room() && state.outgoing.bytes() < outgoing_bytes
    }

    /// Keeps the task's waker for whatever happens next.
    pub(crate) fn register(&self, cx: &Context<'_>) {
        let mut state = self.state.lock();
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
    }

    /// Takes everything that waits to be written.
    pub(crate) fn take_outgoing(&self) -> Option<Batch> {
        let mut state = self.state.lock();
        let last = state.received;
        if state.management.as_mut().is_some_and(|management| management.asks(last)) {
            state.outgoing.push(management::write_request);
        }
        let bytes = state.outgoing.take()?;
        Some(Batch { bytes, last })
    }

    /// A batch is written: the router is told.
    pub(crate) fn written(self: &Arc<Self>, last: Sequence) {
        let mut state = self.state.lock();
        state.outgoing.written();
        let got = state.management.as_ref().map_or(last, |management| last.min(management.acknowledged()));
        state.delivered = state.delivered.max(got);
        state.pump(self);
    }

    /// What the connection is to end with, if it is to end.
    pub(crate) fn ending(&self) -> Option<Ending> {
        self.state.lock().ending.as_deref().cloned()
    }

    /// Asks the connection to end. The first one who asks says with what.
    pub(crate) fn end_with(&self, reason: EndReason, error: StreamError) {
        self.state.lock().end_with(reason, error);
    }

    /// The client was heard.
    pub(crate) fn heard(&self, now_s: u32) {
        self.heard_s.store(now_s, Ordering::Relaxed);
    }

    /// For how long the client was not heard, in seconds.
    pub(crate) fn silent_s(&self, now_s: u32) -> u32 {
        now_s.saturating_sub(self.heard_s.load(Ordering::Relaxed))
    }

    /// Sends a space, unless something waits to be written anyway or one was sent less than `every_s` ago.
    pub(crate) fn ping(&self, now_s: u32, every_s: u32) {
        let mut state = self.state.lock();
        let is_quiet = state.outgoing.bytes() == 0;
        if is_quiet && state.phase == Phase::Live && now_s.saturating_sub(state.pinged_s) >= every_s {
            state.pinged_s = now_s;
            state.outgoing.push(|out| out.push(b' '));
            state.wake();
        }
    }

    /// What waits in both directions.
    pub(crate) fn waiting(&self) -> Waiting {
        let state = self.state.lock();
        let detached = usize::from(matches!(state.phase, Phase::Detached { .. }));
        Waiting { unaccepted: state.window.len(), outgoing_bytes: state.outgoing.bytes(), detached }
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Everything from the client up to `sequence` is done with.
    fn accept(&mut self, sequence: Sequence) {
        let before = self.window.accepted();
        self.window.accept(sequence);
        if self.window.accepted() > before {
            self.tell_accepted();
        }
    }

    /// Whether what comes for the client is written to its connection.
    fn writes(&self) -> bool {
        self.phase == Phase::Live && self.ending.is_none()
    }

    /// Whether what comes for the client is taken: written, or kept for when it has resumed the session.
    fn takes_frames(&self) -> bool {
        let is_kept = match (self.phase, &self.ending) {
            (Phase::Detached { .. }, _) => true,
            (Phase::Live, Some(ending)) => self.is_resumable_after(ending.reason),
            _ => false,
        };
        is_kept || self.writes()
    }

    fn end_with(&mut self, reason: EndReason, error: StreamError) {
        if self.ending.is_none() {
            self.ending = Some(Box::new(Ending { reason, error }));
            self.wake();
        }
    }

    fn gone(&mut self, reason: EndReason, error: StreamError) {
        self.phase = Phase::Gone;
        self.attachment = Attachment::Detached;
        self.window.clear();
        self.end_with(reason, error);
    }

    /// Brings the router up to date, as far as the link has room; the link comes back to the session when it has more.
    fn pump(&mut self, session: &Arc<Session>) {
        let Some(link) = self.attachment.link().cloned() else { return };
        while self.has_frame() {
            match link.try_reserve() {
                Ok(permit) => permit.send(self.next_frame(session)),
                Err(NoPermit::Full) => return link.stall(session),
                // The link's task finds out too, and attaches all its sessions anew.
                Err(NoPermit::Lost) => return self.attachment = Attachment::Detached,
            }
        }
    }

    fn has_frame(&self) -> bool {
        match &self.attachment {
            Attachment::Detached | Attachment::Announced(_) => false,
            Attachment::ToAnnounce(_) => true,
            Attachment::Attached(_) => {
                self.delivered > self.acknowledged
                    || self.window.has_unsent()
                    || self.restores()
                    || self.has_news_of_activity()
                    || self.phase == (Phase::Detached { is_told: false })
            }
        }
    }

    fn next_frame(&mut self, session: &Session) -> ToRouter {
        if let Attachment::ToAnnounce(link) = &self.attachment {
            self.attachment = Attachment::Announced(link.clone());
            return ToRouter::Announce {
                session: session.id,
                epoch: session.epoch,
                jid: session.jid.clone(),
                stream: StreamId(session.stream.load(Ordering::Relaxed)),
                received: self.received,
                delivered: self.delivered,
                accepted: self.window.accepted(),
                logged: self.logged,
            };
        }
        if self.delivered > self.acknowledged {
            self.acknowledged = self.delivered;
            return ToRouter::Delivered { session: session.id, epoch: session.epoch, sequence: self.delivered };
        }
        if let Some((last, stanzas)) = self.next_piece() {
            return ToRouter::Restore { session: session.id, epoch: session.epoch, last, stanzas };
        }
        if let Some((sequence, event)) = self.window.next_unsent() {
            return ToRouter::Inbound { session: session.id, epoch: session.epoch, sequence, event };
        }
        if let Some((state, since_before)) = self.news_of_activity() {
            return ToRouter::State { session: session.id, epoch: session.epoch, state, since_before };
        }
        // Behind all that the client has sent.
        self.phase = Phase::Detached { is_told: true };
        ToRouter::Detached { session: session.id, epoch: session.epoch }
    }
}
