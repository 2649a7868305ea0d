//! Typed payloads, one file per specification, for what somebody has to read or build: the server's modules and the
//! client library share them.
//!
//! Each type has `parse`, from an [`Element`] to the type or a [`PayloadError`], and `to_element`, back. Children and attributes
//! that a specification does not name are ignored, as RFC 6120 §8.4 asks of extensions.
//!
//! | module | payload |
//! |---|---|
//! | [`bind`] | RFC 6120 §7: resource binding |
//! | [`roster`] | RFC 6121 §2: rosters |
//! | [`data_form`] | XEP-0004: data forms |
//! | [`last_activity`] | XEP-0012: last activity |
//! | [`disco`] | XEP-0030: service discovery |
//! | [`private`] | XEP-0049: private XML storage |
//! | [`vcard`] | XEP-0054: vcard-temp |
//! | [`rsm`] | XEP-0059: result set management |
//! | [`register`] | XEP-0077: in-band registration |
//! | [`date_time`] | XEP-0082: date and time profiles |
//! | [`version`] | XEP-0092: software version |
//! | [`ping`] | XEP-0199: ping |
//! | [`time`] | XEP-0202: entity time |
//! | [`delay`] | XEP-0203: delayed delivery |
//! | [`carbon`] | XEP-0280: message carbons |
//! | [`forwarded`] | XEP-0297: forwarded stanzas |
//! | [`archive`] | XEP-0313: message archive, with the preferences of XEP-0441 |
//! | [`hint`] | XEP-0334: processing hints |
//! | [`stanza_id`] | XEP-0359: stanza ids and origin ids |

pub mod archive;
pub mod bind;
pub mod carbon;
pub mod data_form;
pub mod date_time;
pub mod delay;
pub mod disco;
pub mod forwarded;
pub mod hint;
pub mod last_activity;
pub mod ping;
pub mod private;
pub mod register;
pub mod roster;
pub mod rsm;
pub mod stanza_id;
pub mod time;
pub mod vcard;
pub mod version;

use crate::element::Element;
use crate::jid::{Jid, JidError};
use crate::stanza_error::{Condition, StanzaError};

/// Why an element is not what its namespace promises. The peer is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Another element stands where this one was expected.
    #[error("a <{0}/> element was expected")]
    Unexpected(&'static str),
    /// A required attribute or child is missing.
    #[error("'{0}' is missing")]
    Missing(&'static str),
    /// A value that the specification does not allow.
    #[error("the value of '{0}' is not allowed")]
    Invalid(&'static str),
    /// Something that must stand once at most stands twice.
    #[error("'{0}' is given twice")]
    Repeated(&'static str),
    /// An attribute that should be an address is none.
    #[error(transparent)]
    Address(#[from] JidError),
}

impl From<PayloadError> for StanzaError {
    /// `modify / bad-request` (RFC 6120 §8.3.3.1), or `modify / jid-malformed` (§8.3.3.8) for an address.
    fn from(error: PayloadError) -> Self {
        let condition = match error {
            PayloadError::Address(_) => Condition::JidMalformed,
            _ => Condition::BadRequest,
        };
        StanzaError::new(condition).with_text(error.to_string())
    }
}

/// Fails unless `element` has this namespace and name.
fn expect_element(element: &Element, namespace: &str, name: &'static str) -> Result<(), PayloadError> {
    if element.is(namespace, name) { Ok(()) } else { Err(PayloadError::Unexpected(name)) }
}

/// An attribute that must be there.
fn required<'a>(element: &'a Element, name: &'static str) -> Result<&'a str, PayloadError> {
    element.attribute(name).ok_or(PayloadError::Missing(name))
}

/// An attribute that must be there and be an address.
fn required_jid(element: &Element, name: &'static str) -> Result<Jid, PayloadError> {
    Ok(Jid::parse(required(element, name)?)?)
}

/// The text of the first child of this name in the element's own namespace.
fn child_text(element: &Element, name: &str) -> Option<String> {
    element.child(element.namespace(), name).map(Element::text)
}

/// An attribute of XML Schema's type boolean (`true`, `1`, `false`, `0`); `false` where it is left out.
fn boolean(element: &Element, name: &'static str) -> Result<bool, PayloadError> {
    match element.attribute(name) {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1") => Ok(true),
        Some(_) => Err(PayloadError::Invalid(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_payload_is_a_bad_request_and_a_malformed_address_says_so() {
        assert_eq!(StanzaError::from(PayloadError::Missing("jid")).condition, Condition::BadRequest);
        let address = Jid::parse("@").map(|_| ()).expect_err("no domainpart");
        assert_eq!(StanzaError::from(PayloadError::Address(address)).condition, Condition::JidMalformed);
    }
}
