//! Whether an element is the one that was expected.

use std::collections::BTreeMap;

use vesta_xmpp::{Element, ns};

/// What placeholders stand for.
#[derive(Clone, Default)]
pub(super) struct Bindings(BTreeMap<String, String>);

impl Bindings {
    /// Puts what they stand for into text that is to be sent.
    pub(super) fn fill(&self, text: &str) -> String {
        let mut filled = text.to_owned();
        for (name, value) in &self.0 {
            filled = filled.replace(&format!("{{{name}}}"), value);
        }
        filled
    }

    /// Whether `actual` is `expected`; a placeholder in it is bound to what stands in its place.
    fn value(&mut self, expected: &str, actual: &str) -> bool {
        let expected = self.fill(expected);
        let placeholder = expected.split_once('{').and_then(|(before, rest)| {
            let (name, after) = rest.split_once('}')?;
            Some((before, name, after))
        });
        let Some((before, name, after)) = placeholder else { return expected == actual };
        let middle = actual.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        match middle {
            None | Some("") => false,
            Some(value) => {
                if name != "_" {
                    self.0.insert(name.to_owned(), value.to_owned());
                }
                true
            }
        }
    }
}

/// How elements are compared.
#[derive(Clone, Copy)]
pub(super) struct Comparison<'a> {
    /// Whether there may be more than expected.
    pub at_least: bool,
    /// The recipient's full JID, which need not be written out.
    pub own: Option<&'a str>,
}

impl Comparison<'_> {
    /// Compares; binds placeholders only if all is as expected.
    pub(super) fn matches(self, expected: &Element, actual: &Element, bindings: &mut Bindings) -> bool {
        let mut tried = bindings.clone();
        let matches = self.element(expected, actual, &mut tried, true);
        if matches {
            *bindings = tried;
        }
        matches
    }

    fn element(self, expected: &Element, actual: &Element, bindings: &mut Bindings, top: bool) -> bool {
        expected.is(actual.namespace(), actual.name())
            && self.attributes(expected, actual, bindings, top)
            && bindings.text(expected, actual, self.at_least)
            && self.children(expected, actual, bindings)
    }

    fn attributes(self, expected: &Element, actual: &Element, bindings: &mut Bindings, top: bool) -> bool {
        let wanted = expected.attributes().all(|(namespace, name, value)| {
            actual.attribute_namespaced(namespace, name).is_some_and(|actual| bindings.value(value, actual))
        });
        wanted
            && actual.attributes().all(|(namespace, name, value)| {
                self.at_least
                    || expected.attribute_namespaced(namespace, name).is_some()
                    || (namespace, name) == (ns::XML, "lang")
                    || (top && (namespace, name) == ("", "to") && self.is_own(value))
            })
    }

    fn is_own(self, address: &str) -> bool {
        self.own.is_some_and(|own| own == address || own.split('/').next() == Some(address))
    }

    fn children(self, expected: &Element, actual: &Element, bindings: &mut Bindings) -> bool {
        if self.at_least {
            return expected.children().all(|wanted| {
                actual.children().any(|child| {
                    let mut tried = bindings.clone();
                    let matches = self.element(wanted, child, &mut tried, false);
                    if matches {
                        *bindings = tried;
                    }
                    matches
                })
            });
        }
        let is_told = expected.children().any(|child| child.is(ns::STANZA_ID, "stanza-id"));
        let actual: Vec<_> = actual.children().filter(|child| is_told || !self.is_own_id(child)).collect();
        expected.children().count() == actual.len()
            && expected.children().zip(actual).all(|(wanted, child)| self.element(wanted, child, bindings, false))
    }

    /// Whether this is the id that the recipient's archive gave (XEP-0359): only transcripts about that write it out.
    fn is_own_id(self, child: &Element) -> bool {
        child.is(ns::STANZA_ID, "stanza-id") && child.attribute("by").is_some_and(|by| self.is_own(by))
    }
}

impl Bindings {
    fn text(&mut self, expected: &Element, actual: &Element, at_least: bool) -> bool {
        let (expected, actual) = (expected.text(), actual.text());
        let (expected, actual) = (expected.trim(), actual.trim());
        (at_least && expected.is_empty()) || self.value(expected, actual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(expected: &str, actual: &str, at_least: bool) -> bool {
        let parse = |xml: &str| Element::parse(xml.as_bytes()).expect("well-formed");
        let comparison = Comparison { at_least, own: Some("a@b/c") };
        comparison.matches(&parse(expected), &parse(actual), &mut Bindings::default())
    }

    #[test]
    fn the_order_of_attributes_white_space_and_the_own_address_do_not_count() {
        assert!(compare("<a x='1' y='2'> <b/> </a>", "<a y='2' x='1' to='a@b'><b/></a>", false));
        assert!(!compare("<a/>", "<a to='x@y'/>", false));
        assert!(!compare("<a><b/><c/></a>", "<a><c/><b/></a>", false));
        assert!(!compare("<a xmlns='urn:x'/>", "<a/>", false));
        assert!(!compare("<a>x</a>", "<a>y</a>", false));
        assert!(!compare("<a/>", "<a x='1'/>", false));
    }

    #[test]
    fn the_id_of_the_own_archive_counts_only_where_it_is_told() {
        let id = |by: &str| format!("<a><b/><stanza-id xmlns='urn:xmpp:sid:0' by='{by}' id='7'/></a>");
        assert!(compare("<a><b/></a>", &id("a@b"), false));
        assert!(!compare("<a><b/></a>", &id("x@y"), false));
        assert!(compare(&id("a@b"), &id("a@b"), false));
        assert!(!compare(&id("a@b"), "<a><b/></a>", false));
    }

    #[test]
    fn at_least_allows_more() {
        assert!(compare("<a x='1'><c/></a>", "<a x='1' y='2'>text<b/><c/></a>", true));
        assert!(!compare("<a><d/></a>", "<a><b/><c/></a>", true));
    }

    #[test]
    fn a_placeholder_stands_for_the_same_everywhere() {
        assert!(compare("<a x='{id}' y='n-{id}'/>", "<a x='7' y='n-7'/>", false));
        assert!(!compare("<a x='{id}' y='n-{id}'/>", "<a x='7' y='n-8'/>", false));
        assert!(!compare("<a x='{id}'/>", "<a/>", false));
    }
}
