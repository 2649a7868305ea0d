//! A stanza on the wire: `Envelope` of `common.proto`, written by hand.
//!
//! The generated type would hold a copy of each address and name, made for every link that a stanza goes over. This one writes an
//! envelope as it is, and reads one with its addresses in the buffer that they came in.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{self, DecodeContext, WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use prost::{DecodeError, Message};
use vesta_xmpp::envelope::Name;
use vesta_xmpp::{Envelope, Flags, Jid};

use super::common::{stanza_type_from_proto, stanza_type_to_proto};
use super::{Malformed, jid};
use crate::proto;

/// See the module's documentation.
#[derive(Clone)]
#[allow(clippy::large_enum_variant, reason = "half of them are large; a box would be an allocation for each")]
pub enum WireEnvelope {
    /// To be sent.
    Sent(Sent),
    /// As it came.
    Received(Received),
}

/// An envelope that is to be sent, and how many bytes it takes: a batch asks for that at each of its levels.
#[derive(Clone)]
pub struct Sent {
    envelope: Arc<Envelope>,
    length: usize,
}

/// The fields of an envelope as they came, unchecked.
#[derive(Clone, Default)]
pub struct Received {
    kind: i32,
    from: Option<Bytes>,
    to: Option<Bytes>,
    id: Option<String>,
    lang: Option<String>,
    payload: Option<proto::ElementName>,
    flags: u32,
    attributes: Bytes,
    content: Bytes,
    logged: u64,
}

/// The numbers of the fields.
mod tag {
    pub(super) const KIND: u32 = 1;
    pub(super) const FROM: u32 = 2;
    pub(super) const TO: u32 = 3;
    pub(super) const ID: u32 = 4;
    pub(super) const LANG: u32 = 5;
    pub(super) const PAYLOAD: u32 = 6;
    pub(super) const FLAGS: u32 = 7;
    pub(super) const ATTRIBUTES: u32 = 8;
    pub(super) const CONTENT: u32 = 9;
    pub(super) const LOGGED: u32 = 10;
    /// Of `ElementName`.
    pub(super) const NAMESPACE: u32 = 1;
    pub(super) const NAME: u32 = 2;
}

/// What there is to write, wherever it lies. Fields without presence are left out where they are empty.
#[derive(PartialEq, Hash)]
struct Fields<'a> {
    kind: i32,
    texts: [(u32, Option<&'a [u8]>); 4],
    payload: Option<[(u32, &'a [u8]); 2]>,
    flags: u32,
    bytes: [(u32, &'a [u8]); 2],
    logged: u64,
}

impl WireEnvelope {
    fn fields(&self) -> Fields<'_> {
        match self {
            WireEnvelope::Sent(sent) => Fields::of(&sent.envelope),
            WireEnvelope::Received(received) => Fields {
                kind: received.kind,
                texts: [
                    (tag::FROM, received.from.as_deref()),
                    (tag::TO, received.to.as_deref()),
                    (tag::ID, received.id.as_deref().map(str::as_bytes)),
                    (tag::LANG, received.lang.as_deref().map(str::as_bytes)),
                ],
                payload: received.payload.as_ref().map(|it| payload(&it.namespace, &it.name)),
                flags: received.flags,
                bytes: [(tag::ATTRIBUTES, &received.attributes), (tag::CONTENT, &received.content)],
                logged: received.logged,
            },
        }
    }
}

fn jid_bytes(jid: &Jid) -> &[u8] {
    jid.as_str().as_bytes()
}

fn payload<'a>(namespace: &'a str, name: &'a str) -> [(u32, &'a [u8]); 2] {
    [(tag::NAMESPACE, namespace.as_bytes()), (tag::NAME, name.as_bytes())]
}

impl<'a> Fields<'a> {
    fn of(envelope: &'a Envelope) -> Self {
        Fields {
            kind: stanza_type_to_proto(envelope.kind).into(),
            texts: [
                (tag::FROM, envelope.from.as_ref().map(jid_bytes)),
                (tag::TO, envelope.to.as_ref().map(jid_bytes)),
                (tag::ID, envelope.id.as_deref().map(str::as_bytes)),
                (tag::LANG, envelope.lang.as_deref().map(str::as_bytes)),
            ],
            payload: envelope.payload.as_ref().map(|it| payload(&it.namespace, &it.name)),
            flags: envelope.flags.0,
            bytes: [(tag::ATTRIBUTES, &envelope.attributes), (tag::CONTENT, &envelope.content)],
            logged: envelope.logged,
        }
    }
}

impl Fields<'_> {
    fn write(&self, out: &mut impl BufMut) {
        if self.kind != 0 {
            encoding::int32::encode(tag::KIND, &self.kind, out);
        }
        for (tag, text) in self.texts {
            if let Some(text) = text {
                write(tag, text, out);
            }
        }
        if let Some(payload) = self.payload {
            encode_key(tag::PAYLOAD, WireType::LengthDelimited, out);
            encode_varint(length_of_all(payload) as u64, out);
            write_all(payload, out);
        }
        if self.flags != 0 {
            encoding::uint32::encode(tag::FLAGS, &self.flags, out);
        }
        write_all(self.bytes, out);
        if self.logged != 0 {
            encoding::uint64::encode(tag::LOGGED, &self.logged, out);
        }
    }

    fn length(&self) -> usize {
        let kind = if self.kind == 0 { 0 } else { encoding::int32::encoded_len(tag::KIND, &self.kind) };
        let texts = self.texts.iter().filter_map(|(tag, text)| text.map(|text| length(*tag, text.len())));
        let payload = self.payload.map_or(0, |payload| length(tag::PAYLOAD, length_of_all(payload)));
        let flags = if self.flags == 0 { 0 } else { encoding::uint32::encoded_len(tag::FLAGS, &self.flags) };
        let logged = if self.logged == 0 { 0 } else { encoding::uint64::encoded_len(tag::LOGGED, &self.logged) };
        kind + texts.sum::<usize>() + payload + flags + length_of_all(self.bytes) + logged
    }
}

fn write(tag: u32, bytes: &[u8], out: &mut impl BufMut) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.put_slice(bytes);
}

