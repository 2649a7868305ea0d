//! Properties of the scanner, on text that is XML, almost XML, and no XML at all. What must hold is in `oracle`, which the
//! fuzz target uses, too.

#[path = "../fuzz/oracle.rs"]
mod oracle;

use proptest::prelude::*;
use vesta_xmpp::{Element, escape_into};

/// Pieces of which hostile text is made.
const PIECES: &[&str] = &[
    "<",
    ">",
    "</",
    "/>",
    "<message",
    "</message>",
    "<presence/>",
    "<iq id='1' type='get'>",
    "</iq>",
    "<a",
    "<b:a",
    "</a>",
    "</b:a>",
    "<h:store/>",
    " xmlns='jabber:client'",
    " xmlns=''",
    " xmlns:b='urn:b'",
    " xmlns:c=\"urn:b\"",
    " xmlns:b=''",
    " xmlns:xml='http://www.w3.org/XML/1998/namespace'",
    " b:x='1'",
    " c:x='2'",
    " x='1'",
    " to='a@b/c'",
    " from=''",
    " type='chat'",
    " xml:lang='en'",
    " id=\"&quot;\"",
    "=",
    "'",
    "\"",
    " ",
    "\n",
    "\r\n",
    "\t",
    "&amp;",
    "&#65;",
    "&#x10FFFF;",
    "&#0;",
    "&lol;",
    "&",
    ";",
    "]]>",
    "]]",
    "<![CDATA[",
    "<!--",
    "-->",
    "<?x?>",
    "<!DOCTYPE x>",
    "text",
    "é",
    "\u{10FFFF}",
    "\u{FFFE}",
    "\u{0}",
    "</stream:stream>",
    "<body>",
    "</body>",
    "<s:stream",
    ":",
    "xmlns:",
    "<stanza-id xmlns='urn:xmpp:sid:0' by='a.b'/>",
    "<delay xmlns='urn:xmpp:delay' from='x'>",
    "</delay>",
];

/// Text put together from [`PIECES`] and stray bytes.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        12 => proptest::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// An element with declared prefixes and what may stand in it, spelt in many ways.
fn element() -> impl Strategy<Value = String> {
    let name = proptest::sample::select(&["a", "body", "h:x", "stream:y", "é", "_-.1"][..]);
    let attribute = proptest::sample::select(
        &[
            " x='1'",
            " y = \"&lt;'>\"",
            "\nxml:lang=''",
            " xmlns='urn:c'",
            " h:z='\t'",
            " xmlns=''",
            " xmlns:é='é&amp;'",
        ][..],
    );
    let text = proptest::sample::select(
        &["", "text", " \n", "&amp;&#x9;", "é\u{10FFFF}", "<![CDATA[<&]]>", "]&gt;", "<![CDATA[]]>", "\r\n\r"][..],
    );
    let attributes = proptest::collection::btree_set(attribute, 0..3)
        .prop_map(|them| them.into_iter().collect::<String>())
        .prop_map(|them| if them.matches("xmlns=").count() > 1 { String::new() } else { them });
    let leaf = (name.clone(), attributes.clone()).prop_map(|(name, attributes)| format!("<{name}{attributes} />"));
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let content = proptest::collection::vec((text.clone(), inner), 0..4);
        (name.clone(), attributes.clone(), content, text.clone()).prop_map(|(name, attributes, content, last)| {
            let content: String = content.into_iter().map(|(text, child)| text.to_owned() + &child).collect();
            format!("<{name}{attributes}>{content}{last}</{name}\n>")
        })
    })
}

/// Stanzas that are well-formed.
fn well_formed() -> impl Strategy<Value = Vec<u8>> {
    let start = proptest::sample::select(
        &["message to='a@b/c'", "presence", "iq id='1' type='set'", "iq type='result' id='&#65;'", "x xmlns='urn:x'"][..],
    );
    let stanza = (start, proptest::collection::vec(element(), 0..3)).prop_map(|(start, children)| {
        let name = start.split(' ').next().unwrap_or_default();
        format!("<{start}>{}</{name}> ", children.concat())
    });
    proptest::collection::vec(stanza, 0..4).prop_map(|stanzas| stanzas.concat().into_bytes())
}

/// `bytes` with a few bytes lost, doubled or changed.
fn damaged(bytes: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let damage = (any::<prop::sample::Index>(), 0..3u8, any::<u8>());
    (bytes, proptest::collection::vec(damage, 0..4)).prop_map(|(mut bytes, damages)| {
        for (at, how, byte) in damages {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match how {
                0 => drop(bytes.remove(at)),
                1 => bytes.insert(at, bytes[at]),
                _ => bytes[at] = byte,
            }
        }
        bytes
    })
}

fn in_stream(bytes: &[u8]) -> Vec<u8> {
    [oracle::HEADER.as_bytes(), bytes].concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn hostile_text_is_refused_or_read_alike_by_all(bytes in hostile(), cuts: Vec<usize>) {
        oracle::check(&in_stream(&bytes), &cuts);
        let within = [b"<message>", bytes.as_slice(), b"</message>"].concat();
        oracle::check(&in_stream(&within), &cuts);
        oracle::check(&bytes, &cuts);
    }

    #[test]
    fn well_formed_stanzas_are_read_alike_by_all(bytes in well_formed(), cuts: Vec<usize>) {
        let bytes = in_stream(&bytes);
        let scan = oracle::scan(vesta_xmpp::scan::Limits::AUTHENTICATED, [bytes.as_slice()]);
        prop_assert_eq!(scan.error, None);
        oracle::check(&bytes, &cuts);
    }

    #[test]
    fn damaged_stanzas_are_refused_or_read_alike_by_all(bytes in damaged(well_formed()), cuts: Vec<usize>) {
        oracle::check(&in_stream(&bytes), &cuts);
    }

    #[test]
    fn damaged_headers_are_refused_or_read_alike_by_all(
        bytes in damaged(Just(in_stream(b"<message/></stream:stream>"))), cuts: Vec<usize>
    ) {
        oracle::check(&bytes, &cuts);
    }

    #[test]
    fn any_text_comes_back_as_it_was_written(text: String, control in "[\\x00-\\x20\u{FFF0}-\u{FFFF}]{0,8}") {
        let text = text + &control;
        let carried: String = text
            .chars()
            .map(|it| match it {
                '\t' | '\r' | '\n' => it,
                '\0'..' ' | '\u{FFFE}' | '\u{FFFF}' => '\u{FFFD}',
                _ => it,
            })
            .collect();
        let written = Element::new("urn:x", "x").with("a", &text).with_text(&text).to_bytes("");
        let read = Element::parse(&written).expect("what we write is XML");
        prop_assert_eq!(read.attribute("a"), Some(carried.as_str()));
        prop_assert_eq!(read.text(), carried);
        let mut escaped = Vec::new();
        escape_into(&mut escaped, &text);
        oracle::check(&in_stream(&[b"<message>", escaped.as_slice(), b"</message>"].concat()), &[]);
    }
}
