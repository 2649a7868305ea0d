//! Character and entity references (XML 1.0 §4.1): checked where they come in, resolved where a value is needed.
//!
//! RFC 6120 §11.1 leaves the five predefined entities; there is no DTD that could define others.

use std::borrow::Cow;

use memchr::memchr;

use super::ScanError;
use super::characters::{as_text, check_name, is_name_byte, is_xml_character};

/// Checks every reference in `text`.
pub(super) fn check(text: &[u8]) -> Result<(), ScanError> {
    let mut rest = text;
    while let Some(at) = memchr(b'&', rest) {
        let (_, length) = resolve(&rest[at..])?;
        rest = &rest[at + length..];
    }
    Ok(())
}

/// The value of an attribute as the application sees it: references resolved, white space normalised (XML 1.0 §3.3.3),
/// a line's end first (§2.11). `written` stands between the quotes.
pub(super) fn unescape(written: &[u8]) -> Result<Cow<'_, str>, ScanError> {
    let text = as_text(written)?;
    if !written.iter().any(|byte| matches!(byte, b'&' | b'\t' | b'\r' | b'\n')) {
        return Ok(Cow::Borrowed(text));
    }
    let mut value = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['&', '\t', '\r', '\n']) {
        value.push_str(&rest[..at]);
        rest = &rest[at..];
        let (character, length) = match rest.as_bytes() {
            [b'&', ..] => resolve(rest.as_bytes())?,
            [b'\r', b'\n', ..] => (' ', 2),
            _ => (' ', 1),
        };
        value.push(character);
        rest = &rest[length..];
    }
    value.push_str(rest);
    Ok(Cow::Owned(value))
}

/// The character that the reference at the front of `text` stands for, and the reference's length in bytes.
fn resolve(text: &[u8]) -> Result<(char, usize), ScanError> {
    const MALFORMED: ScanError = ScanError::NotWellFormed("& that begins no reference");
    let end = memchr(b';', text).ok_or(MALFORMED)?;
    let name = &text[1..end];
    let character = match name {
        b"lt" => '<',
        b"gt" => '>',
        b"amp" => '&',
        b"apos" => '\'',
        b"quot" => '"',
        [b'#', b'x', digits @ ..] => numbered(digits, 16)?,
        [b'#', digits @ ..] => numbered(digits, 10)?,
        _ if name.iter().all(|&byte| is_name_byte(byte) || byte == b':') => {
            name.split(|&byte| byte == b':').try_for_each(check_name)?;
            return Err(ScanError::Restricted("an entity that is not predefined"));
        }
        _ => return Err(MALFORMED),
    };
    Ok((character, end + 1))
}

fn numbered(digits: &[u8], radix: u32) -> Result<char, ScanError> {
    const MALFORMED: ScanError = ScanError::NotWellFormed("a character reference without a number");
    const ILLEGAL: ScanError = ScanError::NotWellFormed("a reference to a character that XML cannot carry");
    if digits.is_empty() {
        return Err(MALFORMED);
    }
    let mut number: u32 = 0;
    for &digit in digits {
        let digit = char::from(digit).to_digit(radix).ok_or(MALFORMED)?;
        // Leading zeros may be many. Saturated is as illegal as any other large number.
        number = number.saturating_mul(radix).saturating_add(digit);
    }
    char::from_u32(number).filter(|&character| is_xml_character(character)).ok_or(ILLEGAL)
}
