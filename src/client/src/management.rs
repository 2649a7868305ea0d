//! XEP-0198: Stream Management (version 1.6.3), the client's side of a session over all the streams that carry it. No I/O: it is
//! told [`Input`]s and gives [`Output`]s, which whoever owns the connection carries out in their order.
//!
//! ```text
//! Unmanaged ── bound, offered ──→ Enabling ── enabled ──→ Managed ⇄ (lost, resumed)
//!     ↑                              │ failed                │ not resumed, or the server miscounts
//!     └──────────────────────────────┴───────────────────────┘
//! ```
//!
//! Whatever is sent is kept until it is acknowledged. When its stream is lost, it is sent again on the stream that goes on, in the
//! same order, and keeps its number; so nothing is lost, doubled or overtaken. A new session has no part in the counts of the
//! earlier one: what was not acknowledged there may have arrived or not, and is given back.

use std::collections::VecDeque;

use vesta_xmpp::management::{Command, Counters, Failed, Notice, TooMany};
use vesta_xmpp::negotiation::initiating::Resumption;
use vesta_xmpp::{Element, Envelope, StanzaType};

use crate::config;

/// What happened.
#[derive(Debug)]
pub(crate) enum Input {
    /// A resource is bound: the session is a new one.
    Bound {
        /// Whether the server offers stream management.
        offered: bool,
    },
    /// The session goes on: the server has handled so many stanzas.
    Resumed(u32),
    /// The session does not go on. [`Input::Bound`] follows.
    NotResumed(Failed),
    /// A stanza is to be sent.
    Send(Envelope),
    /// A stanza came.
    Received,
    /// The server said something of the stream's management.
    Heard(Notice),
    /// Nothing more is to be sent just now: before the client waits, it asks.
    Paused,
    /// Nothing came for a while: the client asks to know that the server is there.
    Silence,
    /// The client is about to end the stream.
    Closing,
    /// The stream is lost.
    Lost,
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(crate) enum Output {
    /// Write this element.
    Write(Element),
    /// Write this stanza.
    Send(Envelope),
    /// Tell that the server has counted this stanza: it is handled.
    Acknowledged(Envelope),
    /// Tell that the session is a new one.
    NewSession {
        /// Messages and presence of the earlier session that may have arrived or not.
        unacknowledged: Vec<Envelope>,
        /// Messages of the earlier session that are sent again.
        resent: Vec<Envelope>,
    },
    /// End the stream with an error.
    Fail(TooMany),
}

/// After so many stanzas the client asks, even though it has more to send.
const ASK_AFTER: u64 = 32;

/// The machine. See the module's documentation.
#[derive(Debug)]
pub(crate) struct Management {
    /// `None`: streams are not managed, whatever the server offers.
    policy: Option<config::Management>,
    state: State,
    counters: Counters,
    /// How many stanzas came since the stream is managed.
    received: u64,
    /// How many were sent since `<enable/>`.
    sent: u64,
    /// The last of those sent, oldest first.
    unacknowledged: VecDeque<Envelope>,
    /// What these weigh.
    unacknowledged_bytes: usize,
    /// Whether an `<r/>` is not answered yet.
    awaits: bool,
    /// How many had been sent when the client last asked.
    asked: u64,
    /// Where the server would like the client to come to for resumption.
    location: Option<String>,
}

#[derive(Debug, PartialEq)]
enum State {
    /// Nothing is counted.
    Unmanaged,
    /// `<enable/>` is under way: what is sent counts, what comes doesn't.
    Enabling,
    /// Both sides count.
    Managed {
        /// The id for resumption.
        id: Option<String>,
    },
}

impl Management {
    /// Waits for [`Input::Bound`].
    pub(crate) fn new(policy: Option<config::Management>) -> Self {
        Self {
            policy,
            state: State::Unmanaged,
            counters: Counters::new(0, 0),
            received: 0,
            sent: 0,
            unacknowledged: VecDeque::new(),
            unacknowledged_bytes: 0,
            awaits: false,
            asked: 0,
            location: None,
        }
    }

    /// Takes a step.
    pub(crate) fn handle(&mut self, input: Input) -> Vec<Output> {
        match input {
            Input::Bound { offered } => self.begin(offered),
            Input::Resumed(handled) => self.resumed(handled),
            Input::NotResumed(failed) => self.not_resumed(&failed),
            Input::Send(stanza) => self.send(stanza),
            Input::Received => {
                self.received += u64::from(self.is_managed());
                Vec::new()
            }
            Input::Heard(notice) => self.heard(notice),
            Input::Paused => Vec::from_iter(self.ask()),
            Input::Silence if self.is_managed() => vec![self.request()],
            Input::Closing if self.is_managed() => vec![self.answer()],
            Input::Silence | Input::Closing => Vec::new(),
            Input::Lost => {
                self.awaits = false;
                if self.state == State::Enabling {
                    self.state = State::Unmanaged;
                }
                Vec::new()
            }
        }
    }

    /// What a lost stream is resumed by; `None` where it can't be.
    pub(crate) fn resumption(&self) -> Option<Resumption> {
        match &self.state {
            State::Managed { id: Some(id) } => {
                Some(Resumption { previous: id.clone(), handled: self.counters.handled(self.received) })
            }
            _ => None,
        }
    }

