//! The stream around the stanzas: its XML declaration, its start tag, and what that leaves behind (RFC 6120 §4.7, §4.8).

use super::characters::{as_text, is_space, spaces};
use super::scope::Scope;
use super::tag::{Role, Tag};
use super::{ScanError, StreamHeader};
use crate::ns;

/// The content namespace of a stream (RFC 6120 §4.8.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Content {
    /// There is no stream around: before its header, or for a stanza that stands alone.
    #[default]
    None,
    Client,
    Server,
}

impl Content {
    pub(super) fn from_namespace(namespace: &[u8]) -> Option<Self> {
        [Content::Client, Content::Server].into_iter().find(|content| content.namespace().as_bytes() == namespace)
    }

    pub(super) fn namespace(self) -> &'static str {
        match self {
            Content::None => "",
            Content::Client => ns::CLIENT,
            Content::Server => ns::SERVER,
        }
    }
}

/// What a stream's header leaves behind for its stanzas. The usual header leaves nothing on the heap.
#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) content: Content,
    /// RFC 6120 §4.7.4.
    pub(super) lang: Option<Box<str>>,
    /// The stream's namespace is the default, each stanza declares its own (the prefix-free style of RFC 6120 §4.8.5).
    prefix_free: bool,
    /// The prefix `stream` is bound to the stream's namespace.
    usual_prefix: bool,
    /// The other prefixes, with their namespaces.
    other_prefixes: Box<[(Box<str>, Box<str>)]>,
    /// The name of the stream's element, unless it is `stream:stream`.
    unusual_name: Option<Box<str>>,
}

impl Stream {
    /// The default namespace of first-level elements, empty for none.
    pub(super) fn default_namespace(&self) -> &'static str {
        if self.prefix_free { ns::STREAM } else { self.content.namespace() }
    }

    /// The prefixes bound on the header, with their namespaces.
    pub(super) fn prefixes(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        let others = self.other_prefixes.len();
        (0..others + usize::from(self.usual_prefix)).map(move |number| match self.other_prefixes.get(number) {
            Some((prefix, namespace)) => (&**prefix, &**namespace),
            None => ("stream", ns::STREAM),
        })
    }

    /// Whether `tag`, complete, is the end tag of the stream's element.
    pub(super) fn is_ended_by(&self, tag: &[u8]) -> bool {
        let name = self.unusual_name.as_deref().unwrap_or("stream:stream");
        let behind = tag.strip_prefix(b"</").and_then(|tag| tag.strip_prefix(name.as_bytes()));
        behind.is_some_and(|behind| behind[spaces(behind)..] == *b">")
    }

    /// Takes the start tag of a stream. `namespace` is its element's, `scope` what it has declared.
    pub(super) fn open(
        tag: &Tag,
        namespace: &[u8],
        scope: &Scope,
        bytes: &[u8],
    ) -> Result<(Self, StreamHeader), ScanError> {
        let is_named_stream = tag.name.local(bytes) == b"stream";
        if namespace != ns::STREAM.as_bytes() {
            let lacks_prefix = is_named_stream && Content::from_namespace(namespace).is_some();
            return Err(if lacks_prefix { ScanError::BadNamespacePrefix } else { ScanError::InvalidNamespace });
        }
        if !is_named_stream || tag.empty {
            return Err(ScanError::BadFormat("the first element is not <stream:stream>"));
        }
        let around = Stream::default();
        let default = scope.default_namespace(bytes, &around);
        let prefix_free = default == ns::STREAM.as_bytes();
        let content = match Content::from_namespace(default) {
            Some(content) => content,
            // Which namespace its stanzas will declare is not known yet; servers always write it on the header.
            None if prefix_free => Content::Client,
            None => return Err(ScanError::InvalidNamespace),
        };
        let mut stream = Self { content, prefix_free, ..Self::default() };
        let mut header = StreamHeader { content_namespace: content.namespace().into(), ..StreamHeader::default() };
        let mut others = Vec::new();
        for attribute in &tag.attributes {
            let value = attribute.unescaped(bytes)?.into_owned();
            match (attribute.role, attribute.name.whole.of(bytes)) {
                (Role::DeclaresPrefix, b"xmlns:stream") if value == ns::STREAM => stream.usual_prefix = true,
                (Role::DeclaresPrefix, _) => {
                    others.push((as_text(attribute.name.local(bytes))?.into(), value.into()));
                }
                (Role::Attribute, b"to") => header.to = Some(value),
                (Role::Attribute, b"from") => header.from = Some(value),
                (Role::Attribute, b"id") => header.id = Some(value),
                (Role::Attribute, b"version") => header.version = Some(value),
                (Role::Attribute, b"xml:lang") => header.lang = Some(value),
                (Role::Attribute | Role::DeclaresDefault, _) => {}
            }
        }
        stream.other_prefixes = others.into();
        stream.lang = header.lang.as_deref().map(Into::into);
        let name = as_text(tag.name.whole.of(bytes))?;
        stream.unusual_name = (name != "stream:stream").then(|| name.into());
        Ok((stream, header))
    }
}

