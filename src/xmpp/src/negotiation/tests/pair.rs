//! Client and server against each other.

use super::{Server, bindings, chance, offer, scanner, text};
use crate::Secret;
use crate::management::Failed;
use crate::negotiation::initiating::{Action, Config, Event, Failure, Initiating, Resumption};
use crate::negotiation::receiving::{self, Offer};
use crate::sasl::client::ClientError;
use crate::sasl::{ChannelBindings, Mechanism};
use crate::scan::Scanner;
use crate::{BareJid, StreamError};

pub(super) fn config() -> Config {
    let account = BareJid::parse("juliet@im.example.com").expect("a bare JID");
    Config { resource: Some("balcony".into()), ..Config::new(account, Secret::from("r0m30myr0m30")) }
}

/// An initiating entity as its driver sees it.
pub(super) struct Client {
    machine: Initiating,
    scanner: Scanner,
    pub(super) outcome: Option<Result<String, Failure>>,
    pub(super) wants_tls: bool,
    /// Why an earlier stream did not go on.
    pub(super) refusal: Option<Failed>,
}

impl Client {
    pub(super) fn new(config: Config) -> Self {
        Self::resuming(config, None)
    }

    pub(super) fn resuming(config: Config, resumption: Option<Resumption>) -> Self {
        let machine = Initiating::new(config).resuming(resumption);
        Self { machine, scanner: scanner(), outcome: None, wants_tls: false, refusal: None }
    }

    /// Feeds what the server sends; gives what is sent back.
    pub(super) fn hear(&mut self, xml: &str) -> String {
        let mut input = xml.as_bytes();
        let mut out = String::new();
        while let Some(item) = self.scanner.next(&mut input).expect("the server writes XML") {
            out += &self.tell(Event::Item(item));
        }
        out
    }

    pub(super) fn tell(&mut self, event: Event) -> String {
        let mut out = String::new();
        for action in self.machine.handle(event, &mut chance) {
            match action {
                Action::Send(bytes) => out += &text(&bytes),
                Action::StartTls => {
                    self.scanner = scanner();
                    self.wants_tls = true;
                }
                Action::Restart => self.scanner = scanner(),
                Action::Established { jid, .. } => self.outcome = Some(Ok(jid.to_string())),
                Action::Resumed { handled, .. } => self.outcome = Some(Ok(format!("resumed {handled}"))),
                Action::NotResumed(failed) => self.refusal = Some(failed),
                Action::Fail(failure) => self.outcome = Some(Err(failure)),
            }
        }
        out
    }
}

/// How the two are connected.
struct Pair {
    server: Server,
    client: Client,
    /// What each side sees of the TLS connection.
    bindings: (ChannelBindings, ChannelBindings),
    /// Somebody on the way who rewrites what the server sends.
    edit: Box<dyn Fn(String) -> String>,
    direct: bool,
    /// Everything that either side sent.
    sent: String,
}

impl Pair {
    fn new(offer: Offer, config: Config) -> Self {
        Self {
            server: Server::new(offer),
            client: Client::new(config),
            bindings: (bindings(), bindings()),
            edit: Box::new(|text| text),
            direct: false,
            sent: String::new(),
        }
    }

    /// Runs until one side has an outcome. A dozen rounds are more than any negotiation needs.
    fn run(&mut self) -> Result<String, Failure> {
        let mut said = match self.direct {
            true => self.secure(),
            false => self.client.tell(Event::Connected),
        };
        for _ in 0..12 {
            let answer = (self.edit)(self.server.hear(&said));
            self.sent += &said;
            self.sent += &answer;
            // What stands in brackets is for the server's driver.
            let heard = answer.split(['[', ']']).step_by(2).collect::<String>();
            said = self.client.hear(&heard);
            if std::mem::take(&mut self.client.wants_tls) {
                said = self.secure();
            }
            if let Some(outcome) = self.client.outcome.take() {
                return outcome;
            }
        }
        panic!("no end after {}", self.sent);
    }

    fn secure(&mut self) -> String {
        self.server.tell(receiving::Event::TlsEstablished(self.bindings.0.clone()));
        self.client.tell(Event::TlsEstablished(self.bindings.1.clone()))
    }
}

const ESTABLISHED: &str = "juliet@im.example.com/balcony";

#[test]
fn client_and_server_come_up_over_starttls_and_over_direct_tls() {
    for direct in [false, true] {
        let mut pair = Pair::new(offer(), config());
        pair.direct = direct;
        assert_eq!(pair.run(), Ok(ESTABLISHED.into()));
        assert_eq!(pair.server.established.as_deref(), Some(ESTABLISHED));
    }
}

