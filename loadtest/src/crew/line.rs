//! What workers say to their coordinator: a line of JSON each, on the standard output. The coordinator's only answer is an empty
//! line, which opens a gate.

use serde::{Deserialize, Serialize};

use super::Gate;
use crate::progress::Snapshot;
use crate::tally::Tally;

/// One line of a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// How far it has come.
    Progress(Snapshot),
    /// It waits at a gate.
    Gate(Gate),
    /// It is done.
    Tally(Tally),
}

impl Line {
    /// Without its end.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers and texts can be written")
    }

    /// `None`: not such a line.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_were_written() {
        let mut tally = Tally { timeline: vec![3, 4], accounts: vec!["load1\tsecret".into()], ..Tally::default() };
        tally.add("lost", 2);
        tally.latencies.record(1234);
        let snapshot = Snapshot { stage: "logging in".into(), done: 3, of: 9 };
        for line in [Line::Progress(snapshot), Line::Gate(Gate::Begin), Line::Tally(tally)] {
            let text = line.to_json();
            assert!(!text.contains('\n'));
            assert_eq!(Line::parse(&text), Some(line));
        }
        assert_eq!(Line::parse("lost 3"), None);
    }
}
