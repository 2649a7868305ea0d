//! Between the contracts' types and the generated ones: total and checked. What a peer garbles is an error, never a panic.
//!
//! Addresses come prepared from a trusted peer and are not prepared again. Bytes share the buffer that they came in.

mod administration;
mod attach;
mod cluster;
mod common;
mod forward;
mod raft;
mod stanza;
#[cfg(test)]
mod tests;

use tonic::Status;
use vesta_xmpp::{BareJid, FullJid, Jid};

pub(crate) use administration::{session_records, user_records};
pub(crate) use raft::{snapshot_from_parts, snapshot_header};
pub(crate) use stanza::WireEnvelope;

use crate::link::LinkError;

/// A message lacks a field, or holds what can't be there. The peer is at fault, and the link ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message is malformed at {0}")]
pub struct Malformed(pub &'static str);

impl Malformed {
    /// As the failure of a call to `address`, whose answer it was.
    pub(crate) fn into_refusal(self, address: &str) -> LinkError {
        LinkError::Refused { address: address.to_owned(), reason: self.to_string() }
    }
}

impl From<Malformed> for Status {
    fn from(malformed: Malformed) -> Self {
        Status::invalid_argument(malformed.to_string())
    }
}

/// A field that must be there.
fn required<P, T>(value: Option<P>, field: &'static str) -> Result<T, Malformed>
where
    P: TryInto<T>,
    Malformed: From<P::Error>,
{
    Ok(value.ok_or(Malformed(field))?.try_into()?)
}

impl From<std::convert::Infallible> for Malformed {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

fn jid(text: &str, field: &'static str) -> Result<Jid, Malformed> {
    Jid::from_prepared(text).map_err(|_| Malformed(field))
}

pub(crate) fn bare_jid(text: &str, field: &'static str) -> Result<BareJid, Malformed> {
    BareJid::from_prepared(text).map_err(|_| Malformed(field))
}

fn full_jid(text: &str, field: &'static str) -> Result<FullJid, Malformed> {
    FullJid::from_prepared(text).map_err(|_| Malformed(field))
}
