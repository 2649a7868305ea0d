//! Under what circumstances a run has shown what it has: without them its figures can't be compared.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use vesta_xmpp::payload::date_time::DateTime;

use crate::process::value;
use crate::report::Report;

/// What is known before a run.
#[derive(Clone, Debug)]
pub struct Circumstances {
    started: String,
    label: Option<String>,
}

impl Circumstances {
    /// Of a run that starts now, against what is called `label`.
    pub fn now(label: Option<String>) -> Self {
        // Only for the record: nothing is decided by it.
        #[allow(clippy::disallowed_methods)]
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: DateTime::from_unix_ms(since_1970.as_secs() * 1000).to_string(), label }
    }

    /// Adds them to what was found.
    pub fn add_to(self, report: Report) -> Report {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let report = report
            .with("started", self.started)
            .with("version", env!("CARGO_PKG_VERSION"))
            .with("command", arguments.join(" "))
            .with("machine", machine());
        match self.label {
            Some(label) => report.with("label", label),
            None => report,
        }
    }
}

/// What it does not tell of itself is left empty: figures are worth something without.
fn machine() -> serde_json::Value {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    json!({
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memory_bytes": value(&read("/proc/meminfo"), "MemTotal:") * 1024,
        "kernel": read("/proc/sys/kernel/osrelease").trim_end(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_tells_its_machine_and_its_time() {
        let report = Circumstances::now(Some("vesta".into())).add_to(Report::new("idle")).to_json();
        for part in ["\"label\":\"vesta\"", "\"cores\":", "\"kernel\":\"", "Z\"", "\"version\":\""] {
            assert!(report.contains(part), "{report}");
        }
    }
}
