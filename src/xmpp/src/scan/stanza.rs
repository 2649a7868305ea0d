//! From a first-level element that the walk has passed to an [`Envelope`], or to the stanza error that answers it.

use std::borrow::Cow;

use bytes::Bytes;

use super::asserted::asserts;
use super::characters::as_text;
use super::scope::Scope;
use super::stream::{Content, Stream};
use super::tag::{Span, Tag};
use super::{Item, Rejected, ScanError};
use crate::envelope::{Flags, IqType, Name, PresenceType, StanzaType};
use crate::stanza_error::{Condition, StanzaError};
use crate::{Envelope, Jid, escape_into, ns};

/// The three stanzas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Presence,
    Iq,
}

impl Kind {
    pub(super) fn from_name(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"message" => Kind::Message,
            b"presence" => Kind::Presence,
            b"iq" => Kind::Iq,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Message => "message",
            Kind::Presence => "presence",
            Kind::Iq => "iq",
        }
    }

    /// The type that a stanza is answered as when its own cannot be told.
    fn answerable(self) -> StanzaType {
        match self {
            Kind::Message => StanzaType::Message(crate::MessageType::Normal),
            Kind::Presence => StanzaType::Presence(PresenceType::Available),
            Kind::Iq => StanzaType::Iq(IqType::Get),
        }
    }
}

/// What is gathered about a stanza while its children pass by.
#[derive(Debug)]
pub(super) struct Summary {
    kind: Kind,
    content: Content,
    flags: Flags,
    payload: Option<Name>,
    children: usize,
}

impl Summary {
    pub(super) fn new(kind: Kind, content: Content) -> Self {
        Self { kind, content, flags: Flags::default(), payload: None, children: 0 }
    }

    /// Takes note of a child of the stanza.
    pub(super) fn see(&mut self, namespace: &[u8], tag: &Tag, bytes: &[u8]) -> Result<(), ScanError> {
        let namespace = as_text(namespace)?;
        let name = tag.name.local(bytes);
        let own = namespace == self.content.namespace();
        self.children += 1;
        // An IQ's payload decides who answers, whatever its namespace: RFC 6120 §8.2.3.
        let is_payload = if self.kind == Kind::Iq { !(own && name == b"error") } else { !own };
        if is_payload && self.payload.is_none() {
            self.payload = Some(Name::new(namespace, as_text(name)?));
        }
        self.flags.set(if own { own_flags(name) } else { foreign_flags(namespace, name) });
        if self.kind != Kind::Iq && asserts(namespace, tag, bytes, |_| true) {
            self.flags.set(Flags::ASSERTED);
        }
        Ok(())
    }

    /// The envelope of a stanza with this start tag and content, or why it is refused.
    pub(super) fn finish(
        self,
        root: &Tag,
        content: Span,
        bytes: &[u8],
        scope: &Scope,
        stream: &Stream,
    ) -> Result<Item, ScanError> {
        let fields = Fields::read(root, bytes)?;
        let to = fields.to.as_deref().map(Jid::parse);
        let from = fields.from.as_deref().map(Jid::parse);
        let kind = StanzaType::from_names(self.kind.name(), fields.kind.as_deref());
        let id: Option<Box<str>> = fields.id.map(Into::into);
        let reject = |condition, text: &str, to: Option<Jid>, id| {
            let kind = kind.unwrap_or(self.kind.answerable());
            Ok(Item::Rejected(Rejected { kind, id, to, error: StanzaError::new(condition).with_text(text) }))
        };
        let (to, from) = match (to.transpose(), from.transpose()) {
            (Ok(to), Ok(from)) => (to, from),
            (Err(error), _) => return reject(Condition::JidMalformed, &format!("to: {error}"), None, id),
            (Ok(to), Err(error)) => return reject(Condition::JidMalformed, &format!("from: {error}"), to, id),
        };
        let Some(kind) = kind else {
            return reject(Condition::BadRequest, "a type that this stanza cannot have", to, id);
        };
        if let StanzaType::Iq(kind) = kind {
            if id.is_none() {
                return reject(Condition::BadRequest, "an IQ needs an id", to, id);
            }
            if matches!(kind, IqType::Get | IqType::Set) && self.children != 1 {
                return reject(Condition::BadRequest, "a get or set has exactly one child", to, id);
            }
        }
        Ok(Item::Stanza(Envelope {
            kind,
            from,
            to,
            id,
            lang: fields.lang.map(Into::into).or_else(|| stream.lang.clone()),
            payload: self.payload,
            flags: self.flags,
            logged: 0,
            attributes: other_attributes(root, bytes, scope, stream),
            content: Bytes::copy_from_slice(content.of(bytes)),
        }))
    }
}

