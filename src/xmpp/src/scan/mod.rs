//! The resumable strict scanner of a stream's bytes: the only guard between a peer's bytes and everything behind.
//!
//! [`Scanner`] takes bytes in any pieces and gives [`Item`]s: the stream's header, stanzas as [`Envelope`]s, other
//! first-level elements as trees, the stream's end. It holds bytes only while an item is incomplete.
//!
//! | file | subject |
//! |---|---|
//! | `scanner` | pieces of bytes in, items out |
//! | `walk` | the way through one first-level element, token by token |
//! | `token` | where a token ends, when it comes in pieces |
//! | `tag` | a start tag taken apart |
//! | `scope` | namespaces in scope |
//! | `characters`, `reference` | which characters and references may stand where |
//! | `stream` | the XML declaration and the stream's header |
//! | `stanza` | from a walked element to an envelope, or to the stanza error that answers it |
//! | `asserted` | what only a server may say, taken out |
//!
//! Three decisions. A byte sequence is accepted or refused, and with the same error, however it is cut into pieces: each
//! token is judged only once it is complete. Prefixes that only the stream's header declares are declared again on the stanza
//! that uses them ([`Envelope::attributes`]), so that each stanza stands alone. A stanza whose own name is written with a
//! prefix loses it where its default namespace is the content namespace, too; otherwise it is refused with
//! `bad-namespace-prefix`, since its content could not be written behind a start tag of ours.

mod asserted;
mod characters;
mod reference;
mod scanner;
mod scope;
mod stanza;
mod stream;
mod tag;
#[cfg(test)]
mod tests;
mod token;
mod walk;

pub use scanner::Scanner;

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
    /// Namespace declarations in scope at one place, those of the stream's header included. At most 64.
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
    /// The attribute `to`, unescaped, not prepared.
    pub to: Option<String>,
    /// The attribute `from`, unescaped, not prepared.
    pub from: Option<String>,
    /// The attribute `id`.
    pub id: Option<String>,
    /// The attribute `version`, as written.
    pub version: Option<String>,
    /// The attribute `xml:lang`.
    pub lang: Option<String>,
    /// The content namespace of the stream: its default namespace. `jabber:client` where the default is the stream's own
    /// (the prefix-free style of RFC 6120 §4.8.5).
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
    /// Well-formed XML that is no stream of stanzas.
    #[error("this is no XML stream: {0}")]
    BadFormat(&'static str),
    /// The stream's element lacks the prefix that it needs, or a stanza has one that it cannot do without.
    #[error("a prefix is missing, or one is used that is not supported there")]
    BadNamespacePrefix,
    /// A first-level element in the content namespace that is no stanza.
    #[error("a first-level element that is no stanza")]
    UnsupportedStanzaType,
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
            ScanError::BadNamespacePrefix => StreamCondition::BadNamespacePrefix,
            ScanError::UnsupportedStanzaType => StreamCondition::UnsupportedStanzaType,
        };
        StreamError::new(condition).with_text(error.to_string())
    }
}
