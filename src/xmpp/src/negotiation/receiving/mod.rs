//! The receiving entity's side: a server that is connected to.
//!
//! ```text
//! header → features(starttls) → TLS → header → features(mechanisms) → SASL → header → features(bind) → bound
//! ```
//!
//! With direct TLS the first step is left out. Whatever comes out of this order ends the stream with `not-authorized`
//! (RFC 6120 §4.9.3.12): no stanza is looked at before a resource is bound, but for in-band registration where it is offered.

mod features;

use std::sync::Arc;

use bytes::Bytes;

use super::header::{Header, sasl_element, token, version_is_supported};
use crate::jid::{prepare_domain, prepare_resource};
use crate::management::{self, Command, Refusal};
use crate::payload::bind;
use crate::sasl::server::{Context, Exchange, Step};
use crate::sasl::{Answer, ChannelBindings, Mechanism, Question, SaslCondition, SaslFailure, decode_base64};
use crate::scan::{Item, StreamHeader};
use crate::stanza_error::Condition;
use crate::stream_error::StreamCondition;
use crate::{BareJid, Element, Envelope, FullJid, IqType, Jid, StanzaError, StanzaType, StreamError, ns};

/// What the machine is told.
#[derive(Debug)]
pub enum Event {
    /// The scanner yielded an item.
    Item(Item),
    /// The TLS handshake that [`Action::StartTls`] asked for is done (or direct TLS was there from the start).
    TlsEstablished(ChannelBindings),
    /// The answer to [`Action::Ask`].
    Answered(Answer),
    /// The outcome of [`Action::Bind`].
    Bound(Result<FullJid, StanzaError>),
    /// The outcome of [`Action::Resume`].
    Resumed(Result<Resumed, Refusal>),
    /// The outcome of [`Action::Register`]: a stanza to send.
    Registered(Envelope),
    /// The driver found a fault: the scanner's, a limit, time that is over, a shutdown. Yields [`Action::Fail`], with our
    /// header before it where none has been sent; and nothing between [`Action::StartTls`] and the end of the handshake,
    /// when there is no stream to say it on (RFC 6120 §5.4.3.2). Close the connection afterwards in any case.
    Failed(StreamError),
}

/// A stream that goes on (XEP-0198 §5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// The resource that it has bound.
    pub jid: FullJid,
    /// How many of the client's stanzas were handled.
    pub handled: u32,
}

/// What the machine wants done, in this order.
#[derive(Debug)]
pub enum Action {
    /// Write these bytes.
    Send(Bytes),
    /// What was written must be out; then no further byte may be waiting in the input (T6); then the TLS handshake as
    /// server, a new scanner, [`Event::TlsEstablished`].
    StartTls,
    /// A new scanner for the restarted stream; the bytes behind the item stay.
    Restart,
    /// Have this answered, then [`Event::Answered`]. No item is to be handed in meanwhile.
    Ask(Question),
    /// Bind a resource, then [`Event::Bound`]. No item is to be handed in meanwhile.
    Bind {
        /// The authenticated account.
        account: BareJid,
        /// What the client asked for, prepared; `None` leaves it to the server.
        resource: Option<String>,
    },
    /// Resume an earlier stream, then [`Event::Resumed`]. No item is to be handed in meanwhile.
    Resume {
        /// The authenticated account.
        account: BareJid,
        /// The earlier stream's id for resumption, as the client says.
        previous: String,
        /// How many stanzas the client got there, as it says.
        handled: u32,
    },
    /// XEP-0077 before authentication: have this IQ answered, then [`Event::Registered`].
    Register(Envelope),
    /// The stream is up; the machine has done its work. The result of binding or resuming is among the bytes sent before.
    Established(FullJid),
    /// Send this error, end tag included, and close. A header of ours has been sent before it.
    Fail(StreamError),
    /// The peer ended its stream: send the end tag and close.
    Close,
}

