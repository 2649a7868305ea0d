//! The manager's clock, at the rim of the process: seconds since its start, small enough to be kept per session.

use tokio::time::Instant;

/// See the module's documentation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }

    /// Seconds since the start.
    pub(crate) fn now_s(&self) -> u32 {
        self.start.elapsed().as_secs() as u32
    }
}
