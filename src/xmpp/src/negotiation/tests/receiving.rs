//! The receiving entity by transcripts, after RFC 6120 §9.1.

use proptest::prelude::*;

use super::{Server, TOKEN, bindings, offer};
use crate::negotiation::receiving::{Event, Offer};
use crate::sasl::{ChannelBindings, encode_base64};
use crate::stanza_error::Condition;
use crate::stream_error::StreamCondition;

const OPEN: &str = "<?xml version='1.0'?><stream:stream to='im.example.com' version='1.0' xml:lang='en' \
                    xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const SASL: &str = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
const STREAMS: &str = "urn:ietf:params:xml:ns:xmpp-streams";

fn header(from: &str) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
         from='{from}' id='{TOKEN}' version='1.0' xml:lang='en'>"
    )
}

fn failed(condition: &str) -> String {
    format!("<stream:error><{condition} xmlns='{STREAMS}'/></stream:error></stream:stream>[close]")
}

fn plain(message: &str) -> String {
    format!("<auth {SASL} mechanism='PLAIN'>{}</auth>", encode_base64(message.as_bytes()))
}

fn sasl_failure(condition: &str) -> String {
    format!("<failure {SASL}><{condition}/></failure>")
}

/// A server whose client has logged in by direct TLS and opened its last stream.
fn authenticated(offer: Offer) -> Server {
    let mut server = Server::secured(offer, ChannelBindings::default());
    server.hear(OPEN);
    assert_eq!(server.hear(&plain("\0juliet\0r0m30myr0m30")), format!("<success {SASL}></success>[restart]"));
    server.hear(OPEN);
    server
}

fn open_with(attributes: &str) -> String {
    format!("<stream:stream {attributes} xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>")
}

/// RFC 6120 §4.9.1.1, §4.4: whoever is told of an error closes the stream, and tells of none itself.
#[test]
fn a_stream_error_of_the_client_is_answered_by_closing() {
    let error = format!("<stream:error><not-well-formed xmlns='{STREAMS}'/></stream:error>");
    let mut fresh = Server::new(offer());
    fresh.hear(OPEN);
    for mut server in [fresh, authenticated(offer())] {
        assert_eq!(server.hear(&error), "</stream:stream>[close]");
    }
}

#[test]
fn a_client_logs_in_as_in_section_9_1() {
    let mut server = Server::new(offer());
    assert_eq!(
        server.hear(OPEN),
        header("im.example.com")
            + "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>\
               <limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10000</max-bytes></limits></stream:features>"
    );
    assert_eq!(server.hear(STARTTLS), "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>[tls]");
    assert_eq!(server.tell(Event::TlsEstablished(bindings())), "");
    assert_eq!(
        server.hear(OPEN),
        header("im.example.com")
            + "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
               <mechanism>SCRAM-SHA-512-PLUS</mechanism><mechanism>SCRAM-SHA-256-PLUS</mechanism>\
               <mechanism>SCRAM-SHA-1-PLUS</mechanism><mechanism>SCRAM-SHA-512</mechanism>\
               <mechanism>SCRAM-SHA-256</mechanism><mechanism>SCRAM-SHA-1</mechanism><mechanism>PLAIN</mechanism>\
               </mechanisms><sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>\
               <channel-binding type='tls-exporter'/><channel-binding type='tls-server-end-point'/>\
               </sasl-channel-binding>\
               <limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10000</max-bytes></limits></stream:features>"
    );
    assert_eq!(
        server.hear(&plain("\0juliet\0r0m30myr0m30")),
        "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'></success>[restart]"
    );
    assert_eq!(
        server.hear(OPEN),
        header("im.example.com")
            + "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\
               <session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>\
               <limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>262144</max-bytes>\
               <idle-seconds>600</idle-seconds></limits><sm xmlns='urn:xmpp:sm:3'/><csi xmlns='urn:xmpp:csi:0'/>\
               <ver xmlns='urn:xmpp:features:rosterver'/></stream:features>"
    );
    assert_eq!(
        server.hear(
            "<iq id='yhc13a95' type='set'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <resource>balcony</resource></bind></iq>"
        ),
        "<iq type='result' id='yhc13a95'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
         <jid>juliet@im.example.com/balcony</jid></bind></iq>[established juliet@im.example.com/balcony]"
    );
    assert_eq!(server.hear("<presence/>"), "", "the machine has done its work");
}

