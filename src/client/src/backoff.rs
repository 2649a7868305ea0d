//! When to try again: ever later, and not all clients at once.

use std::time::Duration;

/// A policy of reconnection. The n-th pause lies between half and all of `first · 2ⁿ`, capped at `longest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first pause at most. Default: 1 s.
    pub first: Duration,
    /// No pause is longer. Default: 60 s.
    pub longest: Duration,
    /// After so many attempts in a row the client ends. Default: `None`, never.
    pub attempts_max: Option<u32>,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(60), attempts_max: None }
    }
}

impl Backoff {
    /// The pause before attempt number `attempt`, counted from 0; `random` is any random number. `None`: no more.
    pub fn pause(&self, attempt: u32, random: u64) -> Option<Duration> {
        if self.attempts_max.is_some_and(|most| attempt >= most) {
            return None;
        }
        let whole = self.first.saturating_mul(1 << attempt.min(30)).min(self.longest);
        let half = whole / 2;
        // The upper half of the random number, as a fraction of 2³².
        Some(half + half.mul_f64((random >> 32) as f64 / f64::from(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_vary_by_half() {
        let backoff = Backoff::default();
        for (attempt, shortest, longest) in [(0, 500, 1000), (1, 1000, 2000), (5, 16_000, 32_000), (99, 30_000, 60_000)]
        {
            assert_eq!(backoff.pause(attempt, 0), Some(Duration::from_millis(shortest)));
            assert_eq!(backoff.pause(attempt, u64::MAX), Some(Duration::from_millis(longest)));
        }
    }

    #[test]
    fn after_the_last_attempt_there_is_no_pause() {
        let backoff = Backoff { attempts_max: Some(2), ..Backoff::default() };
        assert!(backoff.pause(1, 0).is_some());
        assert_eq!(backoff.pause(2, 0), None);
    }
}
