//! XEP-0352: Client State Indication (version 1.0.0): its elements.

use crate::{Element, ns};

/// What a client says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    /// Somebody looks at it: everything is wanted at once. Each stream begins so (§4).
    Active,
    /// Nobody does: what does not matter can wait.
    Inactive,
}

impl ClientState {
    /// Reads a first-level element; `None` where it is something else.
    pub fn read(element: &Element) -> Option<Self> {
        match (element.namespace(), element.name()) {
            (ns::CLIENT_STATE, "active") => Some(ClientState::Active),
            (ns::CLIENT_STATE, "inactive") => Some(ClientState::Inactive),
            _ => None,
        }
    }
}

/// The stream feature.
pub fn feature() -> Element {
    Element::new(ns::CLIENT_STATE, "csi")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_states_are_read_and_nothing_else() {
        let read = |xml: &str| ClientState::read(&Element::parse(xml.as_bytes()).expect("XML"));
        assert_eq!(read("<active xmlns='urn:xmpp:csi:0'/>"), Some(ClientState::Active));
        assert_eq!(read("<inactive xmlns='urn:xmpp:csi:0'/>"), Some(ClientState::Inactive));
        assert_eq!(read("<asleep xmlns='urn:xmpp:csi:0'/>"), None);
        assert_eq!(read("<active xmlns='urn:xmpp:csi:1'/>"), None);
    }
}
