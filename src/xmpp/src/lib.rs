//! What goes over the wire and how a stream behaves, as types and state machines.
//!
//! This crate holds no socket, no clock and no source of randomness: time, nonces and bytes are handed in, what is to be
//! sent is handed out. It serves the server and the client library alike, and is all that they share.
//!
//! | module | subject | source |
//! |---|---|---|
//! | [`jid`] | addresses and their preparation | RFC 7622 |
//! | [`ns`] | namespaces | the specification named beside each |
//! | [`scan`] | the resumable strict scanner of a stream's bytes | RFC 6120 §11, XML 1.0, Namespaces in XML 1.0 |
//! | [`element`] | a small tree for payloads that somebody has to read | – |
//! | [`envelope`] | a stanza in transit: what routing needs, and its content as bytes | RFC 6120 §8 |
//! | [`stanza_error`], [`stream_error`], [`sasl::failure`] | the three families of errors | RFC 6120 §8.3, §4.9, §6.5 |
//! | [`sasl`] | PLAIN and SCRAM, both sides | RFC 4616, 5802, 7677, 9266 |
//! | [`negotiation`] | how a stream comes up, both sides | RFC 6120 §4–7 |
//! | [`management`] | acknowledged stanzas | XEP-0198 |
//! | [`client_state`] | clients that nobody looks at | XEP-0352 |
//! | [`payload`] | typed payloads, one file per specification | the specification named in each file |

pub mod client_state;
pub mod element;
pub mod envelope;
pub mod hash;
pub mod jid;
pub mod management;
pub mod negotiation;
pub mod ns;
pub mod payload;
pub mod sasl;
pub mod scan;
pub mod secret;
pub mod stanza_error;
pub mod stream_error;
mod text;

pub use element::Element;
pub use envelope::{Envelope, Flags, IqType, MessageType, PresenceType, StanzaType};
pub use jid::{BareJid, FullJid, Jid, JidError};
pub use secret::Secret;
pub use stanza_error::StanzaError;
pub use stream_error::StreamError;
pub use text::escape_into;
