//! What one process has counted and timed, in a form in which it can be sent to another and added to what that has.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// What one process, or several together, have counted and timed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// By the names under which reports tell them.
    pub counts: BTreeMap<String, u64>,
    /// How long things took.
    pub latencies: Latencies,
    /// How long other things took, by the names under which reports tell them.
    pub named: BTreeMap<String, Latencies>,
    /// Measured events in each second, from the first measured one on.
    pub timeline: Vec<u64>,
    /// Lines of the file of accounts, where some were made.
    pub accounts: Vec<String>,
}

impl Tally {
    /// Adds to a count.
    pub fn add(&mut self, name: &str, count: u64) {
        *self.counts.entry(name.to_owned()).or_default() += count;
    }

    /// What a count has come to; 0 where nothing was added.
    pub fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or_default()
    }

    /// Measured events.
    pub fn events(&self) -> u64 {
        self.timeline.iter().sum()
    }

    /// Adds what another process has.
    pub fn merge(&mut self, other: Tally) {
        for (name, count) in other.counts {
            *self.counts.entry(name).or_default() += count;
        }
        self.latencies.merge(&other.latencies);
        for (name, latencies) in other.named {
            self.named.entry(name).or_default().merge(&latencies);
        }
        self.timeline.resize(self.timeline.len().max(other.timeline.len()), 0);
        for (sum, count) in self.timeline.iter_mut().zip(other.timeline) {
            *sum += count;
        }
        self.accounts.extend(other.accounts);
    }
}

/// A histogram of microseconds up to a minute and a half, three digits exact. Written as pairs of a value and its count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// Takes a time. One that is longer than the greatest counts as that.
    pub fn record(&mut self, time_us: u64) {
        self.0.saturating_record(time_us);
    }

    /// Adds those of others.
    fn merge(&mut self, other: &Latencies) {
        self.0.add(&other.0).expect("histograms of the same bounds");
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time in milliseconds that so many per cent did not exceed; 0 where there are none.
    pub fn percentile_ms(&self, percentile: f64) -> f64 {
        self.0.value_at_percentile(percentile) as f64 / 1000.0
    }

    /// For a plot: upper bounds in milliseconds, each about a tenth above the last, and how many lie below it and above the one
    /// before. Those without any are left out.
    pub fn buckets_ms(&self) -> Vec<(f64, u64)> {
        /// Eight powers of ten with these make less than 200.
        const BUCKETS_PER_POWER_OF_TEN: f64 = 24.0;
        let mut buckets = BTreeMap::<i32, u64>::new();
        for value in self.0.iter_recorded() {
            let bucket = ((value.value_iterated_to().max(1) as f64).log10() * BUCKETS_PER_POWER_OF_TEN).ceil() as i32;
            *buckets.entry(bucket).or_default() += value.count_at_value();
        }
        let bound_us = |bucket: i32| 10f64.powf(f64::from(bucket) / BUCKETS_PER_POWER_OF_TEN).round();
        buckets.into_iter().map(|(bucket, count)| (bound_us(bucket) / 1000.0, count)).collect()
    }
}

impl Default for Latencies {
    fn default() -> Self {
        let mut histogram = Histogram::new_with_bounds(1, 100_000_000, 3).expect("the bounds are valid");
        histogram.auto(true);
        Self(histogram)
    }
}

impl From<Vec<(u64, u64)>> for Latencies {
    fn from(pairs: Vec<(u64, u64)>) -> Self {
        let mut latencies = Self::default();
        for (value, count) in pairs {
            latencies.0.saturating_record_n(value, count);
        }
        latencies
    }
}

impl From<Latencies> for Vec<(u64, u64)> {
    fn from(latencies: Latencies) -> Self {
        latencies.0.iter_recorded().map(|value| (value.value_iterated_to(), value.count_at_value())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lost: u64, times_us: &[u64], timeline: &[u64]) -> Tally {
        let mut tally = Tally { timeline: timeline.to_vec(), ..Tally::default() };
        tally.add("lost", lost);
        for time_us in times_us {
            tally.latencies.record(*time_us);
            tally.named.entry("acknowledged".into()).or_default().record(*time_us);
        }
        tally
    }

    fn sent(tally: &Tally) -> Tally {
        serde_json::from_str(&serde_json::to_string(tally).expect("JSON")).expect("the same JSON")
    }

    #[test]
    fn tallies_of_two_processes_add_up_to_that_of_one() {
        let mut sum = sent(&tally(1, &[90, 5_000_017], &[3, 4]));
        sum.merge(sent(&tally(2, &[17, 90, 1_234_567], &[1, 1, 1])));
        assert_eq!(sum, tally(3, &[17, 90, 90, 1_234_567, 5_000_017], &[4, 5, 1]));
        assert_eq!((sum.count("lost"), sum.count("doubled"), sum.events(), sum.latencies.count()), (3, 0, 10, 5));
    }

    #[test]
    fn what_is_merged_into_nothing_stays_as_it_is() {
        let mut sum = Tally::default();
        sum.merge(tally(7, &[1, 1000], &[2]));
        assert_eq!(sum, tally(7, &[1, 1000], &[2]));
    }

    #[test]
    fn buckets_are_few_and_hold_everything_below_their_bound() {
        let mut latencies = Latencies::default();
        (0..100_000_000).step_by(997).for_each(|time_us| latencies.record(time_us));
        (0..1000).for_each(|time_us| latencies.record(time_us));
        let buckets = latencies.buckets_ms();
        assert!(buckets.len() <= 200, "{}", buckets.len());
        assert!(buckets.is_sorted_by(|(one, _), (other, _)| one < other));
        assert_eq!(buckets.iter().map(|(_, count)| count).sum::<u64>(), latencies.count());
        let mut single = Latencies::default();
        single.record(1000);
        assert_eq!(single.buckets_ms(), [(1.0, 1)]);
    }
}
