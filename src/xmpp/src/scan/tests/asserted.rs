//! Threat T25: only a server may say what only a server can know.

use super::items;
use crate::Envelope;
use crate::envelope::{Flags, Name};
use crate::ns;
use crate::scan::Item;

/// What is left of a message with `content`, and how much was taken out.
fn stripped(content: &str) -> (Envelope, usize) {
    let found = items(&format!("<message xmlns:s='urn:xmpp:sid:0'>{content}</message>"));
    let [Item::Stanza(envelope)] = found.as_slice() else { panic!("{found:?}") };
    let mut envelope = envelope.clone();
    let taken = envelope.take_out_asserted(|address| address.domain() == "capulet.example").expect("it was scanned");
    (envelope, taken)
}

#[test]
fn every_copy_goes_whatever_it_is_called() {
    let (envelope, taken) = stripped(
        "<body>a</body><stanza-id xmlns='urn:xmpp:sid:0' by='juliet@capulet.example' id='1'/>\
         <s:stanza-id by='juliet@CAPULET.example' id='2'><s:stanza-id/></s:stanza-id >text\
         <z:stanza-id xmlns:z='urn:xmpp:sid&#58;0' by='capulet&#46;example' id='3'/>\
         <stanza-id xmlns='urn:xmpp:sid:0' id='4'/><s:stanza-id by='@' id='5'/>\
         <occupant-id xmlns='urn:xmpp:occupant-id:0' id='6'/><result xmlns='urn:xmpp:mam:2'/>\
         <received xmlns='urn:xmpp:carbons:2'><x/></received><sent xmlns='urn:xmpp:carbons:2'/>\
         <delay xmlns='urn:xmpp:delay' from='capulet.example' stamp=''/><x xmlns='urn:x'/>",
    );
    assert_eq!(taken, 10);
    assert_eq!(envelope.content, "<body>a</body>text<x xmlns='urn:x'/>");
    assert_eq!(envelope.flags, Flags::BODY | Flags::OTHER);
    assert_eq!(envelope.payload, Some(Name::new("urn:x", "x")));
}

#[test]
fn what_others_say_of_themselves_and_what_is_further_inside_stays() {
    let content = "<s:stanza-id by='room@montague.example' id='1'/><delay xmlns='urn:xmpp:delay' stamp=''/>\
                   <delay xmlns='urn:xmpp:delay' from='montague.example' stamp=''/><s:origin-id id='2'/>\
                   <private xmlns='urn:xmpp:carbons:2'/><stanza-id/>\
                   <x xmlns='urn:x'><s:stanza-id by='capulet.example' id='3'/></x>";
    let (envelope, taken) = stripped(content);
    assert_eq!((envelope.content.as_ref(), taken), (content.as_bytes(), 0));
}

#[test]
fn the_scan_says_whether_there_is_anything_to_look_at() {
    for (content, expected) in [
        ("<body/>", false),
        ("<delay xmlns='urn:xmpp:delay' stamp=''/>", false),
        ("<delay xmlns='urn:xmpp:delay' from='a' stamp=''/>", true),
        ("<s:stanza-id/>", true),
        ("<stanza-id/>", false),
    ] {
        let found = items(&format!("<presence xmlns:s='{}'>{content}</presence>", ns::STANZA_ID));
        let [Item::Stanza(envelope)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(envelope.flags.has(Flags::ASSERTED), expected, "{content}");
    }
}
