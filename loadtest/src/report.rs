//! Figures for people (lines with names and numbers) and for programs (one JSON object on one line).

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::process::Usage;
use crate::tally::{Latencies, Tally};

/// What a run has shown: names that end in their unit, in the order in which they are told.
#[derive(Clone, Debug, Default)]
pub struct Report {
    figures: Map<String, Value>,
}

impl Report {
    /// Of a run of `scenario`.
    pub fn new(scenario: &str) -> Self {
        Self::default().with("scenario", scenario)
    }

    /// Adds a figure.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.figures.insert(name.into(), value.into());
        self
    }

    /// Adds a number, rounded to what can mean anything.
    #[must_use]
    pub fn with_number(self, name: &str, value: f64) -> Self {
        let digits = if value.abs() >= 100.0 { 1.0 } else { 1000.0 };
        self.with(name, (value * digits).round() / digits)
    }

    /// Adds how many events there were, how fast, and what they cost the server and the load generator.
    #[must_use]
    pub fn with_cost(self, events: &'static str, count: u64, cost: &Cost) -> Self {
        let per_100_000 = |amount: f64| amount * 100_000.0 / count.max(1) as f64;
        let seconds = cost.elapsed.as_secs_f64();
        self.with(events, count)
            .with_number("seconds", seconds)
            .with_number(&format!("{events}_per_second"), count as f64 / seconds)
            .with_number("server_cpu_seconds_per_100_000", per_100_000(cost.server.cpu_s()))
            .with_number("server_user_seconds_per_100_000", per_100_000(cost.server.user_s))
            .with_number("server_system_seconds_per_100_000", per_100_000(cost.server.system_s))
            .with_number("server_context_switches_per_event", cost.server.switches as f64 / count.max(1) as f64)
            .with_number("disk_written_bytes_per_event", cost.disk_written_bytes as f64 / count.max(1) as f64)
            .with_number("own_cpu_seconds_per_100_000", per_100_000(cost.own.cpu_s()))
    }

    /// Adds percentiles, and the histogram that they are from: pairs of an upper bound in milliseconds and a count.
    #[must_use]
    pub fn with_latencies(self, latencies: &Latencies) -> Self {
        let percentiles = [("p50_ms", 50.0), ("p90_ms", 90.0), ("p99_ms", 99.0), ("p99_9_ms", 99.9), ("max_ms", 100.0)];
        percentiles
            .into_iter()
            .fold(self, |report, (name, percentile)| report.with_number(name, latencies.percentile_ms(percentile)))
            .with("latency_histogram", json!(latencies.buckets_ms()))
    }

    /// Adds times of another kind under a name; nothing where none were taken.
    #[must_use]
    pub fn with_named_latencies(self, name: &str, tally: &Tally) -> Self {
        let Some(latencies) = tally.named.get(name) else { return self };
        let percentiles = [("p50_ms", 50.0), ("p99_ms", 99.0), ("p99_9_ms", 99.9), ("max_ms", 100.0)];
        let figure = |percentile: &str| format!("{name}_{percentile}");
        percentiles
            .into_iter()
            .fold(self, |report, (percentile, value)| {
                report.with_number(&figure(percentile), latencies.percentile_ms(value))
            })
            .with(&figure("latency_histogram"), json!(latencies.buckets_ms()))
    }

    /// Adds how many measured events each second had: pairs of a second and a count.
    #[must_use]
    pub fn with_timeline(self, tally: &Tally) -> Self {
        let seconds: Vec<_> = tally.timeline.iter().enumerate().collect();
        self.with("timeline", json!(seconds))
    }

    /// One line of JSON, without its end.
    pub fn to_json(&self) -> String {
        Value::Object(self.figures.clone()).to_string()
    }
}

impl fmt::Display for Report {
    /// What is neither text nor number is for programs only.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.figures.iter().filter(|(_, value)| !value.is_array() && !value.is_object()) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            writeln!(formatter, "{:<40} {text}", name.replace('_', " "))?;
        }
        Ok(())
    }
}

/// What a stretch of a run has cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// How long it lasted.
    pub elapsed: Duration,
    /// What the server has used.
    pub server: Usage,
    /// What the load generator has used, in all its processes.
    pub own: Usage,
    /// What this machine's disks have written, for whomever.
    pub disk_written_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_their_order_and_make_one_line_of_json() {
        let report = Report::new("idle").with("sessions", 3).with_number("bytes_per_session", 5_000.04);
        assert_eq!(report.to_json(), r#"{"scenario":"idle","sessions":3,"bytes_per_session":5000.0}"#);
        assert!(report.to_string().lines().nth(2).is_some_and(|line| line.starts_with("bytes per session ")));
    }

    #[test]
    fn what_is_plotted_is_for_programs_only() {
        let mut tally = Tally { timeline: vec![5, 7], ..Tally::default() };
        tally.latencies.record(1000);
        let report = Report::default().with_latencies(&tally.latencies).with_timeline(&tally);
        assert!(report.to_json().ends_with(r#""latency_histogram":[[1.0,1]],"timeline":[[0,5],[1,7]]}"#));
        assert_eq!(report.to_string().lines().count(), 5);
    }

    #[test]
    fn times_of_another_kind_have_their_name_before_them() {
        let mut tally = Tally::default();
        assert_eq!(Report::default().with_named_latencies("acknowledged", &tally).to_json(), "{}");
        tally.named.entry("acknowledged".into()).or_default().record(1000);
        let report = Report::default().with_named_latencies("acknowledged", &tally).to_json();
        assert!(report.starts_with(r#"{"acknowledged_p50_ms":1.0,"acknowledged_p99_ms":1.0,"#), "{report}");
        assert!(report.ends_with(r#""acknowledged_latency_histogram":[[1.0,1]]}"#), "{report}");
    }
}
