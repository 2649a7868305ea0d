//! How long the database is waited for while it is away: through a restart or a fail-over (F11), but not for ever.
//!
//! What needs the database is tried again until it has been away for as long as is allowed; from then on everything fails at
//! once, until something goes well again. So nothing waits longer than one absence may last, and whoever comes in the middle of
//! a long one is told at once.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::fault::Fault;

/// The pause after the first attempt; it doubles each time, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause: so much later than the database itself the server is back.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// See the module's documentation. A clone shares what is known of the database.
#[derive(Clone, Debug)]
pub(crate) struct Patience {
    limit: Duration,
    away_since: Arc<Mutex<Option<Instant>>>,
    /// The store is closed: nothing is tried again.
    stop: CancellationToken,
}

impl Patience {
    pub(crate) fn new(limit: Duration, stop: CancellationToken) -> Self {
        Self { limit, away_since: Arc::default(), stop }
    }

    /// For what is about to be tried.
    pub(crate) fn waiting(&self) -> Waiting<'_> {
        Waiting { patience: self, begun: Instant::now(), pause: FIRST_PAUSE }
    }
}

/// What is tried until the database is there.
pub(crate) struct Waiting<'a> {
    patience: &'a Patience,
    /// When the first attempt began: an absence is noticed only when an attempt has failed.
    begun: Instant,
    pause: Duration,
}

impl Waiting<'_> {
    /// Learns from an attempt whether the database is there.
    pub(crate) fn note(&self, fault: Option<&Fault>) {
        let mut away_since = self.patience.away_since.lock();
        *away_since = match fault {
            Some(Fault::Away(_)) => Some(away_since.unwrap_or(self.begun)),
            _ => None,
        };
    }

    /// After an attempt that found the database away: waits until the next one is due. `false`: it is not to be made.
    pub(crate) async fn goes_on(&mut self) -> bool {
        let away_since = self.patience.away_since.lock().unwrap_or(self.begun).min(self.begun);
        if away_since.elapsed() >= self.patience.limit {
            return false;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        self.patience.stop.run_until_cancelled(sleep(pause)).await.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn patience() -> Patience {
        Patience::new(LIMIT, CancellationToken::new())
    }

    fn away() -> Result<(), Fault> {
        Err(Fault::Away("restarting".into()))
    }

    /// Tries something on a database that is back at a moment.
    async fn back_at(patience: &Patience, moment: Instant) -> Result<(), Fault> {
        let mut waiting = patience.waiting();
        loop {
            let outcome = if Instant::now() < moment { away() } else { Ok(()) };
            waiting.note(outcome.as_ref().err());
            if outcome.is_ok() || !waiting.goes_on().await {
                return outcome;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_absence_is_not_noticed_while_it_is_shorter_than_allowed() {
        let begun = Instant::now();
        assert_eq!(back_at(&patience(), begun + Duration::from_secs(29)).await, Ok(()));
        assert!(begun.elapsed() <= Duration::from_secs(29) + LONGEST_PAUSE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_longer_one_fails_all_that_comes_until_it_is_over() {
        let (patience, begun) = (patience(), Instant::now());
        let back = begun + Duration::from_secs(60);
        assert_eq!(back_at(&patience, back).await, away());
        assert!(begun.elapsed() <= LIMIT + LONGEST_PAUSE);
        let failed = Instant::now();
        assert_eq!(back_at(&patience, back).await, away());
        assert_eq!(failed.elapsed(), Duration::ZERO, "at once");

        tokio::time::sleep_until(back).await;
        assert_eq!(back_at(&patience, back).await, Ok(()));
        // The next absence is another one.
        assert_eq!(back_at(&patience, Instant::now() + Duration::from_secs(20)).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_closed_waits_no_longer() {
        let patience = patience();
        patience.stop.cancel();
        let begun = Instant::now();
        assert_eq!(back_at(&patience, begun + LIMIT).await, away());
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
