//! `common.proto`: sessions, routers, stanzas, errors.

use std::sync::Arc;

use vesta_xmpp::envelope::Name;
use vesta_xmpp::stanza_error::{Condition, ErrorType};
use vesta_xmpp::stream_error::StreamCondition;
use vesta_xmpp::{Envelope, Flags, IqType, MessageType, PresenceType, StanzaError, StanzaType, StreamError};

use super::{Malformed, jid};
use crate::attach::{Leader, RouterInfo};
use crate::{NodeId, SessionId, ShardId, Term, proto};

impl From<SessionId> for proto::SessionId {
    fn from(session: SessionId) -> Self {
        Self { shard: session.shard.0, number: session.number }
    }
}

impl From<proto::SessionId> for SessionId {
    fn from(session: proto::SessionId) -> Self {
        Self { shard: ShardId(session.shard), number: session.number }
    }
}

impl From<RouterInfo> for proto::Router {
    fn from(router: RouterInfo) -> Self {
        Self { node: router.node.0, name: router.name.to_string(), address: router.address.to_string() }
    }
}

impl From<proto::Router> for RouterInfo {
    fn from(router: proto::Router) -> Self {
        Self { node: NodeId(router.node), name: router.name.into(), address: router.address.into() }
    }
}

impl From<Leader> for proto::Leader {
    fn from(leader: Leader) -> Self {
        Self { shard: leader.shard.0, term: leader.term.0, node: leader.node.map(|node| node.0) }
    }
}

impl From<proto::Leader> for Leader {
    fn from(leader: proto::Leader) -> Self {
        Self { shard: ShardId(leader.shard), term: Term(leader.term), node: leader.node.map(NodeId) }
    }
}

/// The two enumerations side by side, so that neither direction can miss a type.
macro_rules! stanza_types {
    ($($here:pat = $value:expr => $there:ident,)*) => {
        fn stanza_type_to_proto(kind: StanzaType) -> proto::StanzaType {
            match kind { $($here => proto::StanzaType::$there,)* }
        }

        fn stanza_type_from_proto(kind: proto::StanzaType) -> Option<StanzaType> {
            match kind {
                proto::StanzaType::Unspecified => None,
                $(proto::StanzaType::$there => Some($value),)*
            }
        }
    };
    ($($kind:ident($type:ident::$variant:ident) => $there:ident,)*) => {
        stanza_types! { $(StanzaType::$kind($type::$variant) = StanzaType::$kind($type::$variant) => $there,)* }
    };
}

stanza_types! {
    Message(MessageType::Normal) => MessageNormal,
    Message(MessageType::Chat) => MessageChat,
    Message(MessageType::Groupchat) => MessageGroupchat,
    Message(MessageType::Headline) => MessageHeadline,
    Message(MessageType::Error) => MessageError,
    Presence(PresenceType::Available) => PresenceAvailable,
    Presence(PresenceType::Unavailable) => PresenceUnavailable,
    Presence(PresenceType::Subscribe) => PresenceSubscribe,
    Presence(PresenceType::Subscribed) => PresenceSubscribed,
    Presence(PresenceType::Unsubscribe) => PresenceUnsubscribe,
    Presence(PresenceType::Unsubscribed) => PresenceUnsubscribed,
    Presence(PresenceType::Probe) => PresenceProbe,
    Presence(PresenceType::Error) => PresenceError,
    Iq(IqType::Get) => IqGet,
    Iq(IqType::Set) => IqSet,
    Iq(IqType::Result) => IqResult,
    Iq(IqType::Error) => IqError,
}

impl From<&Envelope> for proto::Envelope {
    fn from(envelope: &Envelope) -> Self {
        Self {
            kind: stanza_type_to_proto(envelope.kind).into(),
            from: envelope.from.as_ref().map(ToString::to_string),
            to: envelope.to.as_ref().map(ToString::to_string),
            id: envelope.id.as_deref().map(str::to_owned),
            lang: envelope.lang.as_deref().map(str::to_owned),
            payload: envelope.payload.as_ref().map(|payload| proto::ElementName {
                namespace: payload.namespace.to_string(),
                name: payload.name.to_string(),
            }),
            flags: envelope.flags.0,
            attributes: envelope.attributes.clone(),
            content: envelope.content.clone(),
        }
    }
}

impl TryFrom<proto::Envelope> for Envelope {
    type Error = Malformed;

    fn try_from(envelope: proto::Envelope) -> Result<Self, Malformed> {
        Ok(Self {
            kind: stanza_type_from_proto(envelope.kind()).ok_or(Malformed("envelope.kind"))?,
            from: envelope.from.as_deref().map(|from| jid(from, "envelope.from")).transpose()?,
            to: envelope.to.as_deref().map(|to| jid(to, "envelope.to")).transpose()?,
            id: envelope.id.map(String::into_boxed_str),
            lang: envelope.lang.map(String::into_boxed_str),
            payload: envelope.payload.map(|payload| Name {
                namespace: payload.namespace.into_boxed_str(),
                name: payload.name.into_boxed_str(),
            }),
            flags: Flags(envelope.flags),
            attributes: envelope.attributes,
            content: envelope.content,
        })
    }
}

impl TryFrom<proto::Envelope> for Arc<Envelope> {
    type Error = Malformed;

    fn try_from(envelope: proto::Envelope) -> Result<Self, Malformed> {
        envelope.try_into().map(Arc::new)
    }
}

impl From<StanzaError> for proto::StanzaError {
    fn from(error: StanzaError) -> Self {
        Self { kind: error.kind.name().to_owned(), condition: error.condition.name().to_owned(), text: error.text }
    }
}

impl From<proto::StanzaError> for StanzaError {
    fn from(error: proto::StanzaError) -> Self {
        let condition = Condition::from_name(&error.condition).unwrap_or(Condition::UndefinedCondition);
        let kind = ErrorType::from_name(&error.kind).unwrap_or_else(|| condition.recommended_type());
        Self { kind, condition, text: error.text }
    }
}

impl From<StreamError> for proto::StreamError {
    fn from(error: StreamError) -> Self {
        Self { condition: error.condition.name().to_owned(), text: error.text }
    }
}

impl From<proto::StreamError> for StreamError {
    fn from(error: proto::StreamError) -> Self {
        let condition = StreamCondition::from_name(&error.condition).unwrap_or(StreamCondition::UndefinedCondition);
        Self { condition, text: error.text }
    }
}