/// What is offered, and to whom.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The virtual hosts served.
    pub hosts: Vec<String>,
    /// Whether STARTTLS is offered on a connection in clear.
    pub starttls: bool,
    /// Whether SASL is only offered inside TLS. Off for development alone.
    pub require_tls: bool,
    /// Whether in-band registration is offered (XEP-0077).
    pub registration: bool,
    /// XEP-0478: bytes of one stanza before and after authentication.
    pub stanza_bytes: (usize, usize),
    /// XEP-0478: seconds without a byte after which an authenticated stream is closed; `None`: not advertised.
    pub idle_seconds: Option<u32>,
    /// Failed authentications after which the stream is closed (RFC 6120 §6.4.5: at least two).
    pub attempts_max: u32,
    /// Features advertised after authentication, as written XML: those that modules add.
    pub features: Bytes,
}

/// The machine. See the module's documentation.
#[derive(Debug)]
pub struct Receiving {
    offer: Arc<Offer>,
    /// The virtual host of the first header: each later one must name it too (T22).
    host: Option<BareJid>,
    /// What the channel can be bound by; `None` in clear.
    tls: Option<ChannelBindings>,
    /// Authentications that failed on this connection.
    failures: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Waits for the peer's header; no header of ours has been sent on this stream.
    Header { account: Option<BareJid> },
    /// Waits for STARTTLS, SASL or registration.
    Unauthenticated,
    /// Waits for the end of the TLS handshake.
    Handshake,
    /// Waits for the client's next message of SASL.
    Responding(Box<Exchange>),
    /// Waits for an answer about SASL.
    Asking(Box<Exchange>),
    /// Waits for an answer about registration.
    Registering,
    /// Waits for the request to bind a resource.
    Authenticated { account: BareJid },
    /// Waits for a resource to be bound for this IQ.
    Binding { account: BareJid, request: Envelope },
    /// Waits for an earlier stream to be resumed.
    Resuming { account: BareJid, previous: String },
    /// Established, failed or closed.
    Over,
}

impl Receiving {
    /// A machine at the start of a connection in clear. With direct TLS, [`Event::TlsEstablished`] comes first.
    pub fn new(offer: Arc<Offer>) -> Self {
        Self { offer, host: None, tls: None, failures: 0, state: State::Header { account: None } }
    }

    /// Takes a step. `random` fills a slice with unpredictable bytes (stream ids, nonces).
    pub fn handle(&mut self, event: Event, random: &mut dyn FnMut(&mut [u8])) -> Vec<Action> {
        match (std::mem::replace(&mut self.state, State::Over), event) {
            (State::Over | State::Handshake, Event::Failed(_)) | (State::Over, _) => Vec::new(),
            (State::Header { .. }, Event::Failed(error)) => self.fail_before_header(error, random),
            (_, Event::Failed(error)) => vec![Action::Fail(error)],
            (_, Event::Item(Item::Close)) => vec![Action::Close],
            // RFC 6120 §4.9.1.1: it is over on the client's side; an error is not answered with another one.
            (_, Event::Item(Item::Element(error))) if error.is(ns::STREAM, "error") => vec![Action::Close],
            (State::Header { account }, Event::Item(Item::Open(header))) => self.open(&header, account, random),
            (State::Unauthenticated, Event::Item(item)) => self.negotiate(item, random),
            (State::Responding(exchange), Event::Item(item)) => self.respond(exchange, &item),
            (State::Authenticated { account }, Event::Item(item)) => self.bind(account, item),
            (State::Handshake, Event::TlsEstablished(bindings)) => self.secured(bindings),
            (State::Header { account: None }, Event::TlsEstablished(bindings)) => self.secured(bindings),
            (State::Asking(mut exchange), Event::Answered(answer)) => {
                let step = exchange.answer(answer);
                self.advance(exchange, step)
            }
            (State::Registering, Event::Registered(answer)) => {
                self.state = State::Unauthenticated;
                vec![send_stanza(&answer)]
            }
            (State::Binding { account, request }, Event::Bound(outcome)) => self.bound(account, &request, outcome),
            (State::Resuming { account, previous }, Event::Resumed(outcome)) => {
                self.resumed(account, &previous, outcome)
            }
            // The driver told us something that was not asked for: its fault, hence ours.
            _ => vec![Action::Fail(StreamCondition::InternalServerError.into())],
        }
    }

