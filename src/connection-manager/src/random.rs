//! Chance, at the rim of the process: drawn here and handed to whatever needs it.

/// Eight random bytes.
pub(crate) fn number() -> u64 {
    u64::from_be_bytes(bytes())
}

/// Random bytes of the operating system's generator.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the process has a source of randomness");
    bytes
}

/// A random number between 0 and 1.
pub(crate) fn fraction() -> f64 {
    (number() >> 11) as f64 / (1u64 << 53) as f64
}

/// Fills `bytes` from the operating system's generator.
pub(crate) fn fill(bytes: &mut [u8]) {
    aws_lc_rs::rand::fill(bytes).expect("the process has a source of randomness");
}
