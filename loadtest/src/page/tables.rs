//! The tables of a page: what ran where, the CPU of all at a glance, and each scenario's figures.

use super::html::{Cell, Table};
use crate::runs::{Group, Series, Spread, figure};

/// What runs say of the machine and of the versions that ran there, by label.
pub fn circumstances(groups: &[Group]) -> Table {
    const FIELDS: [&str; 3] = ["server", "version", "machine"];
    const TITLES: [&str; 5] = ["label", "server", "load generator", "machine", "started"];
    let rows = labels(groups).into_iter().map(|label| {
        let series: Vec<&Series> = all_series(groups).filter(|series| series.label == label).collect();
        let mut cells: Vec<Cell> = FIELDS.iter().map(|name| Cell::new(texts(&series, name).join("; "))).collect();
        cells.push(Cell::new(first_and_last(texts(&series, "started"))));
        (Cell::new(label), cells)
    });
    Table {
        caption: "What ran, where and when".into(),
        columns: TITLES.map(str::to_owned).into(),
        rows: rows.collect(),
        is_numeric: false,
    }
}

/// CPU per 100,000 events: a row for each scenario, a column for each label. `None`: nobody has measured it.
pub fn overview(groups: &[Group]) -> Option<Table> {
    let labels = labels(groups);
    let row = |group: &Group| {
        let spread = |label: &&str| group.series.iter().find(|series| series.label == *label)?.spread(figure::CPU);
        let note = (!group.parameters.is_empty()).then(|| group.parameters.clone());
        let header = Cell { text: group.scenario.to_owned(), note };
        (header, labels.iter().map(|label| cell(spread(label))).collect())
    };
    let measured = groups.iter().filter(|group| group.series.iter().any(|it| it.spread(figure::CPU).is_some()));
    let rows: Vec<_> = measured.map(row).collect();
    (!rows.is_empty()).then(|| Table {
        caption: "CPU seconds of the server per 100,000 events: median (least–greatest)".into(),
        columns: std::iter::once("scenario").chain(labels.iter().copied()).map(str::to_owned).collect(),
        rows,
        is_numeric: true,
    })
}

/// The figures of one scenario that matter most: a row for each label.
pub fn headlines(group: &Group) -> Table {
    let has_any = |name: &str| group.series.iter().filter_map(|it| it.spread(name)).any(|spread| spread.max > 0.0);
    let is_shown = |name: &&str| figure::is_headline(name) || (figure::is_told_if_any(name) && has_any(name));
    let figures: Vec<&str> = group.figures().into_iter().filter(is_shown).collect();
    let row = |series: &Series| {
        let runs = Cell::new(series.runs.len().to_string());
        let cells = figures.iter().map(|name| cell(series.spread(name)));
        (Cell::new(series.label), std::iter::once(runs).chain(cells).collect())
    };
    let titles = figures.iter().map(|name| figure::title(name));
    Table {
        caption: format!("{}: median (least–greatest)", group.scenario),
        columns: ["server".to_owned(), "runs".to_owned()].into_iter().chain(titles).collect(),
        rows: group.series.iter().map(row).collect(),
        is_numeric: true,
    }
}

/// All figures of one scenario: a row for each figure, a column for each label.
pub fn all_figures(group: &Group) -> Table {
    let row = |name: &str| {
        let cells = group.series.iter().map(|series| cell(series.spread(name)));
        (Cell::new(figure::title(name)), cells.collect())
    };
    let labels = group.series.iter().map(|series| series.label.to_owned());
    Table {
        caption: format!("{}: all figures, median (least–greatest)", group.scenario),
        columns: std::iter::once("figure".to_owned()).chain(labels).collect(),
        rows: group.figures().into_iter().map(row).collect(),
        is_numeric: true,
    }
}

/// The labels of all runs, in the order in which they first appear.
pub fn labels<'a>(groups: &[Group<'a>]) -> Vec<&'a str> {
    let mut labels = Vec::new();
    for label in groups.iter().flat_map(|group| &group.series).map(|series| series.label) {
        if !labels.contains(&label) {
            labels.push(label);
        }
    }
    labels
}

fn all_series<'a>(groups: &'a [Group<'a>]) -> impl Iterator<Item = &'a Series<'a>> {
    groups.iter().flat_map(|group| &group.series)
}

/// What several series say under this name, each text once.
fn texts(series: &[&Series], name: &str) -> Vec<String> {
    let mut texts: Vec<String> = series.iter().flat_map(|series| series.texts(name)).collect();
    let mut seen = std::collections::BTreeSet::new();
    texts.retain(|text| seen.insert(text.clone()));
    texts
}

/// Of times that sort as texts do.
fn first_and_last(mut times: Vec<String>) -> String {
    times.sort();
    match &times[..] {
        [] => String::new(),
        [only] => only.clone(),
        [first, .., last] => format!("{first} to {last}"),
    }
}

fn cell(spread: Option<Spread>) -> Cell {
    let Some(spread) = spread else { return Cell::new("–") };
    let [median, min, max] = [spread.median, spread.min, spread.max].map(figure::format);
    let note = (spread.count > 1 && min != max).then(|| format!("({min}–{max})"));
    Cell { text: median, note }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::{gather, tests::runs};

    #[test]
    fn figures_are_shown_as_median_and_spread() {
        let runs = runs(&[
            r#"{"scenario":"chat","label":"vesta","server_cpu_seconds_per_100_000":1.5,"seconds":2,"started":"2026-01-02"}"#,
            r#"{"scenario":"chat","label":"vesta","server_cpu_seconds_per_100_000":1.25,"started":"2026-01-01"}"#,
            r#"{"scenario":"chat","label":"relay","messages_per_second":866000,"doubled":0,"refused":3}"#,
        ]);
        let groups = gather(&runs);
        let table = headlines(&groups[0]);
        assert_eq!(table.columns, ["server", "runs", "CPU s per 100,000", "messages per second", "refused"]);
        let cpu = Cell { text: "1.38".into(), note: Some("(1.25–1.5)".into()) };
        assert_eq!(
            table.rows[0],
            (Cell::new("vesta"), vec![Cell::new("2"), cpu.clone(), Cell::new("–"), Cell::new("–")])
        );
        assert_eq!(table.rows[1].1, ["1", "–", "866,000", "3"].map(Cell::new));
        assert_eq!(overview(&groups).map(|it| it.rows), Some(vec![(Cell::new("chat"), vec![cpu, Cell::new("–")])]));
        assert_eq!(circumstances(&groups).rows[0].1[3].text, "2026-01-01 to 2026-01-02");
        assert_eq!(all_figures(&groups[0]).rows.len(), 5);
    }
}