fn write_all(fields: [(u32, &[u8]); 2], out: &mut impl BufMut) {
    for (tag, bytes) in fields {
        if !bytes.is_empty() {
            write(tag, bytes, out);
        }
    }
}

fn length(tag: u32, bytes: usize) -> usize {
    key_len(tag) + encoded_len_varint(bytes as u64) + bytes
}

fn length_of_all(fields: [(u32, &[u8]); 2]) -> usize {
    fields.iter().filter(|(_, bytes)| !bytes.is_empty()).map(|(tag, bytes)| length(*tag, bytes.len())).sum()
}

impl Default for WireEnvelope {
    fn default() -> Self {
        WireEnvelope::Received(Received::default())
    }
}

impl PartialEq for WireEnvelope {
    fn eq(&self, other: &Self) -> bool {
        self.fields() == other.fields()
    }
}

// The generated types that hold one ask for these two.
impl Eq for WireEnvelope {}

impl Hash for WireEnvelope {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.fields().hash(state);
    }
}

impl Message for WireEnvelope {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        self.fields().write(buf);
    }

    fn encoded_len(&self) -> usize {
        match self {
            WireEnvelope::Sent(sent) => sent.length,
            WireEnvelope::Received(_) => self.fields().length(),
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        if let WireEnvelope::Sent(_) = self {
            self.clear();
        }
        let WireEnvelope::Received(it) = self else { return Ok(()) };
        match tag {
            tag::KIND => encoding::int32::merge(wire_type, &mut it.kind, buf, ctx),
            tag::FROM => encoding::bytes::merge(wire_type, it.from.get_or_insert_default(), buf, ctx),
            tag::TO => encoding::bytes::merge(wire_type, it.to.get_or_insert_default(), buf, ctx),
            tag::ID => encoding::string::merge(wire_type, it.id.get_or_insert_default(), buf, ctx),
            tag::LANG => encoding::string::merge(wire_type, it.lang.get_or_insert_default(), buf, ctx),
            tag::PAYLOAD => encoding::message::merge(wire_type, it.payload.get_or_insert_default(), buf, ctx),
            tag::FLAGS => encoding::uint32::merge(wire_type, &mut it.flags, buf, ctx),
            tag::ATTRIBUTES => encoding::bytes::merge(wire_type, &mut it.attributes, buf, ctx),
            tag::CONTENT => encoding::bytes::merge(wire_type, &mut it.content, buf, ctx),
            tag::LOGGED => encoding::uint64::merge(wire_type, &mut it.logged, buf, ctx),
            _ => encoding::skip_field(wire_type, tag, buf, ctx),
        }
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

impl From<Arc<Envelope>> for WireEnvelope {
    fn from(envelope: Arc<Envelope>) -> Self {
        let length = Fields::of(&envelope).length();
        WireEnvelope::Sent(Sent { envelope, length })
    }
}

impl From<Envelope> for WireEnvelope {
    fn from(envelope: Envelope) -> Self {
        Arc::new(envelope).into()
    }
}

impl TryFrom<WireEnvelope> for Arc<Envelope> {
    type Error = Malformed;

    fn try_from(envelope: WireEnvelope) -> Result<Self, Malformed> {
        match envelope {
            WireEnvelope::Sent(sent) => Ok(sent.envelope),
            WireEnvelope::Received(received) => received.try_into().map(Arc::new),
        }
    }
}

impl TryFrom<WireEnvelope> for Envelope {
    type Error = Malformed;

    fn try_from(envelope: WireEnvelope) -> Result<Self, Malformed> {
        match envelope {
            WireEnvelope::Sent(sent) => Ok(Arc::unwrap_or_clone(sent.envelope)),
            WireEnvelope::Received(received) => received.try_into(),
        }
    }
}

impl TryFrom<Received> for Envelope {
    type Error = Malformed;

    fn try_from(received: Received) -> Result<Self, Malformed> {
        let kind = proto::StanzaType::try_from(received.kind).ok().and_then(stanza_type_from_proto);
        Ok(Self {
            kind: kind.ok_or(Malformed("envelope.kind"))?,
            from: received.from.map(|from| address(&from, "envelope.from")).transpose()?,
            to: received.to.map(|to| address(&to, "envelope.to")).transpose()?,
            id: received.id.map(String::into_boxed_str),
            lang: received.lang.map(String::into_boxed_str),
            payload: received.payload.map(|payload| Name {
                namespace: payload.namespace.into_boxed_str(),
                name: payload.name.into_boxed_str(),
            }),
            flags: Flags(received.flags),
            logged: received.logged,
            attributes: received.attributes,
            content: received.content,
        })
    }
}

fn address(bytes: &[u8], field: &'static str) -> Result<Jid, Malformed> {
    jid(std::str::from_utf8(bytes).map_err(|_| Malformed(field))?, field)
}
