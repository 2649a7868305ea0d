//! Reading and comparing the XML of transcripts.
//!
//! A stanza is written as on the wire, without its namespace. In what is expected, `*` stands for any attribute value, a `to`
//! that is left out is not compared, nor is the text of an error, nor white space between elements.

use vesta_xmpp::element::{Element, Node};
use vesta_xmpp::{Envelope, ns};

/// Reads a stanza.
///
/// # Panics
/// The test's XML is wrong.
pub(super) fn stanza(xml: &str) -> Envelope {
    match Envelope::read_alone(with_namespace(xml).as_bytes()) {
        Ok(stanza) => stanza,
        Err(error) => panic!("the transcript's stanza can't be read: {error}\n{xml}"),
    }
}

/// Whether a stanza is the one expected.
pub(super) fn matches(stanza: &Envelope, expected: &str) -> bool {
    let expected = Element::parse(with_namespace(expected).as_bytes())
        .unwrap_or_else(|error| panic!("the transcript's expectation can't be read: {error}\n{expected}"));
    let mut actual = stanza.to_element().expect("what the engine sends can be read");
    if expected.attribute("to").is_none() {
        actual.set("to", "*");
        return same(&actual, &expected.with("to", "*"));
    }
    same(&actual, &expected)
}

/// The stanza as a person wants to read it.
pub(super) fn printed(stanza: &Envelope) -> String {
    let mut out = Vec::new();
    stanza.write(&mut out, None);
    String::from_utf8_lossy(&out).into_owned()
}

fn with_namespace(xml: &str) -> String {
    let xml = xml.trim();
    let name_end = xml.find([' ', '/', '>', '\n']).unwrap_or(xml.len());
    format!("{} xmlns='{}'{}", &xml[..name_end], ns::CLIENT, &xml[name_end..])
}

fn same(actual: &Element, expected: &Element) -> bool {
    let attributes = |element: &Element| element.attributes().count();
    let attribute_matches = |(namespace, name, value): (&str, &str, &str)| {
        let found = actual.attribute_namespaced(namespace, name);
        found.is_some() && (value == "*" || found == Some(value))
    };
    let (left, right) = (nodes(actual), nodes(expected));
    actual.is(expected.namespace(), expected.name())
        && attributes(actual) == attributes(expected)
        && expected.attributes().all(attribute_matches)
        && left.len() == right.len()
        && left.iter().zip(right).all(|pair| match pair {
            (Node::Element(actual), Node::Element(expected)) => same(actual, expected),
            (Node::Text(actual), Node::Text(expected)) => actual == expected,
            _ => false,
        })
}

fn nodes(element: &Element) -> Vec<&Node> {
    let counts = |node: &&Node| match node {
        Node::Element(child) => !child.is(ns::STANZA_ERRORS, "text"),
        Node::Text(text) => !text.trim().is_empty(),
    };
    element.nodes().iter().filter(counts).collect()
}
