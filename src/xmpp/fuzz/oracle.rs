//! What must hold for every input of the scanner, whoever made it up: the property tests and the fuzz target share this.
//!
//! - However the bytes are cut into pieces, the same items come out and the same error.
//! - What the scanner accepts, quick-xml and rxml accept, and all three see the same trees.
//! - Each stanza stands alone: written and read again it is the same envelope and the same tree.
//! - Nothing that only a server may assert is left once it has been taken out.

use rxml::{Event, Parse, WithOptions};
use vesta_xmpp::element::Node;
use vesta_xmpp::envelope::Flags;
use vesta_xmpp::scan::{Item, Limits, ScanError, Scanner};
use vesta_xmpp::{Element, Envelope, ns};

/// The usual header of a client, with a prefix that its stanzas may use.
pub const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
     xmlns:stream='http://etherx.jabber.org/streams' xmlns:h='urn:xmpp:hints' to='a.example' version='1.0'>";

/// Checks all of it for `bytes`, which `cuts` (offsets, in any order) cut into pieces.
pub fn check(bytes: &[u8], cuts: &[usize]) {
    let limits = Limits { stanza_bytes: 2048, ..Limits::AUTHENTICATED };
    let whole = scan(limits, [bytes]);
    assert_eq!(whole.items, scan(limits, pieces(bytes, cuts)).items);
    assert_eq!(whole.error, scan(limits, pieces(bytes, cuts)).error);
    assert_eq!(whole.error, scan(limits, bytes.chunks(1)).error);
    for item in &whole.items {
        if let Item::Stanza(envelope) = item {
            check_alone(envelope);
        }
    }
    check_trees(&whole, bytes);
}

/// Checks that other parsers agree with a scan of `bytes` as far as it came.
fn check_trees(scan: &Scan, bytes: &[u8]) {
    let Some(Item::Open(_)) = scan.items.first() else { return };
    let closed = scan.items.last() == Some(&Item::Close);
    let mut accepted = bytes[..scan.accepted].to_vec();
    // Neither gets the declaration, nor the white space before the header, which rxml refuses without one.
    if accepted.starts_with(b"<?xml") {
        let end = accepted.windows(2).position(|it| it == b"?>").expect("an accepted declaration has an end");
        accepted.drain(..end + 2);
    }
    let mut accepted = accepted.trim_ascii_start().to_vec();
    if !closed {
        let name = String::from_utf8(accepted.clone()).expect("accepted bytes are UTF-8");
        let name = name.trim_start_matches('<');
        let end = name.find([' ', '\t', '\r', '\n', '>']).expect("an accepted header has an end");
        let end_tag = format!("</{}>", &name[..end]);
        accepted.extend_from_slice(end_tag.as_bytes());
    }
    let shown = String::from_utf8_lossy(&accepted);
    let by_quick_xml = Element::parse(&accepted).unwrap_or_else(|error| panic!("quick-xml: {error}: {shown}"));
    assert_items(&scan.items, &by_quick_xml, "quick-xml");
    if rxml_reads(&accepted) {
        let by_rxml = parse_by_rxml(&accepted).unwrap_or_else(|error| panic!("rxml: {error}: {shown}"));
        assert_items(&scan.items, &by_rxml, "rxml");
    }
}

/// Checks that the first-level elements of `stream` are those of `items`.
fn assert_items(items: &[Item], stream: &Element, parser: &str) {
    let mut trees = stream.children();
    for item in items {
        match item {
            Item::Open(_) | Item::Close => {}
            Item::Element(element) => assert_eq!(normal(element), trees.next().map(normal).expect(parser), "{parser}"),
            Item::Rejected(_) => drop(trees.next().expect(parser)),
            Item::Stanza(envelope) => {
                let tree = stanza_tree(trees.next().expect(parser));
                let element = envelope.to_element().unwrap_or_else(|error| panic!("{error}: {envelope:?}"));
                // On a stream between servers its children are in that namespace, and alone in that of clients.
                if tree.starts_with("{jabber:client}") {
                    assert_eq!(stanza_tree(&element), tree, "{parser}");
                }
            }
        }
    }
    assert!(trees.next().is_none(), "{parser} sees more elements");
}

