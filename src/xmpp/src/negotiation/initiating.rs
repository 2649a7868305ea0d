//! The initiating entity's side: a client that connects.
//!
//! ```text
//! header → features → STARTTLS → header → features → SASL → header → features → bind → established
//!                                                                             ↘    ↑ refused
//!                                                                               resume → resumed
//! ```

use bytes::Bytes;

use super::header::{Header, sasl_element, token, version_is_supported};
use crate::jid::prepare_domain;
use crate::management::{Command, Failed, Notice};
use crate::payload::bind;
use crate::sasl::client::{ClientError, Credentials, Exchange, Terms, choose};
use crate::sasl::{ChannelBindings, Mechanism, SaslFailure, decode_base64, encode_base64, prepare_password};
use crate::scan::{Item, StreamHeader};
use crate::{BareJid, Element, Envelope, FullJid, IqType, Secret, StanzaError, StanzaType, StreamError, ns};

/// Who logs in where, and on what conditions.
#[derive(Clone, Debug)]
pub struct Config {
    /// The account: localpart and domain.
    pub account: BareJid,
    /// Its password, as typed.
    pub password: Secret,
    /// The resource to ask for; `None` leaves it to the server.
    pub resource: Option<String>,
    /// Whether to go on only inside TLS (T7). Off for development alone.
    pub require_tls: bool,
    /// The mechanisms that may be used: the strongest that the server offers is. A client that remembers what it has used can
    /// insist on it here (XEP-0474 §7). PLAIN is only ever used inside TLS.
    pub mechanisms: Vec<Mechanism>,
}

impl Config {
    /// What most clients want: TLS, any mechanism but PLAIN, a resource of the server's choice.
    pub fn new(account: BareJid, password: Secret) -> Self {
        let mechanisms = Mechanism::WITHOUT_PASSWORD.to_vec();
        Self { account, password, resource: None, require_tls: true, mechanisms }
    }
}

/// What the machine is told.
#[derive(Debug)]
pub enum Event {
    /// The connection is there, in clear.
    Connected,
    /// The TLS handshake that [`Action::StartTls`] asked for is done and the certificate is the domain's; or direct TLS was
    /// there from the start, and then there is no [`Event::Connected`].
    TlsEstablished(ChannelBindings),
    /// The scanner yielded an item.
    Item(Item),
}

/// What the machine wants done, in this order.
#[derive(Debug)]
pub enum Action {
    /// Write these bytes.
    Send(Bytes),
    /// No further byte may be waiting in the input (T6); then the TLS handshake as client, a new scanner,
    /// [`Event::TlsEstablished`].
    StartTls,
    /// A new scanner for the restarted stream; the bytes behind the item stay.
    Restart,
    /// The stream is up; the machine has done its work.
    Established {
        /// The address that the server has bound.
        jid: FullJid,
        /// The features of the authenticated stream.
        features: Element,
    },
    /// The earlier stream goes on (XEP-0198 §5), with the address that was bound to it; the machine has done its work.
    Resumed {
        /// How many of the stanzas that we sent on it are handled.
        handled: u32,
        /// The features of the authenticated stream.
        features: Element,
    },
    /// The earlier stream does not go on. A resource is bound instead: [`Action::Established`] will follow.
    NotResumed(Failed),
    /// Send the end tag if anything was sent, and close.
    Fail(Failure),
}

/// An earlier stream that is to go on (XEP-0198 §5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumption {
    /// Its id for resumption.
    pub previous: String,
    /// How many stanzas we got on it.
    pub handled: u32,
}

