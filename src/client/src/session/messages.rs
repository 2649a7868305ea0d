//! Messages: those for the user, and what comes in the guise of one: copies, receipts, pages of an archive.

use vesta_xmpp::payload::archive::ArchiveResult;
use vesta_xmpp::payload::carbon::Carbon;
use vesta_xmpp::{Element, Envelope, Flags, MessageType, StanzaType, ns};

use super::Session;
use crate::event::Event;
use crate::{Error, stanza};

impl Session<'_> {
    /// Tells of a message, or of what it is a guise of.
    pub(super) fn message(&mut self, message: Envelope) -> Result<(), Error> {
        let is_error = message.kind == StanzaType::Message(MessageType::Error);
        // Without a child in a foreign namespace it is a message and nothing else; an error echoes what we have sent.
        let element = (!is_error && message.payload.is_some()).then(|| message.to_element().ok()).flatten();
        let Some(element) = element else {
            self.tell(Event::Message(message));
            return Ok(());
        };
        if let Some(result) = element.child(ns::ARCHIVE, "result") {
            self.archived(&message, result);
            return Ok(());
        }
        if let Some(copy) = element.children().find(|child| child.namespace() == ns::CARBONS && is_copy(child)) {
            self.carbon(&message, copy);
            return Ok(());
        }
        self.plain(message, &element)
    }

    /// A result of a page that we have asked for, from whom we have asked.
    fn archived(&mut self, message: &Envelope, result: &Element) {
        let taken = ArchiveResult::parse(result)
            .is_ok_and(|result| self.connection.pending.collect(message.from.as_ref(), result, &self.own));
        if !taken {
            self.forged("a result of an archive that nobody has asked for", message);
        }
    }

    /// XEP-0280 §11: from anybody but the own account it must be ignored (T24), or whole conversations could be forged.
    fn carbon(&mut self, message: &Envelope, copy: &Element) {
        let is_own = message.from.as_ref().is_none_or(|from| from.as_str() == self.own.bare_str());
        match Carbon::parse(copy) {
            Ok(Carbon { direction, forwarded }) if is_own => {
                let stamp = forwarded.delay.map(|delay| delay.stamp);
                self.tell(Event::Carbon { direction, message: forwarded.stanza, stamp });
            }
            _ => self.forged("a copy that is not the server's", message),
        }
    }

    fn forged(&mut self, what: &str, message: &Envelope) {
        tracing::debug!(from = ?message.from, "{what}");
        self.connection.forged.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    /// XEP-0184: a message with its receipt, or one that is a receipt.
    fn plain(&mut self, message: Envelope, element: &Element) -> Result<(), Error> {
        let receipt = element.child(ns::RECEIPTS, "received").and_then(|it| it.attribute("id"));
        let receipt = receipt.zip(message.from.clone());
        let wants_receipt = self.connection.config.answer_receipts
            && element.child(ns::RECEIPTS, "request").is_some()
            && matches!(message.kind, StanzaType::Message(MessageType::Normal | MessageType::Chat));
        let answer = wants_receipt.then(|| stanza::receipt(&message)).flatten();
        let is_receipt_alone = receipt.is_some() && !message.flags.has(Flags::BODY);
        if let Some((id, from)) = receipt {
            self.tell(Event::Delivered { id: id.to_owned(), from });
        }
        if !is_receipt_alone {
            self.tell(Event::Message(message));
        }
        answer.map_or(Ok(()), |answer| self.send(answer))
    }
}

/// Only these are copies: `<private/>` (§9) stands in messages that aren't.
fn is_copy(child: &Element) -> bool {
    matches!(child.name(), "received" | "sent")
}
