//! The page as a whole: one file that needs no other.

use std::fmt::{self, Display};

use super::html::Escaped;
use super::{plots, tables};
use crate::runs::{Group, Run, gather};

const STYLE: &str = include_str!("style.css");

/// A page about runs.
pub struct Document<'a> {
    title: &'a str,
    groups: Vec<Group<'a>>,
    count: usize,
}

impl<'a> Document<'a> {
    /// Of all these runs.
    pub fn new(title: &'a str, runs: &'a [Run]) -> Self {
        Self { title, groups: gather(runs), count: runs.len() }
    }
}

impl Display for Document<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = Escaped(self.title);
        writeln!(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>")?;
        writeln!(out, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")?;
        writeln!(
            out,
            "<meta name=\"color-scheme\" content=\"light dark\">\n<style>\n{STYLE}</style></head>\n<body><main>"
        )?;
        writeln!(out, "<h1>{title}</h1>\n<p>{} runs of {} scenarios.</p>", self.count, self.groups.len())?;
        writeln!(out, "{}", tables::circumstances(&self.groups))?;
        if let Some(overview) = tables::overview(&self.groups) {
            writeln!(out, "{overview}")?;
        }
        let labels = tables::labels(&self.groups);
        for group in &self.groups {
            write_group(out, group, &labels)?;
        }
        writeln!(out, "</main></body></html>")
    }
}

fn write_group(out: &mut fmt::Formatter<'_>, group: &Group, labels: &[&str]) -> fmt::Result {
    let (scenario, parameters) = (Escaped(group.scenario), Escaped(&group.parameters));
    writeln!(out, "<section><h2>{scenario} <small>{parameters}</small></h2>")?;
    writeln!(out, "{}<div class=\"plots\">", tables::headlines(group))?;
    if let Some(bars) = plots::costs(group, labels) {
        write!(out, "{bars}")?;
    }
    for plot in [plots::latencies, plots::acknowledgements, plots::timeline] {
        if let Some(chart) = plot(group, labels) {
            write!(out, "{chart}")?;
        }
    }
    writeln!(out, "</div><details><summary>All figures and commands</summary>\n{}", tables::all_figures(group))?;
    for series in &group.series {
        for command in series.texts("command") {
            writeln!(out, "<p>{}</p><pre tabindex=\"0\">{}</pre>", Escaped(series.label), Escaped(command))?;
        }
    }
    writeln!(out, "</details></section>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::tests::runs;

    #[test]
    fn a_page_needs_nothing_from_elsewhere_and_lets_no_text_become_markup() {
        let runs = runs(&[concat!(
            r#"{"scenario":"<chat>","label":"<b>","machine":"<m>","version":"<v>","command":"<c>","security":"<s>","#,
            r#""server_cpu_seconds_per_100_000":1,"<f>":2,"latency_histogram":[[1,1]],"timeline":[[0,1],[1,2],[2,3]]}"#
        )]);
        let html = Document::new("<t>", &runs).to_string();
        for text in ["<chat>", "<b>", "<m>", "<v>", "<c>", "<s>", "<f>", "<t>"] {
            let escaped = text.replace('<', "&lt;").replace('>', "&gt;");
            assert!(!html.contains(text) && html.contains(&escaped), "{text} in {html}");
        }
        assert_eq!(html.matches("role=\"img\"").count(), 3);
        for elsewhere in ["http:", "https:", "src=", "href=", "<script", "@import", "url("] {
            assert!(!html.contains(elsewhere), "{elsewhere}");
        }
    }
}
