//! XEP-0280: Message Carbons (version 1.0.1).
//!
//! A copy is believed only where it comes from the own account's bare JID (§11): that check is the client's.

use super::forwarded::Forwarded;
use super::{PayloadError, expect_element};
use crate::{Element, ns};

/// Whether a client wants copies from now on (§4, §5): the payload of an IQ of type `set`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// `<enable/>`
    Enable,
    /// `<disable/>`
    Disable,
}

impl Switch {
    /// Writes the element.
    pub fn to_element(self) -> Element {
        Element::new(ns::CARBONS, self.name())
    }

    /// The element's name.
    pub fn name(self) -> &'static str {
        match self {
            Switch::Enable => "enable",
            Switch::Disable => "disable",
        }
    }
}

/// Which way the message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To another resource of the account (§7).
    Received,
    /// From another resource of the account (§8).
    Sent,
}

impl Direction {
    /// The element's name.
    pub fn name(self) -> &'static str {
        match self {
            Direction::Received => "received",
            Direction::Sent => "sent",
        }
    }
}

/// `<received/>` or `<sent/>`: a copy of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carbon {
    /// Which way it went.
    pub direction: Direction,
    /// The message.
    pub forwarded: Forwarded,
}

impl Carbon {
    /// Reads a copy.
    ///
    /// # Errors
    /// Not a copy; nothing in it, or what can't be read.
    pub fn parse(element: &Element) -> Result<Self, PayloadError> {
        let direction = if element.is(ns::CARBONS, "sent") { Direction::Sent } else { Direction::Received };
        expect_element(element, ns::CARBONS, direction.name())?;
        let forwarded = element.child(ns::FORWARD, "forwarded").ok_or(PayloadError::Missing("forwarded"))?;
        Ok(Self { direction, forwarded: Forwarded::parse(forwarded)? })
    }

    /// Writes the copy.
    pub fn write(&self, out: &mut Vec<u8>) {
        let name = self.direction.name().as_bytes();
        for part in [b"<", name, b" xmlns='", ns::CARBONS.as_bytes(), b"'>"] {
            out.extend_from_slice(part);
        }
        self.forwarded.write(out);
        for part in [b"</", name, b">"] {
            out.extend_from_slice(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Envelope, MessageType, StanzaType};

    #[test]
    fn a_copy_comes_back_as_it_was_written() {
        for direction in [Direction::Received, Direction::Sent] {
            let stanza = Envelope::new(StanzaType::Message(MessageType::Chat));
            let carbon = Carbon { direction, forwarded: Forwarded { delay: None, stanza } };
            let mut out = Vec::new();
            carbon.write(&mut out);
            let read = Carbon::parse(&Element::parse(&out).expect("well-formed"));
            assert_eq!(read, Ok(carbon));
        }
        assert_eq!(Carbon::parse(&Switch::Enable.to_element()), Err(PayloadError::Unexpected("received")));
        let empty = Element::new(ns::CARBONS, "sent");
        assert_eq!(Carbon::parse(&empty), Err(PayloadError::Missing("forwarded")));
    }
}
