//! Preparation and enforcement of the three parts (RFC 7622 §3.2–3.4).
//!
//! **Plain ASCII**, which is nearly all that comes, never reaches PRECIS or IDNA: one table says of each byte in which part
//! it may stand, text that is prepared already is borrowed, and upper case becomes lower case. That table is the whole of
//! the fast path: looking a part up in a cache of prepared ones would cost more than reading it.
//!
//! **Other text** goes through the profiles until it no longer changes. RFC 8264 §7 allows three more rounds and then
//! refuses, and so does this file: hence `prepare(prepare(x)) == prepare(x)` for every `x`. The profiles know the characters of
//! Unicode 6.3, the version of IANA's PRECIS tables.
//!
//! Where the specifications leave room:
//! - A domainpart is brought to *one* form: U-labels in lower case, without trailing dot, by the mapping of UTS #46
//!   (non-transitional, so that `ß` stays). Single labels (`localhost`) and IPv4 addresses are allowed as they are, IPv6
//!   addresses in brackets and in their canonical form. Hyphens in the third and fourth place pass, since such names exist.
//!   Labels have at most 63 bytes as DNS would carry them; the whole has the limit of RFC 7622, not that of DNS.
//! - At most 64 characters of a part may be of those whose legality hangs on their surroundings (such as Arabic-Indic digits):
//!   checking them costs the square of their number.
//! - A resourcepart may begin or end with a space: RFC 7622 §3.5 lists that as an error, but the profile does not forbid
//!   it (erratum 4560).
//! - A resourcepart may hold emoji that OpaqueString refuses: see [`super::emoji`].

use std::borrow::Cow;
use std::net::Ipv6Addr;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use precis_profiles::precis_core::profile::PrecisFastInvocation as _;
use precis_profiles::{OpaqueString, UsernameCaseMapped};

use super::emoji;
use super::{JidError, PART_BYTES_MAX, Part};

/// Prepares a localpart: UsernameCaseMapped, without the characters of RFC 7622 §3.3.1.
///
/// # Errors
/// Empty, too long, or a forbidden character.
pub fn prepare_local(text: &str) -> Result<Cow<'_, str>, JidError> {
    if let Some(prepared) = by_table(text, LOCAL) {
        return checked(prepared, Part::Local);
    }
    stable(text, Part::Local, |text| {
        let prepared = UsernameCaseMapped::enforce(text).ok()?;
        // Only now: the width mapping makes a plain `@` of U+FF20.
        prepared.bytes().all(|byte| !byte.is_ascii() || has(byte, LOCAL)).then(|| prepared.into_owned())
    })
}

/// Prepares a domainpart: an IP literal, or labels in their Unicode form (RFC 7622 §3.2). A trailing dot is taken away.
///
/// # Errors
/// Empty, too long, or no domain name.
pub fn prepare_domain(text: &str) -> Result<Cow<'_, str>, JidError> {
    if let Some(address) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        let address: Ipv6Addr = address.parse().map_err(|_| JidError::Forbidden(Part::Domain))?;
        return Ok(format!("[{address}]").into());
    }
    match by_table(text.strip_suffix('.').unwrap_or(text), DOMAIN) {
        Some(name) if name.is_empty() || are_plain_labels(&name) => checked(name, Part::Domain),
        _ => stable(text, Part::Domain, unicode_labels),
    }
}

/// Prepares a resourcepart: OpaqueString (RFC 7622 §3.4), and emoji as they are.
///
/// # Errors
/// Empty, too long, or a forbidden character.
pub fn prepare_resource(text: &str) -> Result<Cow<'_, str>, JidError> {
    match by_table(text, RESOURCE) {
        Some(prepared) => checked(prepared, Part::Resource),
        None => stable(text, Part::Resource, opaque_with_emoji),
    }
}

/// The fast path: plain ASCII as it is, or in lower case. `None`: a character that is not of `class` in either.
fn by_table(text: &str, class: u8) -> Option<Cow<'_, str>> {
    if text.bytes().all(|byte| has(byte, class)) {
        return Some(text.into());
    }
    text.bytes().all(|byte| has(byte.to_ascii_lowercase(), class)).then(|| text.to_ascii_lowercase().into())
}

