//! The task behind a client: it keeps a session, and makes a new one when it is lost.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use vesta_xmpp::Envelope;

use crate::client::SessionInfo;
use crate::config::Config;
use crate::event::Event;
use crate::pending::Reply;
use crate::session::{End, Session};
use crate::stream::{Established, Stream};
use crate::{Error, random};

/// What a client asks of its connection.
pub(crate) enum Command {
    /// Send a stanza.
    Send(Envelope),
    /// Send an IQ that has an id, and hand over its answer.
    Request(Envelope, Reply),
}

/// Stanzas and requests that may wait for the connection; whoever comes later waits for a place.
pub(crate) const COMMANDS_MAX: usize = 64;
/// Events that may wait for whoever reads them. When so many more wait inside, the connection is read no further.
pub(crate) const EVENTS_MAX: usize = 256;
/// Requests of others that may be unanswered at once; further ones are refused with `resource-constraint`.
pub(crate) const UNANSWERED_MAX: usize = 256;

/// All that outlives a session.
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
    pub closing: CancellationToken,
}

impl Connection {
    /// Runs until the client is closed, or there is nothing more to be tried.
    pub(crate) async fn run(mut self, mut stream: Stream, mut established: Established) {
        loop {
            let info = SessionInfo::new(&established, &stream);
            self.session.send_replace(Some(Arc::new(info)));
            let end = Session::new(&mut self, stream, established.jid).run().await;
            self.session.send_replace(None);
            let End::Lost(error) = end else { return };
            tracing::info!(account = %self.config.account, reason = %error, "the connection is lost");
            match self.reconnect(error).await {
                Some(renewed) => (stream, established) = renewed,
                None => break,
            }
            self.undelivered.push_back(Event::Reconnected(established.jid.clone()));
        }
        self.deliver_the_rest().await;
    }

    /// Tries until there is a session again. `None`: closed meanwhile, or not to be tried any more.
    async fn reconnect(&mut self, mut error: Error) -> Option<(Stream, Established)> {
        self.undelivered.push_back(Event::Disconnected(error.clone()));
        let mut attempt = 0;
        loop {
            let pause = match &self.config.reconnect {
                Some(backoff) if error.may_pass() => backoff.pause(attempt, random::number())?,
                _ => {
                    // The reason that ends it all is worth an event of its own.
                    if attempt > 0 {
                        self.undelivered.push_back(Event::Disconnected(error));
                    }
                    return None;
                }
            };
            let config = self.config.clone();
            let connecting = async move {
                sleep(pause).await;
                Box::pin(Stream::connect(&config)).await
            };
            match self.while_away(connecting).await? {
                Ok(renewed) => return Some(renewed),
                Err(failure) => {
                    tracing::debug!(account = %self.config.account, attempt, reason = %failure, "no connection yet");
                    error = failure;
                    attempt += 1;
                }
            }
        }
    }

    /// Waits for `connecting`, and refuses whatever is asked meanwhile. `None`: the client was closed.
    async fn while_away<T>(&mut self, connecting: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(connecting);
        loop {
            tokio::select! {
                outcome = &mut connecting => return Some(outcome),
                Some(command) = self.commands.recv() => command.refuse(),
                // Answers to requests of a session that is over.
                Some(_) = self.answered.recv() => {}
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

    /// The last events, unless nobody wants them any more.
    async fn deliver_the_rest(&mut self) {
        while let Some(event) = self.undelivered.pop_front() {
            tokio::select! {
                outcome = self.events.send(event) => if outcome.is_err() { return },
                () = self.closing.cancelled() => return,
            }
        }
    }
}

impl Command {
    fn refuse(self) {
        if let Command::Request(_, reply) = self {
            let _ = reply.send(Err(Error::NotConnected));
        }
    }
}