/// Why there is no stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The server offers no TLS, and [`Config::require_tls`] wants it.
    #[error("the server offers no TLS")]
    TlsNotOffered,
    /// The server offered TLS and then refused.
    #[error("the server refused to start TLS")]
    TlsRefused,
    /// None of the mechanisms offered may be used here. Holds their names.
    #[error("the server offers no mechanism that can be used here, only: {0}")]
    NoMechanism(String),
    /// The password holds a character that no password may hold, or is empty.
    #[error("the password is empty or holds a character that is not allowed")]
    Password,
    /// The server refused the credentials.
    #[error(transparent)]
    Authentication(#[from] SaslFailure),
    /// What the server sent is not of the mechanism's form, or weaker than any honest server's.
    #[error(transparent)]
    Challenge(ClientError),
    /// The server could not prove that it knows the account: it is not the server that it says.
    #[error("the server could not prove that it knows the account")]
    ServerNotAuthentic,
    /// The server refused to bind a resource.
    #[error("no resource was bound: {0}")]
    Bind(StanzaError),
    /// The server ended the stream with an error.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The server ended the stream.
    #[error("the server closed the stream")]
    Closed,
    /// The server did not keep to RFC 6120.
    #[error("the server does not keep to the protocol: {0}")]
    Protocol(&'static str),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::NotAuthentic => Failure::ServerNotAuthentic,
            error => Failure::Challenge(error),
        }
    }
}

/// The machine. See the module's documentation.
#[derive(Debug)]
pub struct Initiating {
    config: Config,
    /// What is to go on instead of a new session, until it was tried.
    resumption: Option<Resumption>,
    /// What the channel can be bound by; `None` in clear.
    tls: Option<ChannelBindings>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Waits for the connection.
    Start,
    /// Waits for the server's header.
    Header(Phase),
    /// Waits for the stream's features.
    Features(Phase),
    /// Waits for leave to start TLS.
    Proceed,
    /// Waits for the end of the TLS handshake.
    Handshake,
    /// Waits for the server's next message of SASL.
    Exchange(Box<Exchange>),
    /// Waits for the earlier stream to go on.
    Resuming { features: Element },
    /// Waits for a resource to be bound by the IQ with this id.
    Binding { id: String, features: Element },
    /// Established or failed.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Unauthenticated,
    Authenticated,
}

impl Initiating {
    /// A machine that waits for [`Event::Connected`] or [`Event::TlsEstablished`].
    pub fn new(config: Config) -> Self {
        Self { config, resumption: None, tls: None, state: State::Start }
    }

    /// The machine tries to go on with an earlier stream before it binds a resource.
    #[must_use]
    pub fn resuming(mut self, resumption: Option<Resumption>) -> Self {
        self.resumption = resumption;
        self
    }

    /// Takes a step. `random` fills a slice with unpredictable bytes. A step of SCRAM costs milliseconds of CPU: PBKDF2.
    pub fn handle(&mut self, event: Event, random: &mut dyn FnMut(&mut [u8])) -> Vec<Action> {
        let state = std::mem::replace(&mut self.state, State::Over);
        if matches!(state, State::Over) {
            return Vec::new();
        }
        match self.step(state, event, random) {
            Ok((state, actions)) => {
                self.state = state;
                actions
            }
            Err(failure) => vec![Action::Fail(failure)],
        }
    }

    fn step(&mut self, state: State, event: Event, random: &mut dyn FnMut(&mut [u8])) -> Step {
        match (state, event) {
            (State::Start, Event::Connected) => self.open(Phase::Unauthenticated),
            (State::Start | State::Handshake, Event::TlsEstablished(bindings)) => {
                self.tls = Some(bindings);
                self.open(Phase::Unauthenticated)
            }
            (state, Event::Item(item)) => self.read(state, item, random),
            _ => Err(Failure::Protocol("an event out of order")),
        }
    }