#[test]
fn a_wrong_header_is_answered_with_ours_and_an_error() {
    // RFC 6120 §4.7.2, §4.7.5, §4.9.1.2, §4.9.3.6
    for (attributes, condition) in [
        ("version='1.0'", "host-unknown"),
        ("to='other.example' version='1.0'", "host-unknown"),
        ("to='juliet@im.example.com' version='1.0'", "host-unknown"),
        ("to='im.example.com'", "unsupported-version"),
        ("to='im.example.com' version='0.9'", "unsupported-version"),
        ("to='im.example.com' version='x'", "unsupported-version"),
    ] {
        let mut server = Server::new(offer());
        assert_eq!(server.hear(&open_with(attributes)), header("im.example.com") + &failed(condition), "{attributes}");
        assert_eq!(server.hear(STARTTLS), "");
    }
    let between_servers = open_with("to='im.example.com' version='1.0'").replace("jabber:client", "jabber:server");
    assert_eq!(Server::new(offer()).hear(&between_servers), header("im.example.com") + &failed("invalid-namespace"));
}

#[test]
fn a_later_version_and_another_spelling_of_the_domain_are_fine() {
    for attributes in ["to='IM.Example.com.' version='1.0'", "to='im.example.com' version='2.7'"] {
        assert!(Server::new(offer()).hear(&open_with(attributes)).contains("<starttls"), "{attributes}");
    }
}

#[test]
fn the_header_answers_from_with_to() {
    let answer =
        Server::new(offer()).hear(&open_with("from='juliet@im.example.com' to='im.example.com' version='1.0'"));
    assert!(answer.contains(" from='im.example.com' to='juliet@im.example.com' "), "{answer}");
}

#[test]
fn what_is_no_stream_is_answered_with_our_header_and_an_error() {
    let answer = Server::new(offer()).hear("GET / HTTP/1.1\r\n");
    assert!(answer.starts_with(&header("im.example.com")), "{answer}");
    assert!(answer.contains("<stream:error>") && answer.ends_with("</stream:stream>[close]"), "{answer}");
}

#[test]
fn a_restarted_stream_must_address_the_same_domain() {
    // T22
    let mut server = Server::new(offer());
    server.hear(OPEN);
    server.hear(STARTTLS);
    server.tell(Event::TlsEstablished(bindings()));
    let answer = server.hear(&open_with("to='example.org' version='1.0'"));
    assert!(answer.contains("<policy-violation "), "{answer}");

    let mut server = Server::secured(offer(), ChannelBindings::default());
    server.hear(OPEN);
    server.hear(&plain("\0juliet\0r0m30myr0m30"));
    let answer = server.hear(&open_with("to='example.org' version='1.0'"));
    assert!(answer.contains("<policy-violation "), "{answer}");
}

#[test]
fn after_authentication_from_must_be_the_account() {
    // RFC 6120 §4.9.3.9
    for (from, allowed) in [
        ("juliet@im.example.com", true),
        ("Juliet@im.example.com/balcony", true),
        ("romeo@im.example.com", false),
        ("@", false),
    ] {
        let mut server = Server::secured(offer(), ChannelBindings::default());
        server.hear(&open_with("from='romeo@example.net' to='im.example.com' version='1.0'"));
        server.hear(&plain("\0juliet\0r0m30myr0m30"));
        let answer = server.hear(&open_with(&format!("from='{from}' to='im.example.com' version='1.0'")));
        assert_eq!(answer.contains("<bind "), allowed, "{answer}");
        assert_eq!(answer.ends_with(&failed("invalid-from")), !allowed, "{answer}");
    }
}

