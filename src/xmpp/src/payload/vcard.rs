//! XEP-0054: vcard-temp (version 1.2).

use super::{PayloadError, expect_element};
use crate::{Element, ns};

/// `<vCard xmlns='vcard-temp'/>`, opaque: what stands in it is between clients. In a get it is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VCard(Element);

impl VCard {
    /// An empty card, which is also the question.
    pub fn empty() -> Self {
        Self(Element::new(ns::VCARD, "vCard"))
    }

    /// Takes a `<vCard/>`.
    ///
    /// # Errors
    /// Not a vCard.
    pub fn parse(element: Element) -> Result<Self, PayloadError> {
        expect_element(&element, ns::VCARD, "vCard").map(|()| Self(element))
    }

    /// The element.
    pub fn as_element(&self) -> &Element {
        &self.0
    }

    /// The text of a field at the top, `FN` for instance.
    pub fn field(&self, name: &str) -> Option<String> {
        self.0.child(ns::VCARD, name).map(Element::text)
    }

    /// Adds a field at the top with text.
    #[must_use]
    pub fn with_field(mut self, name: &str, text: &str) -> Self {
        self.0.push(Element::new(ns::VCARD, name).with_text(text));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_written_and_read() {
        let card = VCard::empty().with_field("FN", "Juliet Capulet");
        assert_eq!(card.as_element().to_bytes(ns::CLIENT), "<vCard xmlns='vcard-temp'><FN>Juliet Capulet</FN></vCard>");
        assert_eq!(VCard::parse(card.as_element().clone()).map(|it| it.field("FN")), Ok(Some("Juliet Capulet".into())));
    }

    #[test]
    fn another_element_is_no_card() {
        assert_eq!(VCard::parse(Element::new(ns::VCARD, "vcard")), Err(PayloadError::Unexpected("vCard")));
    }
}
