//! XEP-0203: Delayed Delivery (version 2.0).

use super::date_time::DateTime;
use super::{PayloadError, expect_element, required};
use crate::{Element, Jid, ns};

/// `<delay/>`: when a stanza was first sent, and who kept it since (§2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delay {
    /// Who kept it: a server's domain, a room.
    pub from: Option<Jid>,
    /// When it was first sent.
    pub stamp: DateTime,
    /// Why, for people.
    pub reason: Option<String>,
}

impl Delay {
    /// Reads a `<delay/>`.
    ///
    /// # Errors
    /// Not a delay; no `stamp` or one that is no XEP-0082 DateTime; a `from` that is no address.
    pub fn parse(element: &Element) -> Result<Self, PayloadError> {
        expect_element(element, ns::DELAY, "delay")?;
        Ok(Self {
            from: element.attribute("from").map(Jid::parse).transpose()?,
            stamp: DateTime::parse(required(element, "stamp")?).ok_or(PayloadError::Invalid("stamp"))?,
            reason: Some(element.text()).filter(|reason| !reason.is_empty()),
        })
    }

    /// Writes the `<delay/>`.
    pub fn to_element(&self) -> Element {
        let element = Element::new(ns::DELAY, "delay")
            .with_optional("from", self.from.as_ref().map(Jid::as_str))
            .with("stamp", self.stamp.to_string());
        match &self.reason {
            Some(reason) => element.with_text(reason),
            None => element,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_comes_back_as_it_was_written() {
        let delay = Delay {
            from: Some(Jid::parse("capulet.com").expect("a JID")),
            stamp: DateTime(1_031_699_305_000),
            reason: Some("Offline Storage".into()),
        };
        assert_eq!(
            delay.to_element().to_bytes(ns::CLIENT),
            "<delay xmlns='urn:xmpp:delay' from='capulet.com' stamp='2002-09-10T23:08:25Z'>Offline Storage</delay>"
        );
        assert_eq!(Delay::parse(&delay.to_element()), Ok(delay));
    }

    #[test]
    fn a_delay_without_a_readable_stamp_is_refused() {
        let delay = Element::new(ns::DELAY, "delay");
        assert_eq!(Delay::parse(&delay), Err(PayloadError::Missing("stamp")));
        assert_eq!(Delay::parse(&delay.with("stamp", "yesterday")), Err(PayloadError::Invalid("stamp")));
    }
}
