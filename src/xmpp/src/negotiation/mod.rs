//! How a stream comes up (RFC 6120 §4–7): STARTTLS, SASL and resource binding, as state machines without I/O.
//!
//! [`receiving`] is the server's side, [`initiating`] the client's.

pub mod initiating;
pub mod receiving;