#[test]
fn client_and_server_come_up_by_every_mechanism() {
    for mechanism in Mechanism::ALL {
        for direct in [false, true] {
            let mut pair = Pair::new(offer(), Config { mechanisms: vec![*mechanism], ..config() });
            if !mechanism.is_plus() {
                pair.bindings = Default::default();
            }
            pair.direct = direct;
            assert_eq!(pair.run(), Ok(ESTABLISHED.into()), "{mechanism:?}");
            assert!(pair.sent.contains(&format!(" mechanism='{}'>", mechanism.name())), "{}", pair.sent);
        }
    }
}

#[test]
fn in_clear_both_sides_must_want_it() {
    let clear = || Offer { starttls: false, require_tls: false, ..offer() };
    assert_eq!(Pair::new(clear(), Config { require_tls: false, ..config() }).run(), Ok(ESTABLISHED.into()));
    assert_eq!(Pair::new(clear(), config()).run(), Err(Failure::TlsNotOffered));
}

#[test]
fn tls_that_is_stripped_stops_the_client() {
    // T7: whoever sits between takes the feature out.
    let mut pair = Pair::new(offer(), config());
    pair.edit = Box::new(|text| {
        text.replace("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>", "").replace(
            "<stream:features>",
            "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
                      <mechanism>PLAIN</mechanism></mechanisms>",
        )
    });
    assert_eq!(pair.run(), Err(Failure::TlsNotOffered));
    // Nor is a password sent in clear by one that does without TLS.
    let mut pair = Pair {
        client: Client::new(Config { require_tls: false, mechanisms: Mechanism::ALL.to_vec(), ..config() }),
        ..pair
    };
    pair.server = Server::new(offer());
    assert_eq!(pair.run(), Err(Failure::NoMechanism("PLAIN".into())));
}

#[test]
fn mechanisms_and_bindings_that_are_edited_on_the_way_are_found_out() {
    // T13
    let mut pair = Pair::new(offer(), config());
    pair.edit = Box::new(|text| text.replace("-PLUS", "-OTHER"));
    let Err(Failure::Authentication(failure)) = pair.run() else { panic!("it must fail") };
    assert_eq!(failure.condition.name(), "not-authorized");

    // XEP-0474: only weaker ones are left of the list.
    let mut pair = Pair::new(offer(), config());
    pair.edit = Box::new(|text| text.replace("SCRAM-SHA-512-PLUS", "X-OTHER"));
    assert_eq!(pair.run(), Err(Failure::Challenge(ClientError::Downgrade)));

    // Two TLS connections with somebody between them.
    let mut pair = Pair::new(offer(), config());
    pair.bindings.1.tls_exporter = Some(vec![8; 32]);
    let Err(Failure::Authentication(failure)) = pair.run() else { panic!("it must fail") };
    assert_eq!(failure.condition.name(), "not-authorized");
}

#[test]
fn a_wrong_password_fails() {
    let pair = Pair::new(offer(), Config { password: Secret::from("wrong"), ..config() }).run();
    assert!(matches!(pair, Err(Failure::Authentication(_))));
    let pair = Pair::new(offer(), Config { password: Secret::from("\t"), ..config() }).run();
    assert_eq!(pair, Err(Failure::Password));
}

#[test]
fn a_domain_that_is_not_served_fails() {
    let account = BareJid::parse("juliet@im.example.net").expect("a bare JID");
    let outcome =
        Pair::new(Offer { hosts: vec!["im.example.com".into()], ..offer() }, Config { account, ..config() }).run();
    assert_eq!(outcome, Err(Failure::Protocol("the stream is another domain's")));
}

#[test]
fn a_resource_that_is_refused_fails() {
    let mut pair = Pair::new(offer(), config());
    pair.server.refusal = Some(crate::stanza_error::Condition::ResourceConstraint.into());
    assert!(matches!(pair.run(), Err(Failure::Bind(_))));
}

#[test]
fn a_stream_error_reaches_the_client() {
    let mut pair = Pair::new(offer(), config());
    pair.edit = Box::new(|text| {
        text.replace(
            "<stream:features>",
            "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error><stream:features>",
        )
    });
    let expected: StreamError = crate::stream_error::StreamCondition::Reset.into();
    assert_eq!(pair.run(), Err(Failure::Stream(expected)));
}
