//! Which characters may stand where: XML 1.0 (fifth edition) §2.2, §2.3 and Namespaces in XML 1.0 §3.
//!
//! Each check has a path for plain ASCII, one table look-up or one comparison per byte, and leaves it only when it must.

use super::ScanError;
use super::reference;

/// White space (XML 1.0 §2.3, `S`).
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// How many bytes of white space `bytes` begins with.
pub(super) fn spaces(bytes: &[u8]) -> usize {
    bytes.iter().position(|&byte| !is_space(byte)).unwrap_or(bytes.len())
}

/// Whether a byte may be part of a name. Bytes of characters beyond ASCII all may here; [`check_name`] looks closer.
pub(super) fn is_name_byte(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & NAME != 0
}

/// Whether a byte of an attribute's value can be passed over: no quote, no markup, no control character, ASCII.
pub(super) fn is_plain_value_byte(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & VALUE != 0
}

/// Reads the name without a colon (`NCName`) at `start` and returns where it ends. `Ok(None)`: `bytes` end first.
pub(super) fn read_name(bytes: &[u8], start: usize) -> Result<Option<usize>, ScanError> {
    let mut at = start;
    let mut all = 0;
    loop {
        match bytes.get(at) {
            None => return Ok(None),
            Some(&byte) if is_name_byte(byte) => {
                all |= byte;
                at += 1;
            }
            Some(_) if all < 0x80 && CLASSES[usize::from(bytes[start])] & NAME_START != 0 => return Ok(Some(at)),
            Some(_) => return check_name(&bytes[start..at]).map(|()| Some(at)),
        }
    }
}

/// Checks a name without a colon (`NCName`) whose bytes have all passed [`is_name_byte`].
pub(super) fn check_name(name: &[u8]) -> Result<(), ScanError> {
    const EMPTY: ScanError = ScanError::NotWellFormed("a name is empty");
    const START: ScanError = ScanError::NotWellFormed("a name begins with a character that no name begins with");
    const INSIDE: ScanError = ScanError::NotWellFormed("a name holds a character that no name holds");
    let &first = name.first().ok_or(EMPTY)?;
    if name.is_ascii() {
        return if CLASSES[usize::from(first)] & NAME_START != 0 { Ok(()) } else { Err(START) };
    }
    let mut characters = as_text(name)?.chars();
    if !characters.next().is_some_and(is_name_start) {
        return Err(START);
    }
    if characters.all(is_name_character) { Ok(()) } else { Err(INSIDE) }
}

/// Bytes that have been checked, as text.
pub(super) fn as_text(bytes: &[u8]) -> Result<&str, ScanError> {
    std::str::from_utf8(bytes).map_err(|_| ScanError::Encoding)
}

/// Checks character data: everything between two tags that is no CDATA section.
pub(super) fn check_text(text: &[u8]) -> Result<(), ScanError> {
    // Without an early exit the compiler makes this a handful of vector instructions.
    let (mut odd, mut references, mut bracket) = (false, false, false);
    for &byte in text {
        odd |= !(b' '..0x80).contains(&byte);
        references |= byte == b'&';
        bracket |= byte == b']';
    }
    if odd {
        check_characters(text)?;
    }
    if bracket && memchr::memmem::find(text, b"]]>").is_some() {
        return Err(ScanError::NotWellFormed("]]> in character data"));
    }
    if references { reference::check(text) } else { Ok(()) }
}

/// Checks that bytes are UTF-8 and that every character is one that XML can carry (`Char`).
pub(super) fn check_characters(bytes: &[u8]) -> Result<(), ScanError> {
    as_text(bytes)?;
    let mut control = false;
    let mut maybe_noncharacter = false;
    for &byte in bytes {
        control |= byte < b' ' && !is_space(byte);
        maybe_noncharacter |= byte == 0xEF;
    }
    // U+FFFE and U+FFFF. In UTF-8 no other character has these bytes within it.
    let noncharacter = || bytes.windows(3).any(|it| it == [0xEF, 0xBF, 0xBE] || it == [0xEF, 0xBF, 0xBF]);
    if control || (maybe_noncharacter && noncharacter()) {
        return Err(ScanError::NotWellFormed("a character that XML cannot carry"));
    }
    Ok(())
}

/// `Char` of XML 1.0 §2.2. Surrogates are no `char` to begin with.
pub(super) fn is_xml_character(character: char) -> bool {
    match character {
        '\t' | '\n' | '\r' => true,
        '\u{FFFE}' | '\u{FFFF}' => false,
        _ => character >= ' ',
    }
}

/// `NameStartChar` of XML 1.0 §2.3 without the colon.
fn is_name_start(character: char) -> bool {
    matches!(character,
        'A'..='Z' | '_' | 'a'..='z'
        | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}'
        | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}'
        | '\u{2070}'..='\u{218F}' | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}'
        | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}' | '\u{10000}'..='\u{EFFFF}')
}

/// `NameChar` of XML 1.0 §2.3 without the colon.
fn is_name_character(character: char) -> bool {
    is_name_start(character)
        || matches!(character,
            '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
}

const NAME_START: u8 = 1;
const NAME: u8 = 1 << 1;
const VALUE: u8 = 1 << 2;

static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let it = byte as u8;
        let letter = it.is_ascii_alphabetic() || it == b'_';
        if letter {
            classes[byte] |= NAME_START;
        }
        if letter || it.is_ascii_digit() || it == b'-' || it == b'.' || !it.is_ascii() {
            classes[byte] |= NAME;
        }
        if it.is_ascii() && it >= b' ' && !matches!(it, b'<' | b'&' | b'\'' | b'"') {
            classes[byte] |= VALUE;
        }
        byte += 1;
    }
    classes
}
