//! RFC 6120 §8.3: stanza errors. They answer one stanza, the stream goes on.

use crate::stream_error::conditions;
use crate::{Element, ns};

/// What the sender of the failed stanza can do (RFC 6120 §8.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// Try again after authenticating or with other rights.
    Auth,
    /// Do not try again.
    Cancel,
    /// Go on: the condition was only a warning.
    Continue,
    /// Try again with other data.
    Modify,
    /// Try again later.
    Wait,
}

impl ErrorType {
    /// The value of the attribute `type`.
    pub fn name(self) -> &'static str {
        match self {
            ErrorType::Auth => "auth",
            ErrorType::Cancel => "cancel",
            ErrorType::Continue => "continue",
            ErrorType::Modify => "modify",
            ErrorType::Wait => "wait",
        }
    }

    /// The type with this attribute value.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "auth" => ErrorType::Auth,
            "cancel" => ErrorType::Cancel,
            "continue" => ErrorType::Continue,
            "modify" => ErrorType::Modify,
            "wait" => ErrorType::Wait,
            _ => return None,
        })
    }
}

conditions! {
    /// The defined conditions of RFC 6120 §8.3.3.
    Condition {
        /// §8.3.3.1: malformed by the schema of its payload.
        BadRequest = "bad-request",
        /// §8.3.3.2: something of that name or address exists.
        Conflict = "conflict",
        /// §8.3.3.3: understood, not implemented.
        FeatureNotImplemented = "feature-not-implemented",
        /// §8.3.3.4: the sender lacks the permission.
        Forbidden = "forbidden",
        /// §8.3.3.5: the recipient has moved for good.
        Gone = "gone",
        /// §8.3.3.6: our bug or misconfiguration.
        InternalServerError = "internal-server-error",
        /// §8.3.3.7: no such thing.
        ItemNotFound = "item-not-found",
        /// §8.3.3.8: an address that is no JID.
        JidMalformed = "jid-malformed",
        /// §8.3.3.9: understood, unacceptable by criteria of the recipient.
        NotAcceptable = "not-acceptable",
        /// §8.3.3.10: nobody may do that.
        NotAllowed = "not-allowed",
        /// §8.3.3.11: credentials are wanted first.
        NotAuthorized = "not-authorized",
        /// §8.3.3.12: a local policy stands against it.
        PolicyViolation = "policy-violation",
        /// §8.3.3.13: the recipient is away for now.
        RecipientUnavailable = "recipient-unavailable",
        /// §8.3.3.14: the recipient has moved for now.
        Redirect = "redirect",
        /// §8.3.3.15: registration is wanted first.
        RegistrationRequired = "registration-required",
        /// §8.3.3.16: the remote domain does not exist or is not served.
        RemoteServerNotFound = "remote-server-not-found",
        /// §8.3.3.17: the remote domain did not answer in time.
        RemoteServerTimeout = "remote-server-timeout",
        /// §8.3.3.18: busy; later it may do.
        ResourceConstraint = "resource-constraint",
        /// §8.3.3.19: the service is not provided, or is not for you to know of.
        ServiceUnavailable = "service-unavailable",
        /// §8.3.3.20: a subscription is wanted first.
        SubscriptionRequired = "subscription-required",
        /// §8.3.3.21: none of the others.
        UndefinedCondition = "undefined-condition",
        /// §8.3.3.22: understood, but not now in this order.
        UnexpectedRequest = "unexpected-request",
    }
}

impl Condition {
    /// The type that RFC 6120 §8.3.3 recommends for the condition.
    pub fn recommended_type(self) -> ErrorType {
        use Condition::*;
        match self {
            BadRequest | JidMalformed | NotAcceptable | PolicyViolation | Redirect | UndefinedCondition => {
                ErrorType::Modify
            }
            Forbidden | NotAuthorized | RegistrationRequired | SubscriptionRequired => ErrorType::Auth,
            RecipientUnavailable | RemoteServerTimeout | ResourceConstraint | UnexpectedRequest => ErrorType::Wait,
            Conflict
            | FeatureNotImplemented
            | Gone
            | InternalServerError
            | ItemNotFound
            | NotAllowed
            | RemoteServerNotFound
            | ServiceUnavailable => ErrorType::Cancel,
        }
    }
}

