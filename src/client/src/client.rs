//! The client: a cheap handle to a connection that is kept by a task.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vesta_xmpp::payload::ping::Ping;
use vesta_xmpp::{Element, Envelope, FullJid, IqType, Jid, StanzaType};

use crate::config::{Config, Timeouts};
use crate::connection::{COMMANDS_MAX, Command, Connection, EVENTS_MAX, Request, UNANSWERED_MAX};
use crate::event::Events;
use crate::management::Management;
use crate::pending::{Answer, Pending};
use crate::stream::{Beginning, Established, Stream};
use crate::tls::TlsInfo;
use crate::{Error, random, stanza};

/// A connected client. Clones are handles to the same connection. It lives until [`Client::close`], or until its
/// [`Events`] are dropped.
#[derive(Clone)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    session: watch::Receiver<Option<Arc<SessionInfo>>>,
    pub(crate) forged: Arc<AtomicU64>,
    timeouts: Timeouts,
    closing: CancellationToken,
    tasks: TaskTracker,
}

/// The session that a client has just now.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// The address that the server has bound.
    pub jid: FullJid,
    /// The features of the authenticated stream.
    pub features: Element,
    /// What TLS has negotiated; `None` in clear.
    pub tls: Option<TlsInfo>,
}

impl Client {
    /// Connects, secures, authenticates and binds a resource. The events must be read: when too many wait, the connection
    /// is read no further.
    ///
    /// # Errors
    /// The server can't be found or reached, or does not let us in. Only a connection that was there is made again by itself.
    pub async fn connect(config: Config) -> Result<(Self, Events), Error> {
        let (stream, established) = Box::pin(Stream::connect(&config)).await?;
        Ok(Self::over(stream, established, config))
    }

    /// Takes over a stream that is up.
    pub fn over(stream: Stream, established: Established, config: Config) -> (Self, Events) {
        let (commands, obeyed) = mpsc::channel(COMMANDS_MAX);
        let (answers, answered) = mpsc::channel(UNANSWERED_MAX);
        let (events, told) = mpsc::channel(EVENTS_MAX);
        let (jid, features) = (established.jid.clone(), established.features.clone());
        let info = SessionInfo { jid: jid.clone(), features, tls: stream.tls().cloned() };
        let (session, known) = watch::channel(Some(Arc::new(info)));
        let (closing, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (timeouts, forged) = (config.timeouts, Arc::new(AtomicU64::new(0)));
        let connection = Connection {
            management: Management::new(config.management.clone()),
            pending: Pending::default(),
            forged: forged.clone(),
            is_first: true,
            config,
            commands: obeyed,
            answers,
            answered,
            events,
            undelivered: VecDeque::new(),
            session,
            closing: closing.clone(),
        };
        tasks.spawn(connection.run(stream, Beginning::Bound(established, None), jid));
        tasks.close();
        (Self { commands, session: known, forged, timeouts, closing, tasks }, Events(told))
    }

    /// The session of this moment. It lasts while it can be resumed, with a connection or without; `None` while there is none.
    pub fn session(&self) -> Option<Arc<SessionInfo>> {
        self.session.borrow().clone()
    }

    /// The session's address; `None` while there is no session.
    pub fn jid(&self) -> Option<FullJid> {
        self.session().map(|session| session.jid.clone())
    }

    /// Sends a stanza. A message without id gets a random one, and an origin-id (XEP-0359) if it has none.
    ///
    /// Waits for a place while many others wait: so it does while the server does not acknowledge
    /// ([`config::Management`](crate::Management)), and while a session has lost its connection and can be resumed. A stanza that
    /// was taken is acknowledged in the end ([`Event::Acknowledged`](crate::Event::Acknowledged)), or given back with the next
    /// session or at the end. Where the server does not manage streams, what was sent last may be lost with the connection.
    ///
    /// # Errors
    /// There is no session just now, or the client was closed.
    pub async fn send(&self, stanza: Envelope) -> Result<(), Error> {
        self.command(Command::Send(stanza::identified(stanza))).await
    }

    /// Sends a chat message with a random id.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn chat(&self, to: impl Into<Jid>, body: &str) -> Result<(), Error> {
        self.send(stanza::chat(to, body)).await
    }

    /// Sends an IQ of type `get` or `set` and waits for its answer, which counts only if it comes from whom was asked. An IQ
    /// without id gets a random one.
    ///
    /// # Errors
    /// The answer is an error ([`Error::Refused`]) or does not come in time; there is no session just now, or it is lost.
    pub async fn request(&self, iq: Envelope, limit: Duration) -> Result<Envelope, Error> {
        Ok(self.exchange(iq, 0, limit).await?.iq)
    }

    /// As [`Client::request`], for an IQ whose id marks the results of an archive, of which `results_max` may come.
    pub(crate) async fn query(&self, iq: Envelope, results_max: usize) -> Result<Answer, Error> {
        self.exchange(iq, results_max, self.timeouts.request).await
    }

    async fn exchange(&self, mut iq: Envelope, results_max: usize, limit: Duration) -> Result<Answer, Error> {
        if iq.id.is_none() {
            iq.id = Some(random::id().into());
        }
        let (reply, answer) = oneshot::channel();
        let exchange = async {
            self.command(Command::Request(Request { iq, results_max, reply })).await?;
            answer.await.map_err(|_| Error::NotConnected)?
        };
        let answer = timeout(limit, exchange).await.map_err(|_| Error::TimedOut("the answer to a request"))??;
        match answer.iq.kind {
            StanzaType::Iq(IqType::Error) => Err(stanza::error(&answer.iq)
                .map_or_else(|| Error::Malformed("an error without cause".into()), Error::Refused)),
            _ => Ok(answer),
        }
    }

    /// Asks `to` (`None`: the own account) with an IQ of type `get` and gives the payload of the answer.
    ///
    /// # Errors
    /// As [`Client::request`]; waits for [`Timeouts::request`].
    pub async fn get(&self, to: Option<Jid>, payload: &Element) -> Result<Option<Element>, Error> {
        self.ask(IqType::Get, to, payload).await
    }

    /// As [`Client::get`], with an IQ of type `set`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn set(&self, to: Option<Jid>, payload: &Element) -> Result<Option<Element>, Error> {
        self.ask(IqType::Set, to, payload).await
    }

    async fn ask(&self, kind: IqType, to: Option<Jid>, payload: &Element) -> Result<Option<Element>, Error> {
        let mut iq = Envelope::iq(kind, &random::id(), Some(payload));
        iq.to = to;
        Ok(self.request(iq, self.timeouts.request).await?.payload_element()?)
    }

    /// Pings `to` (`None`: the own server) by XEP-0199. Whoever does not know it answers with an error, and is there all the same.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn ping(&self, to: Option<Jid>) -> Result<(), Error> {
        self.get(to, &Ping.to_element()).await.map(drop)
    }

    /// Ends the stream and the client. What was sent before goes out first, and is waited for to be acknowledged; then the
    /// server's end of the stream is. Both waits last as long as [`Timeouts::close`] at most.
    pub async fn close(&self) {
        self.closing.cancel();
        self.tasks.wait().await;
    }

    async fn command(&self, command: Command) -> Result<(), Error> {
        if self.commands.is_closed() {
            return Err(Error::Closed);
        }
        if self.session.borrow().is_none() {
            return Err(Error::NotConnected);
        }
        self.commands.send(command).await.map_err(|_| Error::Closed)
    }
}
