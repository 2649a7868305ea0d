//! XEP-0199: XMPP Ping (version 2.0.1).

use super::{PayloadError, expect_element};
use crate::{Element, ns};

/// `<ping/>`, of an IQ of type `get`; the answer is an empty result (§4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ping;

impl Ping {
    /// Reads a `<ping/>`.
    ///
    /// # Errors
    /// Not a ping.
    pub fn parse(element: &Element) -> Result<Self, PayloadError> {
        expect_element(element, ns::PING, "ping").map(|()| Self)
    }

    /// Writes the `<ping/>`.
    pub fn to_element(self) -> Element {
        Element::new(ns::PING, "ping")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_comes_back_as_it_was_written() {
        assert_eq!(Ping::parse(&Ping.to_element()), Ok(Ping));
        assert_eq!(Ping::parse(&Element::new(ns::TIME, "time")), Err(PayloadError::Unexpected("ping")));
    }
}
