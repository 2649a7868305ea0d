//! XEP-0049: Private XML Storage (version 1.2).

use super::{PayloadError, expect_element};
use crate::{Element, ns};

/// `<query xmlns='jabber:iq:private'/>`. In a get, its elements are empty and name what is asked for; in a set and in a result
/// they are the data, opaque to everybody but the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Private {
    /// The elements, each in a namespace of its own.
    pub elements: Vec<Element>,
}

impl Private {
    /// One element.
    pub fn new(element: Element) -> Self {
        Self { elements: vec![element] }
    }

    /// Reads a `<query/>`.
    ///
    /// # Errors
    /// Not private storage, or no element in it (§2.3: at least one).
    pub fn parse(element: &Element) -> Result<Self, PayloadError> {
        expect_element(element, ns::PRIVATE, "query")?;
        let elements: Vec<Element> = element.children().cloned().collect();
        if elements.is_empty() {
            return Err(PayloadError::Missing("an element in a namespace of its own"));
        }
        Ok(Self { elements })
    }

    /// Writes the `<query/>`.
    pub fn to_element(&self) -> Element {
        Element::new(ns::PRIVATE, "query").with_children(self.elements.iter().cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_comes_back_as_it_was_written() {
        let prefs = Element::new("exodus:prefs", "exodus").with_child(Element::new("exodus:prefs", "defaultnick"));
        let private = Private::new(prefs);
        assert_eq!(Private::parse(&private.to_element()), Ok(private));
    }

    #[test]
    fn a_query_without_an_element_is_refused() {
        assert!(Private::parse(&Element::new(ns::PRIVATE, "query")).is_err());
    }
}
