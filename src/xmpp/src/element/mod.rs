//! A small tree of XML, for payloads that somebody has to read or build.
//!
//! Stanzas that are only passed on never become one. The parser is quick-xml's `NsReader`: lax in places, hence never the
//! first guard, but only for bytes that [`crate::scan`] has accepted or that this server wrote itself.

mod parse;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::escape_into;

/// Why bytes are no tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElementError {
    /// Not well-formed, or more than one root.
    #[error("the XML cannot be read: {0}")]
    Malformed(String),
    /// Deeper than [`DEPTH_MAX`].
    #[error("the XML is nested too deep")]
    TooDeep,
}

/// How deep a tree may be nested: as deep as a scanned stanza, and what others wrap it in (forwarding, archives).
pub const DEPTH_MAX: usize = 80;

/// An element with its namespace resolved. Prefixes are gone: what it was called on the wire does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    namespace: Box<str>,
    name: Box<str>,
    attributes: Vec<Attribute>,
    children: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Attribute {
    /// Empty for attributes without prefix.
    namespace: Box<str>,
    name: Box<str>,
    value: Box<str>,
}

/// A child of an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// An element.
    Element(Element),
    /// Character data, unescaped.
    Text(String),
}

impl Element {
    /// An empty element.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into(), attributes: Vec::new(), children: Vec::new() }
    }

    /// Adds an attribute without namespace.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.set(name, value);
        self
    }

    /// Adds an attribute without namespace where `value` is there.
    #[must_use]
    pub fn with_optional(self, name: &str, value: Option<impl AsRef<str>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds a child.
    #[must_use]
    pub fn with_child(mut self, child: Element) -> Self {
        self.children.push(Node::Element(child));
        self
    }

    /// Adds children.
    #[must_use]
    pub fn with_children(mut self, children: impl IntoIterator<Item = Element>) -> Self {
        self.children.extend(children.into_iter().map(Node::Element));
        self
    }

    /// Adds character data.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.children.push(Node::Text(text.into()));
        self
    }

    /// Sets an attribute without namespace.
    pub fn set(&mut self, name: &str, value: impl AsRef<str>) {
        self.set_namespaced("", name, value.as_ref());
    }

    /// Sets an attribute in a namespace (`""`: none).
    pub fn set_namespaced(&mut self, namespace: &str, name: &str, value: &str) {
        match self.attributes.iter_mut().find(|it| *it.namespace == *namespace && *it.name == *name) {
            Some(attribute) => attribute.value = value.into(),
            None => {
                self.attributes.push(Attribute { namespace: namespace.into(), name: name.into(), value: value.into() });
            }
        }
    }

    /// Adds a child.
    pub fn push(&mut self, child: Element) {
        self.children.push(Node::Element(child));
    }

    /// The namespace's URI, empty for none.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The local name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Compares namespace and name.
    pub fn is(&self, namespace: &str, name: &str) -> bool {
        *self.namespace == *namespace && *self.name == *name
    }

    /// The value of an attribute without namespace.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attribute_namespaced("", name)
    }

    /// The value of an attribute in a namespace.
    pub fn attribute_namespaced(&self, namespace: &str, name: &str) -> Option<&str> {
        self.attributes.iter().find(|it| *it.namespace == *namespace && *it.name == *name).map(|it| &*it.value)
    }

    /// All attributes as (namespace, name, value).
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.attributes.iter().map(|it| (&*it.namespace, &*it.name, &*it.value))
    }

    /// All children.
    pub fn nodes(&self) -> &[Node] {
        &self.children
    }

    /// The child elements.
    pub fn children(&self) -> impl Iterator<Item = &Element> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(child) => Some(child),
            Node::Text(_) => None,
        })
    }

    /// The first child with this namespace and name.
    pub fn child(&self, namespace: &str, name: &str) -> Option<&Element> {
        self.children().find(|child| child.is(namespace, name))
    }

    /// Takes the first child with this namespace and name out.
    pub fn take_child(&mut self, namespace: &str, name: &str) -> Option<Element> {
        let at = self.children.iter().position(|node| matches!(node, Node::Element(it) if it.is(namespace, name)))?;
        match self.children.remove(at) {
            Node::Element(child) => Some(child),
            Node::Text(_) => None,
        }
    }

    /// The element's own character data, joined.
    pub fn text(&self) -> String {
        self.children
            .iter()
            .filter_map(|node| match node {
                Node::Text(text) => Some(text.as_str()),
                Node::Element(_) => None,
            })
            .collect()
    }

    /// Reads one element that stands alone.
    ///
    /// # Errors
    /// Bytes that no scan has accepted.
    pub fn parse(bytes: &[u8]) -> Result<Self, ElementError> {
        parse::parse(bytes)
    }

    /// Writes the element into a place whose default namespace is `outer`. Namespaces are declared where they change;
    /// attributes in namespaces get generated prefixes.
    pub fn write(&self, out: &mut Vec<u8>, outer: &str) {
        out.push(b'<');
        out.extend_from_slice(self.name.as_bytes());
        if *self.namespace != *outer {
            write_attribute(out, "xmlns", &self.namespace);
        }
        for (at, attribute) in self.attributes.iter().enumerate() {
            match &*attribute.namespace {
                "" => write_attribute(out, &attribute.name, &attribute.value),
                crate::ns::XML => write_attribute(out, &format!("xml:{}", attribute.name), &attribute.value),
                namespace => {
                    write_attribute(out, &format!("xmlns:a{at}"), namespace);
                    write_attribute(out, &format!("a{at}:{}", attribute.name), &attribute.value);
                }
            }
        }
        if self.children.is_empty() {
            out.extend_from_slice(b"/>");
            return;
        }
        out.push(b'>');
        for child in &self.children {
            match child {
                Node::Element(child) => child.write(out, &self.namespace),
                Node::Text(text) => escape_into(out, text),
            }
        }
        out.extend_from_slice(b"</");
        out.extend_from_slice(self.name.as_bytes());
        out.push(b'>');
    }

    /// [`Element::write`] into bytes of its own.
    pub fn to_bytes(&self, outer: &str) -> Bytes {
        let mut out = Vec::with_capacity(128);
        self.write(&mut out, outer);
        out.into()
    }
}

fn write_attribute(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"='");
    escape_into(out, value);
    out.push(b'\'');
}