    /// Where the server would like the client to come to for resumption: `host:port` or `host`.
    pub(crate) fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    /// Whether more stanzas may be sent, as the policy bounds what is not acknowledged.
    pub(crate) fn has_room(&self) -> bool {
        self.policy.as_ref().is_none_or(|policy| {
            self.unacknowledged.len() < policy.unacknowledged_max
                && self.unacknowledged_bytes < policy.unacknowledged_bytes_max
        })
    }

    /// Whether answers that the server has asked for, and that are sent without regard to [`Management::has_room`], are more than
    /// an honest server would leave unacknowledged.
    pub(crate) fn is_overrun(&self) -> bool {
        /// So many may come on top.
        const ANSWERS_MAX: usize = 4096;
        let bound = self.policy.as_ref().map_or(0, |policy| policy.unacknowledged_max);
        self.unacknowledged.len() > bound + ANSWERS_MAX
    }

    /// Whether all that was sent is acknowledged, or never will be.
    pub(crate) fn is_settled(&self) -> bool {
        self.unacknowledged.is_empty()
    }

    /// Whether both sides count.
    pub(crate) fn is_managed(&self) -> bool {
        matches!(self.state, State::Managed { .. })
    }

    /// Gives up: what was sent and may have arrived or not.
    pub(crate) fn give_up(&mut self) -> Vec<Envelope> {
        self.state = State::Unmanaged;
        self.unacknowledged_bytes = 0;
        let unacknowledged = std::mem::take(&mut self.unacknowledged).into_iter();
        unacknowledged.filter(|stanza| !matches!(stanza.kind, StanzaType::Iq(_))).collect()
    }

    fn begin(&mut self, offered: bool) -> Vec<Output> {
        let earlier = self.give_up();
        let policy = self.policy.take();
        *self = Self::new(policy);
        let resends = self.policy.as_ref().is_some_and(|policy| policy.resend);
        let is_resent = |stanza: &Envelope| resends && matches!(stanza.kind, StanzaType::Message(_));
        let (resent, unacknowledged): (Vec<_>, _) = earlier.into_iter().partition(is_resent);
        let mut outputs = vec![Output::NewSession { unacknowledged, resent: resent.clone() }];
        if let Some(policy) = self.policy.as_ref().filter(|_| offered) {
            self.state = State::Enabling;
            outputs.push(Output::Write(Command::Enable { resume: policy.resume, max: None }.to_element()));
        }
        for stanza in resent {
            outputs.extend(self.send(stanza));
        }
        outputs
    }

    fn resumed(&mut self, handled: u32) -> Vec<Output> {
        let mut outputs = self.acknowledge(handled);
        if self.is_managed() {
            // What is sent again has not been asked for on this stream.
            self.asked = self.counters.acknowledged();
            outputs.extend(self.unacknowledged.iter().cloned().map(Output::Send));
        }
        outputs
    }

    /// A count of the earlier session that can't be right says nothing.
    fn not_resumed(&mut self, failed: &Failed) -> Vec<Output> {
        let mut outputs = failed.handled.map(|handled| self.acknowledge(handled)).unwrap_or_default();
        outputs.retain(|output| !matches!(output, Output::Fail(_)));
        self.state = State::Unmanaged;
        outputs
    }

    fn send(&mut self, stanza: Envelope) -> Vec<Output> {
        if self.state == State::Unmanaged {
            return vec![Output::Send(stanza)];
        }
        self.sent += 1;
        self.unacknowledged_bytes += stanza.weight();
        self.unacknowledged.push_back(stanza.clone());
        let mut outputs = vec![Output::Send(stanza)];
        if self.sent - self.asked >= ASK_AFTER {
            outputs.extend(self.ask());
        }
        outputs
    }

    fn heard(&mut self, notice: Notice) -> Vec<Output> {
        match notice {
            Notice::Enabled { id, location, .. } if self.state == State::Enabling => {
                self.state = State::Managed { id };
                self.location = location;
                Vec::new()
            }
            Notice::Failed(_) if self.state == State::Enabling => {
                // Nothing will ever be acknowledged: it is as if there were no management.
                self.give_up();
                Vec::new()
            }
            Notice::Request if self.is_managed() => vec![self.answer()],
            Notice::Answer { handled } if self.is_managed() => {
                self.awaits = false;
                self.acknowledge(handled)
            }
            notice => {
                tracing::debug!(?notice, "the server speaks of the stream's management out of turn");
                Vec::new()
            }
        }
    }

    fn acknowledge(&mut self, handled: u32) -> Vec<Output> {
        if let Err(error) = self.counters.acknowledge(handled, self.sent) {
            // Whoever miscounts can't be gone on with.
            self.state = State::Unmanaged;
            return vec![Output::Fail(error)];
        }
        let open = self.sent - self.counters.acknowledged();
        let mut outputs = Vec::new();
        while self.unacknowledged.len() as u64 > open {
            let Some(stanza) = self.unacknowledged.pop_front() else { break };
            self.unacknowledged_bytes -= stanza.weight();
            outputs.push(Output::Acknowledged(stanza));
        }
        outputs
    }

    /// One question is under way at a time, and none is asked twice.
    fn ask(&mut self) -> Option<Output> {
        let is_due = self.is_managed() && !self.awaits && self.sent > self.asked;
        is_due.then(|| self.request())
    }

    fn request(&mut self) -> Output {
        self.awaits = true;
        self.asked = self.sent;
        Output::Write(Command::Request.to_element())
    }

    fn answer(&self) -> Output {
        Output::Write(Command::Answer { handled: self.counters.handled(self.received) }.to_element())
    }
}

#[cfg(test)]
mod tests;
