//! XEP-0198 on a session: counting, and what makes it resumable.

use std::sync::Arc;

use vesta_wire::Sequence;
use vesta_wire::attach::{self, EndReason, Inbound};
use vesta_xmpp::management::{self, Command, Resumable};
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{Envelope, StreamError};

use super::{Phase, Session, State};
use crate::uplink::management::{Management, Resumption};
use crate::uplink::resumption;

/// What a client that would like to resume its session is granted.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResumptionConfig {
    /// For how long after the loss of a connection, in seconds; 0: never.
    pub(crate) seconds: u32,
    /// Where clients should come back to, if that matters.
    pub(crate) location: Option<String>,
}

/// How long a detached session is kept beyond its time where no router says that it is over, in seconds.
const FORGET_AFTER_S: u32 = 600;

/// What the connection's task does.
impl Session {
    /// What the client says of the management of its stream. Wakes nobody: the connection itself calls this.
    ///
    /// # Errors
    /// The stream ends: the client acknowledged what it was not sent.
    pub(crate) fn manage(self: &Arc<Self>, command: &Command, config: &ResumptionConfig) -> Result<(), StreamError> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let (accepted, is_behind) = (state.window.accepted(), state.window.len() > 0);
        match (command, &mut state.management) {
            (Command::Enable { resume, max }, None) => {
                let seconds = max.map_or(config.seconds, |max| max.min(config.seconds));
                state.enable(self, (*resume && seconds > 0).then_some(seconds), config);
            }
            (Command::Request, Some(management)) => {
                let handled = management.requested(accepted, is_behind);
                state.outgoing.push(|out| management::write_answer(out, handled));
            }
            (Command::Answer { handled }, Some(management)) => {
                management.answered(*handled, state.received)?;
                state.delivered = management.acknowledged();
                state.pump(self);
            }
            (Command::Enable { .. }, Some(_)) | (Command::Resume { .. }, _) | (_, None) => {
                let condition = Condition::UnexpectedRequest;
                state.outgoing.push(|out| management::write_failed(out, condition, None));
            }
        }
        Ok(())
    }

    /// Appends how many of the client's stanzas are handled, as the last word to a client that counts them.
    pub(crate) fn write_last_answer(&self, out: &mut Vec<u8>) {
        let state = self.state.lock();
        if let Some(management) = &state.management {
            management::write_answer(out, management.handled(state.window.accepted()));
        }
    }

    /// Asks the client for what it has not acknowledged yet, if there is something.
    pub(crate) fn ask_at_last(&self) {
        let mut state = self.state.lock();
        let received = state.received;
        if state.writes() && state.management.as_mut().is_some_and(|management| management.asks_at_last(received)) {
            state.outgoing.push(management::write_request);
            state.wake();
        }
    }

    /// Whether the session waits for its client, and the router that leads its shard knows.
    pub(crate) fn is_parked(&self) -> bool {
        self.state.lock().phase == (Phase::Detached { is_told: true })
    }

    /// Whether a detached session's time is long over.
    pub(crate) fn is_forgotten(&self, now_s: u32) -> bool {
        let state = self.state.lock();
        let seconds = state.management.as_ref().and_then(|management| management.resumable_for()).unwrap_or(0);
        matches!(state.phase, Phase::Detached { .. }) && self.silent_s(now_s) > seconds.saturating_add(FORGET_AFTER_S)
    }
}

impl State {
    /// The client counts from here on. One that may resume is told so when the router knows of it; until then nothing else is
    /// written, so that both sides count from the same place.
    fn enable(&mut self, session: &Arc<Session>, resumable_for: Option<u32>, config: &ResumptionConfig) {
        let place = Sequence(self.window.accepted().0 + self.window.len() as u64);
        let Some(max) = resumable_for else {
            self.management = Some(Box::new(Management::new(place, self.received, Resumption::Never)));
            return self.outgoing.push(|out| management::write_enabled(out, None));
        };
        let (id, digest) = resumption::issue(session.id);
        let resumable = Box::new(Resumable { id, max, location: config.location.clone() });
        // The frame that says so has the next place.
        let place = Sequence(place.0 + 1);
        let resumption = Resumption::Asked(place, resumable);
        self.management = Some(Box::new(Management::new(place, self.received, resumption)));
        self.outgoing.hold();
        self.window.push(Inbound::Resumable(attach::Resumable { digest, seconds: max, sent_before: self.received }));
        self.pump(session);
    }

    /// More from the client is done with: tells it what it waits for.
    pub(super) fn tell_accepted(&mut self) {
        if self.phase != Phase::Live {
            return;
        }
        let (accepted, is_behind) = (self.window.accepted(), self.window.len() > 0);
        let Some(management) = &mut self.management else { return };
        let granted = management.granted(accepted);
        let handled = management.accepted(accepted, is_behind);
        if granted.is_none() && handled.is_none() {
            return;
        }
        if let Some(resumable) = granted {
            self.outgoing.release(|out| management::write_enabled(out, Some(&resumable)));
        }
        if let Some(handled) = handled {
            self.outgoing.push(|out| management::write_answer(out, handled));
        }
        self.wake();
    }

    /// Whether the client may resume the session when its connection ends for this reason. One that has said goodbye, or that we have
    /// shown the door for what it sent, has ended it.
    pub(super) fn is_resumable_after(&self, reason: EndReason) -> bool {
        let management = self.management.as_ref();
        matches!(reason, EndReason::Lost | EndReason::Draining)
            && management.is_some_and(|management| management.resumable_for().is_some())
    }

    /// Whether a router is to be given back what it lacks.
    pub(super) fn restores(&self) -> bool {
        self.management.as_ref().is_some_and(|management| management.restores())
    }

    /// The next piece of that.
    pub(super) fn next_piece(&mut self) -> Option<(Sequence, Vec<Arc<Envelope>>)> {
        self.management.as_mut()?.next_piece()
    }
}
