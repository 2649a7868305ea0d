//! The initiating entity against servers that are not as they should be.

use super::bindings;
use super::pair::{Client, config};
use crate::management::Failed;
use crate::negotiation::initiating::{Config, Event, Failure, Resumption};
use crate::sasl::Mechanism;
use crate::sasl::client::ClientError;
use crate::stanza_error::Condition;

const OPEN: &str = "<stream:stream from='im.example.com' id='1' version='1.0' xmlns='jabber:client' \
                    xmlns:stream='http://etherx.jabber.org/streams'>";

/// What a client makes of these, each heard in its turn inside TLS.
fn outcome(heard: &[&str]) -> Option<Result<String, Failure>> {
    let mut client = Client::new(config());
    client.tell(Event::TlsEstablished(bindings()));
    for xml in heard {
        client.hear(xml);
    }
    client.outcome
}

fn features(mechanisms: &[&str]) -> String {
    let list: String = mechanisms.iter().map(|name| format!("<mechanism>{name}</mechanism>")).collect();
    format!(
        "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{list}</mechanisms></stream:features>"
    )
}

#[test]
fn who_we_are_is_said_only_inside_tls() {
    // RFC 6120 §4.7.1
    assert!(!Client::new(config()).tell(Event::Connected).contains(" from="));
    let secured = Client::new(config()).tell(Event::TlsEstablished(bindings()));
    assert!(secured.contains(" from='juliet@im.example.com' to='im.example.com' version='1.0'"), "{secured}");
}

#[test]
fn a_refusal_to_start_tls_stops_the_client() {
    let mut client = Client::new(config());
    client.tell(Event::Connected);
    let starttls = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>";
    assert_eq!(client.hear(&format!("{OPEN}{starttls}")), "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    client.hear("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    assert_eq!(client.outcome, Some(Err(Failure::TlsRefused)));
    assert!(!client.wants_tls);
}

#[test]
fn tls_is_used_wherever_it_is_offered() {
    let mut client = Client::new(Config { require_tls: false, ..config() });
    client.tell(Event::Connected);
    let both = features(&["SCRAM-SHA-1"])
        .replace("</stream:features>", "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>");
    assert_eq!(client.hear(&format!("{OPEN}{both}")), "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
}

#[test]
fn a_server_that_does_not_keep_to_the_protocol_stops_the_client() {
    let protocol = |outcome: Option<Result<String, Failure>>| matches!(outcome, Some(Err(Failure::Protocol(_))));
    assert!(protocol(outcome(&[&OPEN.replace(" version='1.0'", "")])));
    assert!(protocol(outcome(&[&OPEN.replace("im.example.com", "evil.example")])));
    assert!(protocol(outcome(&[OPEN, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"])));
    assert!(protocol(outcome(&[OPEN, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"])));
    assert!(protocol(outcome(&[OPEN, "<message><body>hi</body></message>"])));
    assert_eq!(outcome(&[OPEN, "</stream:stream>"]), Some(Err(Failure::Closed)));
}

#[test]
fn a_server_without_a_usable_mechanism_stops_the_client() {
    let none = |names: &str| Some(Err(Failure::NoMechanism(names.into())));
    assert_eq!(outcome(&[OPEN, &features(&["X-OTHER", "EXTERNAL"])]), none("X-OTHER EXTERNAL"));
    assert_eq!(outcome(&[OPEN, "<stream:features/>"]), none(""));
}

#[test]
fn a_success_without_proof_stops_the_client() {
    let scram = features(&["SCRAM-SHA-256"]);
    let success = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>=</success>";
    assert_eq!(outcome(&[OPEN, &scram, success]), Some(Err(Failure::ServerNotAuthentic)));
    let garbled = "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>A B</challenge>";
    let expected = Failure::Challenge(ClientError::Malformed("it is not base64"));
    assert_eq!(outcome(&[OPEN, &scram, garbled]), Some(Err(expected)));
}

/// A client with a stream to go on with that has authenticated, and what it sends when it hears these features.
fn resuming(features: &str) -> (Client, String) {
    let config = Config { mechanisms: vec![Mechanism::Plain], ..config() };
    let resumption = Resumption { previous: "some-long-id".into(), handled: 7 };
    let mut client = Client::resuming(config, Some(resumption));
    client.tell(Event::TlsEstablished(bindings()));
    client.hear(&format!("{OPEN}{}", self::features(&["PLAIN"])));
    client.hear("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    let sent = client.hear(&format!("{OPEN}<stream:features>{features}</stream:features>"));
    (client, sent)
}

const BIND: &str = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>";
const MANAGED: &str = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/>";

/// XEP-0198 §5: resumption stands in the place of resource binding.
#[test]
fn an_earlier_stream_goes_on_instead_of_a_new_session() {
    let (mut client, sent) = resuming(MANAGED);
    assert_eq!(sent, "<resume xmlns='urn:xmpp:sm:3' h='7' previd='some-long-id'/>");
    assert_eq!(client.hear("<resumed xmlns='urn:xmpp:sm:3' h='3' previd='some-long-id'/>"), "");
    assert_eq!(client.outcome, Some(Ok("resumed 3".into())));
}

#[test]
fn after_a_refusal_a_resource_is_bound_on_the_same_stream() {
    let (mut client, _) = resuming(MANAGED);
    let refusal =
        "<failed xmlns='urn:xmpp:sm:3' h='5'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";
    assert!(client.hear(refusal).contains("<resource>balcony</resource>"));
    assert_eq!(client.refusal, Some(Failed { condition: Some(Condition::ItemNotFound), handled: Some(5) }));
    assert_eq!(client.outcome, None);
}

#[test]
fn where_streams_are_not_managed_a_resource_is_bound_at_once() {
    let (client, sent) = resuming(BIND);
    assert!(sent.contains("<resource>balcony</resource>"), "{sent}");
    assert_eq!(client.refusal, Some(Failed { condition: None, handled: None }));
}

#[test]
fn an_answer_to_a_resumption_that_is_none_stops_the_client() {
    for answer in ["<resumed xmlns='urn:xmpp:sm:3'/>", "<enabled xmlns='urn:xmpp:sm:3'/>", "<message/>"] {
        let (mut client, _) = resuming(MANAGED);
        client.hear(answer);
        assert!(matches!(client.outcome, Some(Err(Failure::Protocol(_)))), "{answer}");
    }
}
