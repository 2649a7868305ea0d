//! A stanza in transit (RFC 6120 §8): what routing needs as fields, the content as bytes.
//!
//! The stanza's own start tag is taken apart once, at the edge, and written anew from the fields when it leaves: so `from`
//! can be stamped and `to` be written for each recipient without touching the content. [`Envelope::content`] is everything
//! between the start tag and the end tag, as the sender wrote it, already scanned ([`crate::scan`]).

use bytes::Bytes;

use crate::element::{Element, ElementError};
use crate::stanza_error::StanzaError;
use crate::{BareJid, Jid, escape_into, ns};

/// Kind and `type` of a stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StanzaType {
    /// `<message/>`
    Message(MessageType),
    /// `<presence/>`
    Presence(PresenceType),
    /// `<iq/>`
    Iq(IqType),
}

macro_rules! types {
    ($(#[$meta:meta])* $enum:ident { $($(#[$doc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $enum { $($(#[$doc])* $variant,)* }

        impl $enum {
            /// Every type.
            pub const ALL: &[$enum] = &[$($enum::$variant,)*];

            /// The value of the attribute `type`.
            pub fn name(self) -> &'static str {
                match self { $($enum::$variant => $name,)* }
            }

            /// The type with this attribute value.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some($enum::$variant),)* _ => None }
            }
        }
    };
}

types! {
    /// RFC 6121 §5.2.2. A value that is not known counts as `normal`.
    MessageType {
        /// The default; written without attribute.
        Normal = "normal",
        /// One-to-one chat.
        Chat = "chat",
        /// A room's chat.
        Groupchat = "groupchat",
        /// News to which no reply is expected.
        Headline = "headline",
        /// An error that answers a message.
        Error = "error",
    }
}

types! {
    /// RFC 6121 §4.7.1. No attribute means available.
    PresenceType {
        /// No attribute: the sender is available. `""` is never written.
        Available = "",
        /// The sender is no longer available.
        Unavailable = "unavailable",
        /// Asks for a subscription.
        Subscribe = "subscribe",
        /// Allows a subscription.
        Subscribed = "subscribed",
        /// Ends a subscription.
        Unsubscribe = "unsubscribe",
        /// Denies or cancels a subscription.
        Unsubscribed = "unsubscribed",
        /// A server asks for presence.
        Probe = "probe",
        /// An error that answers a presence.
        Error = "error",
    }
}

types! {
    /// RFC 6120 §8.2.3.
    IqType {
        /// A question.
        Get = "get",
        /// A change.
        Set = "set",
        /// The answer.
        Result = "result",
        /// The error that answers.
        Error = "error",
    }
}

impl StanzaType {
    /// The element's name.
    pub fn element(self) -> &'static str {
        match self {
            StanzaType::Message(_) => "message",
            StanzaType::Presence(_) => "presence",
            StanzaType::Iq(_) => "iq",
        }
    }

    /// The attribute's value, `None` where it is left out.
    pub fn attribute(self) -> Option<&'static str> {
        match self {
            StanzaType::Message(MessageType::Normal) | StanzaType::Presence(PresenceType::Available) => None,
            StanzaType::Message(kind) => Some(kind.name()),
            StanzaType::Presence(kind) => Some(kind.name()),
            StanzaType::Iq(kind) => Some(kind.name()),
        }
    }

    /// The type from an element's name and its attribute `type`. `None`: no stanza, or a `type` that its kind must not
    /// have (RFC 6120 §8.2.3, RFC 6121 §4.7.1); an unknown message type is `normal` (RFC 6121 §5.2.2).
    pub fn from_names(element: &str, attribute: Option<&str>) -> Option<Self> {
        Some(match element {
            "message" => StanzaType::Message(attribute.and_then(MessageType::from_name).unwrap_or(MessageType::Normal)),
            "presence" => StanzaType::Presence(match attribute {
                None => PresenceType::Available,
                Some("") => return None,
                Some(name) => PresenceType::from_name(name)?,
            }),
            "iq" => StanzaType::Iq(IqType::from_name(attribute?)?),
            _ => return None,
        })
    }

    /// Whether this is of type `error`.
    pub fn is_error(self) -> bool {
        matches!(
            self,
            StanzaType::Message(MessageType::Error)
                | StanzaType::Presence(PresenceType::Error)
                | StanzaType::Iq(IqType::Error)
        )
    }

    /// Whether a stanza of this type may be answered with an error: errors and results never are (RFC 6120 §8.3.1).
    pub fn may_be_answered(self) -> bool {
        !self.is_error() && self != StanzaType::Iq(IqType::Result)
    }

    fn to_error(self) -> Self {
        match self {
            StanzaType::Message(_) => StanzaType::Message(MessageType::Error),
            StanzaType::Presence(_) => StanzaType::Presence(PresenceType::Error),
            StanzaType::Iq(_) => StanzaType::Iq(IqType::Error),
        }
    }
}

/// What the scan saw among a stanza's children, so that nobody behind it has to look again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u32);

