//! A start tag taken apart (XML 1.0 §3.1): spans into the bytes that it was read from.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::characters::{as_text, check_characters, is_plain_value_byte, read_name, spaces};
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
        self.local_span().of(bytes)
    }

    pub(super) fn local_span(self) -> Span {
        Span { start: self.local_at, end: self.whole.end }
    }
}

/// What an attribute is there for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Role {
    #[default]
    Attribute,
    /// `xmlns='…'`
    DeclaresDefault,
    /// `xmlns:prefix='…'`
    DeclaresPrefix,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Attribute {
    pub(super) name: QName,
    pub(super) role: Role,
    /// Between the quotes, as written.
    pub(super) value: Span,
    /// The value means what is written: ASCII without references and without white space but the space itself.
    pub(super) plain: bool,
}

impl Attribute {
    /// Name, equals sign and quoted value, as written.
    pub(super) fn whole(self) -> Span {
        Span { start: self.name.whole.start, end: self.value.end + 1 }
    }

    /// The value that is meant.
    pub(super) fn unescaped(self, bytes: &[u8]) -> Result<Cow<'_, str>, ScanError> {
        let written = self.value.of(bytes);
        if self.plain { as_text(written).map(Cow::Borrowed) } else { reference::unescape(written) }
    }
}

#[derive(Debug, Default)]
pub(super) struct Tag {
    pub(super) name: QName,
    pub(super) attributes: SmallVec<[Attribute; 8]>,
    /// Whether one of them declares a namespace.
    pub(super) declares: bool,
    /// Whether one of them has a prefix and declares nothing.
    pub(super) has_prefixed: bool,
    /// `<name/>`: it ends its element, too.
    pub(super) empty: bool,
}

impl Tag {
    /// Reads the tag whose `<` stands at `at`, and returns where it ends. `Ok(None)`: `bytes` end before it does.
    pub(super) fn read(&mut self, bytes: &[u8], at: usize, limits: &Limits) -> Result<Option<usize>, ScanError> {
        self.attributes.clear();
        (self.declares, self.has_prefixed) = (false, false);
        let Some(name) = read_qname(bytes, at + 1, limits)? else { return Ok(None) };
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
            match attribute.role {
                Role::Attribute => self.has_prefixed |= attribute.name.has_prefix(),
                Role::DeclaresDefault | Role::DeclaresPrefix => self.declares = true,
            }
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

fn read_qname(bytes: &[u8], start: usize, limits: &Limits) -> Result<Option<QName>, ScanError> {
    let mut local_at = start;
    let Some(mut end) = read_name(bytes, start)? else { return Ok(None) };
    if bytes[end] == b':' {
        local_at = end + 1;
        let Some(local_end) = read_name(bytes, local_at)? else { return Ok(None) };
        end = local_end;
        if bytes[end] == b':' {
            return Err(ScanError::NotWellFormed("a name with two colons"));
        }
    }
    if end - start > limits.name_bytes {
        return Err(ScanError::Limit("bytes of a name"));
    }
    Ok(Some(QName { whole: Span::new(start, end), local_at: local_at as u32 }))
}

fn read_attribute(bytes: &[u8], start: usize, limits: &Limits) -> Result<Option<Attribute>, ScanError> {
    let Some(name) = read_qname(bytes, start, limits)? else { return Ok(None) };
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
    let Some((value, plain)) = read_value(bytes, at + 1, quote)? else { return Ok(None) };
    let role = match name.prefix(bytes) {
        b"xmlns" => Role::DeclaresPrefix,
        b"" if name.local(bytes) == b"xmlns" => Role::DeclaresDefault,
        _ => Role::Attribute,
    };
    Ok(Some(Attribute { name, role, value, plain }))
}

/// The value, and whether it is plain.
fn read_value(bytes: &[u8], start: usize, quote: u8) -> Result<Option<(Span, bool)>, ScanError> {
    let mut at = start;
    let mut plain = true;
    loop {
        let plain_length = bytes[at..].iter().position(|&byte| !is_plain_value_byte(byte));
        let Some(end) = plain_length.map(|length| at + length) else { return Ok(None) };
        match bytes[end] {
            byte if byte == quote => {
                if !plain {
                    check_characters(&bytes[start..end])?;
                    reference::check(&bytes[start..end])?;
                }
                return Ok(Some((Span::new(start, end), plain)));
            }
            b'<' => return Err(ScanError::NotWellFormed("< in an attribute's value")),
            b'\'' | b'"' => {}
            _ => plain = false,
        }
        at = end + 1;
    }
}