    fn read(&mut self, state: State, item: Item, random: &mut dyn FnMut(&mut [u8])) -> Step {
        match (state, item) {
            (_, Item::Close) => Err(Failure::Closed),
            (_, Item::Element(element)) if element.is(ns::STREAM, "error") => {
                Err(StreamError::from_element(&element).into())
            }
            (State::Header(phase), Item::Open(header)) => {
                self.check(&header)?;
                Ok((State::Features(phase), Vec::new()))
            }
            (State::Features(phase), Item::Element(features)) if features.is(ns::STREAM, "features") => match phase {
                Phase::Unauthenticated => self.secure_or_authenticate(&features, random),
                Phase::Authenticated => self.resume_or_bind(features, random),
            },
            (State::Proceed, Item::Element(element)) if element.is(ns::TLS, "proceed") => {
                Ok((State::Handshake, vec![Action::StartTls]))
            }
            (State::Proceed, Item::Element(element)) if element.is(ns::TLS, "failure") => Err(Failure::TlsRefused),
            (State::Exchange(exchange), Item::Element(element)) if element.namespace() == ns::SASL => {
                self.go_on(exchange, &element)
            }
            (State::Resuming { features }, Item::Element(element)) => self.resumed(features, &element, random),
            (State::Binding { id, features }, Item::Stanza(stanza)) if stanza.id.as_deref() == Some(&*id) => {
                bound(&stanza, features)
            }
            _ => Err(Failure::Protocol("an element out of order")),
        }
    }

    /// Sends a header. It tells who we are only where nobody else reads it (RFC 6120 §4.7.1).
    fn open(&self, phase: Phase) -> Step {
        let from = self.tls.is_some().then(|| self.config.account.as_str());
        let mut out = Vec::with_capacity(256);
        Header { from, to: Some(self.config.account.domain()), id: None }.write(&mut out);
        Ok((State::Header(phase), vec![Action::Send(out.into())]))
    }

