//! `compare`: two files of runs side by side, say before and after a change: medians, what they differ by, and whether that is more
//! than runs of the same kind differ by themselves.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;

use crate::error::Error;
use crate::runs::{Group, Run, Series, Spread, figure, gather, read_all};

/// See the module's documentation.
#[derive(Debug, Args)]
pub struct Compare {
    /// Runs as lines of JSON.
    #[arg(value_name = "BEFORE.jsonl")]
    before: PathBuf,
    /// Others.
    #[arg(value_name = "AFTER.jsonl")]
    after: PathBuf,
}

impl Compare {
    /// Prints the comparison, for people.
    ///
    /// # Errors
    /// A file can't be read or has no runs.
    pub fn run(&self) -> Result<(), Error> {
        let [before, after] = [&self.before, &self.after].map(|path| read_all(std::slice::from_ref(path)));
        let text = compare(&before?, &after?);
        std::io::stdout().write_all(text.as_bytes()).map_err(Error::system("the standard output"))
    }
}

/// Medians side by side, by scenario and figure; then what only one side has.
fn compare(before: &[Run], after: &[Run]) -> String {
    let labels = Labels::of(before, after);
    let (before, after) = (gather(before), gather(after));
    let mut out = String::new();
    let mut alone = Vec::new();
    for (group, series) in all(&before) {
        match find(&after, group, |label| labels.match_up(series.label, label)) {
            Some(other) => write_pair(&mut out, group, series, other),
            None => alone.push(format!("only before: {}", name(group, series))),
        }
    }
    for (group, series) in all(&after) {
        if find(&before, group, |label| labels.match_up(label, series.label)).is_none() {
            alone.push(format!("only after:  {}", name(group, series)));
        }
    }
    for line in alone {
        line_to(&mut out, &line);
    }
    line_to(&mut out, "* farther apart than the values of either side   ? a single run tells no spread");
    out
}

/// Which labels of both files mean the same.
enum Labels {
    /// Those that are the same.
    Same,
    /// Each file has one: whatever they are called (`main`, `faster-scan`), they are to be compared.
    One,
}

impl Labels {
    fn of(before: &[Run], after: &[Run]) -> Self {
        let labels = |runs: &[Run]| runs.iter().map(|run| run.label().to_owned()).collect::<BTreeSet<_>>().len();
        match (labels(before), labels(after)) {
            (1, 1) => Labels::One,
            _ => Labels::Same,
        }
    }

    fn match_up(&self, before: &str, after: &str) -> bool {
        matches!(self, Labels::One) || before == after
    }
}

fn all<'a>(groups: &'a [Group<'a>]) -> impl Iterator<Item = (&'a Group<'a>, &'a Series<'a>)> {
    groups.iter().flat_map(|group| group.series.iter().map(move |series| (group, series)))
}

fn find<'a>(groups: &'a [Group], like: &Group, is_meant: impl Fn(&str) -> bool) -> Option<&'a Series<'a>> {
    let group = groups.iter().find(|it| it.scenario == like.scenario && it.parameters == like.parameters)?;
    group.series.iter().find(|series| is_meant(series.label))
}

fn name(group: &Group, series: &Series) -> String {
    format!("{}, {}", series.label, group.title())
}

fn write_pair(out: &mut String, group: &Group, before: &Series, after: &Series) {
    let label = match before.label == after.label {
        true => before.label.to_owned(),
        false => format!("{} → {}", before.label, after.label),
    };
    let (count_before, count_after) = (before.runs.len(), after.runs.len());
    line_to(out, &format!("{label}, {} (runs: {count_before} and {count_after})", group.title()));
    line_to(out, &format!("  {:<42} {:>12} {:>12} {:>10}", "median", "before", "after", "change"));
    for figure in group.figures() {
        if let (Some(before), Some(after)) = (before.spread(figure), after.spread(figure)) {
            line_to(out, &row(figure, &before, &after));
        }
    }
    out.push('\n');
}

fn row(figure: &str, before: &Spread, after: &Spread) -> String {
    let mark = match before.differs_from(after) {
        Some(true) => " *",
        Some(false) => "",
        None => " ?",
    };
    let (name, change) = (figure::title(figure), change(before.median, after.median));
    let (before, after) = (figure::format(before.median), figure::format(after.median));
    format!("  {name:<42} {before:>12} {after:>12} {change:>10}{mark}")
}

/// In per cent of what was before.
fn change(before: f64, after: f64) -> String {
    match (before, after) {
        _ if before == after => "0.0 %".into(),
        (0.0, _) => "new".into(),
        _ => format!("{:+.1} %", (after - before) / before.abs() * 100.0),
    }
}

fn line_to(out: &mut String, line: &str) {
    let _ = writeln!(out, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::tests::runs;

    fn of(label: &str, values: &[f64]) -> Vec<Run> {
        let line = |value| format!(r#"{{"scenario":"chat","label":"{label}","pairs":100,"p99_ms":{value},"lost":0}}"#);
        let lines: Vec<String> = values.iter().map(line).collect();
        runs(&lines.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn line_of<'a>(text: &'a str, name: &str) -> &'a str {
        text.lines().find(|line| line.trim_start().starts_with(name)).expect("it is there")
    }

    #[test]
    fn medians_stand_side_by_side_and_what_exceeds_the_spread_is_marked() {
        let text = compare(&of("vesta", &[2.0, 2.1, 1.9]), &of("vesta", &[1.0, 1.1, 0.9]));
        assert!(text.starts_with("vesta, chat: pairs 100 (runs: 3 and 3)\n"), "{text}");
        let words: Vec<_> = line_of(&text, "p99 ms").split_whitespace().collect();
        assert_eq!(words, ["p99", "ms", "2", "1", "-50.0", "%", "*"]);
        assert!(line_of(&text, "lost").ends_with("0.0 %"));
        let near = compare(&of("vesta", &[2.0, 2.5, 1.9]), &of("vesta", &[1.8, 1.9, 2.3]));
        assert!(line_of(&near, "p99 ms").ends_with("-5.0 %"), "{near}");
    }

    #[test]
    fn a_single_run_is_said_to_tell_no_spread() {
        let text = compare(&of("vesta", &[2.0]), &of("vesta", &[1.0, 1.1]));
        assert!(line_of(&text, "p99 ms").ends_with('?'), "{text}");
    }

    #[test]
    fn one_label_a_file_is_compared_whatever_it_is_called() {
        let text = compare(&of("main", &[2.0]), &of("faster", &[1.0]));
        assert!(text.starts_with("main → faster, chat"), "{text}");
    }

    #[test]
    fn what_only_one_side_has_is_named() {
        let before = [of("vesta", &[2.0]), of("ejabberd", &[9.0])].concat();
        let after = [of("vesta", &[2.0]), of("prosody", &[9.0])].concat();
        let text = compare(&before, &after);
        assert!(text.contains("only before: ejabberd, chat: pairs 100\n"), "{text}");
        assert!(text.contains("only after:  prosody, chat: pairs 100\n"), "{text}");
    }

    #[test]
    fn a_change_is_in_per_cent_of_what_was() {
        assert_eq!([change(4.0, 5.0), change(0.0, 0.0), change(0.0, 2.0)], ["+25.0 %", "0.0 %", "new"]);
    }
}
