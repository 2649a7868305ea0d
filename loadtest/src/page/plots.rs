//! The drawings of one scenario.

use super::bars::{Bar, Bars};
use super::chart::{ACROSS, Axis, Chart, Line, UPWARDS};
use super::latency::{self, PERCENTILES};
use super::scale::Scale;
use crate::runs::{Group, Series, figure};

/// Rates that differ by more than this factor are drawn on a logarithmic axis.
const FAR_APART: f64 = 20.0;

/// Bars of what an event or a session costs the server, by label. `None`: nobody has measured it.
pub fn costs(group: &Group, labels: &[&str]) -> Option<Bars> {
    const COSTS: [(&str, &str); 2] = [
        (figure::CPU, "CPU seconds of the server per 100,000 events"),
        ("bytes_per_session", "Memory of the server per session, in bytes"),
    ];
    let of = |(figure, caption)| bars(group, labels, figure, caption);
    COSTS.into_iter().find_map(of)
}

fn bars(group: &Group, labels: &[&str], figure: &str, caption: &str) -> Option<Bars> {
    let bar = |series: &Series| {
        let value = series.spread(figure)?;
        Some(Bar { label: series.label.to_owned(), colour: colour(series, labels), value })
    };
    let bars: Vec<Bar> = group.series.iter().filter_map(bar).collect();
    (!bars.is_empty()).then(|| Bars { caption: caption.to_owned(), bars })
}

/// Latencies over percentiles, all runs of a label together.
pub fn latencies(group: &Group, labels: &[&str]) -> Option<Chart> {
    by_percentile(group, labels, "", "Latency")
}

/// The same of acknowledgements.
pub fn acknowledgements(group: &Group, labels: &[&str]) -> Option<Chart> {
    by_percentile(group, labels, "acknowledged_", "Time to the acknowledgement")
}

/// Of times whose figures begin with `prefix`.
fn by_percentile(group: &Group, labels: &[&str], prefix: &str, what: &str) -> Option<Chart> {
    let histogram = format!("{prefix}latency_histogram");
    let line = |series: &Series| {
        let points = latency::curve(series.runs.iter().map(|run| run.pairs(&histogram)));
        Line { label: series.label.to_owned(), colour: colour(series, labels), points }
    };
    let lines: Vec<Line> = group.series.iter().map(line).filter(|line| !line.points.is_empty()).collect();
    let (greatest_x, _) = greatest(&lines)?;
    let values = || lines.iter().flat_map(|line| &line.points).map(|(_, ms)| *ms);
    let scale = Scale::decades(values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max), UPWARDS);
    let y = Axis { scale, marks: marks(scale) };
    let x = Scale::to_exactly(greatest_x.clamp(1.0, 4.5), ACROSS);
    let shown = PERCENTILES.iter().filter(|(place, _)| *place <= greatest_x.max(1.0));
    let x = Axis { scale: x, marks: shown.map(|(place, text)| (*place, (*text).to_owned())).collect() };
    Some(Chart {
        caption: format!("{what} in ms by percentile, logarithmic"),
        description: describe(group, &format!("{prefix}p99_ms"), "99 % within", "ms"),
        x,
        y,
        lines,
    })
}

/// Events per second over the seconds of each run.
pub fn timeline(group: &Group, labels: &[&str]) -> Option<Chart> {
    let of = |series: &Series| {
        let (label, colour) = (series.label.to_owned(), colour(series, labels));
        let timelines = series.runs.iter().map(|run| whole_seconds(run.pairs("timeline")));
        timelines
            .filter(|points| points.len() > 1)
            .map(|points| Line { label: label.clone(), colour, points })
            .collect::<Vec<_>>()
    };
    let lines: Vec<Line> = group.series.iter().flat_map(of).collect();
    let (seconds, rate) = greatest(&lines)?;
    let peaks = lines.iter().filter_map(|line| greatest(std::slice::from_ref(line)));
    let lowest_peak = peaks.map(|(_, peak)| peak).fold(rate, f64::min);
    // Of what differs too much, the lesser would be lines on the ground.
    let y = match lowest_peak * FAR_APART < rate {
        true => Scale::decades(lowest_peak, rate, UPWARDS),
        false => Scale::from_zero(rate, UPWARDS),
    };
    let x = Scale::from_zero(seconds, ACROSS);
    Some(Chart {
        caption: "Events per second, over the seconds of each run".into(),
        description: format!("{} runs, at most {} a second.", lines.len(), figure::format(rate)),
        x: Axis { scale: x, marks: marks(x) },
        y: Axis { scale: y, marks: marks(y) },
        lines,
    })
}

/// Without the last one, in which the run has ended.
fn whole_seconds(mut timeline: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    timeline.pop();
    timeline
}

fn colour(series: &Series, labels: &[&str]) -> usize {
    labels.iter().position(|label| *label == series.label).unwrap_or_default()
}

fn marks(scale: Scale) -> Vec<(f64, String)> {
    scale.marks().into_iter().map(|value| (value, figure::short(value))).collect()
}

/// The greatest of both coordinates. `None`: there is no point.
fn greatest(lines: &[Line]) -> Option<(f64, f64)> {
    let points = lines.iter().flat_map(|line| line.points.iter().copied());
    points.reduce(|(x, y), (other_x, other_y)| (x.max(other_x), y.max(other_y)))
}

/// A median of each label in words.
fn describe(group: &Group, name: &str, before: &str, unit: &str) -> String {
    let say = |series: &Series| {
        let median = figure::format(series.spread(name)?.median);
        Some(format!("{}: {before} {median} {unit}", series.label))
    };
    group.series.iter().filter_map(say).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::{gather, tests::runs};

    #[test]
    fn what_was_not_measured_is_not_drawn() {
        let runs = runs(&[r#"{"scenario":"idle","label":"vesta","latency_histogram":[],"timeline":[[0,1],[1,9]]}"#]);
        let groups = gather(&runs);
        assert!(costs(&groups[0], &["vesta"]).is_none());
        assert!(latencies(&groups[0], &["vesta"]).is_none());
        assert!(acknowledgements(&groups[0], &["vesta"]).is_none());
        assert!(timeline(&groups[0], &["vesta"]).is_none());
    }

    #[test]
    fn a_label_has_one_colour_and_each_run_its_timeline() {
        let line = concat!(
            r#"{"scenario":"chat","label":"b","p99_ms":2.5,"latency_histogram":[[0.5,90],[2.5,10]],"#,
            r#""timeline":[[0,1],[1,7],[2,99]]}"#
        );
        let runs = runs(&[r#"{"scenario":"chat","label":"a"}"#, line, line]);
        let groups = gather(&runs);
        let chart = latencies(&groups[0], &["a", "b"]).expect("a histogram");
        assert_eq!((chart.lines.len(), chart.lines[0].colour), (1, 1));
        assert_eq!(chart.description, "b: 99 % within 2.5 ms");
        let timeline = timeline(&groups[0], &["a", "b"]).expect("two timelines");
        assert_eq!(timeline.lines.len(), 2);
        assert_eq!(timeline.y.marks.last(), Some(&(8.0, "8".to_owned())));
    }
}
