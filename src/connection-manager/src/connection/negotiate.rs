//! A stream until its resource is bound: drives [`Receiving`] over the socket, TLS and the uplink.
//!
//! All of this is dropped when the session is established. It must be done within the authentication deadline, whatever
//! arrives (T10).

use std::io;
use std::mem::MaybeUninit;
use std::sync::Arc;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};
use vesta_wire::StreamId;
use vesta_xmpp::negotiation::receiving::{Action, Event, Receiving, Resumed};
use vesta_xmpp::payload::register::Register;
use vesta_xmpp::sasl::{Answer, ChannelBindings, Mechanism, Question, SaslCondition};
use vesta_xmpp::scan::{Item, Scanner};
use vesta_xmpp::stream_error::StreamCondition;
use vesta_xmpp::{BareJid, Envelope, Jid, StreamError, ns};

use super::Shared;
use super::close::{self, END_TAG};
use super::established::Established;
use super::limits::Admitted;
use super::transport::Transport;
use crate::metrics::{LimitLabel, ResultLabel};
use crate::tls;
use crate::uplink::{self, BoundHandle};

/// What is read at once.
const READ_BYTES: usize = 4096;
/// How many times the longest element may be sent in all before authentication (T2).
const ELEMENTS_BEFORE: usize = 4;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Negotiation {
    shared: Arc<Shared>,
    admitted: Admitted,
    /// `None` during a handshake.
    transport: Option<Transport>,
    scanner: Scanner,
    machine: Receiving,
    /// What was read; the scanner has taken the first `taken` bytes.
    input: Vec<u8>,
    taken: usize,
    /// Bytes that came before authentication.
    received: usize,
    output: Vec<u8>,
    authenticated: bool,
    bound: Option<BoundHandle>,
    stream: StreamId,
    /// For the traces: from the client's first element of SASL to a bound resource.
    login: Span,
}

/// How far a step has come.
enum Progress {
    /// Another item is wanted.
    Continues,
    /// The resource is bound.
    Established,
}

/// Why a negotiation is over without a session.
enum Over {
    /// The socket is gone, or TLS failed: there is nobody to tell.
    Lost,
    /// Everything that is to be sent is in the output.
    Said,
    /// The driver found a fault; the machine says how it is told.
    Failed(StreamError),
}

impl From<io::Error> for Over {
    fn from(_: io::Error) -> Self {
        Over::Lost
    }
}

impl Negotiation {
    pub(super) fn new(shared: Arc<Shared>, stream: TcpStream, admitted: Admitted) -> Self {
        Self {
            admitted,
            transport: Some(Transport::Tcp(stream)),
            scanner: Scanner::new(shared.limits_before()),
            machine: Receiving::new(shared.offer.clone()),
            input: Vec::new(),
            taken: 0,
            received: 0,
            output: Vec::new(),
            authenticated: false,
            bound: None,
            stream: uplink::next_stream(),
            login: Span::none(),
            shared,
        }
    }

    /// Runs to a bound session, or to the connection's end.
    pub(super) async fn run(mut self, direct_tls: bool) -> Option<Established> {
        let deadline = Instant::now() + self.shared.limits.authentication_timeout;
        let stop = self.shared.stop.clone();
        let outcome = tokio::select! {
            outcome = tokio::time::timeout_at(deadline, self.negotiate(direct_tls)) => outcome.unwrap_or_else(|_| {
                let error = StreamError::new(StreamCondition::ConnectionTimeout).with_text("it took too long to log in");
                Err(Over::Failed(error))
            }),
            () = stop.cancelled() => Err(Over::Failed(StreamCondition::SystemShutdown.into())),
        };
        self.trace_outcome(&outcome);
        match outcome {
            Ok(()) => return self.establish(),
            Err(Over::Lost) => return None,
            Err(Over::Said) => {}
            Err(Over::Failed(error)) => self.fail(error),
        }
        if let Some(transport) = self.transport {
            close::close(transport, self.output, self.shared.limits.close_timeout).await;
        }
        None
    }

    async fn negotiate(&mut self, direct_tls: bool) -> Result<(), Over> {
        if direct_tls {
            let bindings = self.handshake().await?;
            self.step(Event::TlsEstablished(bindings)).await?;
        }
        loop {
            let item = self.next_item().await?;
            if let Progress::Established = self.step(Event::Item(item)).await? {
                return Ok(());
            }
        }
    }

    fn establish(self) -> Option<Established> {
        let (transport, bound) = (self.transport?, self.bound?);
        let mut scanner = self.scanner;
        scanner.set_limits(self.shared.limits_after());
        let leftover = self.input[self.taken..].to_vec();
        Some(Established::new(self.shared, transport, bound, scanner, leftover, self.admitted))
    }

