//! A start tag taken apart (XML 1.0 §3.1): spans into the bytes that it was read from.

use smallvec::SmallVec;

use super::characters::{check_characters, check_name, is_name_byte, is_plain_value_byte, spaces};
use super::{Limits, ScanError, reference};

/// A piece of an item's bytes. Items are shorter than 4 GiB: see [`super::scanner`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    pub(super) fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    pub(super) fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end as usize]
    }
}

/// A qualified name: `prefix:local` or `local`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct QName {
    pub(super) whole: Span,
    /// Where the local name starts: at the start, or one behind the colon.
    local_at: u32,
}

impl QName {
    pub(super) fn has_prefix(self) -> bool {
        self.local_at > self.whole.start
    }

    /// Empty where there is none.
    pub(super) fn prefix(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.whole.start as usize..(self.local_at.max(self.whole.start + 1) - 1) as usize]
    }

    pub(super) fn local(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.local_at as usize..self.whole.end as usize]
    }
}

/// What a declaration of a namespace, which looks like an attribute, declares.
pub(super) enum Declares<'a> {
    /// `xmlns='…'`
    Default,
    /// `xmlns:prefix='…'`
    Prefix(&'a [u8]),
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Attribute {
    pub(super) name: QName,
    /// Between the quotes, as written.
    pub(super) value: Span,
}

impl Attribute {
    /// Name, equals sign and quoted value, as written.
    pub(super) fn whole(self) -> Span {
        Span { start: self.name.whole.start, end: self.value.end + 1 }
    }

    /// Whether this declares a namespace.
    pub(super) fn declares(self, bytes: &[u8]) -> Option<Declares<'_>> {
        match self.name.prefix(bytes) {
            b"xmlns" => Some(Declares::Prefix(self.name.local(bytes))),
            b"" if self.name.local(bytes) == b"xmlns" => Some(Declares::Default),
            _ => None,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Tag {
    pub(super) name: QName,
    pub(super) attributes: SmallVec<[Attribute; 8]>,
    /// `<name/>`: it ends its element, too.
    pub(super) empty: bool,
}

impl Tag {
    /// Reads the tag whose `<` stands at `at`, and returns where it ends. `Ok(None)`: `bytes` end before it does.
    pub(super) fn read(&mut self, bytes: &[u8], at: usize, limits: &Limits) -> Result<Option<usize>, ScanError> {
        self.attributes.clear();
        let Some(name) = read_name(bytes, at + 1, limits)? else { return Ok(None) };
        self.name = name;
        let mut at = name.whole.end as usize;
        loop {
            let space = spaces(&bytes[at..]);
            at += space;
            match bytes[at..] {
                [] | [b'/'] => return Ok(None),
                [b'>', ..] => break self.empty = false,
                [b'/', b'>', ..] => break self.empty = true,
                [b'/', ..] => return Err(ScanError::NotWellFormed("/ within a tag")),
                _ if space == 0 => return Err(ScanError::NotWellFormed("no space before an attribute")),
                _ if self.attributes.len() == limits.attributes => return Err(ScanError::Limit("attributes")),
                _ => {}
            }
            let Some(attribute) = read_attribute(bytes, at, limits)? else { return Ok(None) };
            at = attribute.value.end as usize + 1;
            self.attributes.push(attribute);
        }
        self.check_names_differ(bytes)?;
        Ok(Some(at + 1 + usize::from(self.empty)))
    }

    /// Quadratic, which [`Limits::attributes`] bounds. The same name by two prefixes is [`super::scope`]'s to find.
    fn check_names_differ(&self, bytes: &[u8]) -> Result<(), ScanError> {
        for (at, attribute) in self.attributes.iter().enumerate() {
            let name = attribute.name.whole.of(bytes);
            if self.attributes[..at].iter().any(|other| other.name.whole.of(bytes) == name) {
                return Err(ScanError::NotWellFormed("an attribute stands twice"));
            }
        }
        Ok(())
    }
}

fn read_name(bytes: &[u8], start: usize, limits: &Limits) -> Result<Option<QName>, ScanError> {
    let mut at = start;
    let mut local_at = start;
    loop {
        match bytes.get(at) {
            None => return Ok(None),
            Some(&byte) if is_name_byte(byte) => at += 1,
            Some(b':') if local_at > start => return Err(ScanError::NotWellFormed("a name with two colons")),
            Some(b':') => {
                check_name(&bytes[start..at])?;
                at += 1;
                local_at = at;
            }
            Some(_) => break,
        }
    }
    check_name(&bytes[local_at..at])?;
    if at - start > limits.name_bytes {
        return Err(ScanError::Limit("bytes of a name"));
    }
    Ok(Some(QName { whole: Span::new(start, at), local_at: local_at as u32 }))
}

fn read_attribute(bytes: &[u8], start: usize, limits: &Limits) -> Result<Option<Attribute>, ScanError> {
    let Some(name) = read_name(bytes, start, limits)? else { return Ok(None) };
    let mut at = name.whole.end as usize;
    at += spaces(&bytes[at..]);
    match bytes.get(at) {
        None => return Ok(None),
        Some(b'=') => at += 1,
        Some(_) => return Err(ScanError::NotWellFormed("an attribute without a value")),
    }
    at += spaces(&bytes[at..]);
    let quote = match bytes.get(at) {
        None => return Ok(None),
        Some(&quote @ (b'\'' | b'"')) => quote,
        Some(_) => return Err(ScanError::NotWellFormed("an attribute's value without quotes")),
    };
    let Some(value) = read_value(bytes, at + 1, quote)? else { return Ok(None) };
    Ok(Some(Attribute { name, value }))
}

fn read_value(bytes: &[u8], start: usize, quote: u8) -> Result<Option<Span>, ScanError> {
    let mut at = start;
    let mut look_closer = false;
    loop {
        match bytes.get(at) {
            None => return Ok(None),
            Some(&byte) if is_plain_value_byte(byte) => {}
            Some(&byte) if byte == quote => break,
            Some(b'<') => return Err(ScanError::NotWellFormed("< in an attribute's value")),
            Some(b'\'' | b'"') => {}
            Some(_) => look_closer = true,
        }
        at += 1;
    }
    if look_closer {
        check_characters(&bytes[start..at])?;
        reference::check(&bytes[start..at])?;
    }
    Ok(Some(Span::new(start, at)))
}
