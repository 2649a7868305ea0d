//! RFC 6121 §4.7.2.3: `<priority/>`.

use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{Envelope, StanzaError, ns};

/// The priority of a presence; 0 where it says none.
///
/// # Errors
/// `bad-request` for more than one, or one that is no integer from −128 to 127.
pub(super) fn of(presence: &Envelope) -> Result<i8, StanzaError> {
    // Most presence says none, and is not taken apart.
    if !presence.content.windows(b"priority".len()).any(|bytes| bytes == b"priority") {
        return Ok(0);
    }
    let bad = |text: &str| StanzaError::new(Condition::BadRequest).with_text(text);
    let element = presence.to_element().map_err(|_| bad("the presence can't be read"))?;
    let mut priorities = element.children().filter(|child| child.is(ns::CLIENT, "priority"));
    let Some(priority) = priorities.next() else { return Ok(0) };
    if priorities.next().is_some() {
        return Err(bad("more than one priority"));
    }
    priority.text().trim().parse().map_err(|_| bad("the priority is no integer from -128 to 127"))
}

#[cfg(test)]
mod tests {
    use vesta_xmpp::{PresenceType, StanzaType};

    use super::*;

    #[test]
    fn a_priority_is_read_from_the_presence() {
        let cases = [
            ("", Some(0)),
            ("<show>away</show>", Some(0)),
            ("<priority>5</priority>", Some(5)),
            ("<show>dnd</show><priority> -128\n</priority>", Some(-128)),
            ("<priority>127</priority>", Some(127)),
            ("<priority xmlns='urn:other'>9</priority>", Some(0)),
            ("<status>priority</status>", Some(0)),
            ("<priority>128</priority>", None),
            ("<priority>-129</priority>", None),
            ("<priority/>", None),
            ("<priority>high</priority>", None),
            ("<priority>1</priority><priority>1</priority>", None),
        ];
        for (content, expected) in cases {
            let mut presence = Envelope::new(StanzaType::Presence(PresenceType::Available));
            presence.content = content.as_bytes().into();
            assert_eq!(of(&presence).ok(), expected, "{content}");
        }
    }
}