    /// Has the machine say what went wrong.
    fn fail(&mut self, error: StreamError) {
        for action in self.machine.handle(Event::Failed(error), &mut crate::random::fill) {
            match action {
                Action::Send(bytes) => self.output.extend_from_slice(&bytes),
                Action::Fail(error) => close::write_error(&mut self.output, &error),
                _ => {}
            }
        }
    }

    async fn next_item(&mut self) -> Result<Item, Over> {
        loop {
            let mut rest = &self.input[self.taken..];
            let item = self.scanner.next(&mut rest).map_err(|error| Over::Failed(error.into()))?;
            self.taken = self.input.len() - rest.len();
            if let Some(item) = item {
                return Ok(item);
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<(), Over> {
        self.input.clear();
        self.taken = 0;
        self.input.reserve(READ_BYTES);
        let transport = self.transport.as_mut().ok_or(Over::Lost)?;
        let count = transport.read_buf(&mut self.input).await?;
        if count == 0 {
            return Err(Over::Lost);
        }
        self.shared.metrics.bytes_in.inc_by(count as u64);
        if !self.authenticated {
            self.received += count;
            if self.received > ELEMENTS_BEFORE * self.shared.limits.stanza_bytes_before {
                self.shared.metrics.limit(LimitLabel::Authentication);
                let error = StreamError::new(StreamCondition::PolicyViolation);
                return Err(Over::Failed(error.with_text("too much was sent before authentication")));
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Over> {
        let transport = self.transport.as_mut().ok_or(Over::Lost)?;
        transport.write_all(&self.output).await?;
        transport.flush().await?;
        self.shared.metrics.bytes_out.inc_by(self.output.len() as u64);
        self.output.clear();
        Ok(())
    }

    /// Hands an event to the machine and does what it wants, until it wants another item.
    async fn step(&mut self, event: Event) -> Result<Progress, Over> {
        self.trace_login(&event);
        let mut next = Some(event);
        while let Some(event) = next.take() {
            for action in self.machine.handle(event, &mut crate::random::fill) {
                match action {
                    Action::Send(bytes) => self.output.extend_from_slice(&bytes),
                    Action::StartTls => next = Some(Event::TlsEstablished(self.start_tls().await?)),
                    Action::Restart => self.scanner = Scanner::new(self.scan_limits()),
                    Action::Ask(question) => next = Some(Event::Answered(self.ask(question).await?)),
                    Action::Bind { account, resource } => next = Some(self.bind(account, resource).await?),
                    Action::Resume { account, previous, handled } => {
                        next = Some(self.resume(account, &previous, handled).await?);
                    }
                    Action::Register(stanza) => next = Some(Event::Registered(self.register(stanza).await?)),
                    Action::Established(_) => {
                        self.flush().await?;
                        return Ok(Progress::Established);
                    }
                    Action::Fail(error) => {
                        close::write_error(&mut self.output, &error);
                        return Err(Over::Said);
                    }
                    Action::Close => {
                        self.output.extend_from_slice(END_TAG);
                        return Err(Over::Said);
                    }
                }
            }
        }
        self.flush().await?;
        Ok(Progress::Continues)
    }

    fn scan_limits(&self) -> vesta_xmpp::scan::Limits {
        if self.authenticated { self.shared.limits_after() } else { self.shared.limits_before() }
    }

    /// T6: whatever the client sent behind `<starttls/>` was sent in clear, perhaps by somebody else. It is looked for
    /// before `<proceed/>` is out, because behind that the client's handshake may come.
    async fn start_tls(&mut self) -> Result<ChannelBindings, Over> {
        if self.taken < self.input.len() || self.has_waiting_input() {
            // In the place of `<proceed/>`.
            self.output.clear();
            let error = StreamError::new(StreamCondition::PolicyViolation);
            close::write_error(&mut self.output, &error.with_text("nothing may follow <starttls/> before <proceed/>"));
            return Err(Over::Said);
        }
        self.flush().await?;
        let bindings = self.handshake().await?;
        self.scanner = Scanner::new(self.scan_limits());
        Ok(bindings)
    }

    /// Asks the kernel, not the runtime: that may not have heard of the bytes yet.
    fn has_waiting_input(&self) -> bool {
        let Some(Transport::Tcp(stream)) = &self.transport else { return false };
        let mut byte = [MaybeUninit::uninit()];
        SockRef::from(stream).peek(&mut byte).is_ok_and(|count| count > 0)
    }

    async fn handshake(&mut self) -> Result<ChannelBindings, Over> {
        let Some(Transport::Tcp(stream)) = self.transport.take() else { return Err(Over::Lost) };
        let shared = &self.shared;
        let handshake = async {
            let _turn = shared.handshakes.acquire().await.map_err(io::Error::other)?;
            tls::accept(&shared.certificates, stream).await
        };
        match tokio::time::timeout(shared.limits.handshake_timeout, handshake).await {
            Ok(Ok((stream, bindings))) => {
                shared.metrics.handshake(ResultLabel::Success);
                self.transport = Some(Transport::Tls(stream));
                Ok(bindings)
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "a TLS handshake failed");
                shared.metrics.handshake(ResultLabel::Failure);
                Err(Over::Lost)
            }
            Err(_) => {
                shared.metrics.limit(LimitLabel::Handshake);
                Err(Over::Lost)
            }
        }
    }

    async fn ask(&mut self, question: Question) -> Result<Answer, Over> {
        self.flush().await?;
        let account = question.account().clone();
        if !matches!(question, Question::Salt { .. }) {
            // Before the question, so that right and wrong guesses wait alike (T11).
            let delay = self.admitted.delay(&account, Instant::now());
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
        }
        let kind = question.name();
        let span = info_span!(parent: &self.login, "ask a router", xmpp.sasl.question = kind);
        let answer = self.shared.uplink.ask(question).instrument(span).await;
        let result = match &answer {
            Answer::Salt { .. } => return Ok(answer),
            Answer::Accepted { .. } => {
                self.authenticated = true;
                self.admitted.succeeded(&account);
                ResultLabel::Success
            }
            Answer::Denied(SaslCondition::TemporaryAuthFailure) => ResultLabel::Unavailable,
            Answer::Denied(_) => {
                self.admitted.failed(&account, Instant::now());
                ResultLabel::Failure
            }
        };
        self.shared.metrics.authentication(result);
        Ok(answer)
    }

    async fn bind(&mut self, account: BareJid, resource: Option<String>) -> Result<Event, Over> {
        self.flush().await?;
        let span = info_span!(parent: &self.login, "bind a resource");
        Ok(Event::Bound(match self.shared.uplink.bind(account, resource, self.stream).instrument(span).await {
            Ok(handle) => {
                let jid = handle.session().jid.clone();
                self.bound = Some(handle);
                Ok(jid)
            }
            Err(error) => Err(error),
        }))
    }

    async fn resume(&mut self, account: BareJid, previous: &str, handled: u32) -> Result<Event, Over> {
        self.flush().await?;
        let span = info_span!(parent: &self.login, "resume a session");
        let resumed = self.shared.uplink.resume(account, previous, handled, self.stream).instrument(span).await;
        Ok(Event::Resumed(resumed.map(|(handle, handled)| {
            let jid = handle.session().jid.clone();
            self.bound = Some(handle);
            Resumed { jid, handled }
        })))
    }

    /// Begins the login's span. A client may try several mechanisms: the last one is told.
    fn trace_login(&mut self, event: &Event) {
        let Event::Item(Item::Element(auth)) = event else { return };
        if !auth.is(ns::SASL, "auth") {
            return;
        }
        if self.login.is_none() {
            self.login = info_span!(
                "login",
                network.protocol.name = "xmpp",
                xmpp.sasl.mechanism = Empty,
                xmpp.login.outcome = Empty,
                otel.status_code = Empty,
            );
        }
        let mechanism = auth.attribute("mechanism").and_then(Mechanism::from_name);
        self.login.record("xmpp.sasl.mechanism", mechanism.map_or("unknown", Mechanism::name));
    }

    fn trace_outcome(&self, outcome: &Result<(), Over>) {
        let (outcome, status) = match outcome {
            Ok(()) => ("bound", "OK"),
            Err(Over::Lost) => ("connection lost", "ERROR"),
            Err(Over::Said) => ("refused", "ERROR"),
            Err(Over::Failed(error)) => (error.condition.name(), "ERROR"),
        };
        self.login.record("xmpp.login.outcome", outcome);
        self.login.record("otel.status_code", status);
    }

    async fn register(&mut self, stanza: Envelope) -> Result<Envelope, Over> {
        self.flush().await?;
        let host = stanza.to.as_ref().map(|to| to.to_bare().to_domain());
        let host = host.or_else(|| BareJid::parse(self.shared.offer.hosts.first()?).ok()).ok_or(Over::Lost)?;
        let account = named_account(&host, &stanza).unwrap_or(host);
        self.shared.uplink.register(account, stanza).await.ok_or(Over::Lost)
    }
}

/// The account that a registration names: its shard makes it.
fn named_account(host: &BareJid, stanza: &Envelope) -> Option<BareJid> {
    let payload = stanza.payload_element().ok()??;
    let username = Register::parse(&payload).ok()?.username.filter(|username| !username.is_empty())?;
    Jid::from_parts(Some(&username), host.domain(), None).ok()?.as_bare()
}