impl Flags {
    /// A `<body/>` in the content namespace.
    pub const BODY: Flags = Flags(1);
    /// A `<thread/>` in the content namespace.
    pub const THREAD: Flags = Flags(1 << 1);
    /// A `<subject/>` in the content namespace.
    pub const SUBJECT: Flags = Flags(1 << 2);
    /// XEP-0334 `<store/>`.
    pub const STORE: Flags = Flags(1 << 3);
    /// XEP-0334 `<no-store/>`.
    pub const NO_STORE: Flags = Flags(1 << 4);
    /// XEP-0334 `<no-permanent-store/>`.
    pub const NO_PERMANENT_STORE: Flags = Flags(1 << 5);
    /// XEP-0334 `<no-copy/>`.
    pub const NO_COPY: Flags = Flags(1 << 6);
    /// XEP-0085: a chat state.
    pub const CHAT_STATE: Flags = Flags(1 << 7);
    /// XEP-0184: a receipt or a request for one.
    pub const RECEIPT: Flags = Flags(1 << 8);
    /// XEP-0333: a chat marker.
    pub const MARKER: Flags = Flags(1 << 9);
    /// XEP-0280 `<private/>`.
    pub const PRIVATE: Flags = Flags(1 << 10);
    /// XEP-0203: a delay stamp.
    pub const DELAY: Flags = Flags(1 << 11);
    /// Child elements in other namespaces than those above and the content namespace.
    pub const OTHER: Flags = Flags(1 << 12);
    /// Children that only a server may assert, whoever did: [`Envelope::take_out_asserted`].
    pub const ASSERTED: Flags = Flags(1 << 13);
    /// XEP-0359 `<origin-id/>`.
    pub const ORIGIN_ID: Flags = Flags(1 << 14);
    /// A child that people see the effect of though there need be no `<body/>`: encrypted content (XEP-0373, 0380, 0384), a
    /// correction (0308), a retraction (0424), reactions (0444), a direct invitation (0249).
    pub const CONTENT: Flags = Flags(1 << 15);
    /// XEP-0045: what a room or its occupants say to a user.
    pub const MUC_USER: Flags = Flags(1 << 16);
    /// An earlier leader of the recipient's shard may have delivered the stanza: a session that has got it is passed over
    /// ([`Envelope::logged`]). Set by servers, never by a scan.
    pub const AGAIN: Flags = Flags(1 << 17);
    /// A copy for one session (a carbon, a page of an archive): where that has gone, nobody needs it. Set by servers, never by a
    /// scan.
    pub const COPY: Flags = Flags(1 << 18);

    /// Whether all of `flags` are set.
    pub fn has(self, flags: Flags) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// These but `flags`.
    #[must_use]
    pub fn without(self, flags: Flags) -> Flags {
        Flags(self.0 & !flags.0)
    }

    /// Sets `flags`.
    pub fn set(&mut self, flags: Flags) {
        self.0 |= flags.0;
    }
}

impl std::ops::BitOr for Flags {
    type Output = Flags;
    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

/// Namespace and name of an element.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    /// The namespace's URI.
    pub namespace: Box<str>,
    /// The local name.
    pub name: Box<str>,
}

impl Name {
    /// Joins the two.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// Compares with the two.
    pub fn is(&self, namespace: &str, name: &str) -> bool {
        *self.namespace == *namespace && *self.name == *name
    }
}

/// A stanza in transit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Kind and type.
    pub kind: StanzaType,
    /// The sender. At a server's inside always present: the edge stamps it (RFC 6120 §8.1.2.1).
    pub from: Option<Jid>,
    /// The recipient; `None` addresses the sender's own account (RFC 6120 §10.3).
    pub to: Option<Jid>,
    /// The attribute `id`, unescaped.
    pub id: Option<Box<str>>,
    /// The attribute `xml:lang`, the stream's where the stanza has none (RFC 6120 §8.1.5), unescaped.
    pub lang: Option<Box<str>>,
    /// The IQ's only child; of other kinds the first child in a foreign namespace.
    pub payload: Option<Name>,
    /// What else the scan saw.
    pub flags: Flags,
    /// The id of the entry that the stanza is in the log of the account whose session gets it; 0: it is in none. Ids only grow, and
    /// entries come in their order: what a session has got of them is one number.
    pub logged: u64,
    /// Other attributes of the start tag as written, each with a space before it: prefix declarations that the content
    /// needs, attributes in foreign namespaces. Mostly empty.
    pub attributes: Bytes,
    /// What stands between start tag and end tag. Its default namespace is the stanza's.
    pub content: Bytes,
}

impl Envelope {
    /// A stanza without addresses and content.
    pub fn new(kind: StanzaType) -> Self {
        Self {
            kind,
            from: None,
            to: None,
            id: None,
            lang: None,
            payload: None,
            flags: Flags::default(),
            logged: 0,
            attributes: Bytes::new(),
            content: Bytes::new(),
        }
    }

