//! Stream headers (RFC 6120 §4.7), and the elements of SASL around the stream's other first-level elements.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;

use crate::sasl::encode_base64;
use crate::{escape_into, ns};

/// The attributes of a header that we send.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Header<'a> {
    pub from: Option<&'a str>,
    pub to: Option<&'a str>,
    pub id: Option<&'a str>,
}

impl Header<'_> {
    /// Appends the XML declaration and the start tag of a stream between client and server.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<?xml version='1.0'?><stream:stream");
        let attributes = [
            ("xmlns", Some(ns::CLIENT)),
            ("xmlns:stream", Some(ns::STREAM)),
            ("from", self.from),
            ("to", self.to),
            ("id", self.id),
            ("version", Some("1.0")),
            ("xml:lang", Some("en")),
        ];
        for (name, value) in attributes {
            let Some(value) = value else { continue };
            out.push(b' ');
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"='");
            escape_into(out, value);
            out.push(b'\'');
        }
        out.push(b'>');
    }
}

/// Whether the peer speaks XMPP 1.0 or later: `major.minor` as numbers, where a greater major version falls back to ours and a
/// missing version is older than 1.0 (RFC 6120 §4.7.5).
pub(super) fn version_is_supported(version: Option<&str>) -> bool {
    let Some((major, minor)) = version.and_then(|version| version.split_once('.')) else { return false };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number(major) && is_number(minor) && major.bytes().any(|digit| digit != b'0')
}

/// A new identifier or nonce: 24 printable characters that carry 144 bit (T16).
pub(super) fn token(random: &mut dyn FnMut(&mut [u8])) -> String {
    let mut bytes = [0; 18];
    random(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// `<challenge/>`, `<response/>` or `<success/>` with data, which is left out where it has no length.
pub(super) fn sasl_element(name: &str, data: &[u8]) -> Bytes {
    let data = if data.is_empty() { String::new() } else { encode_base64(data) };
    format!("<{name} xmlns='{}'>{data}</{name}>", ns::SASL).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for version in ["1.0", "01.00", "1.1", "2.0", "10.0"] {
            assert!(version_is_supported(Some(version)), "{version:?}");
        }
        for version in
            [None, Some(""), Some("0.9"), Some("0.10"), Some("1"), Some("one.zero"), Some("-1.0"), Some("1.")]
        {
            assert!(!version_is_supported(version), "{version:?}");
        }
    }

    #[test]
    fn a_token_is_made_of_the_bytes_handed_in() {
        assert_eq!(token(&mut |bytes: &mut [u8]| bytes.fill(0xFF)), "_".repeat(24));
    }
}
