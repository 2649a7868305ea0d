//! Which features are offered, and when (RFC 6120 §4.3.2).
//!
//! | stream | features |
//! |---|---|
//! | in clear | STARTTLS, required where SASL is only offered inside TLS; otherwise also SCRAM, never PLAIN |
//! | inside TLS | SASL, channel bindings (XEP-0440) where a `-PLUS` mechanism is offered, registration (XEP-0077) |
//! | authenticated | resource binding, the no-op session of RFC 3921, stream management (XEP-0198), client state (XEP-0352), what modules add |
//!
//! Limits (XEP-0478) stand in each, with the values that hold there. Stream compression never does (T4).

use super::Offer;
use crate::sasl::{ChannelBindings, Mechanism};
use crate::{Element, client_state, management, ns};

impl Offer {
    /// The mechanisms offered on a channel; `None` is one in clear.
    pub(super) fn mechanisms(&self, tls: Option<&ChannelBindings>) -> Vec<Mechanism> {
        let offered = |mechanism: &Mechanism| match (tls, mechanism) {
            (None, Mechanism::Plain) => false,
            (None, Mechanism::Scram { plus, .. }) => !self.require_tls && !plus,
            (Some(bindings), mechanism) => !mechanism.is_plus() || !bindings.is_empty(),
        };
        Mechanism::ALL.iter().copied().filter(offered).collect()
    }

    /// Whether an unauthenticated stream on this channel may register an account.
    pub(super) fn registers(&self, tls: Option<&ChannelBindings>) -> bool {
        self.registration && (tls.is_some() || !self.require_tls)
    }

    /// Whether there is a way to go on at all.
    pub(super) fn leads_on(&self, tls: Option<&ChannelBindings>) -> bool {
        tls.is_some() || self.starttls || !self.require_tls
    }

    /// Appends the features of a stream before authentication.
    pub(super) fn write_unauthenticated(&self, out: &mut Vec<u8>, tls: Option<&ChannelBindings>) {
        out.extend_from_slice(b"<stream:features>");
        if tls.is_none() && self.starttls {
            let starttls = Element::new(ns::TLS, "starttls");
            let required = self.require_tls.then(|| Element::new(ns::TLS, "required"));
            starttls.with_children(required).write(out, ns::CLIENT);
        }
        let mechanisms = self.mechanisms(tls);
        if !mechanisms.is_empty() {
            mechanism_list(&mechanisms).write(out, ns::CLIENT);
        }
        if let Some(bindings) = tls.filter(|bindings| !bindings.is_empty()) {
            binding_list(bindings).write(out, ns::CLIENT);
        }
        if self.registers(tls) {
            Element::new(ns::REGISTER_FEATURE, "register").write(out, ns::CLIENT);
        }
        limits(self.stanza_bytes.0, None).write(out, ns::CLIENT);
        out.extend_from_slice(b"</stream:features>");
    }

    /// Appends the features of an authenticated stream.
    pub(super) fn write_authenticated(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<stream:features>");
        Element::new(ns::BIND, "bind").write(out, ns::CLIENT);
        Element::new(ns::SESSION, "session").with_child(Element::new(ns::SESSION, "optional")).write(out, ns::CLIENT);
        limits(self.stanza_bytes.1, self.idle_seconds).write(out, ns::CLIENT);
        management::feature().write(out, ns::CLIENT);
        client_state::feature().write(out, ns::CLIENT);
        out.extend_from_slice(&self.features);
        out.extend_from_slice(b"</stream:features>");
    }
}

fn mechanism_list(mechanisms: &[Mechanism]) -> Element {
    let children = mechanisms.iter().map(|it| Element::new(ns::SASL, "mechanism").with_text(it.name()));
    Element::new(ns::SASL, "mechanisms").with_children(children)
}

fn binding_list(bindings: &ChannelBindings) -> Element {
    let kind = |name| Element::new(ns::SASL_CHANNEL_BINDING, "channel-binding").with("type", name);
    let children = bindings.types().map(|it| kind(it.name()));
    Element::new(ns::SASL_CHANNEL_BINDING, "sasl-channel-binding").with_children(children)
}

fn limits(stanza_bytes: usize, idle_seconds: Option<u32>) -> Element {
    let limit = |name, value: String| Element::new(ns::STREAM_LIMITS, name).with_text(value);
    Element::new(ns::STREAM_LIMITS, "limits")
        .with_child(limit("max-bytes", stanza_bytes.to_string()))
        .with_children(idle_seconds.map(|seconds| limit("idle-seconds", seconds.to_string())))
}
