//! Whole streams, as they come over the wire (RFC 6120 §4, §9).

use super::{HEADER, error, error_in_stream, items, scan};
use crate::envelope::{Flags, IqType, MessageType, Name, StanzaType};
use crate::scan::{Item, Limits, ScanError, Scanner, StreamHeader};
use crate::stanza_error::Condition;
use crate::{Element, Envelope, Jid, ns};

fn stanza(text: &str) -> Envelope {
    match items(text).as_slice() {
        [Item::Stanza(envelope)] => envelope.clone(),
        other => panic!("{text}: {other:?}"),
    }
}

fn jid(text: &str) -> Option<Jid> {
    Some(Jid::parse(text).expect("a JID"))
}

#[test]
fn a_stream_is_its_header_its_items_and_its_end() {
    let text = format!(
        "{HEADER}\n<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGE=</auth> \
         <iq id='1' type='get'><ping xmlns='urn:xmpp:ping'/></iq></stream:stream>\n"
    );
    let (items, end) = scan(Limits::BEFORE_AUTHENTICATION, [text.as_bytes()]);
    assert!(end.is_ok_and(|scanner| !scanner.is_gathering()));
    let header = StreamHeader {
        to: Some("capulet.example".into()),
        version: Some("1.0".into()),
        lang: Some("en".into()),
        content_namespace: ns::CLIENT.into(),
        ..StreamHeader::default()
    };
    let auth = Element::new(ns::SASL, "auth").with("mechanism", "PLAIN").with_text("AGE=");
    let mut ping = Envelope::iq(IqType::Get, "1", Some(&Element::new(ns::PING, "ping")));
    ping.lang = Some("en".into());
    ping.flags = Flags::OTHER;
    assert_eq!(items, [Item::Open(header), Item::Element(auth), Item::Stanza(ping), Item::Close]);
}

#[test]
fn a_message_becomes_an_envelope_with_its_content_untouched() {
    let content = "<body>But soft,\r\n &amp; <![CDATA[what <light>]]></body><thread>t</thread>\
                   <active xmlns='http://jabber.org/protocol/chatstates'/><c:store xmlns:c=\"urn:xmpp:hints\" />\
                   <request xmlns='urn:xmpp:receipts'/>";
    let envelope = stanza(&format!(
        "<message to='Juliet@capulet.example' from=\"romeo@montague.example/orchard\"\n type='chat' id='a&amp;&#x31;' \
         xmlns='jabber:client' x:y = '>' xmlns:x='urn:x'>{content}</message >"
    ));
    assert_eq!(
        envelope,
        Envelope {
            kind: StanzaType::Message(MessageType::Chat),
            from: jid("romeo@montague.example/orchard"),
            to: jid("juliet@capulet.example"),
            id: Some("a&1".into()),
            lang: Some("en".into()),
            payload: Some(Name::new(ns::CHAT_STATES, "active")),
            logged: 0,
            flags: Flags::BODY | Flags::THREAD | Flags::CHAT_STATE | Flags::STORE | Flags::RECEIPT,
            attributes: " x:y = '>' xmlns:x='urn:x'".into(),
            content: content.to_owned().into(),
        }
    );
}

#[test]
fn a_stanza_without_content_has_none() {
    for text in ["<presence/>", "<presence />", "<presence></presence>"] {
        assert!(stanza(text).content.is_empty());
    }
}

#[test]
fn the_language_is_the_streams_where_a_stanza_has_none() {
    assert_eq!(stanza("<presence/>").lang.as_deref(), Some("en"));
    assert_eq!(stanza("<presence xml:lang='it'/>").lang.as_deref(), Some("it"));
}

#[test]
fn prefixes_of_the_header_are_declared_again_where_they_are_used() {
    let header = HEADER.replace(" to=", " xmlns:h='urn:xmpp:hints' xmlns:u='urn:a&amp;b' to=");
    let text = format!(
        "{header}<message><h:store/></message><message><x><u:y stream:z=''/></x></message>\
         <h:other><u:x/></h:other><message><h:store xmlns:h='urn:own'/></message>"
    );
    let (items, _) = scan(Limits::AUTHENTICATED, [text.as_bytes()]);
    let [_, Item::Stanza(first), Item::Stanza(second), Item::Element(third), Item::Stanza(fourth)] = items.as_slice()
    else {
        panic!("{items:?}");
    };
    assert_eq!(first.attributes, " xmlns:h='urn:xmpp:hints'");
    assert_eq!(first.flags, Flags::STORE);
    assert_eq!(second.attributes, " xmlns:u='urn:a&amp;b' xmlns:stream='http://etherx.jabber.org/streams'");
    let tree = second.to_element().expect("stands alone");
    assert!(tree.child(ns::CLIENT, "x").is_some_and(|x| x.child("urn:a&b", "y").is_some()));
    assert_eq!(*third, Element::new(ns::HINTS, "other").with_child(Element::new("urn:a&b", "x")));
    assert_eq!(fourth.attributes, "");
}

#[test]
fn a_stanza_with_a_prefix_is_normalised_or_refused() {
    let envelope = stanza("<c:message xmlns:c='jabber:client'><c:body>x</c:body></c:message>");
    assert_eq!(envelope.flags, Flags::BODY);
    let mut tree = Element::new(ns::CLIENT, "message").with_child(Element::new(ns::CLIENT, "body").with_text("x"));
    tree.set_namespaced(ns::XML, "lang", "en");
    assert_eq!(envelope.to_element(), Ok(tree));
    assert_eq!(error_in_stream("<c:message xmlns:c='jabber:client' xmlns='urn:x'/>"), ScanError::BadNamespacePrefix);
}