    /// A stream inside TLS begins. Nothing that was said in clear counts any more but the host (T6, T22).
    fn secured(&mut self, bindings: ChannelBindings) -> Vec<Action> {
        self.tls = Some(bindings);
        self.state = State::Header { account: None };
        Vec::new()
    }

    /// Answers a header with ours and features, or with ours and an error (RFC 6120 §4.9.1.2).
    fn open(
        &mut self,
        header: &StreamHeader,
        account: Option<BareJid>,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Vec<Action> {
        let host = match self.check(header, account.as_ref()) {
            Ok(host) => host,
            Err(error) => return self.fail_before_header(error, random),
        };
        let peer = header.from.as_deref().and_then(|from| Jid::parse(from).ok());
        let mut out = Vec::with_capacity(1024);
        Header { from: Some(host.as_str()), to: peer.as_ref().map(Jid::as_str), id: Some(&token(random)) }
            .write(&mut out);
        self.host = Some(host);
        self.state = match account {
            Some(account) => {
                self.offer.write_authenticated(&mut out);
                State::Authenticated { account }
            }
            None => {
                self.offer.write_unauthenticated(&mut out, self.tls.as_ref());
                State::Unauthenticated
            }
        };
        vec![Action::Send(out.into())]
    }

    /// Checks a header (RFC 6120 §4.7) and gives the virtual host that it addresses.
    fn check(&self, header: &StreamHeader, account: Option<&BareJid>) -> Result<BareJid, StreamError> {
        if header.content_namespace != ns::CLIENT {
            return Err(StreamCondition::InvalidNamespace.into());
        }
        let host = self.virtual_host(header.to.as_deref()).ok_or(StreamCondition::HostUnknown)?;
        if !version_is_supported(header.version.as_deref()) {
            return Err(StreamCondition::UnsupportedVersion.into());
        }
        if self.host.as_ref().is_some_and(|first| *first != host) {
            return Err(StreamError::new(StreamCondition::PolicyViolation)
                .with_text("a restarted stream must address the same domain"));
        }
        // Before authentication `from` is but a hint (RFC 6120 §4.7.1).
        if let (Some(account), Some(from)) = (account, header.from.as_deref())
            && !Jid::parse(from).is_ok_and(|from| from.to_bare() == *account)
        {
            return Err(StreamCondition::InvalidFrom.into());
        }
        if !self.offer.leads_on(self.tls.as_ref()) {
            return Err(StreamError::new(StreamCondition::PolicyViolation).with_text("only inside TLS"));
        }
        Ok(host)
    }

    fn virtual_host(&self, to: Option<&str>) -> Option<BareJid> {
        let domain = prepare_domain(to?).ok()?;
        let host = self.offer.hosts.iter().find(|host| **host == *domain)?;
        BareJid::parse(host).ok()
    }

    fn fail_before_header(&self, error: StreamError, random: &mut dyn FnMut(&mut [u8])) -> Vec<Action> {
        let host = self.host.as_ref().map(|host| host.as_str()).or(self.offer.hosts.first().map(String::as_str));
        let mut out = Vec::with_capacity(256);
        Header { from: host, to: None, id: Some(&token(random)) }.write(&mut out);
        vec![Action::Send(out.into()), Action::Fail(error)]
    }

    /// RFC 6120 §5 and §6, XEP-0077: what may come before authentication.
    fn negotiate(&mut self, item: Item, random: &mut dyn FnMut(&mut [u8])) -> Vec<Action> {
        match item {
            Item::Element(element) if element.is(ns::TLS, "starttls") => self.start_tls(),
            Item::Element(element) if element.is(ns::SASL, "auth") => self.authenticate(&element, random),
            Item::Stanza(stanza) if self.is_registration(&stanza) => {
                self.state = State::Registering;
                vec![Action::Register(stanza)]
            }
            _ => not_authorized(),
        }
    }

    fn start_tls(&mut self) -> Vec<Action> {
        if self.tls.is_some() || !self.offer.starttls {
            // RFC 6120 §5.4.2.2
            return vec![send(Element::new(ns::TLS, "failure").to_bytes(ns::CLIENT)), Action::Close];
        }
        self.state = State::Handshake;
        vec![send(Element::new(ns::TLS, "proceed").to_bytes(ns::CLIENT)), Action::StartTls]
    }

    fn is_registration(&self, stanza: &Envelope) -> bool {
        let to_host = stanza.to.as_ref().is_none_or(|to| self.host.as_ref().is_some_and(|host| *to == **host));
        to_host
            && matches!(stanza.kind, StanzaType::Iq(IqType::Get | IqType::Set))
            && stanza.payload.as_ref().is_some_and(|payload| payload.is(ns::REGISTER, "query"))
            && self.offer.registers(self.tls.as_ref())
    }

    fn authenticate(&mut self, auth: &Element, random: &mut dyn FnMut(&mut [u8])) -> Vec<Action> {
        let offered = self.offer.mechanisms(self.tls.as_ref());
        let named = auth.attribute("mechanism").and_then(Mechanism::from_name);
        let Some(mechanism) = named.filter(|mechanism| offered.contains(mechanism)) else {
            // A mechanism that we know but do not offer in clear is offered inside TLS.
            let in_clear = named.is_some() && self.tls.is_none();
            return self.refuse(match in_clear {
                true => SaslCondition::EncryptionRequired.into(),
                false => SaslCondition::InvalidMechanism.into(),
            });
        };
        let message = match auth.text().as_str() {
            "" => None,
            text => match decode_base64(text) {
                Ok(message) => Some(message),
                Err(condition) => return self.refuse(condition.into()),
            },
        };
        let Some(host) = self.host.clone() else { return not_authorized() };
        let context = Context { host, bindings: self.tls.clone().unwrap_or_default(), offered, nonce: token(random) };
        let mut exchange = Box::new(Exchange::new(mechanism, context));
        let step = exchange.respond(message.as_deref());
        self.advance(exchange, step)
    }

    fn respond(&mut self, mut exchange: Box<Exchange>, item: &Item) -> Vec<Action> {
        match item {
            Item::Element(element) if element.is(ns::SASL, "response") => match decode_base64(&element.text()) {
                Ok(message) => {
                    let step = exchange.respond(Some(&message));
                    self.advance(exchange, step)
                }
                Err(condition) => self.refuse(condition.into()),
            },
            Item::Element(element) if element.is(ns::SASL, "abort") => self.refuse(SaslCondition::Aborted.into()),
            _ => not_authorized(),
        }
    }

    fn advance(&mut self, exchange: Box<Exchange>, step: Step) -> Vec<Action> {
        match step {
            Step::Challenge(challenge) => {
                self.state = State::Responding(exchange);
                vec![send(sasl_element("challenge", &challenge))]
            }
            Step::Ask(question) => {
                self.state = State::Asking(exchange);
                vec![Action::Ask(question)]
            }
            Step::Success { account, data } => {
                self.state = State::Header { account: Some(account) };
                vec![send(sasl_element("success", &data)), Action::Restart]
            }
            Step::Failure(failure) => self.refuse(failure),
        }
    }

    /// Tells of a failed authentication. After too many the stream ends (RFC 6120 §6.4.5).
    fn refuse(&mut self, failure: SaslFailure) -> Vec<Action> {
        let mut out = Vec::new();
        failure.write(&mut out);
        self.failures += 1;
        if self.failures >= self.offer.attempts_max {
            let error = StreamError::new(StreamCondition::PolicyViolation).with_text("too many failed authentications");
            return vec![send(out), Action::Fail(error)];
        }
        self.state = State::Unauthenticated;
        vec![send(out)]
    }

    /// RFC 6120 §7: nothing but a request to bind may come now, or to resume a stream (XEP-0198 §5).
    fn bind(&mut self, account: BareJid, item: Item) -> Vec<Action> {
        let mut request = match item {
            Item::Stanza(request) => request,
            Item::Element(element) if element.namespace() == ns::STREAM_MANAGEMENT => {
                return self.manage(account, &element);
            }
            _ => return not_authorized(),
        };
        let binds = request.payload.as_ref().is_some_and(|payload| payload.is(ns::BIND, "bind"));
        if request.kind != StanzaType::Iq(IqType::Set) || !binds {
            return not_authorized();
        }
        // The answer bears no addresses: the client has none yet.
        (request.from, request.to) = (None, None);
        match wanted_resource(&request) {
            Ok(resource) => {
                self.state = State::Binding { account: account.clone(), request };
                vec![Action::Bind { account, resource }]
            }
            Err(error) => self.bound(account, &request, Err(error)),
        }
    }

    fn manage(&mut self, account: BareJid, element: &Element) -> Vec<Action> {
        match Command::read(element) {
            Ok(Some(Command::Resume { previous, handled })) => {
                self.state = State::Resuming { account: account.clone(), previous: previous.clone() };
                vec![Action::Resume { account, previous, handled }]
            }
            Ok(_) => self.resume_failed(account, Condition::UnexpectedRequest, None),
            Err(condition) => vec![Action::Fail(condition.into())],
        }
    }

    fn resumed(&mut self, account: BareJid, previous: &str, outcome: Result<Resumed, Refusal>) -> Vec<Action> {
        match outcome {
            Ok(Resumed { jid, handled }) => {
                let mut out = Vec::new();
                management::write_resumed(&mut out, previous, handled);
                vec![send(out), Action::Established(jid)]
            }
            Err(Refusal::Failed { condition, handled }) => self.resume_failed(account, condition, handled),
            Err(Refusal::TooMany(error)) => vec![Action::Fail(error.into())],
        }
    }

    /// The client may bind a resource now (XEP-0198 §5).
    fn resume_failed(&mut self, account: BareJid, condition: Condition, handled: Option<u32>) -> Vec<Action> {
        let mut out = Vec::new();
        management::write_failed(&mut out, condition, handled);
        self.state = State::Authenticated { account };
        vec![send(out)]
    }

    /// Answers the request. A client that got an error may ask again (RFC 6120 §7.7.2).
    fn bound(&mut self, account: BareJid, request: &Envelope, outcome: Result<FullJid, StanzaError>) -> Vec<Action> {
        match outcome {
            Ok(jid) => {
                let answer = request.result(Some(&bind::Bound { jid: jid.clone() }.to_element()));
                vec![send_stanza(&answer), Action::Established(jid)]
            }
            Err(error) => {
                self.state = State::Authenticated { account };
                request.error(&error).iter().map(send_stanza).collect()
            }
        }
    }
}

/// The resource asked for, prepared (RFC 6120 §7.7.1).
fn wanted_resource(request: &Envelope) -> Result<Option<String>, StanzaError> {
    let bad_request = || StanzaError::new(Condition::BadRequest);
    let payload = request.payload_element().ok().flatten().ok_or_else(bad_request)?;
    let resource = bind::Request::parse(&payload).map_err(|_| bad_request())?.resource;
    let prepared = resource.map(|resource| prepare_resource(&resource).map(|it| it.into_owned()));
    prepared.transpose().map_err(|error| bad_request().with_text(error.to_string()))
}

fn not_authorized() -> Vec<Action> {
    vec![Action::Fail(StreamCondition::NotAuthorized.into())]
}

fn send(bytes: impl Into<Bytes>) -> Action {
    Action::Send(bytes.into())
}

fn send_stanza(stanza: &Envelope) -> Action {
    let mut out = Vec::with_capacity(256);
    stanza.write(&mut out, None);
    send(out)
}
