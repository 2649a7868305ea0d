//! Lines over two axes, as SVG.

use std::fmt::{self, Display};

use super::html::Escaped;
use super::scale::Scale;

/// How wide drawings are, in their own units: about as many as a narrow screen has pixels, so that text stays legible there.
pub const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 230.0;
/// Where the horizontal axis begins and ends: marks stand to its left, half of the last mark to its right.
pub const ACROSS: (f64, f64) = (44.0, 376.0);
/// Where the vertical axis begins and ends: heights grow upwards, SVG counts downwards.
pub const UPWARDS: (f64, f64) = (204.0, 10.0);
/// As many colours as the style sheet has.
const COLOURS: usize = 8;

/// A drawing with axes.
pub struct Chart {
    /// What it shows, and in which units.
    pub caption: String,
    /// The same for those who don't see it.
    pub description: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The lines; those of one colour belong together.
    pub lines: Vec<Line>,
}

/// An axis.
pub struct Axis {
    /// Where values stand.
    pub scale: Scale,
    /// Values with what is written there.
    pub marks: Vec<(f64, String)>,
}

/// A line.
pub struct Line {
    /// Whose it is.
    pub label: String,
    /// The place of the label among all of the page: it has the same colour everywhere.
    pub colour: usize,
    /// Where it goes through.
    pub points: Vec<(f64, f64)>,
}

/// The class that gives a colour, and to lines a pattern of dashes.
pub fn class(colour: usize) -> String {
    format!("c{}", colour % COLOURS)
}

impl Display for Chart {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "<figure><figcaption>{}</figcaption>", Escaped(&self.caption))?;
        writeln!(out, "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">")?;
        writeln!(out, "<title>{}</title>", Escaped(format_args!("{}. {}", self.caption, self.description)))?;
        self.write_x(out)?;
        self.write_y(out)?;
        for line in &self.lines {
            self.write_line(out, line)?;
        }
        writeln!(out, "</svg>")?;
        self.write_legend(out)?;
        writeln!(out, "</figure>")
    }
}

impl Chart {
    fn write_x(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bottom, top) = self.y.scale.place();
        for (value, text) in &self.x.marks {
            let x = self.x.scale.at(*value);
            writeln!(out, "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{bottom}\" x2=\"{x:.1}\" y2=\"{top}\"/>")?;
            let y = bottom + 18.0;
            writeln!(out, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{}</text>", Escaped(text))?;
        }
        Ok(())
    }

    fn write_y(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (left, right) = self.x.scale.place();
        for (value, text) in &self.y.marks {
            let y = self.y.scale.at(*value);
            writeln!(out, "<line class=\"grid\" x1=\"{left}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>")?;
            let (x, baseline) = (left - 6.0, y + 4.0);
            writeln!(out, "<text x=\"{x}\" y=\"{baseline:.1}\" text-anchor=\"end\">{}</text>", Escaped(text))?;
        }
        Ok(())
    }

    fn write_line(&self, out: &mut fmt::Formatter<'_>, line: &Line) -> fmt::Result {
        write!(out, "<polyline class=\"line {}\" points=\"", class(line.colour))?;
        for (x, y) in &line.points {
            write!(out, "{:.1},{:.1} ", self.x.scale.at(*x), self.y.scale.at(*y))?;
        }
        writeln!(out, "\"/>")
    }

    fn write_legend(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = None;
        write!(out, "<ul class=\"legend\">")?;
        for line in self.lines.iter().filter(|line| last.replace(line.colour) != Some(line.colour)) {
            let swatch = "<line class=\"line\" x1=\"0\" y1=\"4\" x2=\"28\" y2=\"4\"/>";
            let class = class(line.colour);
            write!(out, "<li><svg class=\"swatch {class}\" viewBox=\"0 0 28 8\" aria-hidden=\"true\">{swatch}</svg>")?;
            write!(out, "{}</li>", Escaped(&line.label))?;
        }
        writeln!(out, "</ul>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_through_their_points_and_the_legend_names_each_label_once() {
        let axis = |place| Axis { scale: Scale::from_zero(10.0, place), marks: vec![(0.0, "0 <s>".into())] };
        let line = |points| Line { label: "<vesta>".into(), colour: 9, points };
        let lines = vec![line(vec![(0.0, 0.0), (10.0, 10.0)]), line(vec![(5.0, 5.0)])];
        let (x, y) = (axis(ACROSS), axis(UPWARDS));
        let svg = Chart { caption: "a & b".into(), description: "c".into(), x, y, lines }.to_string();
        assert!(svg.contains(r#"<polyline class="line c1" points="44.0,204.0 376.0,10.0 "/>"#), "{svg}");
        assert!(svg.contains("<title>a &amp; b. c</title>") && svg.contains(">0 &lt;s&gt;</text>"), "{svg}");
        assert_eq!(svg.matches("&lt;vesta&gt;").count(), 1, "{svg}");
    }
}
