//! Ticks finer than the runtime's timers, which know milliseconds only and round up: a thread that sleeps until each one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::Error;

/// Ticks at fixed times until it is dropped.
#[derive(Debug)]
pub struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    ticked: Notify,
    is_stopped: AtomicBool,
}

impl Ticker {
    /// Ticks at `first`, then each `period`.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(first: Instant, period: Duration) -> Result<Self, Error> {
        let shared = Arc::<Shared>::default();
        let of_thread = shared.clone();
        let thread = thread::Builder::new().name("ticker".into()).spawn(move || of_thread.run(first, period));
        Ok(Self { shared, thread: Some(thread.map_err(Error::system("a thread"))?) })
    }

    /// Waits for the next tick. Several that nobody has waited for are one.
    pub async fn tick(&self) {
        self.shared.ticked.notified().await;
    }
}

impl Shared {
    fn run(&self, first: Instant, period: Duration) {
        let mut next = first;
        while !self.is_stopped.load(Ordering::Relaxed) {
            thread::sleep(next.saturating_duration_since(Instant::now()));
            self.ticked.notify_one();
            next += period;
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It ends at the next tick; that it could not is nobody's concern any more.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ticks_come_and_end_with_the_ticker() {
        let ticker = Ticker::start(Instant::now(), Duration::from_micros(100)).expect("a thread");
        for _ in 0..10 {
            ticker.tick().await;
        }
        let shared = Arc::downgrade(&ticker.shared);
        drop(ticker);
        assert_eq!(shared.strong_count(), 0);
    }
}