/// Reads the XML declaration whose `<?` stands at the front of `bytes`, and returns its length (XML 1.0 §2.8). `Ok(None)`:
/// not complete. Each call reads from the front; [`DECLARATION_BYTES_MAX`] bounds what that costs.
pub(super) fn read_declaration(bytes: &[u8]) -> Result<Option<usize>, ScanError> {
    let length = bytes.len().min(DECLARATION_START.len());
    if bytes[..length] != DECLARATION_START[..length] || bytes.get(length).is_some_and(|&byte| !is_space(byte)) {
        return Err(ScanError::Restricted("a processing instruction"));
    }
    let within = &bytes[..bytes.len().min(DECLARATION_BYTES_MAX)];
    match memchr::memmem::find(within, b"?>") {
        Some(end) => check_declaration(&bytes[length..end]).map(|()| Some(end + 2)),
        None if within.len() == DECLARATION_BYTES_MAX => Err(ScanError::Limit("bytes of the XML declaration")),
        None => Ok(None),
    }
}

/// Checks what stands between `<?xml` and `?>`.
fn check_declaration(inside: &[u8]) -> Result<(), ScanError> {
    const MALFORMED: ScanError = ScanError::NotWellFormed("the XML declaration is malformed");
    let (version, rest) = pseudo_attribute(inside, b"version").ok_or(MALFORMED)?;
    if version != b"1.0" {
        return Err(ScanError::NotWellFormed("the version of XML is not 1.0"));
    }
    let mut rest = rest;
    if let Some((encoding, behind)) = pseudo_attribute(rest, b"encoding") {
        if !encoding.eq_ignore_ascii_case(b"UTF-8") {
            return Err(ScanError::Encoding);
        }
        rest = behind;
    }
    if let Some((standalone, behind)) = pseudo_attribute(rest, b"standalone") {
        if standalone != b"yes" && standalone != b"no" {
            return Err(MALFORMED);
        }
        rest = behind;
    }
    if spaces(rest) == rest.len() { Ok(()) } else { Err(MALFORMED) }
}

/// Splits ` name = "value"` off the front.
fn pseudo_attribute<'a>(bytes: &'a [u8], name: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let trim = |bytes: &'a [u8]| &bytes[spaces(bytes)..];
    if spaces(bytes) == 0 {
        return None;
    }
    let behind = trim(trim(bytes).strip_prefix(name)?).strip_prefix(b"=")?;
    let (&quote, behind) = trim(behind).split_first()?;
    if quote != b'\'' && quote != b'"' {
        return None;
    }
    let end = memchr::memchr(quote, behind)?;
    Some((&behind[..end], &behind[end + 1..]))
}

const DECLARATION_START: &[u8] = b"<?xml";
const DECLARATION_BYTES_MAX: usize = 256;