/// An error that answers a stanza.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stanza error {}: {}", .condition.name(), .text.as_deref().unwrap_or("no text"))]
pub struct StanzaError {
    /// What the sender can do.
    pub kind: ErrorType,
    /// The defined condition.
    pub condition: Condition,
    /// A short English text, without internal detail.
    pub text: Option<String>,
}

impl StanzaError {
    /// An error with the condition's recommended type, without text.
    pub fn new(condition: Condition) -> Self {
        Self { kind: condition.recommended_type(), condition, text: None }
    }

    /// Adds a text.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Replaces the type.
    #[must_use]
    pub fn with_type(mut self, kind: ErrorType) -> Self {
        self.kind = kind;
        self
    }

    /// Reads `<error/>`. A condition that is not defined becomes `undefined-condition`, a missing type `cancel`: RFC 6120 §8.3.2
    /// asks for both, but an error is never answered, so the lenient reading harms nobody.
    pub fn from_element(error: &Element) -> Self {
        let mut condition = Condition::UndefinedCondition;
        let mut text = None;
        for child in error.children().filter(|child| child.namespace() == ns::STANZA_ERRORS) {
            match Condition::from_name(child.name()) {
                Some(defined) => condition = defined,
                None if child.name() == "text" => text = Some(child.text()),
                None => {}
            }
        }
        let kind = error.attribute("type").and_then(ErrorType::from_name).unwrap_or(ErrorType::Cancel);
        Self { kind, condition, text }
    }

    /// Appends the `<error/>` element; the default namespace is the stanza's.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<error type='");
        out.extend_from_slice(self.kind.name().as_bytes());
        out.extend_from_slice(b"'><");
        out.extend_from_slice(self.condition.name().as_bytes());
        out.extend_from_slice(b" xmlns='");
        out.extend_from_slice(ns::STANZA_ERRORS.as_bytes());
        out.extend_from_slice(b"'/>");
        if let Some(text) = &self.text {
            out.extend_from_slice(b"<text xmlns='");
            out.extend_from_slice(ns::STANZA_ERRORS.as_bytes());
            out.extend_from_slice(b"' xml:lang='en'>");
            crate::escape_into(out, text);
            out.extend_from_slice(b"</text>");
        }
        out.extend_from_slice(b"</error>");
    }
}

impl From<Condition> for StanzaError {
    fn from(condition: Condition) -> Self {
        Self::new(condition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_condition_is_found_by_its_name() {
        for &condition in Condition::ALL {
            assert_eq!(Condition::from_name(condition.name()), Some(condition));
        }
        assert_eq!(Condition::ALL.len(), 22);
    }

    #[test]
    fn an_error_is_read_with_type_condition_and_text() {
        let child = |name| Element::new(ns::STANZA_ERRORS, name);
        let error = Element::new(ns::CLIENT, "error").with("type", "wait");
        assert_eq!(
            StanzaError::from_element(&error),
            StanzaError::new(Condition::UndefinedCondition).with_type(ErrorType::Wait)
        );
        let error = error.with_child(child("resource-constraint")).with_child(child("text").with_text("busy"));
        assert_eq!(
            StanzaError::from_element(&error),
            StanzaError::new(Condition::ResourceConstraint).with_text("busy")
        );
    }

    #[test]
    fn an_error_is_written_with_type_condition_and_text() {
        let mut out = Vec::new();
        StanzaError::new(Condition::ItemNotFound).with_text("no such room").write(&mut out);
        assert_eq!(
            String::from_utf8(out).expect("UTF-8"),
            "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
             <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>no such room</text></error>"
        );
    }
}
