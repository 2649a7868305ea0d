//! Which emoji a resourcepart may hold although OpaqueString refuses them.
//!
//! PRECIS knows no emoji younger than Unicode 6.3, and its FreeformClass forbids the invisible characters that join emoji
//! (U+200D) or choose their look (U+FE0F, tags). People use all of these in nicknames, which are resourceparts (XEP-0045), and
//! other servers pass them on. So sequences in the form of UTS #51 are taken as they stand, whole; an invisible character
//! anywhere else stays forbidden. No character of such a sequence takes part in normalisation, so what is prepared stays so.
//!
//! ```text
//! emoji   = element *( U+200D element )
//! element = ( astral / symbol U+FE0F / keycap ) *( U+FE0E / U+FE0F / tag )
//! ```

/// Splits `text` around its first emoji: what stands before it, the emoji, what stands behind. Where there is none, all
/// stands before it.
pub(super) fn split_at_first(text: &str) -> (&str, &str, &str) {
    for (at, _) in text.char_indices() {
        let (plain, rest) = text.split_at(at);
        if let Some(len) = emoji_len(rest) {
            let (emoji, behind) = rest.split_at(len);
            return (plain, emoji, behind);
        }
    }
    (text, "", "")
}

/// Bytes of the emoji that `text` begins with.
fn emoji_len(text: &str) -> Option<usize> {
    let mut len = element_len(text)?;
    while let Some(next) = text[len..].strip_prefix(JOINER).and_then(element_len) {
        len += JOINER.len_utf8() + next;
    }
    Some(len)
}

fn element_len(text: &str) -> Option<usize> {
    let mut characters = text.chars();
    let first = characters.next()?;
    let base = match (first, characters.next()) {
        ('\u{1F000}'..='\u{1FAFF}', _) => first.len_utf8(),
        ('0'..='9' | '#' | '*', Some(EMOJI_STYLE)) if characters.next() == Some(KEYCAP) => 1 + 3 + 3,
        (_, Some(EMOJI_STYLE)) if is_symbol(first) => first.len_utf8() + EMOJI_STYLE.len_utf8(),
        _ => return None,
    };
    let modifiers = text[base..].chars().take_while(|&character| is_modifier(character));
    Some(base + modifiers.map(char::len_utf8).sum::<usize>())
}

/// The blocks outside the astral planes that hold emoji, without those characters that a combining mark could be composed
/// with.
fn is_symbol(character: char) -> bool {
    matches!(
        character,
        '©' | '®'
            | '\u{203C}'
            | '\u{2049}'
            | '\u{2122}'
            | '\u{2139}'
            | '\u{2195}'..='\u{2199}'
            | '\u{21A9}'..='\u{21AA}'
            | '\u{231A}'..='\u{2328}'
            | '\u{23CF}'..='\u{23FA}'
            | '\u{24C2}'
            | '\u{25AA}'..='\u{27BF}'
            | '\u{2934}'..='\u{2935}'
            | '\u{2B05}'..='\u{2B55}'
            | '\u{3030}'
            | '\u{303D}'
            | '\u{3297}'
            | '\u{3299}'
    )
}

fn is_modifier(character: char) -> bool {
    matches!(character, '\u{FE0E}' | EMOJI_STYLE | '\u{E0020}'..='\u{E007F}')
}

const JOINER: char = '\u{200D}';
const EMOJI_STYLE: char = '\u{FE0F}';
const KEYCAP: char = '\u{20E3}';
