//! XEP-0334: Message Processing Hints (version 0.4.0).

use crate::{Element, ns};

/// What a sender says about how its message is to be treated (§4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// §4.1: not in archives; may wait for an offline recipient.
    NoPermanentStore,
    /// §4.2: kept nowhere.
    NoStore,
    /// §4.3: for the addressed resource alone.
    NoCopy,
    /// §4.4: to be stored, though it might not look so.
    Store,
}

impl Hint {
    /// Every hint.
    pub const ALL: [Hint; 4] = [Hint::NoPermanentStore, Hint::NoStore, Hint::NoCopy, Hint::Store];

    /// The element's name.
    pub fn name(self) -> &'static str {
        match self {
            Hint::NoPermanentStore => "no-permanent-store",
            Hint::NoStore => "no-store",
            Hint::NoCopy => "no-copy",
            Hint::Store => "store",
        }
    }

    /// The hint that an element is, if it is one.
    pub fn from_element(element: &Element) -> Option<Self> {
        Self::ALL.into_iter().find(|hint| element.is(ns::HINTS, hint.name()))
    }

    /// Writes the element.
    pub fn to_element(self) -> Element {
        Element::new(ns::HINTS, self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hint_comes_back_as_it_was_written() {
        for hint in Hint::ALL {
            assert_eq!(Hint::from_element(&hint.to_element()), Some(hint));
        }
        assert_eq!(Hint::from_element(&Element::new(ns::HINTS, "no-hint")), None);
    }
}
