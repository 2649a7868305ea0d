//! Chance, drawn at the rim and handed to whatever needs it.

/// Fills `bytes` from the operating system's generator.
pub(crate) fn fill(bytes: &mut [u8]) {
    aws_lc_rs::rand::fill(bytes).expect("the process has a source of randomness");
}

/// A random number.
pub(crate) fn number() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_be_bytes(bytes)
}

/// An id for a stanza: 128 unpredictable bits in hexadecimal digits, so that nobody can answer an IQ unasked (T23).
pub(crate) fn id() -> String {
    format!("{:016x}{:016x}", number(), number())
}
