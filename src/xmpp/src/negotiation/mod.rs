//! How a stream comes up (RFC 6120 §4–7): STARTTLS, SASL and resource binding, as state machines without I/O.
//!
//! [`receiving`] is the server's side, [`initiating`] the client's. A machine is told [`receiving::Event`]s and gives
//! [`receiving::Action`]s; whoever owns the socket, the scanner and the TLS session carries them out in their order. What a
//! machine can't see is the driver's duty:
//!
//! - **Nothing pipelined behind STARTTLS** (T6): with the action `StartTls` the input must be empty, scanner's buffer included.
//!   Bytes that came in clear before the handshake must never be read as if they had come inside TLS: close instead.
//! - **A new scanner** with `StartTls` and with `Restart` (RFC 6120 §5.4.3.3, §6.4.6): nothing of the old stream lives on.
//! - **Time and bytes**: the machines have no clock; limits before authentication are the driver's.

mod header;
pub mod initiating;
pub mod receiving;
#[cfg(test)]
mod tests;
