//! `common.proto`: sessions, routers, kinds of stanzas, errors.

use vesta_xmpp::stanza_error::{Condition, ErrorType};
use vesta_xmpp::stream_error::StreamCondition;
use vesta_xmpp::{IqType, MessageType, PresenceType, StanzaError, StanzaType, StreamError};

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
        pub(super) fn stanza_type_to_proto(kind: StanzaType) -> proto::StanzaType {
            match kind { $($here => proto::StanzaType::$there,)* }
        }

        pub(super) fn stanza_type_from_proto(kind: proto::StanzaType) -> Option<StanzaType> {
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
        Self { condition, text: error.text, detail: None }
    }
}
