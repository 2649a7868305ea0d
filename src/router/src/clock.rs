//! Time and chance: the only place of this crate that asks for them.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand;
use vesta_engine::Timestamp;

/// The wall clock. Nothing's correctness depends on it: it stamps what people read.
#[allow(clippy::disallowed_methods, reason = "the rim: this is where time comes in")]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_millis() as u64)
}

/// The monotonic clock, for deadlines: the one that the timers go by, which tests may move.
pub fn instant() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Random bytes from the operating system's generator (T16).
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // aws-lc's generator seeds itself from the kernel and aborts rather than fail.
    rand::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// A random identifier of 128 bit, as 26 letters and digits.
pub fn random_id() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let number = u128::from_be_bytes(random());
    (0..26).map(|at| LETTERS[(number >> (at * 5)) as usize & 31] as char).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn identifiers_are_of_one_length_and_differ() {
        let (one, other) = (super::random_id(), super::random_id());
        assert_eq!(one.len(), 26);
        assert_ne!(one, other);
    }
}
