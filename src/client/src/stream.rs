//! The low layer: one XML stream over one connection, without a task behind it. For tests, load generators and whoever wants
//! to speak by hand.
//!
//! ```no_run
//! # async fn example() -> Result<(), vesta_client::Error> {
//! use vesta_client::{Config, Stream};
//!
//! let config = Config::new("juliet@example.com", "secret")?;
//! let (mut stream, established) = Stream::connect(&config).await?;
//! println!("bound {} over {:?}", established.jid, stream.tls());
//! stream.send_raw(b"<presence/>").await?;
//! println!("{:?}", stream.next().await?);
//! # Ok(()) }
//! ```

use bytes::{Buf, Bytes, BytesMut};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use vesta_xmpp::management::Failed;
use vesta_xmpp::negotiation::initiating::{self, Action, Event, Failure, Initiating, Resumption};
use vesta_xmpp::sasl::ChannelBindings;
use vesta_xmpp::scan::{Item, Limits, Scanner};
use vesta_xmpp::{Element, Envelope, FullJid, ns};

use crate::config::{Config, Endpoint, Security};
use crate::discovery::{self, ascii_domain};
use crate::tls::{self, TlsInfo};
use crate::{Error, random};

/// What reads start with; the buffer grows while an item is incomplete.
const READ_BYTES: usize = 4096;

/// What a stream can run over.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// One XML stream. See the module's documentation.
pub struct Stream {
    transport: Box<dyn Transport>,
    input: Input,
    limits: Limits,
    /// Where it goes, if it was dialled.
    endpoint: Option<Endpoint>,
    tls: Option<TlsInfo>,
    bindings: ChannelBindings,
}

/// A stream that is up.
#[derive(Clone, Debug)]
pub struct Established {
    /// The address that the server has bound.
    pub jid: FullJid,
    /// The features of the authenticated stream.
    pub features: Element,
}

impl Established {
    /// Whether the server offers stream management (XEP-0198).
    pub(crate) fn offers_management(&self) -> bool {
        self.features.child(ns::STREAM_MANAGEMENT, "sm").is_some()
    }
}

/// How a stream came up.
pub(crate) enum Beginning {
    /// A resource is bound; and why an earlier stream does not go on, if one was to.
    Bound(Established, Option<Failed>),
    /// The earlier stream goes on.
    Resumed {
        /// How many stanzas of ours the server has handled.
        handled: u32,
        /// The features of the authenticated stream.
        features: Element,
    },
}

impl Beginning {
    /// For whoever had no stream to go on with.
    fn established(self) -> Result<Established, Error> {
        match self {
            Beginning::Bound(established, _) => Ok(established),
            Beginning::Resumed { .. } => Err(Failure::Protocol("a stream goes on that was not asked for").into()),
        }
    }
}

/// Bytes that came in and are not read yet, and what reads them.
struct Input {
    scanner: Scanner,
    buffer: BytesMut,
}

impl Stream {
    /// Connects, secures, authenticates and binds, at the first of the server's endpoints that lets us in.
    ///
    /// # Errors
    /// The server can't be found or reached, or does not let us in. The error is that of the last endpoint tried; where it is
    /// one that no other endpoint would lift ([`Error::may_pass`]), no other is tried.
    pub async fn connect(config: &Config) -> Result<(Self, Established), Error> {
        let endpoints = discovery::endpoints(config).await?;
        let (stream, beginning) = Self::begin(config, endpoints, None).await?;
        Ok((stream, beginning.established()?))
    }

