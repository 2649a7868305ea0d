//! XEP-0359: Unique and Stable Stanza IDs (version 0.7.0).

use super::{PayloadError, expect_element, required, required_jid};
use crate::{Element, Envelope, Flags, Jid, ns};

/// `<stanza-id/>`: how `by` calls the stanza. To be believed only of an entity that takes out others' (§5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StanzaId {
    /// The identifier.
    pub id: String,
    /// Who gave it: an account's bare JID, a room.
    pub by: Jid,
}

/// `<origin-id/>`: how the sending client calls the stanza.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginId {
    /// The identifier.
    pub id: String,
}

impl StanzaId {
    /// Reads a `<stanza-id/>`.
    ///
    /// # Errors
    /// Not a stanza id; no `id`; no `by`, or one that is no address.
    pub fn parse(element: &Element) -> Result<Self, PayloadError> {
        expect_element(element, ns::STANZA_ID, "stanza-id")?;
        Ok(Self { id: required(element, "id")?.to_owned(), by: required_jid(element, "by")? })
    }

    /// Writes the `<stanza-id/>`.
    pub fn to_element(&self) -> Element {
        Element::new(ns::STANZA_ID, "stanza-id").with("by", self.by.as_str()).with("id", &self.id)
    }

    /// The id that `by` has given a stanza, if it has.
    pub fn of(stanza: &Element, by: &str) -> Option<Self> {
        stanza.children().filter_map(|child| Self::parse(child).ok()).find(|id| id.by.as_str() == by)
    }
}

impl OriginId {
    /// Reads an `<origin-id/>`.
    ///
    /// # Errors
    /// Not an origin id; no `id`.
    pub fn parse(element: &Element) -> Result<Self, PayloadError> {
        expect_element(element, ns::STANZA_ID, "origin-id")?;
        Ok(Self { id: required(element, "id")?.to_owned() })
    }

    /// Writes the `<origin-id/>`.
    pub fn to_element(&self) -> Element {
        Element::new(ns::STANZA_ID, "origin-id").with("id", &self.id)
    }

    /// The origin id of a scanned stanza. Reads the content only where the scan has seen one.
    pub fn of(stanza: &Envelope) -> Option<Self> {
        if !stanza.flags.has(Flags::ORIGIN_ID) {
            return None;
        }
        let element = stanza.to_element().ok()?;
        Self::parse(element.child(ns::STANZA_ID, "origin-id")?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_as_they_were_written() {
        let juliet = Jid::parse("juliet@capulet.lit").expect("a JID");
        let id = StanzaId { id: "28482-98726-73623".into(), by: juliet };
        assert_eq!(StanzaId::parse(&id.to_element()), Ok(id.clone()));
        let message = Element::new(ns::CLIENT, "message").with_child(id.to_element());
        assert_eq!(StanzaId::of(&message, "juliet@capulet.lit"), Some(id));
        assert_eq!(StanzaId::of(&message, "room@muc.capulet.lit"), None);
        let id = OriginId { id: "de305d54-75b4".into() };
        assert_eq!(OriginId::parse(&id.to_element()), Ok(id));
    }

    #[test]
    fn an_id_that_says_nothing_is_refused() {
        let element = Element::new(ns::STANZA_ID, "stanza-id").with("id", "x");
        assert_eq!(StanzaId::parse(&element), Err(PayloadError::Missing("by")));
        assert_eq!(OriginId::parse(&Element::new(ns::STANZA_ID, "origin-id")), Err(PayloadError::Missing("id")));
    }

    #[test]
    fn an_origin_id_is_found_in_a_scanned_stanza() {
        let with = |content: &str| {
            Envelope::read_alone(format!("<message xmlns='jabber:client'>{content}</message>").as_bytes()).expect("XML")
        };
        let found = OriginId::of(&with("<body>Hi</body><origin-id xmlns='urn:xmpp:sid:0' id='a'/>"));
        assert_eq!(found, Some(OriginId { id: "a".into() }));
        assert_eq!(OriginId::of(&with("<body>Hi</body>")), None);
        assert_eq!(OriginId::of(&with("<origin-id xmlns='urn:xmpp:sid:0'/>")), None);
    }
}
