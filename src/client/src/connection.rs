//! The task behind a client: it keeps a session over one connection after the other, and makes a new one when it is lost for good.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use vesta_xmpp::{Envelope, FullJid};

use crate::client::SessionInfo;
use crate::config::{Config, Endpoint};
use crate::event::Event;
use crate::management::{Input, Management};
use crate::pending::{Pending, Reply};
use crate::session::{End, Session};
use crate::stream::{Beginning, Stream};
use crate::{Error, random};

/// What a client asks of its connection.
pub(crate) enum Command {
    /// Send a stanza.
    Send(Envelope),
    /// Send an IQ, and hand over its answer.
    Request(Request),
}

/// An IQ that wants an answer.
pub(crate) struct Request {
    /// The stanza, with an id.
    pub iq: Envelope,
    /// How many results of an archive may come before the answer.
    pub results_max: usize,
    /// Where the answer goes.
    pub reply: Reply,
}

/// Stanzas and requests that may wait for the connection; whoever comes later waits for a place.
pub(crate) const COMMANDS_MAX: usize = 64;
/// Events that may wait for whoever reads them. When so many more wait inside, the connection is read no further.
pub(crate) const EVENTS_MAX: usize = 256;
/// Requests of others that may be unanswered at once; further ones are refused with `resource-constraint`.
pub(crate) const UNANSWERED_MAX: usize = 256;

/// All that outlives a connection.
pub(crate) struct Connection {
    pub config: Config,
    pub commands: mpsc::Receiver<Command>,
    /// Room for the answers to requests of others.
    pub answers: mpsc::Sender<Envelope>,
    pub answered: mpsc::Receiver<Envelope>,
    pub events: mpsc::Sender<Event>,
    /// Events for which the channel had no room yet.
    pub undelivered: VecDeque<Event>,
    pub session: watch::Sender<Option<Arc<SessionInfo>>>,
    /// The stanzas that are acknowledged or not.
    pub management: Management,
    /// The requests of the session that are not answered.
    pub pending: Pending,
    /// Messages that were made to look like the server's.
    pub forged: Arc<AtomicU64>,
    /// Whether there was no session before.
    pub is_first: bool,
    pub closing: CancellationToken,
}

impl Connection {
    /// Runs until the client is closed, or there is nothing more to be tried.
    pub(crate) async fn run(mut self, mut stream: Stream, mut beginning: Beginning, mut own: FullJid) {
        let end = loop {
            if let Beginning::Bound(established, _) = &beginning {
                own = established.jid.clone();
            }
            let endpoint = stream.endpoint().cloned();
            let error = match Session::new(&mut self, stream, own.clone()).run(beginning).await {
                End::Asked => break End::Asked,
                End::Lost(error) => error,
            };
            tracing::info!(account = %self.config.account, reason = %error, "the connection is lost");
            self.management.handle(Input::Lost);
            if self.management.resumption().is_none() {
                self.end_session();
            }
            let silent = endpoint.filter(|_| matches!(error, Error::TimedOut(_)));
            match self.reconnect(error, silent).await {
                Ok(renewed) => (stream, beginning) = renewed,
                Err(end) => break end,
            }
        };
        self.end_session();
        self.end(end).await;
    }

    fn end_session(&mut self) {
        self.session.send_replace(None);
        self.pending = Pending::default();
    }

    /// Tries until there is a connection again; at an endpoint that has fallen silent only if no other lets us in.
    async fn reconnect(&mut self, mut error: Error, silent: Option<Endpoint>) -> Result<(Stream, Beginning), End> {
        if self.config.reconnect.is_some() && error.may_pass() {
            self.undelivered.push_back(Event::Disconnected(error.clone()));
        }
        let mut attempt = 0;
        loop {
            let backoff = self.config.reconnect.as_ref().filter(|_| error.may_pass());
            let Some(pause) = backoff.and_then(|backoff| backoff.pause(attempt, random::number())) else {
                return Err(End::Lost(error));
            };
            let (config, silent) = (self.config.clone(), silent.clone());
            let (resumption, location) = (self.management.resumption(), self.management.location().map(str::to_owned));
            let connecting = async move {
                sleep(pause).await;
                Box::pin(Stream::resume(&config, resumption, location.as_deref(), silent)).await
            };
            match self.while_away(connecting).await {
                Some(Ok(renewed)) => return Ok(renewed),
                Some(Err(failure)) => {
                    tracing::debug!(account = %self.config.account, attempt, reason = %failure, "no connection yet");
                    error = failure;
                    attempt += 1;
                }
                None => return Err(End::Asked),
            }
        }
    }

    /// Waits for `connecting`; commands wait too. `None`: the client was closed.
    async fn while_away<T>(&mut self, connecting: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(connecting);
        loop {
            tokio::select! {
                outcome = &mut connecting => return Some(outcome),
                () = Self::room(&self.events), if !self.undelivered.is_empty() => self.deliver(),
                () = self.events.closed() => return None,
                () = self.closing.cancelled() => return None,
            }
        }
    }

    /// Waits until there is room for an event, or nobody to read it.
    pub(crate) async fn room(events: &mpsc::Sender<Event>) {
        let _ = events.reserve().await;
    }

    /// Delivers the events that there is room for.
    pub(crate) fn deliver(&mut self) {
        while let Ok(permit) = self.events.try_reserve() {
            match self.undelivered.pop_front() {
                Some(event) => permit.send(event),
                None => return,
            }
        }
    }

    /// Tells how it ended and what is left over, unless nobody wants to know any more.
    async fn end(mut self, end: End) {
        self.commands.close();
        let mut unacknowledged = self.management.give_up();
        while let Ok(command) = self.commands.try_recv() {
            if let Command::Send(stanza) = command {
                unacknowledged.push(stanza);
            }
        }
        match end {
            End::Lost(reason) => self.undelivered.push_back(Event::Ended { reason, unacknowledged }),
            End::Asked if unacknowledged.is_empty() => {}
            End::Asked => self.undelivered.push_back(Event::Ended { reason: Error::Closed, unacknowledged }),
        }
        self.deliver();
        while let Some(event) = self.undelivered.pop_front() {
            tokio::select! {
                outcome = self.events.send(event) => if outcome.is_err() { return },
                () = self.closing.cancelled() => return,
            }
        }
    }
}
