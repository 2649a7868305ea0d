//! Runs gathered by what can be compared: the same scenario with the same parameters, and in it those of one label.

use super::{Run, Spread};

/// A scenario with its parameters, and who ran it.
#[derive(Debug)]
pub struct Group<'a> {
    /// Which scenario.
    pub scenario: &'a str,
    /// What it was given, for people.
    pub parameters: String,
    /// By label, in the order in which they came.
    pub series: Vec<Series<'a>>,
}

/// Runs that should all have shown the same.
#[derive(Debug)]
pub struct Series<'a> {
    /// What ran.
    pub label: &'a str,
    /// Its runs, in the order in which they came; at least one.
    pub runs: Vec<&'a Run>,
}

/// Gathers runs; groups and labels come in the order in which they first appear.
pub fn gather(runs: &[Run]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group> = Vec::new();
    for run in runs {
        let parameters = run.parameters();
        let known = groups.iter().position(|it| it.scenario == run.scenario() && it.parameters == parameters);
        let at = known.unwrap_or_else(|| {
            groups.push(Group { scenario: run.scenario(), parameters, series: Vec::new() });
            groups.len() - 1
        });
        groups[at].add(run);
    }
    groups
}

impl<'a> Group<'a> {
    fn add(&mut self, run: &'a Run) {
        match self.series.iter_mut().find(|series| series.label == run.label()) {
            Some(series) => series.runs.push(run),
            None => self.series.push(Series { label: run.label(), runs: vec![run] }),
        }
    }

    /// Scenario and parameters in one line.
    pub fn title(&self) -> String {
        match self.parameters.is_empty() {
            true => self.scenario.to_owned(),
            false => format!("{}: {}", self.scenario, self.parameters),
        }
    }

    /// The names of all figures, in the order in which they first appear.
    pub fn figures(&self) -> Vec<&'a str> {
        let mut names = Vec::new();
        for name in self.series.iter().flat_map(|series| &series.runs).flat_map(|run| run.figures()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

impl Series<'_> {
    /// What its runs have shown of a figure. `None`: none of them has it.
    pub fn spread(&self, figure: &str) -> Option<Spread> {
        Spread::of(self.runs.iter().filter_map(|run| run.number(figure)))
    }

    /// What its runs say of themselves under this name: each text once, in the order in which they came.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let mut texts = Vec::new();
        for text in self.runs.iter().filter_map(|run| run.text(name)) {
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::tests::runs;

    #[test]
    fn runs_are_gathered_by_scenario_parameters_and_label() {
        let runs = runs(&[
            r#"{"scenario":"chat","label":"vesta","pairs":100,"p99_ms":1.0,"version":"1"}"#,
            r#"{"scenario":"chat","label":"ejabberd","pairs":100,"p99_ms":9.0}"#,
            r#"{"scenario":"chat","label":"vesta","pairs":5,"p99_ms":2.0}"#,
            r#"{"scenario":"chat","label":"vesta","pairs":100,"p99_ms":3.0,"lost":0,"version":"1"}"#,
        ]);
        let groups = gather(&runs);
        let titles: Vec<_> = groups.iter().map(Group::title).collect();
        assert_eq!(titles, ["chat: pairs 100", "chat: pairs 5"]);
        let [vesta, ejabberd] = &groups[0].series[..] else { panic!("two labels") };
        assert_eq!((vesta.label, vesta.runs.len()), ("vesta", 2));
        assert_eq!(vesta.spread("p99_ms").map(|it| it.median), Some(2.0));
        assert_eq!(ejabberd.spread("lost"), None);
        assert_eq!(vesta.texts("version"), ["1"]);
        assert_eq!(groups[0].figures(), ["p99_ms", "lost"]);
    }
}