    /// As [`Stream::connect`], and goes on with an earlier stream if the server lets us. `location` is tried first, `silent` last:
    /// an endpoint that did not answer.
    pub(crate) async fn resume(
        config: &Config,
        resumption: Option<Resumption>,
        location: Option<&str>,
        silent: Option<Endpoint>,
    ) -> Result<(Self, Beginning), Error> {
        let mut endpoints = discovery::endpoints(config).await?;
        let security = endpoints.first().map_or(Security::StartTls, |first| first.security);
        if let Some(named) = location.and_then(|location| discovery::named(location, security)) {
            endpoints.retain(|endpoint| *endpoint != named);
            endpoints.insert(0, named);
        }
        endpoints.sort_by_key(|endpoint| silent.as_ref() == Some(endpoint));
        Self::begin(config, endpoints, resumption).await
    }

    async fn begin(
        config: &Config,
        endpoints: Vec<Endpoint>,
        resumption: Option<Resumption>,
    ) -> Result<(Self, Beginning), Error> {
        let mut last = Error::NoEndpoint;
        for endpoint in &endpoints {
            let begun = async {
                let mut stream = Self::dial_endpoint(config, endpoint).await?;
                let beginning = stream.negotiate_within(config, resumption.clone()).await?;
                Ok((stream, beginning))
            };
            match begun.await {
                Ok(begun) => return Ok(begun),
                Err(error) if !Error::may_pass(&error) => return Err(error),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Connects to the first of the server's endpoints that answers, with TLS if it is direct. No stream is opened yet.
    ///
    /// # Errors
    /// As [`Stream::connect`].
    pub async fn dial(config: &Config) -> Result<Self, Error> {
        let mut last = Error::NoEndpoint;
        for endpoint in discovery::endpoints(config).await? {
            match Self::dial_endpoint(config, &endpoint).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn dial_endpoint(config: &Config, endpoint: &Endpoint) -> Result<Self, Error> {
        let address = format!("{}:{}", endpoint.host, endpoint.port);
        let failed = |reason: String| Error::Connect { address: address.clone(), reason };
        let connecting = TcpStream::connect((endpoint.host.as_str(), endpoint.port));
        let connection = timeout(config.timeouts.connect, connecting)
            .await
            .map_err(|_| failed("it does not answer".into()))?
            .map_err(|error| failed(error.to_string()))?;
        // Stanzas are written whole: waiting for more to send only delays them.
        connection.set_nodelay(true)?;
        let mut stream = Self { endpoint: Some(endpoint.clone()), ..Self::over(connection, config) };
        if endpoint.security == Security::DirectTls {
            let handshake = stream.secure(config, true);
            timeout(config.timeouts.negotiate, handshake).await.map_err(|_| Error::TimedOut("the TLS handshake"))??;
        }
        Ok(stream)
    }

    /// A stream over any transport: one end of a pipe, say.
    pub fn over(transport: impl Transport + 'static, config: &Config) -> Self {
        let limits = Limits { stanza_bytes: config.stanza_bytes_max, ..Limits::AUTHENTICATED };
        Self {
            transport: Box::new(transport),
            input: Input::new(limits),
            limits,
            endpoint: None,
            tls: None,
            bindings: ChannelBindings::default(),
        }
    }

    /// Opens the stream, secures it if it is not, authenticates and binds.
    ///
    /// # Errors
    /// The server does not let us in, or takes longer than [`Timeouts::negotiate`](crate::Timeouts::negotiate).
    pub async fn negotiate(&mut self, config: &Config) -> Result<Established, Error> {
        self.negotiate_within(config, None).await?.established()
    }

    async fn negotiate_within(&mut self, config: &Config, resumption: Option<Resumption>) -> Result<Beginning, Error> {
        let negotiation = self.drive(config, resumption);
        timeout(config.timeouts.negotiate, negotiation).await.map_err(|_| Error::TimedOut("the login"))?
    }

    async fn drive(&mut self, config: &Config, resumption: Option<Resumption>) -> Result<Beginning, Error> {
        let mut machine = Initiating::new(initiating::Config {
            account: config.account.clone(),
            password: config.password.clone(),
            resource: config.resource.clone(),
            require_tls: config.require_tls,
            mechanisms: config.mechanisms.clone(),
        })
        .resuming(resumption);
        let mut refusal = None;
        let mut event = match &self.tls {
            Some(_) => Event::TlsEstablished(self.bindings.clone()),
            None => Event::Connected,
        };
        loop {
            let mut secured = false;
            for action in machine.handle(event, &mut random::fill) {
                match action {
                    Action::Send(bytes) => self.send_raw(&bytes).await?,
                    Action::StartTls => {
                        self.secure(config, false).await?;
                        secured = true;
                    }
                    Action::Restart => self.restart(),
                    Action::Established { jid, features } => {
                        return Ok(Beginning::Bound(Established { jid, features }, refusal));
                    }
                    Action::Resumed { handled, features } => return Ok(Beginning::Resumed { handled, features }),
                    Action::NotResumed(failed) => refusal = Some(failed),
                    Action::Fail(failure) => {
                        // The failure is what counts; the farewell may not get through.
                        let _ = self.end().await;
                        return Err(failure.into());
                    }
                }
            }
            event = match secured {
                true => Event::TlsEstablished(self.bindings.clone()),
                false => Event::Item(self.next().await?),
            };
        }
    }

    /// Does the TLS handshake now: at the beginning (`direct`), or after the server's `<proceed/>`. A new stream begins.
    ///
    /// # Errors
    /// The certificate is not the domain's, the server speaks no TLS that we do, or it had sent more in clear (T6).
    pub async fn secure(&mut self, config: &Config, direct: bool) -> Result<(), Error> {
        if !self.input.buffer.is_empty() {
            return Err(Error::DataBeforeTls);
        }
        let settings = tls::client_config(&config.trust, direct)?;
        let domain = ascii_domain(config.account.domain())?;
        let name = ServerName::try_from(domain.clone()).map_err(|error| Error::Tls(error.to_string()))?;
        let clear = std::mem::replace(&mut self.transport, Box::new(tokio::io::empty()));
        let secured: TlsStream<_> = TlsConnector::from(settings)
            .connect(name, clear)
            .await
            .map_err(|error| Error::Connect { address: domain, reason: error.to_string() })?;
        let connection = secured.get_ref().1;
        self.tls = TlsInfo::of(connection);
        self.bindings = tls::channel_bindings(connection);
        self.transport = Box::new(secured);
        self.restart();
        Ok(())
    }

    /// Begins a new stream on the same connection: the next item is the server's header.
    pub fn restart(&mut self) {
        self.input.scanner = Scanner::new(self.limits);
    }

    /// Where it goes; `None` if it was not dialled.
    pub(crate) fn endpoint(&self) -> Option<&Endpoint> {
        self.endpoint.as_ref()
    }

    /// What TLS has negotiated; `None` in clear.
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.tls.as_ref()
    }

    /// What the channel can be bound by.
    pub fn channel_bindings(&self) -> &ChannelBindings {
        &self.bindings
    }

    /// Writes bytes as they are, and flushes.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.transport.write_all(bytes).await?;
        Ok(self.transport.flush().await?)
    }

    /// Writes a stanza.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn send(&mut self, stanza: &Envelope) -> Result<(), Error> {
        let mut bytes = Vec::with_capacity(256 + stanza.content.len());
        stanza.write(&mut bytes, None);
        self.send_raw(&bytes).await
    }

    /// Writes a first-level element that is no stanza.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn send_element(&mut self, element: &Element) -> Result<(), Error> {
        self.send_raw(&element.to_bytes(ns::CLIENT)).await
    }

    /// The next item. May be dropped and asked again without loss.
    ///
    /// # Errors
    /// The connection broke or was closed ([`Error::Closed`]), or what came is no XMPP.
    pub async fn next(&mut self) -> Result<Item, Error> {
        self.input.next(&mut self.transport).await
    }

    /// Bytes as they come, past the scanner: empty at the connection's end.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn read_raw(&mut self) -> Result<Bytes, Error> {
        if self.input.buffer.is_empty() {
            self.input.fill(&mut self.transport).await?;
        }
        Ok(self.input.buffer.split().freeze())
    }

