//! Reading and writing of trees.

use super::{DEPTH_MAX, Element, ElementError, Node};
use crate::ns;

#[test]
fn an_element_is_read_with_its_names_resolved_and_its_text_joined() {
    let read = Element::parse(
        b"<a xmlns='urn:a&amp;b' xmlns:p=\"urn:p\" p:x='1&#10;2\n3' xml:lang='en'> t&lt;<![CDATA[<&]]>&#x21;\r\n<p:b/>u<c xmlns=''/></a>",
    );
    let mut expected = Element::new("urn:a&b", "a");
    expected.set_namespaced("urn:p", "x", "1\n2 3");
    expected.set_namespaced(ns::XML, "lang", "en");
    let expected = expected
        .with_text(" t<<&!\n")
        .with_child(Element::new("urn:p", "b"))
        .with_text("u")
        .with_child(Element::new("", "c"));
    assert_eq!(read, Ok(expected));
}

#[test]
fn what_is_written_is_read_again_as_it_was() {
    let mut element = Element::new(ns::CLIENT, "message").with("to", "a'b\"<&>\n").with_text("]]>\r");
    element.set_namespaced("urn:p", "x", "1");
    element.set_namespaced("urn:p", "y", "");
    element.push(Element::new("", "none").with_child(Element::new(ns::CLIENT, "body")));
    for outer in ["", ns::CLIENT] {
        let written = element.to_bytes(outer);
        let around = format!("<outer xmlns='{outer}'>{}</outer>", String::from_utf8_lossy(&written));
        let read = Element::parse(around.as_bytes()).expect("what we write is XML");
        assert_eq!(read.nodes(), [Node::Element(element.clone())]);
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| "<a>".repeat(depth) + &"</a>".repeat(depth);
    assert!(Element::parse(nested(DEPTH_MAX).as_bytes()).is_ok());
    assert_eq!(Element::parse(nested(DEPTH_MAX + 1).as_bytes()), Err(ElementError::TooDeep));
    assert_eq!(Element::parse("<a>".repeat(5000).as_bytes()), Err(ElementError::TooDeep));
}

#[test]
fn one_element_alone_is_read_and_nothing_else() {
    for text in
        ["", " ", "a", "<a>", "</a>", "<a></b>", "<a/><b/>", "<a/>b", "b<a/>", "<p:a/>", "<a p:b=''/>", "<a>&b;</a>"]
    {
        assert!(matches!(Element::parse(text.as_bytes()), Err(ElementError::Malformed(_))), "{text}");
    }
    for text in ["<!-- --><a/>", "<?xml version='1.0'?><a/>", "<a><?b?></a>", "<!DOCTYPE a><a/>"] {
        assert!(matches!(Element::parse(text.as_bytes()), Err(ElementError::Malformed(_))), "{text}");
    }
    assert!(Element::parse(b"<a>\xff</a>").is_err());
    assert_eq!(Element::parse(b" <a/>\n"), Ok(Element::new("", "a")));
}