    fn check(&self, header: &StreamHeader) -> Result<(), Failure> {
        if header.content_namespace != ns::CLIENT {
            return Err(Failure::Protocol("the stream has another content namespace"));
        }
        if !version_is_supported(header.version.as_deref()) {
            return Err(Failure::Protocol("the stream's version is older than 1.0"));
        }
        match header.from.as_deref().map(prepare_domain) {
            Some(Ok(domain)) if *domain != *self.config.account.domain() => {
                Err(Failure::Protocol("the stream is another domain's"))
            }
            Some(Err(_)) => Err(Failure::Protocol("the stream's domain is malformed")),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// TLS comes first, wherever it is offered; without it the machine goes on only where the configuration lets it (T7).
    fn secure_or_authenticate(&mut self, features: &Element, random: &mut dyn FnMut(&mut [u8])) -> Step {
        if self.tls.is_some() {
            return self.authenticate(features, random);
        }
        if features.child(ns::TLS, "starttls").is_some() {
            return Ok((State::Proceed, vec![send(Element::new(ns::TLS, "starttls"))]));
        }
        if self.config.require_tls {
            return Err(Failure::TlsNotOffered);
        }
        self.authenticate(features, random)
    }

    fn authenticate(&mut self, features: &Element, random: &mut dyn FnMut(&mut [u8])) -> Step {
        let mechanisms: Vec<String> = features
            .child(ns::SASL, "mechanisms")
            .map(|list| list.children().filter(|it| it.is(ns::SASL, "mechanism")).map(Element::text).collect())
            .unwrap_or_default();
        let binding_types: Option<Vec<String>> = features
            .child(ns::SASL_CHANNEL_BINDING, "sasl-channel-binding")
            .map(|list| list.children().filter_map(|it| it.attribute("type")).map(str::to_owned).collect());
        let bindings = self.tls.clone().unwrap_or_default();
        let mut allowed = self.config.mechanisms.clone();
        allowed.retain(|mechanism| self.tls.is_some() || *mechanism != Mechanism::Plain);
        let choice = choose(&Terms {
            mechanisms: &mechanisms,
            binding_types: binding_types.as_deref(),
            bindings: &bindings,
            allowed: &allowed,
        })
        .ok_or_else(|| Failure::NoMechanism(mechanisms.join(" ")))?;
        let credentials = Credentials {
            username: self.config.account.local().unwrap_or_default().to_owned(),
            password: prepare_password(&self.config.password).ok_or(Failure::Password)?,
        };
        let (exchange, response) = Exchange::start(&choice, &credentials, &bindings, token(random));
        let auth = Element::new(ns::SASL, "auth")
            .with("mechanism", choice.mechanism.name())
            .with_text(encode_base64(&response));
        Ok((State::Exchange(Box::new(exchange)), vec![send(auth)]))
    }

    fn go_on(&self, mut exchange: Box<Exchange>, element: &Element) -> Step {
        let data = || {
            decode_base64(&element.text()).map_err(|_| Failure::Challenge(ClientError::Malformed("it is not base64")))
        };
        match element.name() {
            "challenge" => {
                let response = exchange.challenge(&data()?)?;
                Ok((State::Exchange(exchange), vec![Action::Send(sasl_element("response", &response))]))
            }
            "success" => {
                exchange.success(&data()?)?;
                let (state, mut actions) = self.open(Phase::Authenticated)?;
                actions.insert(0, Action::Restart);
                Ok((state, actions))
            }
            "failure" => Err(SaslFailure::from_element(element).into()),
            _ => Err(Failure::Protocol("an element of SASL that is not defined")),
        }
    }

    fn resume_or_bind(&mut self, features: Element, random: &mut dyn FnMut(&mut [u8])) -> Step {
        let offered = features.child(ns::STREAM_MANAGEMENT, "sm").is_some();
        match self.resumption.take() {
            Some(Resumption { previous, handled }) if offered => {
                let resume = Command::Resume { previous, handled }.to_element();
                Ok((State::Resuming { features }, vec![send(resume)]))
            }
            Some(_) => {
                let (state, mut actions) = self.bind(features, random)?;
                actions.insert(0, Action::NotResumed(Failed { condition: None, handled: None }));
                Ok((state, actions))
            }
            None => self.bind(features, random),
        }
    }

    /// XEP-0198 §5: after a refusal a resource can be bound on the same stream.
    fn resumed(&self, features: Element, element: &Element, random: &mut dyn FnMut(&mut [u8])) -> Step {
        match Notice::read(element) {
            Ok(Some(Notice::Resumed { handled })) => Ok((State::Over, vec![Action::Resumed { handled, features }])),
            Ok(Some(Notice::Failed(failed))) => {
                let (state, mut actions) = self.bind(features, random)?;
                actions.insert(0, Action::NotResumed(failed));
                Ok((state, actions))
            }
            _ => Err(Failure::Protocol("the answer to a resumption is malformed")),
        }
    }

    fn bind(&self, features: Element, random: &mut dyn FnMut(&mut [u8])) -> Step {
        if features.child(ns::BIND, "bind").is_none() {
            return Err(Failure::Protocol("the server does not offer to bind a resource"));
        }
        let id = token(random);
        let request = bind::Request { resource: self.config.resource.clone() };
        let mut out = Vec::with_capacity(256);
        Envelope::iq(IqType::Set, &id, Some(&request.to_element())).write(&mut out, None);
        Ok((State::Binding { id, features }, vec![Action::Send(out.into())]))
    }
}

type Step = Result<(State, Vec<Action>), Failure>;

fn bound(answer: &Envelope, features: Element) -> Step {
    let malformed = |_| Failure::Protocol("the answer to the binding of a resource is malformed");
    let iq = answer.to_element().map_err(|_| Failure::Protocol("the answer to the binding can't be read"))?;
    match answer.kind {
        StanzaType::Iq(IqType::Result) => {
            let bind = iq.child(ns::BIND, "bind").ok_or(Failure::Protocol("no resource was bound"))?;
            let jid = bind::Bound::parse(bind).map_err(malformed)?.jid;
            Ok((State::Over, vec![Action::Established { jid, features }]))
        }
        StanzaType::Iq(IqType::Error) => {
            let error = iq.child(ns::CLIENT, "error").map(StanzaError::from_element);
            Err(error.map_or(Failure::Protocol("an error without cause"), Failure::Bind))
        }
        _ => Err(Failure::Protocol("an element out of order")),
    }
}

fn send(element: Element) -> Action {
    Action::Send(element.to_bytes(ns::CLIENT))
}