    /// Ends our side of the stream. What the server still sends can be read.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn end(&mut self) -> Result<(), Error> {
        self.send_raw(END).await
    }

    /// Ends the stream, waits for the server's end within the time limit, and closes the connection.
    pub async fn close(mut self, config: &Config) {
        let farewell = async {
            self.end().await?;
            while !matches!(self.next().await?, Item::Close) {}
            Ok::<_, Error>(self.transport.shutdown().await?)
        };
        // Nothing is left to do about a server that does not say goodbye.
        let _ = timeout(config.timeouts.close, farewell).await;
    }

    /// Two halves that can be used at the same time.
    pub(crate) fn split(self) -> (Reader, Writer) {
        let (read, write) = tokio::io::split(self.transport);
        (Reader { half: read, input: self.input }, Writer { half: write, waiting: BytesMut::new(), flushed: true })
    }
}

/// The end tag of a stream.
const END: &[u8] = b"</stream:stream>";

impl Input {
    fn new(limits: Limits) -> Self {
        Self { scanner: Scanner::new(limits), buffer: BytesMut::new() }
    }

    async fn next(&mut self, transport: &mut (impl AsyncRead + Unpin)) -> Result<Item, Error> {
        loop {
            let mut rest = &self.buffer[..];
            let item = self.scanner.next(&mut rest)?;
            let read = self.buffer.len() - rest.len();
            self.buffer.advance(read);
            if let Some(item) = item {
                return Ok(item);
            }
            if self.fill(transport).await? == 0 {
                return Err(Error::Closed);
            }
        }
    }

