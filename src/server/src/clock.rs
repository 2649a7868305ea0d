//! The wall clock: the only place of this crate that asks for it.

use vesta_engine::Timestamp;

/// Now.
#[allow(clippy::disallowed_methods, reason = "the rim: this is where time comes in")]
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_millis() as u64)
}