#[test]
fn nothing_is_authenticated_in_clear_where_tls_is_required() {
    // T7
    let mut server = Server::new(offer());
    assert!(!server.hear(OPEN).contains("mechanism"));
    assert_eq!(server.hear(&plain("\0juliet\0r0m30myr0m30")), sasl_failure("encryption-required"));
    let scram = format!("<auth {SASL} mechanism='SCRAM-SHA-1'>biwsbj1qdWxpZXQscj1hYmM=</auth>");
    assert_eq!(server.hear(&scram), sasl_failure("encryption-required"));
}

#[test]
fn in_clear_scram_is_offered_where_tls_is_not_required_but_never_plain() {
    let mut server = Server::new(Offer { require_tls: false, ..offer() });
    let features = server.hear(OPEN);
    assert!(features.contains("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"), "{features}");
    assert!(features.contains("<mechanism>SCRAM-SHA-1</mechanism>"), "{features}");
    assert!(!features.contains("PLAIN") && !features.contains("PLUS") && !features.contains("sasl-cb"), "{features}");
    assert_eq!(server.hear(&plain("\0juliet\0r0m30myr0m30")), sasl_failure("encryption-required"));
}

#[test]
fn without_bindings_no_plus_is_offered() {
    let features = Server::secured(offer(), ChannelBindings::default()).hear(OPEN);
    assert!(features.contains("PLAIN") && !features.contains("PLUS") && !features.contains("sasl-cb"), "{features}");
}

#[test]
fn a_stream_that_leads_nowhere_is_refused() {
    let answer = Server::new(Offer { starttls: false, ..offer() }).hear(OPEN);
    assert!(answer.contains("<policy-violation "), "{answer}");
}

#[test]
fn starttls_where_it_is_not_offered_fails() {
    // RFC 6120 §5.4.2.2
    let refused = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>[close]";
    let mut server = Server::secured(offer(), bindings());
    server.hear(OPEN);
    assert_eq!(server.hear(STARTTLS), refused);

    let mut server = Server::new(Offer { starttls: false, require_tls: false, ..offer() });
    server.hear(OPEN);
    assert_eq!(server.hear(STARTTLS), refused);
}

#[test]
fn between_proceed_and_the_handshake_there_is_no_stream_to_fail_on() {
    let mut server = Server::new(offer());
    server.hear(OPEN);
    server.hear(STARTTLS);
    assert_eq!(server.tell(Event::Failed(StreamCondition::PolicyViolation.into())), "");
}

#[test]
fn whatever_comes_before_authentication_ends_the_stream() {
    // RFC 6120 §4.9.3.12; T4: no compression.
    for xml in [
        "<message to='romeo@example.net'><body>hi</body></message>",
        "<presence/>",
        "<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>",
        "<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>",
        "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
        "<iq type='get' id='1' to='@'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
        "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
        "<enable xmlns='urn:xmpp:sm:3'/>",
        "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>",
    ] {
        let mut server = Server::secured(offer(), ChannelBindings::default());
        server.hear(OPEN);
        assert_eq!(server.hear(xml), failed("not-authorized"), "{xml}");
        assert_eq!(server.hear("<presence/>"), "");
    }
}

#[test]
fn before_binding_nothing_but_a_request_to_bind_is_taken() {
    for xml in [
        "<message to='romeo@example.net'><body>hi</body></message>",
        "<presence/>",
        "<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>",
        "<iq type='get' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
        "<iq type='set' id='1'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>",
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>",
    ] {
        assert_eq!(authenticated(offer()).hear(xml), failed("not-authorized"), "{xml}");
    }
}