    /// An IQ with `payload` as its only child, or none (an empty result).
    pub fn iq(kind: IqType, id: &str, payload: Option<&Element>) -> Self {
        let mut envelope = Self::new(StanzaType::Iq(kind));
        envelope.id = Some(id.into());
        if let Some(payload) = payload {
            envelope.payload = Some(Name::new(payload.namespace(), payload.name()));
            envelope.content = payload.to_bytes(ns::CLIENT);
        }
        envelope
    }

    /// Replaces the recipient.
    #[must_use]
    pub fn with_to(mut self, to: impl Into<Jid>) -> Self {
        self.to = Some(to.into());
        self
    }

    /// Replaces the sender.
    #[must_use]
    pub fn with_from(mut self, from: impl Into<Jid>) -> Self {
        self.from = Some(from.into());
        self
    }

    /// The account that the sender belongs to.
    pub fn from_bare(&self) -> Option<BareJid> {
        self.from.as_ref().map(Jid::to_bare)
    }

    /// The result that answers this IQ, `payload` as its child.
    pub fn result(&self, payload: Option<&Element>) -> Self {
        let mut answer = Self::iq(IqType::Result, self.id.as_deref().unwrap_or_default(), payload);
        answer.from = self.to.clone();
        answer.to = self.from.clone();
        answer
    }

    /// The error that answers this stanza (RFC 6120 §8.3.1), with the offending content where it is small enough to send
    /// back. `None` for errors and results: they are never answered.
    pub fn error(&self, error: &StanzaError) -> Option<Self> {
        /// Content above this size is left out of the error.
        const ECHO_BYTES_MAX: usize = 4096;
        if !self.kind.may_be_answered() {
            return None;
        }
        let mut content = Vec::new();
        let mut answer = Self::new(self.kind.to_error());
        if self.content.len() <= ECHO_BYTES_MAX {
            content.extend_from_slice(&self.content);
            answer.attributes = self.attributes.clone();
            answer.payload = self.payload.clone();
            answer.flags = self.flags.without(Flags::AGAIN | Flags::COPY);
        }
        error.write(&mut content);
        answer.content = content.into();
        answer.id = self.id.clone();
        answer.from = self.to.clone();
        answer.to = self.from.clone();
        Some(answer)
    }

    /// Appends the stanza as XML, addressed to `to` (or to [`Envelope::to`] where `None`). The default namespace is
    /// inherited from the stream's header.
    pub fn write(&self, out: &mut Vec<u8>, to: Option<&str>) {
        self.write_start(out, to, None);
    }

    /// Appends the stanza as XML that stands alone: with its namespace declared. For storage and for payloads that carry
    /// whole stanzas.
    pub fn write_alone(&self, out: &mut Vec<u8>) {
        self.write_start(out, None, Some(ns::CLIENT));
    }

    fn write_start(&self, out: &mut Vec<u8>, to: Option<&str>, namespace: Option<&str>) {
        // One allocation in place of the doublings on the way up.
        out.reserve(self.weight());
        let element = self.kind.element().as_bytes();
        out.push(b'<');
        out.extend_from_slice(element);
        let mut attribute = |name: &str, value: &str| {
            out.push(b' ');
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"='");
            escape_into(out, value);
            out.push(b'\'');
        };
        if let Some(namespace) = namespace {
            attribute("xmlns", namespace);
        }
        if let Some(from) = &self.from {
            attribute("from", from.as_str());
        }
        if let Some(to) = to.or(self.to.as_ref().map(Jid::as_str)) {
            attribute("to", to);
        }
        if let Some(kind) = self.kind.attribute() {
            attribute("type", kind);
        }
        if let Some(id) = &self.id {
            attribute("id", id);
        }
        if let Some(lang) = &self.lang {
            attribute("xml:lang", lang);
        }
        out.extend_from_slice(&self.attributes);
        if self.content.is_empty() {
            out.extend_from_slice(b"/>");
            return;
        }
        out.push(b'>');
        out.extend_from_slice(&self.content);
        out.extend_from_slice(b"</");
        out.extend_from_slice(element);
        out.push(b'>');
    }

    /// Reads the stanza as a tree: for modules that need more than the fields.
    ///
    /// # Errors
    /// Only for bytes that no scan has accepted.
    pub fn to_element(&self) -> Result<Element, ElementError> {
        let mut bytes = Vec::with_capacity(self.content.len() + 256);
        self.write_alone(&mut bytes);
        Element::parse(&bytes)
    }

    /// The child that [`Envelope::payload`] names, as a tree.
    ///
    /// # Errors
    /// As [`Envelope::to_element`].
    pub fn payload_element(&self) -> Result<Option<Element>, ElementError> {
        let Some(name) = &self.payload else { return Ok(None) };
        Ok(self.to_element()?.take_child(&name.namespace, &name.name))
    }

    /// Appends `child` to the content.
    pub fn append(&mut self, child: &Element) {
        let mut content = Vec::with_capacity(self.content.len() + 128);
        content.extend_from_slice(&self.content);
        content.extend_from_slice(&child.to_bytes(ns::CLIENT));
        self.content = content.into();
    }

    /// What the stanza weighs in queues, in bytes.
    pub fn weight(&self) -> usize {
        self.content.len() + self.attributes.len() + 256
    }
}