#[test]
fn both_styles_of_rfc_6120_4_8_5_are_read_and_the_header_is_checked() {
    let prefix_free = "<stream xmlns='http://etherx.jabber.org/streams'><message xmlns='jabber:client'/><features/>\
                       </stream>";
    let (items, end) = scan(Limits::AUTHENTICATED, [prefix_free.as_bytes()]);
    assert!(end.is_ok());
    assert_eq!(items[2], Item::Element(Element::new(ns::STREAM, "features")));
    assert!(matches!(items.as_slice(), [Item::Open(_), Item::Stanza(_), _, Item::Close]));

    let other_prefix = "<s:stream xmlns='jabber:server' xmlns:s='http://etherx.jabber.org/streams'><iq id='1' \
                        type='result'/></s:stream>";
    let (items, end) = scan(Limits::AUTHENTICATED, [other_prefix.as_bytes()]);
    assert!(end.is_ok());
    let [Item::Open(header), Item::Stanza(_), Item::Close] = items.as_slice() else { panic!("{items:?}") };
    assert_eq!(header.content_namespace, ns::SERVER);

    for (header, expected) in [
        ("<stream xmlns='jabber:client'>", ScanError::BadNamespacePrefix),
        ("<stream>", ScanError::InvalidNamespace),
        ("<s:stream xmlns:s='urn:x' xmlns='jabber:client'>", ScanError::InvalidNamespace),
        ("<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='urn:x'>", ScanError::InvalidNamespace),
        ("<s:stream xmlns:s='http://etherx.jabber.org/streams'>", ScanError::InvalidNamespace),
        (
            "<s:other xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client'>",
            ScanError::BadFormat("the first element is not <stream:stream>"),
        ),
        (
            "<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client'/>",
            ScanError::BadFormat("the first element is not <stream:stream>"),
        ),
    ] {
        assert_eq!(error(header.as_bytes()), expected, "{header}");
    }
}

#[test]
fn a_first_level_element_in_the_content_namespace_is_a_stanza_or_an_error() {
    assert_eq!(error_in_stream("<query/>"), ScanError::UnsupportedStanzaType);
    let foreign = items("<message xmlns='jabber:server'/>");
    assert_eq!(foreign, [Item::Element(Element::new(ns::SERVER, "message"))]);
}

#[test]
fn what_is_wrong_with_one_stanza_only_is_answered_and_the_stream_goes_on() {
    for (text, condition) in [
        ("<message to='@capulet.example' id='1'/>", Condition::JidMalformed),
        ("<message to='' id='1'/>", Condition::JidMalformed),
        ("<message from='@' to='a@capulet.example' id='1'/>", Condition::JidMalformed),
        ("<presence type='available' id='1'/>", Condition::BadRequest),
        ("<presence type='' id='1'/>", Condition::BadRequest),
        ("<iq id='1'><x xmlns='urn:x'/></iq>", Condition::BadRequest),
        ("<iq id='1' type='ask'><x xmlns='urn:x'/></iq>", Condition::BadRequest),
        ("<iq id='1' type='get'/>", Condition::BadRequest),
        ("<iq id='1' type='set'><x xmlns='urn:x'/><y xmlns='urn:x'/></iq>", Condition::BadRequest),
    ] {
        let found = items(&format!("{text}<presence/>"));
        let [Item::Rejected(rejected), Item::Stanza(_)] = found.as_slice() else { panic!("{text}: {found:?}") };
        assert_eq!((rejected.error.condition, rejected.id.as_deref()), (condition, Some("1")), "{text}");
        assert!(rejected.kind.may_be_answered());
    }
    let found = items("<iq type='get' to='capulet.example'><ping xmlns='urn:xmpp:ping'/></iq>");
    let [Item::Rejected(rejected)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((rejected.id.as_deref(), &rejected.to), (None, &jid("capulet.example")));
}

#[test]
fn an_unknown_type_of_message_is_normal() {
    assert_eq!(stanza("<message type='x'/>").kind, StanzaType::Message(MessageType::Normal));
}

#[test]
fn the_payload_of_an_iq_is_its_only_child_and_never_its_error() {
    let payload = |text: &str| stanza(text).payload;
    assert_eq!(payload("<iq id='1' type='result'/>"), None);
    assert_eq!(payload("<iq id='1' type='get'><body/></iq>"), Some(Name::new(ns::CLIENT, "body")));
    assert_eq!(payload("<iq id='1' type='get'><x xmlns=''/></iq>"), Some(Name::new("", "x")));
    assert_eq!(
        payload("<iq id='1' type='error'><error/><ping xmlns='urn:xmpp:ping'/></iq>"),
        Some(Name::new(ns::PING, "ping"))
    );
}

#[test]
fn an_idle_scanner_owns_next_to_nothing() {
    assert!(size_of::<Scanner>() <= 128, "{}", size_of::<Scanner>());
}

#[test]
fn a_stanza_that_was_written_alone_is_read_alone() {
    let envelope = stanza("<message type='chat' id='1' xmlns:p='urn:p'><p:x><y p:z='1'/></p:x>&#x9;</message>");
    let mut alone = Vec::new();
    envelope.write_alone(&mut alone);
    assert_eq!(Envelope::read_alone(&alone), Ok(envelope));
    assert_eq!(
        Envelope::read_alone(b" <message xmlns='jabber:server'/>\n"),
        Ok(Envelope::new(StanzaType::Message(MessageType::Normal)))
    );
    for text in ["", "<message/>", "<message xmlns='jabber:client'>", "<message xmlns='jabber:client'/><", "x"] {
        assert!(Envelope::read_alone(text.as_bytes()).is_err(), "{text}");
    }
}