/// Checks that a stanza stands alone, and what is left of it when others' assertions are taken out.
fn check_alone(envelope: &Envelope) {
    let mut alone = Vec::new();
    envelope.write_alone(&mut alone);
    let read = Envelope::read_alone(&alone).unwrap_or_else(|error| panic!("{error}: {envelope:?}"));
    // Flags depend on the content namespace where a child spells one out.
    assert_eq!(Envelope { flags: envelope.flags, payload: envelope.payload.clone(), ..read }, *envelope);
    let by_quick_xml = Element::parse(&alone).expect("quick-xml reads what was accepted");
    if rxml_reads(&alone) {
        let by_rxml = parse_by_rxml(&alone).expect("rxml reads what was accepted");
        assert_eq!(normal(&by_rxml), normal(&by_quick_xml));
    }
    let mut again = Vec::new();
    by_quick_xml.write(&mut again, "");
    assert_eq!(Element::parse(&again), Ok(by_quick_xml));
    let mut stripped = envelope.clone();
    stripped.take_out_asserted(|_| true).expect("the content was scanned");
    assert!(!stripped.flags.has(Flags::ASSERTED), "{stripped:?}");
}

/// What a scan has yielded.
pub struct Scan {
    /// All items.
    pub items: Vec<Item>,
    /// How it ended.
    pub error: Option<ScanError>,
    /// Where the last item ends, where the input was one piece.
    pub accepted: usize,
}

/// Scans `pieces`.
pub fn scan<'a>(limits: Limits, pieces: impl IntoIterator<Item = &'a [u8]>) -> Scan {
    let mut scanner = Scanner::new(limits);
    let mut scan = Scan { items: Vec::new(), error: None, accepted: 0 };
    for mut piece in pieces {
        let length = piece.len();
        loop {
            match scanner.next(&mut piece) {
                Ok(Some(item)) => scan.items.push(item),
                Ok(None) => break,
                Err(error) => return Scan { error: Some(error), ..scan },
            }
            scan.accepted = length - piece.len();
        }
        assert!(piece.is_empty(), "a starved scanner has read everything");
    }
    scan
}

fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.sort_unstable();
    let mut from = 0;
    let mut pieces = Vec::new();
    for cut in cuts {
        pieces.push(&bytes[from..cut]);
        from = cut;
    }
    pieces.push(&bytes[from..]);
    pieces
}

/// An element as text by which two can be compared: the order of attributes does not count.
fn normal(element: &Element) -> String {
    written(element, |_, _| true)
}

/// A stanza without what the scan prepares or inherits.
fn stanza_tree(stanza: &Element) -> String {
    written(stanza, |namespace, name| !matches!((namespace, name), ("", "to" | "from" | "type") | (ns::XML, "lang")))
}

fn written(element: &Element, counts: impl Fn(&str, &str) -> bool) -> String {
    let mut attributes: Vec<_> = element.attributes().filter(|&(namespace, name, _)| counts(namespace, name)).collect();
    attributes.sort_unstable();
    let children: Vec<String> = element
        .nodes()
        .iter()
        .map(|node| match node {
            Node::Element(child) => normal(child),
            Node::Text(text) => format!("{text:?}"),
        })
        .collect();
    format!("{{{}}}{} {attributes:?} {children:?}", element.namespace(), element.name())
}

/// rxml 0.14 refuses carriage returns in attributes and U+FFFD in names, both of which XML allows.
fn rxml_reads(bytes: &[u8]) -> bool {
    !bytes.contains(&b'\r') && !bytes.windows(3).any(|it| it == "\u{FFFD}".as_bytes())
}

/// A tree by rxml. Not for deep ones: it takes quadratic time.
fn parse_by_rxml(mut bytes: &[u8]) -> Result<Element, String> {
    let mut parser = rxml::Parser::with_options(rxml::Options { max_token_length: 1 << 20, ..Default::default() });
    // Each with the character data that may go on.
    let mut open: Vec<(Element, String)> = Vec::new();
    let flush = |(element, text): (Element, String)| if text.is_empty() { element } else { element.with_text(text) };
    loop {
        match parser.parse(&mut bytes, true).map_err(|error| format!("{error:?}"))? {
            None => return Err("no end".into()),
            Some(Event::XmlDeclaration(..)) => {}
            Some(Event::Text(_, text)) => {
                if let Some((_, before)) = open.last_mut() {
                    before.push_str(&text);
                }
            }
            Some(Event::StartElement(_, (namespace, name), attributes)) => {
                if let Some((parent, text)) = open.pop() {
                    open.push((flush((parent, text)), String::new()));
                }
                let mut element = Element::new(namespace.as_str(), name.as_ref());
                for ((namespace, name), value) in attributes.iter() {
                    element.set_namespaced(namespace.as_str(), name.as_ref(), value);
                }
                open.push((element, String::new()));
            }
            Some(Event::EndElement(_)) => {
                let element = flush(open.pop().ok_or("an end without start")?);
                match open.last_mut() {
                    Some((parent, _)) => parent.push(element),
                    None => return Ok(element),
                }
            }
        }
    }
}
