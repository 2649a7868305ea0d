//! Hash maps of the stanza's way. A message is looked up some thirty times on its way, and the standard library's hash function
//! took a quarter of all instructions.
//!
//! The function is seeded at random for each map, so that nobody can know beforehand which keys collide. It does not withstand who
//! can watch the map closely: tables of what has not authenticated (addresses, guesses) keep the standard one.

use aws_lc_rs::digest::{Context, SHA256};

pub use foldhash::quality::RandomState;

/// [`std::collections::HashMap`] with [`RandomState`].
pub type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;
/// [`std::collections::HashSet`] with [`RandomState`].
pub type HashSet<T> = std::collections::HashSet<T, RandomState>;

/// The first 128 bits of the SHA-256 of `parts`, each with its length before it: a short name for them that nobody can make another
/// thing have, and that stays the same wherever and whenever it is computed.
pub fn digest128(parts: &[&[u8]]) -> u128 {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let digest = context.finish();
    digest.as_ref().iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_part_ends_makes_a_difference() {
        assert_eq!(digest128(&[b"ab", b"c"]), digest128(&[b"ab", b"c"]));
        assert_ne!(digest128(&[b"ab", b"c"]), digest128(&[b"a", b"bc"]));
        assert_ne!(digest128(&[b"ab"]), digest128(&[b"ab", b""]));
    }
}
