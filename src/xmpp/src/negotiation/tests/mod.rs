//! Both sides of the negotiation: [`Server`] is driven by transcripts, [`Pair`] drives client and server against each other.
//!
//! Both use the real scanner, and do what a driver does, on bytes in memory.

mod initiating;
mod pair;
mod receiving;

use std::sync::Arc;

use bytes::Bytes;

use super::receiving::{Action, Event, Offer, Receiving, Resumed};
use crate::management::{Refusal, TooMany};
use crate::sasl::ChannelBindings;
use crate::sasl::tests::directory;
use crate::scan::{Limits, Scanner};
use crate::stanza_error::Condition;
use crate::{Envelope, IqType, StanzaError};

/// What a token made of [`chance`] looks like.
const TOKEN: &str = "QUFBQUFBQUFBQUFBQUFBQUFB";

/// The random bytes of tests.
fn chance(bytes: &mut [u8]) {
    bytes.fill(b'A');
}

fn bindings() -> ChannelBindings {
    ChannelBindings { tls_exporter: Some(vec![7; 32]), tls_server_end_point: Some(vec![9; 32]) }
}

fn offer() -> Offer {
    Offer {
        hosts: vec!["im.example.com".into(), "example.org".into()],
        starttls: true,
        require_tls: true,
        registration: false,
        stanza_bytes: (10_000, 262_144),
        idle_seconds: Some(600),
        attempts_max: 3,
        features: Bytes::from_static(b"<ver xmlns='urn:xmpp:features:rosterver'/>"),
    }
}

/// A receiving entity as its driver sees it. What it sends is text; what it wants done stands in brackets.
struct Server {
    machine: Receiving,
    scanner: Scanner,
    /// What the next request to bind is answered with, instead of the resource asked for.
    refusal: Option<StanzaError>,
    established: Option<String>,
}

impl Server {
    fn new(offer: Offer) -> Self {
        let machine = Receiving::new(Arc::new(offer));
        Self { machine, scanner: scanner(), refusal: None, established: None }
    }

    /// A server inside direct TLS.
    fn secured(offer: Offer, bindings: ChannelBindings) -> Self {
        let mut server = Self::new(offer);
        assert_eq!(server.tell(Event::TlsEstablished(bindings)), "");
        server
    }

    /// Feeds what the client sends; gives what comes back.
    fn hear(&mut self, xml: &str) -> String {
        let mut input = xml.as_bytes();
        let mut out = String::new();
        loop {
            let event = match self.scanner.next(&mut input) {
                Ok(Some(item)) => Event::Item(item),
                Ok(None) => return out,
                Err(error) => return out + &self.tell(Event::Failed(error.into())),
            };
            out += &self.tell(event);
        }
    }

    fn tell(&mut self, event: Event) -> String {
        let actions = self.machine.handle(event, &mut chance);
        actions.into_iter().map(|action| self.perform(action)).collect()
    }

    fn perform(&mut self, action: Action) -> String {
        match action {
            Action::Send(bytes) => text(&bytes),
            Action::StartTls => {
                self.scanner = scanner();
                "[tls]".into()
            }
            Action::Restart => {
                self.scanner = scanner();
                "[restart]".into()
            }
            Action::Ask(question) => self.tell(Event::Answered(directory(&question))),
            Action::Bind { account, resource } => {
                let outcome = match self.refusal.take() {
                    Some(error) => Err(error),
                    None => Ok(account.with_resource(resource.as_deref().unwrap_or("made-here")).expect("prepared")),
                };
                self.tell(Event::Bound(outcome))
            }
            Action::Resume { account, previous, handled } => {
                let jid = account.with_resource("balcony").expect("prepared");
                let outcome = match previous.as_str() {
                    "known" if handled <= 3 => Ok(Resumed { jid, handled: 7 }),
                    "known" => Err(Refusal::TooMany(TooMany { handled, sent: 3 })),
                    "over" => Err(Refusal::Failed { condition: Condition::ItemNotFound, handled: Some(5) }),
                    _ => Err(Refusal::Failed { condition: Condition::ItemNotFound, handled: None }),
                };
                self.tell(Event::Resumed(outcome))
            }
            Action::Register(stanza) => {
                let id = stanza.id.unwrap_or_default();
                "[register]".to_owned() + &self.tell(Event::Registered(Envelope::iq(IqType::Result, &id, None)))
            }
            Action::Established(jid) => {
                self.established = Some(jid.to_string());
                format!("[established {jid}]")
            }
            Action::Fail(error) => {
                let mut out = Vec::new();
                error.write(&mut out);
                text(&out) + "</stream:stream>[close]"
            }
            Action::Close => "</stream:stream>[close]".into(),
        }
    }
}

fn scanner() -> Scanner {
    Scanner::new(Limits::BEFORE_AUTHENTICATION)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}
