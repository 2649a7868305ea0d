//! What the messages of PLAIN and SCRAM are made of: base64, names, attributes, the GS2 header (RFC 5801 §4, RFC 5802 §5.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::PrecisFastInvocation as _;

use super::{ChannelBindingType, SaslCondition};
use crate::Secret;
use crate::jid::is_cheap;

/// Decodes the text of `<auth/>`, `<challenge/>`, `<response/>` or `<success/>`. A single `=` is data of no length
/// (RFC 6120 §6.4.2). Strict as RFC 6120 §13.9.1 has it: no white space, padding where it belongs and nowhere else.
///
/// # Errors
/// [`SaslCondition::IncorrectEncoding`].
pub fn decode_base64(text: &str) -> Result<Vec<u8>, SaslCondition> {
    match text {
        "=" => Ok(Vec::new()),
        text => STANDARD.decode(text).map_err(|_| SaslCondition::IncorrectEncoding),
    }
}

/// Encodes data for a SASL element: data of no length is written `=`.
pub fn encode_base64(data: &[u8]) -> String {
    if data.is_empty() { "=".into() } else { STANDARD.encode(data) }
}

/// Prepares a password as typed: OpaqueString (RFC 8265 §4.2).
///
/// `None` for an empty password, one with a character that the profile forbids, one that is not UTF-8, and one longer than
/// [`PASSWORD_BYTES_MAX`] or with so many contextual characters that reading it would keep a server busy.
pub fn prepare_password(password: &Secret) -> Option<Secret> {
    let text = std::str::from_utf8(password.expose()).ok()?;
    if text.len() > PASSWORD_BYTES_MAX || !is_cheap(text) {
        return None;
    }
    let prepared = OpaqueString::enforce(text).ok()?;
    Some(Secret::from(&*prepared))
}

/// The longest password, in bytes as typed.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Writes a `saslname`: `,` and `=` are escaped (RFC 5802 §5.1).
pub(super) fn escape_name(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

/// Reads a `saslname`. `None`: an `=` that starts neither `=2C` nor `=3D`, or no name at all.
pub(super) fn unescape_name(text: &str) -> Option<String> {
    let mut pieces = text.split('=');
    let mut name = String::from(pieces.next()?);
    for piece in pieces {
        let (escaped, rest) = piece.split_at_checked(2)?;
        name.push(match escaped {
            "2C" => ',',
            "3D" => '=',
            _ => return None,
        });
        name.push_str(rest);
    }
    (!name.is_empty()).then_some(name)
}

/// What a client says of channel binding: the first field of the GS2 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BindingFlag {
    /// `n`: the client can't bind, or has no type in common with the server.
    Unsupported,
    /// `y`: the client can bind but thinks that the server can't.
    NotOffered,
    /// `p=…`: the channel is bound.
    Bound(ChannelBindingType),
}

impl BindingFlag {
    /// Reads the field; `None` also for a type that is not known.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "n" => Some(BindingFlag::Unsupported),
            "y" => Some(BindingFlag::NotOffered),
            _ => ChannelBindingType::from_name(text.strip_prefix("p=")?).map(BindingFlag::Bound),
        }
    }

    /// The GS2 header without authorization identity.
    pub(super) fn header(self) -> String {
        match self {
            BindingFlag::Unsupported => "n,,".into(),
            BindingFlag::NotOffered => "y,,".into(),
            BindingFlag::Bound(kind) => format!("p={},,", kind.name()),
        }
    }
}

/// Takes the attribute `name` off the front of `message`. The attributes of SCRAM come in a fixed order.
pub(super) fn take_attribute<'m>(message: &mut &'m str, name: char) -> Option<&'m str> {
    let value = message.strip_prefix(name)?.strip_prefix('=')?;
    let (value, rest) = value.split_once(',').unwrap_or((value, ""));
    *message = rest;
    Some(value)
}

/// RFC 5802 §7: `printable`, without comma.
pub(super) fn is_nonce(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

/// RFC 5802 §5.1: further attributes are ignored, but must look like such.
pub(super) fn are_extensions(text: &str) -> bool {
    text.is_empty()
        || text.split(',').all(|attribute| {
            let mut characters = attribute.chars();
            characters.next().is_some_and(|name| name.is_ascii_alphabetic()) && characters.next() == Some('=')
        })
}

/// XEP-0474 §6.1: what a server had to offer, as text to be hashed; each side makes it of the lists that it has sent or seen.
/// `binding_types` is empty where no list of them was sent.
pub(super) fn offered_text<'o>(
    mechanisms: impl Iterator<Item = &'o str>,
    binding_types: impl Iterator<Item = &'o str>,
) -> String {
    let sorted = |names: &mut Vec<&str>| {
        names.sort_unstable();
        names.join("\u{1E}")
    };
    let mechanisms = sorted(&mut mechanisms.collect());
    let binding_types = sorted(&mut binding_types.collect());
    match binding_types.as_str() {
        "" => mechanisms,
        _ => format!("{mechanisms}\u{1F}{binding_types}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sasl::Hash;

    #[test]
    fn base64_is_strict() {
        assert_eq!(decode_base64("AGp1bGlldA=="), Ok(b"\0juliet".to_vec()));
        assert_eq!(decode_base64("="), Ok(Vec::new()));
        for text in ["AGp1bGlldA", "AGp1 bGlldA==", "AGp1bGlldA==\n", "AG=1", "====", "==", "AGp1bGlldB==", "é"] {
            assert_eq!(decode_base64(text), Err(SaslCondition::IncorrectEncoding), "{text:?}");
        }
        assert_eq!(encode_base64(b""), "=");
    }

    #[test]
    fn the_hash_of_xep_0474_section_6_3_comes_out() {
        let text = offered_text(
            ["SCRAM-SHA-1", "SCRAM-SHA-1-PLUS"].into_iter(),
            ["tls-server-end-point", "tls-exporter"].into_iter(),
        );
        assert_eq!(encode_base64(&Hash::Sha1.of(text.as_bytes())), "G6k/rBLDqgOhRRaCuuatSDFkJ08=");
        assert_eq!(offered_text(["B", "A"].into_iter(), [].into_iter()), "A\u{1E}B");
    }

    #[test]
    fn commas_and_equals_signs_in_names_are_escaped() {
        assert_eq!(escape_name("a=b,c"), "a=3Db=2Cc");
        assert_eq!(unescape_name("a=3Db=2Cc").as_deref(), Some("a=b,c"));
        for text in ["", "a=", "a=2", "a=2c", "a=3d", "=é", "a=20"] {
            assert_eq!(unescape_name(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_password_is_prepared_by_opaque_string() {
        let prepared = |text: &str| {
            let password = prepare_password(&Secret::from(text))?;
            Some(String::from_utf8(password.expose().to_vec()).expect("UTF-8"))
        };
        assert_eq!(prepared("correct horse"), Some("correct horse".into()));
        // RFC 8265 §4.3: other spaces become U+0020, the text is composed, case is kept.
        assert_eq!(prepared("Jack\u{1680}of Diamonds"), Some("Jack of Diamonds".into()));
        assert_eq!(prepared("e\u{301}"), Some("\u{e9}".into()));
        assert_eq!(prepared(""), None);
        assert!(prepared(&"a".repeat(1024)).is_some());
        assert_eq!(prepared(&"a".repeat(1025)), None);
        assert_eq!(prepared(&"\u{660}".repeat(65)), None);
        assert_eq!(prepared("my cat is a \tby"), None);
        assert!(prepare_password(&Secret::new([0xFF])).is_none());
    }
}
