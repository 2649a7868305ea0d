//! Stanzas that clients send and read all the time.

use vesta_xmpp::payload::stanza_id::{OriginId, StanzaId};
use vesta_xmpp::{BareJid, Element, Envelope, Jid, MessageType, PresenceType, StanzaError, StanzaType, ns};

use crate::random;

/// RFC 6121 §4.7.2.1: how available.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Show {
    /// Away for a short time.
    Away,
    /// Eager to chat.
    Chat,
    /// Not to be disturbed.
    DoNotDisturb,
    /// Away for a long time.
    ExtendedAway,
}

impl Show {
    /// The element's text.
    pub fn name(self) -> &'static str {
        match self {
            Show::Away => "away",
            Show::Chat => "chat",
            Show::DoNotDisturb => "dnd",
            Show::ExtendedAway => "xa",
        }
    }
}

/// A chat message with a body and a random id.
pub fn chat(to: impl Into<Jid>, body: &str) -> Envelope {
    message(MessageType::Chat, to, body)
}

/// A message with a body and a random id.
pub fn message(kind: MessageType, to: impl Into<Jid>, body: &str) -> Envelope {
    let mut message = Envelope::new(StanzaType::Message(kind)).with_to(to);
    message.id = Some(random::id().into());
    message.append(&Element::new(ns::CLIENT, "body").with_text(body));
    message
}

/// A message that asks its recipient's client to say that it has come (XEP-0184): [`Event::Delivered`](crate::Event::Delivered).
/// It has an id after that. Not for messages to rooms.
pub fn with_receipt_request(mut message: Envelope) -> Envelope {
    message.id.get_or_insert_with(|| random::id().into());
    message.append(&Element::new(ns::RECEIPTS, "request"));
    message
}

/// The receipt of a message (XEP-0184 §5.4). `None` where nobody is to get it, or nothing tells which message is meant.
pub fn receipt(message: &Envelope) -> Option<Envelope> {
    let mut receipt = Envelope::new(message.kind).with_to(message.from.clone()?);
    receipt.append(&Element::new(ns::RECEIPTS, "received").with("id", message.id.as_deref()?));
    Some(receipt)
}

/// A message that can be recognised when it comes twice: with an id, and the same as its origin-id (XEP-0359 §3.2). Errors answer
/// another message by its id, and are left as they are.
pub(crate) fn identified(mut stanza: Envelope) -> Envelope {
    let is_message = matches!(stanza.kind, StanzaType::Message(kind) if kind != MessageType::Error);
    if !is_message || origin_id(&stanza).is_some() {
        return stanza;
    }
    let id = stanza.id.get_or_insert_with(|| random::id().into()).to_string();
    stanza.append(&OriginId { id }.to_element());
    stanza
}

/// The id that its sender has given to a message for ever (XEP-0359).
pub fn origin_id(message: &Envelope) -> Option<String> {
    let element = message.to_element().ok()?;
    OriginId::parse(element.child(ns::STANZA_ID, "origin-id")?).ok().map(|origin| origin.id)
}

/// The id of a message in the archive of `account` (XEP-0359): what [`Archive::catch_up`](crate::Archive::catch_up) goes on from.
pub fn archive_id(message: &Envelope, account: &BareJid) -> Option<String> {
    StanzaId::of(&message.to_element().ok()?, account.as_str()).map(|id| id.id)
}

/// A presence of some type to somebody; `None`: to the server, for all who are subscribed.
pub fn presence(kind: PresenceType, to: Option<Jid>) -> Envelope {
    let mut presence = Envelope::new(StanzaType::Presence(kind));
    presence.to = to;
    presence
}

/// Available presence (RFC 6121 §4.7.2). A session of negative priority gets no messages that are sent to its account.
pub fn available(show: Option<Show>, status: Option<&str>, priority: i8) -> Envelope {
    let mut presence = presence(PresenceType::Available, None);
    let text = |name: &str, text: &str| Element::new(ns::CLIENT, name).with_text(text);
    if let Some(show) = show {
        presence.append(&text("show", show.name()));
    }
    if let Some(status) = status {
        presence.append(&text("status", status));
    }
    if priority != 0 {
        presence.append(&text("priority", &priority.to_string()));
    }
    presence
}

/// The body of a message, if it has one.
pub fn body(message: &Envelope) -> Option<String> {
    Some(message.to_element().ok()?.child(ns::CLIENT, "body")?.text())
}

/// The error that a stanza of type `error` tells of.
pub fn error(stanza: &Envelope) -> Option<StanzaError> {
    Some(StanzaError::from_element(stanza.to_element().ok()?.child(ns::CLIENT, "error")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(stanza: &Envelope) -> String {
        let mut out = Vec::new();
        stanza.write(&mut out, None);
        String::from_utf8(out).expect("stanzas are UTF-8")
    }

    #[test]
    fn a_presence_says_what_is_not_the_default() {
        assert_eq!(written(&available(None, None, 0)), "<presence/>");
        assert_eq!(
            written(&available(Some(Show::DoNotDisturb), Some("<busy>"), -1)),
            "<presence><show>dnd</show><status>&lt;busy&gt;</status><priority>-1</priority></presence>"
        );
    }

    #[test]
    fn a_chat_message_carries_its_body() {
        let message = chat(Jid::parse("romeo@montague.example").expect("a JID"), "Art thou not Romeo?");
        assert_eq!(body(&message).as_deref(), Some("Art thou not Romeo?"));
        assert!(message.id.is_some_and(|id| id.len() == 32));
    }
}
