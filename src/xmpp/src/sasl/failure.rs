//! RFC 6120 §6.5: SASL errors. The stream goes on, the peer may try again.

use crate::ns;
use crate::stream_error::conditions;

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
