//! Which messages an archive keeps.

use vesta_xmpp::{Envelope, Flags, MessageType, StanzaType};

/// A row: a message that has this, whether it is kept, and who says so. The first row that holds decides; a message that none holds for is
/// not kept. Only messages of the types `chat` and `normal` come so far (XEP-0313 §5.1.1).
type Rule = (Flags, bool, &'static str);

#[rustfmt::skip]
const RULES: &[Rule] = &[
    // what it has              kept    because of
    (Flags::NO_STORE,           false, "XEP-0334 §4.2"),
    (Flags::NO_PERMANENT_STORE, false, "XEP-0334 §4.1"),
    (Flags::STORE,              true,  "XEP-0334 §4.4"),
    (Flags::BODY,               true,  "XEP-0313 §5.1.1"),
    // Encrypted (XEP-0373, 0380, 0384), corrected (0308), retracted (0424), reacted to (0444), invited (0249).
    (Flags::CONTENT,            true,  "XEP-0313 §5.1.1: elements that supplement conversations"),
    (Flags::SUBJECT,            true,  "RFC 6121 §5.2.4: a message may be nothing but its subject"),
    // Nothing that lasts, alone: without these rows too, they are here to be read.
    (Flags::RECEIPT,            false, "XEP-0184 §5.5: a receipt is about another message"),
    (Flags::MARKER,             false, "XEP-0333 §4: so is a marker"),
    (Flags::CHAT_STATE,         false, "XEP-0085 §5.5: chat states are of the moment"),
];

/// Whether a message may go into an archive, by what the scan has seen of it.
pub(super) fn is_kept(stanza: &Envelope) -> bool {
    matches!(stanza.kind, StanzaType::Message(MessageType::Chat | MessageType::Normal))
        && RULES.iter().find(|(flags, ..)| stanza.flags.has(*flags)).is_some_and(|(_, kept, _)| *kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rustfmt::skip]
    const CASES: &[(&str, &str, bool)] = &[
        ("chat", "<body>Hi</body>", true),
        ("normal", "<body>Hi</body>", true),
        ("normal", "<subject>News</subject>", true),
        ("headline", "<body>Hi</body>", false),
        ("groupchat", "<body>Hi</body>", false),
        ("error", "<body>Hi</body>", false),
        ("error", "<body>Hi</body><store xmlns='urn:xmpp:hints'/>", false),
        ("chat", "", false),
        ("chat", "<thread>t</thread><active xmlns='http://jabber.org/protocol/chatstates'/>", false),
        ("chat", "<received xmlns='urn:xmpp:receipts' id='1'/>", false),
        ("chat", "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>", false),
        ("chat", "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/><store xmlns='urn:xmpp:hints'/>", true),
        ("chat", "<body>Hi</body><no-store xmlns='urn:xmpp:hints'/>", false),
        ("chat", "<body>Hi</body><no-store xmlns='urn:xmpp:hints'/><store xmlns='urn:xmpp:hints'/>", false),
        ("chat", "<body>Hi</body><no-permanent-store xmlns='urn:xmpp:hints'/>", false),
        ("chat", "<encrypted xmlns='eu.siacs.conversations.axolotl'/>", true),
        ("chat", "<encrypted xmlns='urn:xmpp:omemo:2'/>", true),
        ("chat", "<body>Hello</body><replace xmlns='urn:xmpp:message-correct:0' id='1'/>", true),
        ("chat", "<retract xmlns='urn:xmpp:message-retract:1' id='1'/>", true),
        ("chat", "<reactions xmlns='urn:xmpp:reactions:0' id='1'/>", true),
        ("normal", "<x xmlns='urn:example:unheard-of'/>", false),
    ];

    #[test]
    fn what_is_kept_is_kept_and_nothing_else() {
        for (kind, content, kept) in CASES {
            let xml = format!("<message xmlns='jabber:client' type='{kind}'>{content}</message>");
            let stanza = Envelope::read_alone(xml.as_bytes()).expect("the test's XML");
            assert_eq!(is_kept(&stanza), *kept, "{xml}");
        }
    }
}