/// Applies `profile` until it changes nothing: once, and at most three times more (RFC 8264 §7).
fn stable<'t>(text: &str, part: Part, profile: impl Fn(&str) -> Option<String>) -> Result<Cow<'t, str>, JidError> {
    // Preparing takes a character's bytes to a third at most (full-width forms), so what is longer stays too long.
    if text.len() > 3 * PART_BYTES_MAX {
        return Err(JidError::TooLong(part));
    }
    // Normalisation can bring contextual characters in, so each round counts them.
    let apply = |text: &str| is_cheap(text).then(|| profile(text)).flatten().ok_or(JidError::Forbidden(part));
    let mut prepared = apply(text)?;
    for _ in 0..3 {
        let again = apply(&prepared)?;
        if again == prepared {
            return checked(prepared.into(), part);
        }
        prepared = again;
    }
    Err(JidError::Forbidden(part))
}

/// Whether a PRECIS profile reads `text` in good time: it reads the whole again for each contextual character.
pub(crate) fn is_cheap(text: &str) -> bool {
    text.chars().filter(|&character| is_contextual(character)).nth(CONTEXTUAL_MAX).is_none()
}

/// The characters that are allowed in some surroundings only (RFC 5892 appendix A).
fn is_contextual(character: char) -> bool {
    matches!(
        character,
        '\u{B7}'
            | '\u{375}'
            | '\u{5F3}'..='\u{5F4}'
            | '\u{660}'..='\u{669}'
            | '\u{6F0}'..='\u{6F9}'
            | '\u{200C}'..='\u{200D}'
            | '\u{30FB}'
    )
}

fn checked(text: Cow<'_, str>, part: Part) -> Result<Cow<'_, str>, JidError> {
    match text.len() {
        0 => Err(JidError::Empty(part)),
        1..=PART_BYTES_MAX => Ok(text),
        _ => Err(JidError::TooLong(part)),
    }
}

/// Whether every label is a legal one of letters, digits and hyphens, and none an A-label, which has to be decoded first.
fn are_plain_labels(name: &str) -> bool {
    name.split('.').all(|label| is_label(label) && !label.starts_with("xn--"))
}

fn is_label(label: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
}

/// A domain name in its Unicode form.
fn unicode_labels(text: &str) -> Option<String> {
    let (name, outcome) = Uts46::new().to_unicode(text.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast);
    outcome.ok()?;
    let name = name.strip_suffix('.').unwrap_or(&name);
    let wire =
        Uts46::new().to_ascii(name.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Ignore).ok()?;
    wire.split('.').all(is_label).then(|| name.to_owned())
}

/// OpaqueString for what stands between emoji, which are copied.
fn opaque_with_emoji(text: &str) -> Option<String> {
    let mut prepared = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (plain, emoji, behind) = emoji::split_at_first(rest);
        if !plain.is_empty() {
            prepared.push_str(&OpaqueString::enforce(plain).ok()?);
        }
        prepared.push_str(emoji);
        rest = behind;
    }
    Some(prepared)
}

/// How many [contextual](is_contextual) characters a part may hold: far more than any name does, and few enough that no address
/// keeps a server busy.
const CONTEXTUAL_MAX: usize = 64;

/// The longest label, in bytes (RFC 1035 §2.3.4).
const LABEL_BYTES_MAX: usize = 63;

const LOCAL: u8 = 1;
const DOMAIN: u8 = 2;
const RESOURCE: u8 = 4;

/// In which parts a byte may stand in prepared text.
static CLASSES: [u8; 128] = classes();

fn has(byte: u8, class: u8) -> bool {
    CLASSES.get(usize::from(byte)).is_some_and(|classes| classes & class != 0)
}

const fn classes() -> [u8; 128] {
    let mut classes = [0; 128];
    let mut byte = b' ';
    while byte < 0x7F {
        classes[byte as usize] |= RESOURCE;
        if !matches!(byte, b' ' | b'"' | b'&' | b'\'' | b'/' | b':' | b'<' | b'>' | b'@' | b'A'..=b'Z') {
            classes[byte as usize] |= LOCAL;
        }
        if matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.') {
            classes[byte as usize] |= DOMAIN;
        }
        byte += 1;
    }
    classes
}
