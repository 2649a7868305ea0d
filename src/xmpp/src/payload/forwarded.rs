//! XEP-0297: Stanza Forwarding (version 1.0).

use super::delay::Delay;
use super::{PayloadError, expect_element};
use crate::{Element, Envelope, ns};

/// `<forwarded/>`: a whole stanza as a payload, and when it was sent or came in (§3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// When.
    pub delay: Option<Delay>,
    /// The stanza, as it was.
    pub stanza: Envelope,
}

impl Forwarded {
    /// Reads a `<forwarded/>`.
    ///
    /// # Errors
    /// Not of this namespace; no stanza in it, or one that can't be read; a malformed delay.
    pub fn parse(element: &Element) -> Result<Self, PayloadError> {
        expect_element(element, ns::FORWARD, "forwarded")?;
        let is_stanza = |child: &&Element| child.namespace() == ns::CLIENT;
        let stanza = element.children().find(is_stanza).ok_or(PayloadError::Missing("a stanza"))?;
        let stanza = Envelope::read_alone(&stanza.to_bytes("")).map_err(|_| PayloadError::Invalid("forwarded"))?;
        let delay = element.child(ns::DELAY, "delay").map(Delay::parse).transpose()?;
        Ok(Self { delay, stanza })
    }

    /// Writes the `<forwarded/>`, the stanza byte by byte as it is.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<forwarded xmlns='");
        out.extend_from_slice(ns::FORWARD.as_bytes());
        out.extend_from_slice(b"'>");
        if let Some(delay) = &self.delay {
            delay.to_element().write(out, ns::FORWARD);
        }
        self.stanza.write_alone(out);
        out.extend_from_slice(b"</forwarded>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::date_time::DateTime;
    use crate::{Jid, MessageType, StanzaType};

    #[test]
    fn a_stanza_comes_back_as_it_was_forwarded() {
        let mut stanza = Envelope::new(StanzaType::Message(MessageType::Chat))
            .with_from(Jid::parse("romeo@montague.lit/orchard").expect("a JID"));
        stanza.append(&Element::new(ns::RECEIPTS, "request"));
        let stanza = {
            let mut alone = Vec::new();
            stanza.write_alone(&mut alone);
            Envelope::read_alone(&alone).expect("just written")
        };
        let delay = Delay { from: None, stamp: DateTime(1_031_699_305_000), reason: None };
        for delay in [None, Some(delay)] {
            let forwarded = Forwarded { delay, stanza: stanza.clone() };
            let mut out = Vec::new();
            forwarded.write(&mut out);
            let read = Forwarded::parse(&Element::parse(&out).expect("well-formed"));
            assert_eq!(read, Ok(forwarded));
        }
    }

    #[test]
    fn nothing_forwarded_is_refused() {
        let empty = Element::new(ns::FORWARD, "forwarded");
        assert_eq!(Forwarded::parse(&empty), Err(PayloadError::Missing("a stanza")));
        let no_stanza = empty.with_child(Element::new(ns::CLIENT, "query"));
        assert_eq!(Forwarded::parse(&no_stanza), Err(PayloadError::Invalid("forwarded")));
    }
}
