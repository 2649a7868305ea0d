//! The resumable strict scanner of a stream's bytes: the only guard between a peer's bytes and everything behind.
//!
//! [`Scanner`] takes bytes in any pieces and gives [`Item`]s: the stream's header, stanzas as [`Envelope`]s, other
//! first-level elements as trees, the stream's end. It holds bytes only while an item is incomplete.

use crate::element::Element;
use crate::envelope::{Envelope, StanzaType};
use crate::stanza_error::StanzaError;
use crate::stream_error::StreamError;

/// What bounds a peer (threats T2, T5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest first-level element, in bytes.
    pub stanza_bytes: usize,
    /// How deep elements may be nested, the stream's own element not counted.
    pub depth: usize,
    /// Attributes of one element, namespace declarations included.
    pub attributes: usize,
    /// Namespace declarations in scope at one place.
    pub declarations: usize,
    /// The longest element or attribute name, in bytes.
    pub name_bytes: usize,
}

impl Limits {
    /// Before authentication: 10,000 bytes (RFC 6120 §13.12 wants at least that).
    pub const BEFORE_AUTHENTICATION: Limits =
        Limits { stanza_bytes: 10_000, depth: 64, attributes: 64, declarations: 32, name_bytes: 256 };
    /// After authentication: 256 KiB.
    pub const AUTHENTICATED: Limits = Limits { stanza_bytes: 256 * 1024, ..Self::BEFORE_AUTHENTICATION };
}

/// The start tag of a stream (RFC 6120 §4.7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamHeader {
    /// The attribute `to`, as written.
    pub to: Option<String>,
    /// The attribute `from`, as written.
    pub from: Option<String>,
    /// The attribute `id`.
    pub id: Option<String>,
    /// The attribute `version`, as written.
    pub version: Option<String>,
    /// The attribute `xml:lang`.
    pub lang: Option<String>,
    /// The default namespace: the content namespace of the stream.
    pub content_namespace: String,
}

/// A well-formed first-level element of a stanza's name that is no stanza: to be answered, the stream goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The kind, where it could be told.
    pub kind: StanzaType,
    /// The attribute `id`.
    pub id: Option<Box<str>>,
    /// The attribute `to` as written, for the error's `from`, where it is a JID.
    pub to: Option<crate::Jid>,
    /// What to answer: `jid-malformed`, `bad-request`.
    pub error: StanzaError,
}

/// What a scan yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// The stream's start tag.
    Open(StreamHeader),
    /// A stanza in the stream's content namespace.
    Stanza(Envelope),
    /// Something that would be a stanza but for an address or attribute.
    Rejected(Rejected),
    /// Another first-level element: negotiation, stream management.
    Element(Element),
    /// The stream's end tag.
    Close,
}

/// Why a stream's bytes can't be read on. The stream ends with the [`StreamError`] it becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// Not well-formed by XML 1.0 or Namespaces in XML 1.0.
    #[error("the XML is not well-formed: {0}")]
    NotWellFormed(&'static str),
    /// Well-formed XML that XMPP forbids (RFC 6120 §11.1).
    #[error("the XML holds what XMPP forbids: {0}")]
    Restricted(&'static str),
    /// Bytes that are not UTF-8.
    #[error("the bytes are not UTF-8")]
    Encoding,
    /// One of [`Limits`] was passed.
    #[error("a limit was passed: {0}")]
    Limit(&'static str),
    /// The stream's namespace is not that of RFC 6120 §4.8.1, or its content namespace is unknown.
    #[error("the stream has a wrong namespace")]
    InvalidNamespace,
    /// The stream's element does not use the prefix its namespace is bound to, or is no `stream`.
    #[error("the stream's element is not <stream:stream>")]
    BadFormat(&'static str),
    /// A first-level element in the content namespace that is no stanza.
    #[error("a first-level element that is no stanza")]
    UnsupportedStanzaType,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Scanner {
    limits: Limits,
}

impl Scanner {
    /// A scanner at the start of a stream, before its header.
    pub fn new(limits: Limits) -> Self {
        Self { limits }
    }

    /// Takes new limits from the next first-level element on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Reads from the front of `input` and takes away what it has read. `Ok(None)`: all input is read and the next item is
    /// not complete. Call again with the same slice until then.
    ///
    /// # Errors
    /// The stream's bytes are at fault; the scanner must not be used any more.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Item>, ScanError> {
        let _ = input;
        Err(ScanError::NotWellFormed("not written yet"))
    }
}

impl From<ScanError> for StreamError {
    fn from(error: ScanError) -> Self {
        use crate::stream_error::StreamCondition;
        let condition = match error {
            ScanError::NotWellFormed(_) => StreamCondition::NotWellFormed,
            ScanError::Restricted(_) => StreamCondition::RestrictedXml,
            ScanError::Encoding => StreamCondition::UnsupportedEncoding,
            ScanError::Limit(_) => StreamCondition::PolicyViolation,
            ScanError::InvalidNamespace => StreamCondition::InvalidNamespace,
            ScanError::BadFormat(_) => StreamCondition::BadFormat,
            ScanError::UnsupportedStanzaType => StreamCondition::UnsupportedStanzaType,
        };
        StreamError::new(condition).with_text(error.to_string())
    }
}
