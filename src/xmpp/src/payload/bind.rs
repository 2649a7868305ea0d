//! RFC 6120 §7: resource binding, `<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>`.

use super::{PayloadError, child_text, expect_element};
use crate::{Element, FullJid, ns};

/// The initiating entity's request (RFC 6120 §7.6.1, §7.7.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The resourcepart asked for, as written; `None` lets the server choose one.
    pub resource: Option<String>,
}

impl Request {
    /// Reads the `<bind/>` of an IQ of type `set`.
    ///
    /// # Errors
    /// Not a bind.
    pub fn parse(element: &Element) -> Result<Self, PayloadError> {
        expect_element(element, ns::BIND, "bind")?;
        Ok(Self { resource: child_text(element, "resource").filter(|resource| !resource.is_empty()) })
    }

    /// Writes the `<bind/>`.
    pub fn to_element(&self) -> Element {
        let resource = self.resource.iter().map(|it| Element::new(ns::BIND, "resource").with_text(it));
        Element::new(ns::BIND, "bind").with_children(resource)
    }
}

/// The receiving entity's answer (RFC 6120 §7.6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The full JID that the stream now has.
    pub jid: FullJid,
}

impl Bound {
    /// Reads the `<bind/>` of an IQ of type `result`.
    ///
    /// # Errors
    /// Not a bind; no `<jid/>`, or one that is no full JID.
    pub fn parse(element: &Element) -> Result<Self, PayloadError> {
        expect_element(element, ns::BIND, "bind")?;
        let jid = child_text(element, "jid").ok_or(PayloadError::Missing("jid"))?;
        Ok(Self { jid: FullJid::parse(&jid)? })
    }

    /// Writes the `<bind/>`.
    pub fn to_element(&self) -> Element {
        let jid = Element::new(ns::BIND, "jid").with_text(self.jid.as_str());
        Element::new(ns::BIND, "bind").with_child(jid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jid::JidError;

    #[test]
    fn a_request_names_a_resource_or_none() {
        for resource in [None, Some("balcony".to_owned())] {
            let request = Request { resource };
            assert_eq!(Request::parse(&request.to_element()), Ok(request));
        }
    }

    #[test]
    fn the_answer_holds_a_full_jid() {
        let bound = Bound { jid: FullJid::parse("juliet@im.example.com/balcony").expect("a full JID") };
        assert_eq!(Bound::parse(&bound.to_element()), Ok(bound));
        let bare = Element::new(ns::BIND, "bind").with_child(Element::new(ns::BIND, "jid").with_text("a@b"));
        assert_eq!(Bound::parse(&bare), Err(PayloadError::Address(JidError::ResourceMissing)));
    }
}
