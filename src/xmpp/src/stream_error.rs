//! RFC 6120 §4.9: stream errors. They end the stream.

use crate::{Element, ns};

/// A stream error: its condition and a text for the person who reads the peer's log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stream error {}: {}", .condition.name(), .text.as_deref().unwrap_or("no text"))]
pub struct StreamError {
    /// The defined condition.
    pub condition: StreamCondition,
    /// A short English text, without internal detail.
    pub text: Option<String>,
    /// An application-specific condition (§4.9.4). Only the peer is told of it: it does not go from node to node.
    pub detail: Option<Box<Element>>,
}

macro_rules! conditions {
    ($(#[$meta:meta])* $enum:ident { $($(#[$doc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $enum { $($(#[$doc])* $variant,)* }

        impl $enum {
            /// Every condition, in the specification's order.
            pub const ALL: &[$enum] = &[$($enum::$variant,)*];

            /// The element's name.
            pub fn name(self) -> &'static str {
                match self { $($enum::$variant => $name,)* }
            }

            /// The condition with this element name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some($enum::$variant),)* _ => None }
            }
        }
    };
}
pub(crate) use conditions;

conditions! {
    /// The defined conditions of RFC 6120 §4.9.3.
    StreamCondition {
        /// §4.9.3.1: XML that cannot be processed.
        BadFormat = "bad-format",
        /// §4.9.3.2: a prefix is missing or not the one expected.
        BadNamespacePrefix = "bad-namespace-prefix",
        /// §4.9.3.3: a newer stream took this one's place.
        Conflict = "conflict",
        /// §4.9.3.4: the peer has been silent for too long.
        ConnectionTimeout = "connection-timeout",
        /// §4.9.3.5: the domain is served here no longer.
        HostGone = "host-gone",
        /// §4.9.3.6: the domain is not served here.
        HostUnknown = "host-unknown",
        /// §4.9.3.7: a stanza between servers lacks `to` or `from`.
        ImproperAddressing = "improper-addressing",
        /// §4.9.3.8: our fault.
        InternalServerError = "internal-server-error",
        /// §4.9.3.9: the `from` is not the peer's.
        InvalidFrom = "invalid-from",
        /// §4.9.3.10: a stream or content namespace that is not the defined one.
        InvalidNamespace = "invalid-namespace",
        /// §4.9.3.11: XML that is invalid by its schema.
        InvalidXml = "invalid-xml",
        /// §4.9.3.12: stanzas before authentication, or to what the peer may not reach.
        NotAuthorized = "not-authorized",
        /// §4.9.3.13: XML that is not well-formed.
        NotWellFormed = "not-well-formed",
        /// §4.9.3.14: a limit of this server was passed.
        PolicyViolation = "policy-violation",
        /// §4.9.3.15: the remote server cannot be reached.
        RemoteConnectionFailed = "remote-connection-failed",
        /// §4.9.3.16: the stream has to be opened anew.
        Reset = "reset",
        /// §4.9.3.17: this server lacks the means just now.
        ResourceConstraint = "resource-constraint",
        /// §4.9.3.18: a DTD, comment, processing instruction or entity (§11.1).
        RestrictedXml = "restricted-xml",
        /// §4.9.3.19: another host is to be used.
        SeeOtherHost = "see-other-host",
        /// §4.9.3.20: this server is being shut down.
        SystemShutdown = "system-shutdown",
        /// §4.9.3.21: none of the others; comes with a text.
        UndefinedCondition = "undefined-condition",
        /// §4.9.3.22: not UTF-8.
        UnsupportedEncoding = "unsupported-encoding",
        /// §4.9.3.23: a mandatory feature that the peer does not support.
        UnsupportedFeature = "unsupported-feature",
        /// §4.9.3.24: a first-level element that is no stanza.
        UnsupportedStanzaType = "unsupported-stanza-type",
        /// §4.9.3.25: a version of XMPP that is not supported.
        UnsupportedVersion = "unsupported-version",
    }
}

impl StreamError {
    /// An error without text.
    pub fn new(condition: StreamCondition) -> Self {
        Self { condition, text: None, detail: None }
    }

    /// Adds a text.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Adds an application-specific condition.
    #[must_use]
    pub fn with_detail(mut self, detail: Element) -> Self {
        self.detail = Some(Box::new(detail));
        self
    }

    /// Reads `<stream:error/>`. A condition that is not defined becomes `undefined-condition` (RFC 6120 §4.9.3.21).
    pub fn from_element(error: &Element) -> Self {
        let mut condition = StreamCondition::UndefinedCondition;
        let mut text = None;
        for child in error.children().filter(|child| child.namespace() == ns::STREAM_ERRORS) {
            match StreamCondition::from_name(child.name()) {
                Some(defined) => condition = defined,
                None if child.name() == "text" => text = Some(child.text()),
                None => {}
            }
        }
        let detail = error.children().find(|child| child.namespace() != ns::STREAM_ERRORS);
        Self { condition, text, detail: detail.cloned().map(Box::new) }
    }

    /// Appends `<stream:error>…</stream:error>`; the prefix `stream` is bound on the stream's header.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<stream:error><");
        out.extend_from_slice(self.condition.name().as_bytes());
        out.extend_from_slice(b" xmlns='");
        out.extend_from_slice(ns::STREAM_ERRORS.as_bytes());
        out.extend_from_slice(b"'/>");
        if let Some(text) = &self.text {
            out.extend_from_slice(b"<text xmlns='");
            out.extend_from_slice(ns::STREAM_ERRORS.as_bytes());
            out.extend_from_slice(b"' xml:lang='en'>");
            crate::escape_into(out, text);
            out.extend_from_slice(b"</text>");
        }
        if let Some(detail) = &self.detail {
            detail.write(out, ns::CLIENT);
        }
        out.extend_from_slice(b"</stream:error>");
    }
}

impl From<StreamCondition> for StreamError {
    fn from(condition: StreamCondition) -> Self {
        Self::new(condition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_condition_is_found_by_its_name() {
        for &condition in StreamCondition::ALL {
            assert_eq!(StreamCondition::from_name(condition.name()), Some(condition));
        }
        assert_eq!(StreamCondition::ALL.len(), 25);
    }

    #[test]
    fn an_error_is_read_with_condition_and_text() {
        let child = |name| Element::new(ns::STREAM_ERRORS, name);
        let error = Element::new(ns::STREAM, "error");
        assert_eq!(StreamError::from_element(&error), StreamCondition::UndefinedCondition.into());
        let error = error.with_child(child("conflict")).with_child(child("text").with_text("a & b"));
        assert_eq!(StreamError::from_element(&error), StreamError::new(StreamCondition::Conflict).with_text("a & b"));
    }

    #[test]
    fn an_error_is_written_with_condition_and_text() {
        let mut out = Vec::new();
        StreamError::new(StreamCondition::Conflict).with_text("a & b").write(&mut out);
        assert_eq!(
            String::from_utf8(out).expect("UTF-8"),
            "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
             <text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>a &amp; b</text></stream:error>"
        );
    }
}
