//! What the tasks of a process record while it is measured: events by the second, and how long they took.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::tally::{Latencies, Tally};

/// A clock that began with the run, and what was recorded between [`Recorder::begin`] and [`Recorder::end`]. Shared by the tasks
/// of a process, which has one thread: its lock is never waited for.
#[derive(Debug)]
pub struct Recorder {
    began: Instant,
    /// The measured stretch, in microseconds of the clock; `u64::MAX` while it is not known.
    from_us: AtomicU64,
    until_us: AtomicU64,
    recorded: Mutex<Recorded>,
}

#[derive(Debug, Default)]
struct Recorded {
    latencies: Latencies,
    named: BTreeMap<&'static str, Latencies>,
    timeline: Vec<u64>,
}

impl Default for Recorder {
    fn default() -> Self {
        let unknown = || AtomicU64::new(u64::MAX);
        Self { began: Instant::now(), from_us: unknown(), until_us: unknown(), recorded: Mutex::default() }
    }
}

impl Recorder {
    /// Microseconds since the run began.
    pub fn now_us(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }

    /// When that many microseconds will have passed.
    pub fn instant(&self, at_us: u64) -> Instant {
        self.began + std::time::Duration::from_micros(at_us)
    }

    /// The measured stretch begins.
    pub fn begin(&self) {
        self.from_us.store(self.now_us(), Ordering::Relaxed);
    }

    /// It ends.
    pub fn end(&self) {
        self.until_us.store(self.now_us(), Ordering::Relaxed);
    }

    /// When it ended, if it has.
    pub fn ended_us(&self) -> Option<u64> {
        Some(self.until_us.load(Ordering::Relaxed)).filter(|until_us| *until_us != u64::MAX)
    }

    /// Takes events that happened at `now_us`, each told by when it was meant to begin. Events are counted that happen in the
    /// measured stretch; times are taken of those that were meant for it, however late they come: else what a server can't
    /// answer in time would be missing from the figures.
    pub fn take(&self, now_us: u64, meant_us: impl IntoIterator<Item = u64>) {
        let stretch = self.from_us.load(Ordering::Relaxed)..self.until_us.load(Ordering::Relaxed);
        if now_us < stretch.start {
            return;
        }
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        let mut count = 0;
        for meant_us in meant_us {
            count += 1;
            if stretch.contains(&meant_us) {
                recorded.latencies.record(now_us.saturating_sub(meant_us));
            }
        }
        if stretch.contains(&now_us) {
            let second = ((now_us - stretch.start) / 1_000_000) as usize;
            if recorded.timeline.len() <= second {
                recorded.timeline.resize(second + 1, 0);
            }
            recorded.timeline[second] += count;
        }
    }

    /// Takes times of another kind, which are no events: those of what was meant for the measured stretch.
    pub fn take_named(&self, name: &'static str, now_us: u64, meant_us: impl IntoIterator<Item = u64>) {
        let stretch = self.from_us.load(Ordering::Relaxed)..self.until_us.load(Ordering::Relaxed);
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        for meant_us in meant_us.into_iter().filter(|meant_us| stretch.contains(meant_us)) {
            recorded.named.entry(name).or_default().record(now_us.saturating_sub(meant_us));
        }
    }

    /// What was recorded; nothing is left here.
    pub fn tally(&self) -> Tally {
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        let Recorded { latencies, named, timeline } = std::mem::take(&mut *recorded);
        let named = named.into_iter().map(|(name, latencies)| (name.to_owned(), latencies)).collect();
        Tally { latencies, named, timeline, ..Tally::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(from_us: u64, until_us: u64) -> Recorder {
        let recorder = Recorder::default();
        recorder.from_us.store(from_us, Ordering::Relaxed);
        recorder.until_us.store(until_us, Ordering::Relaxed);
        recorder
    }

    #[test]
    fn what_was_meant_for_the_stretch_is_timed_however_late_it_comes() {
        let recorder = over(1_000_000, 3_000_000);
        recorder.take(900_000, [800_000]);
        recorder.take(1_500_000, [900_000, 1_400_000]);
        recorder.take(2_500_000, [2_400_000]);
        recorder.take(9_000_000, [2_999_999, 3_000_000]);
        let tally = recorder.tally();
        assert_eq!(tally.timeline, [2, 1]);
        assert_eq!(tally.latencies.count(), 3);
        assert!(tally.latencies.percentile_ms(100.0) >= 6_000.0);
    }

    #[test]
    fn times_of_another_kind_are_no_events() {
        let recorder = over(1_000_000, 3_000_000);
        recorder.take_named("acknowledged", 1_500_000, [900_000, 1_400_000]);
        recorder.take_named("acknowledged", 9_000_000, [2_999_999, 3_000_000]);
        let tally = recorder.tally();
        assert_eq!((tally.events(), tally.latencies.count(), tally.named["acknowledged"].count()), (0, 0, 2));
    }

    #[test]
    fn nothing_is_recorded_before_it_begins() {
        let recorder = Recorder::default();
        recorder.take(5, [4]);
        recorder.take_named("acknowledged", 5, [4]);
        assert_eq!(recorder.tally(), Tally::default());
    }
}
