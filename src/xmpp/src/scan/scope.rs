//! Namespaces in scope at one place of an item (Namespaces in XML 1.0).
//!
//! Few are ever in scope ([`Limits::declarations`]), so that a list searched from its end is both the simplest and the
//! fastest table.

use smallvec::SmallVec;

use super::stream::Stream;
use super::tag::{QName, Role, Span, Tag};
use super::{Limits, ScanError};
use crate::ns;

/// Where a namespace is found. Valid while the declaring element is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// In no namespace.
    #[default]
    None,
    /// The prefix `xml`, which nobody has to declare.
    Xml,
    /// The default namespace of the stream's header.
    StreamDefault,
    /// A prefix of the stream's header, by its number.
    Stream(usize),
    /// Declared in the item itself, by its number.
    Own(usize),
}

#[derive(Debug)]
struct Binding {
    /// Empty for the default namespace.
    prefix: Span,
    namespace: Namespace,
}

#[derive(Debug)]
enum Namespace {
    /// As it stands in the item's bytes.
    Written(Span),
    /// Its references resolved.
    Unescaped(Box<[u8]>),
}

impl Namespace {
    fn of<'a>(&'a self, bytes: &'a [u8]) -> &'a [u8] {
        match self {
            Namespace::Written(span) => span.of(bytes),
            Namespace::Unescaped(namespace) => namespace,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Scope {
    bindings: SmallVec<[Binding; 4]>,
    /// A bit for each prefix of the stream's header that the item uses.
    stream_used: u64,
}

impl Scope {
    /// How many declarations are in scope: what [`Scope::leave`] is told at the end of the element that is about to begin.
    pub(super) fn len(&self) -> usize {
        self.bindings.len()
    }

    /// Leaves an element: `len` declarations remain.
    pub(super) fn leave(&mut self, len: usize) {
        self.bindings.truncate(len);
    }

    /// Enters the element that `tag` starts: takes its declarations, finds its namespace, and checks that every prefix is
    /// declared and no attribute has the same expanded name as another.
    pub(super) fn enter(
        &mut self,
        tag: &Tag,
        bytes: &[u8],
        stream: &Stream,
        limits: &Limits,
    ) -> Result<Place, ScanError> {
        if tag.declares {
            self.declare(tag, bytes, stream, limits)?;
        }
        if tag.has_prefixed {
            self.check_attributes(tag, bytes, stream)?;
        }
        self.find(tag.name, bytes, stream)
    }

    fn declare(&mut self, tag: &Tag, bytes: &[u8], stream: &Stream, limits: &Limits) -> Result<(), ScanError> {
        // `stream_used` has room for 64.
        let limit = limits.declarations.min(64);
        for attribute in &tag.attributes {
            let prefix = match attribute.role {
                Role::Attribute => continue,
                Role::DeclaresDefault => Span::default(),
                Role::DeclaresPrefix => attribute.name.local_span(),
            };
            if self.bindings.len() + stream.prefixes().len() >= limit {
                return Err(ScanError::Limit("namespace declarations"));
            }
            let namespace = if attribute.plain {
                Namespace::Written(attribute.value)
            } else {
                Namespace::Unescaped(attribute.unescaped(bytes)?.as_bytes().into())
            };
            check_declaration(prefix.of(bytes), namespace.of(bytes))?;
            self.bindings.push(Binding { prefix, namespace });
        }
        Ok(())
    }

    /// The namespace of the element with this name. Without a prefix, the default namespace.
    fn find(&mut self, name: QName, bytes: &[u8], stream: &Stream) -> Result<Place, ScanError> {
        let prefix = name.prefix(bytes);
        let place = self.locate(prefix, bytes, stream).ok_or(ScanError::NotWellFormed("a prefix is not declared"))?;
        if let Place::Stream(number) = place {
            self.stream_used |= 1 << number;
        }
        Ok(place)
    }

    fn locate(&self, prefix: &[u8], bytes: &[u8], stream: &Stream) -> Option<Place> {
        if let Some(number) = self.bindings.iter().rposition(|binding| binding.prefix.of(bytes) == prefix) {
            return Some(Place::Own(number));
        }
        match prefix {
            b"" => Some(Place::StreamDefault),
            b"xml" => Some(Place::Xml),
            _ => stream.prefixes().position(|declared| declared.0.as_bytes() == prefix).map(Place::Stream),
        }
    }

    /// The default namespace here.
    pub(super) fn default_namespace<'a>(&'a self, bytes: &'a [u8], stream: &'a Stream) -> &'a [u8] {
        self.namespace(self.locate(b"", bytes, stream).unwrap_or_default(), bytes, stream)
    }

    /// The namespace found at `place`, empty for none.
    pub(super) fn namespace<'a>(&'a self, place: Place, bytes: &'a [u8], stream: &'a Stream) -> &'a [u8] {
        match place {
            Place::None => b"",
            Place::Xml => ns::XML.as_bytes(),
            Place::StreamDefault => stream.default_namespace().as_bytes(),
            Place::Stream(number) => stream.prefixes().nth(number).map_or(b"", |declared| declared.1.as_bytes()),
            Place::Own(number) => self.bindings[number].namespace.of(bytes),
        }
    }

    /// The prefixes of the stream's header that the item has used, with their namespaces.
    pub(super) fn used_of<'a>(&self, stream: &'a Stream) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let used = self.stream_used;
        stream.prefixes().enumerate().filter(move |(number, _)| used & (1 << number) != 0).map(|(_, declared)| declared)
    }

    /// Quadratic among the attributes with a prefix, which [`Limits::attributes`] bounds.
    fn check_attributes(&mut self, tag: &Tag, bytes: &[u8], stream: &Stream) -> Result<(), ScanError> {
        let mut seen = SmallVec::<[(Place, &[u8]); 8]>::new();
        for attribute in &tag.attributes {
            if attribute.role != Role::Attribute || !attribute.name.has_prefix() {
                continue;
            }
            let place = self.find(attribute.name, bytes, stream)?;
            let namespace = self.namespace(place, bytes, stream);
            let local = attribute.name.local(bytes);
            if seen.iter().any(|&(other, name)| name == local && self.namespace(other, bytes, stream) == namespace) {
                return Err(ScanError::NotWellFormed("an attribute stands twice, by two prefixes"));
            }
            seen.push((place, local));
        }
        Ok(())
    }
}

/// Namespaces in XML 1.0 §3, §5: what nobody may declare. `prefix` is empty for the default namespace.
fn check_declaration(prefix: &[u8], namespace: &[u8]) -> Result<(), ScanError> {
    const XML: &[u8] = ns::XML.as_bytes();
    const XMLNS: &[u8] = ns::XMLNS.as_bytes();
    match (prefix, namespace) {
        (b"xml", XML) => Ok(()),
        (b"xml" | b"xmlns", _) | (_, XML | XMLNS) => {
            Err(ScanError::NotWellFormed("a declaration of a reserved prefix or namespace"))
        }
        (b"", _) => Ok(()),
        (_, b"") => Err(ScanError::NotWellFormed("a prefix is declared as nothing")),
        _ => Ok(()),
    }
}
