//! Writing text into XML.

/// Appends `text` to `out` so that it may stand in an attribute value (either quote) or in character data.
///
/// Carriage return, line feed and tab become character references: an attribute value would otherwise come back
/// normalised to spaces (XML 1.0 §3.3.3). Characters that XML 1.0 cannot carry at all are written as U+FFFD.
pub fn escape_into(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    if is_plain(bytes) {
        return out.extend_from_slice(bytes);
    }
    let mut plain_from = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let replacement: &[u8] = match byte {
            b'&' => b"&amp;",
            b'<' => b"&lt;",
            b'>' => b"&gt;",
            b'\'' => b"&apos;",
            b'"' => b"&quot;",
            b'\r' => b"&#13;",
            b'\n' => b"&#10;",
            b'\t' => b"&#9;",
            0x00..=0x1F => "\u{FFFD}".as_bytes(),
            // U+FFFE and U+FFFF are EF BF BE and EF BF BF.
            0xEF if bytes[at..].starts_with(&[0xEF, 0xBF, 0xBE]) || bytes[at..].starts_with(&[0xEF, 0xBF, 0xBF]) => {
                out.extend_from_slice(&bytes[plain_from..at]);
                out.extend_from_slice("\u{FFFD}".as_bytes());
                plain_from = at + 3;
                continue;
            }
            _ => continue,
        };
        out.extend_from_slice(&bytes[plain_from..at]);
        out.extend_from_slice(replacement);
        plain_from = at + 1;
    }
    out.extend_from_slice(&bytes[plain_from..]);
}

/// Whether [`escape_into`] has nothing to do, as for nearly all text: the addresses of every stanza pass here. Looks at all
/// bytes, without leaving early, so that the compiler takes sixteen at a time.
fn is_plain(bytes: &[u8]) -> bool {
    let is_special = |byte: u8| {
        (byte < 0x20)
            | (byte == b'&')
            | (byte == b'<')
            | (byte == b'>')
            | (byte == b'\'')
            | (byte == b'"')
            | (byte == 0xEF)
    };
    !bytes.iter().fold(false, |special, &byte| special | is_special(byte))
}

#[cfg(test)]
mod tests {
    use super::{escape_into, is_plain};

    fn escaped(text: &str) -> String {
        let mut out = Vec::new();
        escape_into(&mut out, text);
        String::from_utf8(out).expect("escaping keeps UTF-8")
    }

    #[test]
    fn markup_quotes_and_line_ends_are_written_as_references() {
        assert_eq!(escaped("a<b>&'\"\r\n\tc"), "a&lt;b&gt;&amp;&apos;&quot;&#13;&#10;&#9;c");
    }

    #[test]
    fn plain_text_is_told_from_text_with_one_special_character() {
        for character in (0..=0x7F).map(char::from).chain(['é', '\u{FFFD}', '\u{FFFE}']) {
            let text = format!("romeo@montague.example/{character}orchard");
            assert!(!is_plain(text.as_bytes()) || escaped(&text) == text, "{character:?}");
            assert_eq!(is_plain(text.as_bytes()), escaped(&text) == text && character != '\u{FFFD}', "{character:?}");
        }
    }

    #[test]
    fn what_xml_cannot_carry_becomes_the_replacement_character() {
        assert_eq!(escaped("a\u{0}b\u{FFFE}c\u{FFFF}d\u{FFFD}"), "a\u{FFFD}b\u{FFFD}c\u{FFFD}d\u{FFFD}");
    }
}
