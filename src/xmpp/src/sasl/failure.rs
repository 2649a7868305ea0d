//! RFC 6120 §6.5: SASL errors. The stream goes on, the peer may try again.

use crate::stream_error::conditions;
use crate::{Element, ns};

conditions! {
    /// The defined conditions of RFC 6120 §6.5.
    SaslCondition {
        /// §6.5.1: the peer gave up.
        Aborted = "aborted",
        /// §6.5.2: the account is switched off.
        AccountDisabled = "account-disabled",
        /// §6.5.3: the credentials are right but too old.
        CredentialsExpired = "credentials-expired",
        /// §6.5.4: only inside TLS.
        EncryptionRequired = "encryption-required",
        /// §6.5.5: not base64.
        IncorrectEncoding = "incorrect-encoding",
        /// §6.5.6: an authorization identity that is not the account's own.
        InvalidAuthzid = "invalid-authzid",
        /// §6.5.7: a mechanism that is not offered.
        InvalidMechanism = "invalid-mechanism",
        /// §6.5.8: not of the mechanism's form.
        MalformedRequest = "malformed-request",
        /// §6.5.9: a mechanism weaker than the policy for the account.
        MechanismTooWeak = "mechanism-too-weak",
        /// §6.5.10: wrong credentials; says no more than that.
        NotAuthorized = "not-authorized",
        /// §6.5.11: this server can't tell just now.
        TemporaryAuthFailure = "temporary-auth-failure",
    }
}

/// A SASL error: its condition and a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("authentication failed: {}", .condition.name())]
pub struct SaslFailure {
    /// The defined condition.
    pub condition: SaslCondition,
    /// A short English text that gives nothing away about the account.
    pub text: Option<String>,
}

impl SaslFailure {
    /// A failure without text.
    pub fn new(condition: SaslCondition) -> Self {
        Self { condition, text: None }
    }

    /// Reads `<failure/>`. A condition that is not defined becomes `not-authorized`.
    pub fn from_element(failure: &Element) -> Self {
        let mut condition = SaslCondition::NotAuthorized;
        let mut text = None;
        for child in failure.children().filter(|child| child.namespace() == ns::SASL) {
            match SaslCondition::from_name(child.name()) {
                Some(defined) => condition = defined,
                None if child.name() == "text" => text = Some(child.text()),
                None => {}
            }
        }
        Self { condition, text }
    }

    /// Appends `<failure/>`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<failure xmlns='");
        out.extend_from_slice(ns::SASL.as_bytes());
        out.extend_from_slice(b"'><");
        out.extend_from_slice(self.condition.name().as_bytes());
        out.extend_from_slice(b"/>");
        if let Some(text) = &self.text {
            out.extend_from_slice(b"<text xml:lang='en'>");
            crate::escape_into(out, text);
            out.extend_from_slice(b"</text>");
        }
        out.extend_from_slice(b"</failure>");
    }
}

impl From<SaslCondition> for SaslFailure {
    fn from(condition: SaslCondition) -> Self {
        Self::new(condition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_read_as_it_was_written() {
        for &condition in SaslCondition::ALL {
            for text in [None, Some("a & b".to_owned())] {
                let failure = SaslFailure { condition, text };
                let mut out = Vec::new();
                failure.write(&mut out);
                let element = Element::parse(&out).expect("well-formed");
                assert_eq!(SaslFailure::from_element(&element), failure);
            }
        }
    }

    #[test]
    fn an_unknown_condition_is_read_as_not_authorized() {
        let failure = Element::new(ns::SASL, "failure").with_child(Element::new(ns::SASL, "bad-protocol"));
        assert_eq!(SaslFailure::from_element(&failure), SaslCondition::NotAuthorized.into());
    }
}