/// XEP-0198 §5.
#[test]
fn a_stream_is_resumed_in_the_place_of_binding_or_bound_after_all() {
    let failed = |attributes: &str, condition: &str| {
        format!(
            "<failed xmlns='urn:xmpp:sm:3'{attributes}><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"
        )
    };
    let resume =
        |previous: &str, handled: u32| format!("<resume xmlns='urn:xmpp:sm:3' previd='{previous}' h='{handled}'/>");
    assert_eq!(
        authenticated(offer()).hear(&resume("known", 3)),
        "<resumed xmlns='urn:xmpp:sm:3' previd='known' h='7'/>[established juliet@im.example.com/balcony]"
    );
    let mut server = authenticated(offer());
    assert_eq!(server.hear("<enable xmlns='urn:xmpp:sm:3'/>"), failed("", "unexpected-request"));
    assert_eq!(server.hear(&resume("never heard of", 0)), failed("", "item-not-found"));
    assert_eq!(server.hear(&resume("over", 0)), failed(" h='5'", "item-not-found"));
    assert!(
        server
            .hear("<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
            .contains("[established")
    );
    let ended = authenticated(offer()).hear(&resume("known", 4));
    assert!(ended.contains("<handled-count-too-high xmlns='urn:xmpp:sm:3' h='4' send-count='3'/>"), "{ended}");
}

#[test]
fn a_stream_that_the_client_ends_is_closed() {
    let mut server = Server::new(offer());
    server.hear(OPEN);
    assert_eq!(server.hear("</stream:stream>"), "</stream:stream>[close]");
    assert_eq!(authenticated(offer()).hear("</stream:stream>"), "</stream:stream>[close]");
}

#[test]
fn failed_authentications_are_answered_and_counted() {
    // RFC 6120 §6.4.5: the third is the last.
    let mut server = Server::secured(offer(), ChannelBindings::default());
    server.hear(OPEN);
    assert_eq!(server.hear(&plain("\0juliet\0wrong")), sasl_failure("not-authorized"));
    assert_eq!(server.hear(&plain("\0nobody\0wrong")), sasl_failure("not-authorized"));
    let last = server.hear(&plain("\0juliet\0wrong"));
    assert!(last.starts_with(&sasl_failure("not-authorized")) && last.contains("<policy-violation "), "{last}");
    assert_eq!(server.hear(&plain("\0juliet\0r0m30myr0m30")), "");
}

#[test]
fn a_client_may_try_again() {
    let mut server = Server::secured(offer(), ChannelBindings::default());
    server.hear(OPEN);
    server.hear(&plain("\0juliet\0wrong"));
    assert!(server.hear(&plain("\0juliet\0r0m30myr0m30")).ends_with("[restart]"));
}

#[test]
fn sasl_errors_have_the_conditions_of_section_6_5() {
    for (xml, condition) in [
        (format!("<auth {SASL} mechanism='X-OTHER'>=</auth>"), "invalid-mechanism"),
        (format!("<auth {SASL}>=</auth>"), "invalid-mechanism"),
        (format!("<auth {SASL} mechanism='SCRAM-SHA-1-PLUS'>=</auth>"), "invalid-mechanism"),
        (format!("<auth {SASL} mechanism='PLAIN'>A B</auth>"), "incorrect-encoding"),
        (plain("romeo\0juliet\0r0m30myr0m30"), "invalid-authzid"),
    ] {
        let mut server = Server::secured(offer(), ChannelBindings::default());
        server.hear(OPEN);
        assert_eq!(server.hear(&xml), sasl_failure(condition), "{xml}");
    }
    let mut server = Server::secured(offer(), ChannelBindings::default());
    server.hear(OPEN);
    assert!(server.hear(&format!("<auth {SASL} mechanism='PLAIN'>=</auth>")).contains("<malformed-request/>"));
}

#[test]
fn an_exchange_may_start_empty_and_may_be_aborted() {
    // RFC 6120 §6.4.2, §6.4.4
    let mut server = Server::secured(offer(), ChannelBindings::default());
    server.hear(OPEN);
    assert_eq!(server.hear(&format!("<auth {SASL} mechanism='PLAIN'/>")), format!("<challenge {SASL}></challenge>"));
    assert_eq!(server.hear(&format!("<abort {SASL}/>")), sasl_failure("aborted"));
    server.hear(&format!("<auth {SASL} mechanism='PLAIN'/>"));
    let message = encode_base64(b"\0juliet\0r0m30myr0m30");
    assert!(server.hear(&format!("<response {SASL}>{message}</response>")).ends_with("[restart]"));
}

#[test]
fn without_a_resource_the_server_makes_one() {
    for bind in [
        "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>",
        "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource/></bind>",
    ] {
        let mut server = authenticated(offer());
        server.hear(&format!("<iq type='set' id='1'>{bind}</iq>"));
        assert_eq!(server.established.as_deref(), Some("juliet@im.example.com/made-here"));
    }
}

#[test]
fn a_resource_is_prepared_and_a_bad_one_may_be_replaced() {
    let bind = |resource: &str| {
        format!(
            "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{resource}</resource></bind></iq>"
        )
    };
    let mut server = authenticated(offer());
    let answer = server.hear(&bind("tab&#9;bed"));
    assert!(answer.starts_with("<iq type='error' id='1'>"), "{answer}");
    assert!(answer.contains("<error type='modify'><bad-request "), "{answer}");

    server.refusal = Some(Condition::ResourceConstraint.into());
    assert!(server.hear(&bind("balcony")).contains("<error type='wait'><resource-constraint "));

    server.hear(&bind("the\u{A0}balcony"));
    assert_eq!(server.established.as_deref(), Some("juliet@im.example.com/the balcony"));
}

#[test]
fn registration_is_served_where_it_is_offered() {
    let registering = || Offer { registration: true, ..offer() };
    let query = "<iq type='get' id='r1'><query xmlns='jabber:iq:register'/></iq>";

    let mut server = Server::secured(registering(), ChannelBindings::default());
    assert!(server.hear(OPEN).contains("<register xmlns='http://jabber.org/features/iq-register'/>"));
    assert_eq!(server.hear(query), "[register]<iq type='result' id='r1'/>");
    assert!(server.hear(&plain("\0juliet\0r0m30myr0m30")).ends_with("[restart]"));

    let mut server = Server::new(registering());
    assert!(!server.hear(OPEN).contains("iq-register"));
    assert_eq!(server.hear(query), failed("not-authorized"));

    let mut server = Server::secured(registering(), ChannelBindings::default());
    server.hear(OPEN);
    let elsewhere = "<iq type='get' id='r1' to='example.org'><query xmlns='jabber:iq:register'/></iq>";
    assert_eq!(server.hear(elsewhere), failed("not-authorized"));
}

#[test]
fn the_driver_ends_a_stream_with_an_error_in_any_phase() {
    let shutdown = || Event::Failed(StreamCondition::SystemShutdown.into());
    assert_eq!(Server::new(offer()).tell(shutdown()), header("im.example.com") + &failed("system-shutdown"));
    assert_eq!(authenticated(offer()).tell(shutdown()), failed("system-shutdown"));
}

proptest! {
    #[test]
    fn no_order_of_elements_breaks_the_machine_or_lets_anybody_in(
        said in prop::collection::vec(prop::sample::select(fragments()), 0..12),
        secured in any::<bool>(),
    ) {
        let offer = Offer { registration: true, require_tls: secured, ..offer() };
        let mut server = if secured { Server::secured(offer, bindings()) } else { Server::new(offer) };
        let sent: String = said.iter().map(|xml| server.hear(xml)).collect();
        prop_assert_eq!(&server.established, &None);
        prop_assert!(sent.matches("[close]").count() <= 1, "{}", sent);
    }
}

/// Elements of a negotiation without a right password among them.
fn fragments() -> Vec<String> {
    let bind = "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
    let register = "<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>";
    let scram = encode_base64(b"n,,n=juliet,r=abc");
    [OPEN, OPEN, STARTTLS, bind, register, "</stream:stream>", "<presence/>", " ", "<!-- -->", "<a", "/>"]
        .into_iter()
        .map(str::to_owned)
        .chain([
            plain("\0juliet\0wrong"),
            format!("<auth {SASL} mechanism='SCRAM-SHA-1'>{scram}</auth>"),
            format!("<auth {SASL} mechanism='SCRAM-SHA-1'/>"),
            format!("<response {SASL}>{scram}</response>"),
            format!("<response {SASL}>Yz1iaXdzLHI9YWJjLHA9QUFBQQ==</response>"),
            format!("<abort {SASL}/>"),
        ])
        .collect()
}