    async fn fill(&mut self, transport: &mut (impl AsyncRead + Unpin)) -> Result<usize, Error> {
        self.buffer.reserve(READ_BYTES);
        Ok(transport.read_buf(&mut self.buffer).await?)
    }
}

/// The reading half of a stream.
pub(crate) struct Reader {
    half: ReadHalf<Box<dyn Transport>>,
    input: Input,
}

impl Reader {
    /// As [`Stream::next`].
    pub(crate) async fn next(&mut self) -> Result<Item, Error> {
        self.input.next(&mut self.half).await
    }
}

/// The writing half of a stream, with what waits to be written.
pub(crate) struct Writer {
    half: WriteHalf<Box<dyn Transport>>,
    waiting: BytesMut,
    flushed: bool,
}

/// Bytes that may wait before no more stanzas are taken.
const WAITING_BYTES_MAX: usize = 256 * 1024;

impl Writer {
    /// Puts bytes behind those that wait.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
        self.flushed = false;
    }

    /// Puts a stanza behind what waits.
    pub(crate) fn push_stanza(&mut self, stanza: &Envelope) {
        let mut bytes = Vec::with_capacity(256 + stanza.content.len());
        stanza.write(&mut bytes, None);
        self.push(&bytes);
    }

    /// Puts the end of the stream behind what waits.
    pub(crate) fn push_end(&mut self) {
        self.push(END);
    }

    /// Whether more stanzas may be pushed.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() < WAITING_BYTES_MAX
    }

    /// Whether all is written.
    pub(crate) fn is_done(&self) -> bool {
        self.flushed
    }

    /// Writes some of what waits. May be dropped and called again without loss.
    pub(crate) async fn write(&mut self) -> Result<(), Error> {
        if self.waiting.is_empty() {
            self.half.flush().await?;
            self.flushed = true;
        } else {
            self.half.write_buf(&mut self.waiting).await?;
        }
        Ok(())
    }

    /// Says goodbye to the connection.
    pub(crate) async fn shutdown(&mut self) {
        // The stream has ended already: nothing depends on it.
        let _ = self.half.shutdown().await;
    }
}