/// The attributes that become fields of the envelope.
#[derive(Default)]
struct Fields<'a> {
    to: Option<Cow<'a, str>>,
    from: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
    kind: Option<Cow<'a, str>>,
    lang: Option<Cow<'a, str>>,
}

impl<'a> Fields<'a> {
    fn read(tag: &Tag, bytes: &'a [u8]) -> Result<Self, ScanError> {
        let mut fields = Self::default();
        for attribute in &tag.attributes {
            let field = match attribute.name.whole.of(bytes) {
                b"to" => &mut fields.to,
                b"from" => &mut fields.from,
                b"id" => &mut fields.id,
                b"type" => &mut fields.kind,
                b"xml:lang" => &mut fields.lang,
                _ => continue,
            };
            *field = Some(attribute.unescaped(bytes)?);
        }
        Ok(fields)
    }
}

/// The attributes that do not become fields, as written; then the prefixes that only the stream's header declares.
fn other_attributes(tag: &Tag, bytes: &[u8], scope: &Scope, stream: &Stream) -> Bytes {
    let mut others = Vec::new();
    for attribute in &tag.attributes {
        let name = attribute.name.whole.of(bytes);
        if !matches!(name, b"to" | b"from" | b"id" | b"type" | b"xml:lang" | b"xmlns") {
            others.push(b' ');
            others.extend_from_slice(attribute.whole().of(bytes));
        }
    }
    declare_used(&mut others, scope, stream);
    others.into()
}

/// Appends a declaration, with a space before it, for each prefix of the stream's header that an item has used.
pub(super) fn declare_used(out: &mut Vec<u8>, scope: &Scope, stream: &Stream) {
    for (prefix, namespace) in scope.used_of(stream) {
        out.extend_from_slice(b" xmlns:");
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(b"='");
        escape_into(out, namespace);
        out.push(b'\'');
    }
}

fn own_flags(name: &[u8]) -> Flags {
    match name {
        b"body" => Flags::BODY,
        b"thread" => Flags::THREAD,
        b"subject" => Flags::SUBJECT,
        _ => Flags::default(),
    }
}

fn foreign_flags(namespace: &str, name: &[u8]) -> Flags {
    match (namespace, name) {
        (ns::HINTS, b"store") => Flags::STORE,
        (ns::HINTS, b"no-store") => Flags::NO_STORE,
        (ns::HINTS, b"no-permanent-store") => Flags::NO_PERMANENT_STORE,
        (ns::HINTS, b"no-copy") => Flags::NO_COPY,
        (ns::HINTS, _) => Flags::default(),
        (ns::CHAT_STATES, _) => Flags::CHAT_STATE,
        (ns::RECEIPTS, _) => Flags::RECEIPT,
        (ns::MARKERS, _) => Flags::MARKER,
        (ns::CARBONS, b"private") => Flags::PRIVATE,
        (ns::DELAY, _) => Flags::DELAY,
        (ns::STANZA_ID, b"origin-id") => Flags::ORIGIN_ID,
        (ns::MUC_USER, b"x") => Flags::MUC_USER | Flags::OTHER,
        _ if is_content(namespace) => Flags::CONTENT | Flags::OTHER,
        _ => Flags::OTHER,
    }
}

/// [`Flags::CONTENT`].
fn is_content(namespace: &str) -> bool {
    const CONTENT: [&str; 8] = [
        ns::CORRECTION,
        ns::DIRECT_INVITATION,
        ns::ENCRYPTION,
        ns::OMEMO,
        ns::OMEMO_LEGACY,
        ns::OPENPGP,
        ns::REACTIONS,
        ns::RETRACTION,
    ];
    CONTENT.contains(&namespace)
}
