//! Runs that were measured, as the scenarios have written them: a JSON object a line. Every field but `scenario` may be
//! missing, so that runs of other versions, and of other programs, can be read too.
//!
//! | file | subject |
//! |---|---|
//! | `figure` | what figures are called, which come first, how they are written |
//! | `spread` | median, least and greatest of several runs |
//! | `series` | runs gathered by what can be compared |

pub mod figure;
mod series;
mod spread;

use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::error::Error;

pub use series::{Group, Series, gather};
pub use spread::Spread;

/// What a line says about the run itself: neither parameter nor figure.
const CIRCUMSTANCES: [&str; 7] = ["scenario", "label", "server", "started", "command", "machine", "version"];

/// The numbers that a scenario was given rather than found. Texts (`security`, `mechanism`) all are such.
const PARAMETERS: [&str; 11] = [
    "pairs",
    "window",
    "rate",
    "message_bytes",
    "messages_each",
    "sessions",
    "users",
    "contacts",
    "at_once",
    "archived_messages",
    "page_messages",
];

/// One run of a scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    fields: Map<String, Value>,
}

/// Reads the runs of several files, in their order.
///
/// # Errors
/// A file can't be read, has a line that is no run, or all are empty.
pub fn read_all(paths: &[PathBuf]) -> Result<Vec<Run>, Error> {
    let mut runs = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(path).map_err(Error::file(path))?;
        runs.extend(parse_all(&text).map_err(|reason| Error::Usage(format!("{}: {reason}", path.display())))?);
    }
    if runs.is_empty() {
        return Err(Error::Usage("there are no runs in it".into()));
    }
    Ok(runs)
}

/// The runs of a text; lines without anything are passed over.
fn parse_all(text: &str) -> Result<Vec<Run>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(at, line)| Run::parse(line).map_err(|reason| format!("line {}: {reason}", at + 1))).collect()
}

impl Run {
    fn parse(line: &str) -> Result<Self, String> {
        let fields: Map<String, Value> = serde_json::from_str(line).map_err(|error| error.to_string())?;
        match fields.get("scenario") {
            Some(Value::String(_)) => Ok(Self { fields }),
            _ => Err("it names no scenario".into()),
        }
    }

    /// Which scenario ran.
    pub fn scenario(&self) -> &str {
        self.fields.get("scenario").and_then(Value::as_str).unwrap_or_default()
    }

    /// What it ran against, or as what it was told to be known.
    pub fn label(&self) -> &str {
        self.fields.get("label").and_then(Value::as_str).unwrap_or("unnamed")
    }

    /// A field as text: a string as it is, an object as its names and values. `None` where nothing is.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.fields.get(name)? {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            Value::Object(parts) => {
                let parts = parts.iter().map(|(name, value)| figure::with_value(name, value));
                Some(parts.collect::<Vec<_>>().join(", "))
            }
            other => Some(other.to_string()),
        }
    }

    /// A field that is a number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.fields.get(name).and_then(Value::as_f64)
    }

    /// The names of what was found, in the order in which it was told.
    pub fn figures(&self) -> impl Iterator<Item = &str> {
        let found = self.fields.iter().filter(|(name, value)| value.is_number() && !is_given(name));
        found.map(|(name, _)| name.as_str())
    }

    /// What the scenario was given: two runs of the same scenario and the same parameters can be compared.
    pub fn parameters(&self) -> String {
        let given = self.fields.iter().filter(|(name, value)| {
            let is_text = value.is_string() || value.is_boolean();
            !CIRCUMSTANCES.contains(&name.as_str()) && (is_text || (value.is_number() && is_given(name)))
        });
        given.map(|(name, value)| figure::with_value(name, value)).collect::<Vec<_>>().join(", ")
    }

    /// A field that is a list of pairs of numbers; what is no pair is left out.
    pub fn pairs(&self, name: &str) -> Vec<(f64, f64)> {
        let pair = |value: &Value| Some((value.get(0)?.as_f64()?, value.get(1)?.as_f64()?));
        self.fields.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(pair).collect()
    }
}

fn is_given(name: &str) -> bool {
    PARAMETERS.contains(&name)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Runs from lines of JSON.
    pub fn runs(lines: &[&str]) -> Vec<Run> {
        parse_all(&lines.join("\n")).expect("well-formed lines")
    }

    #[test]
    fn a_line_is_told_apart_into_parameters_and_figures() {
        let line = r#"{"scenario":"chat","label":"vesta","version":"0.1","pairs":100,"security":"clear","p99_ms":1.5}"#;
        let run = &runs(&[line])[0];
        assert_eq!((run.scenario(), run.label()), ("chat", "vesta"));
        assert_eq!(run.parameters(), "pairs 100, security clear");
        assert_eq!(run.figures().collect::<Vec<_>>(), ["p99_ms"]);
        assert_eq!(run.number("p99_ms"), Some(1.5));
    }

    #[test]
    fn every_field_but_the_scenario_may_be_missing_or_of_another_kind() {
        let machine = r#""machine":{"cores":2,"kernel":"6"}"#;
        let line = format!(r#"{{"scenario":"idle",{machine},"timeline":[[0,5],"x",[1]],"command":null}}"#);
        let run = &runs(&["", &line])[0];
        assert_eq!(run.label(), "unnamed");
        assert_eq!(run.text("machine").as_deref(), Some("cores 2, kernel 6"));
        assert_eq!(run.text("command"), None);
        assert_eq!(run.pairs("timeline"), [(0.0, 5.0)]);
        assert!(run.pairs("latency_histogram").is_empty() && run.parameters().is_empty());
    }

    #[test]
    fn what_is_no_run_is_refused_with_its_line() {
        assert!(parse_all("{\"scenario\":\"idle\"}\n\n[1]").expect_err("a list").starts_with("line 3: "));
        assert_eq!(parse_all(r#"{"label":"vesta"}"#).expect_err("no scenario"), "line 1: it names no scenario");
    }
}
