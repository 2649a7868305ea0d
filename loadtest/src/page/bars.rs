//! Bars, one below the other, each with a whisker from the least to the greatest, as SVG.

use std::fmt::{self, Display};

use super::chart::{WIDTH, class};
use super::html::Escaped;
use super::scale::Scale;
use crate::runs::{Spread, figure};

/// Height of a bar with its label above.
const ROW: f64 = 46.0;
/// Where bars begin and how far they may go: the value stands behind.
const PLACE: (f64, f64) = (2.0, 332.0);

/// A drawing of bars.
pub struct Bars {
    /// What it shows, and in which unit.
    pub caption: String,
    /// The bars, from above.
    pub bars: Vec<Bar>,
}

/// A bar.
pub struct Bar {
    /// Whose it is.
    pub label: String,
    /// The place of the label among all of the page.
    pub colour: usize,
    /// How long it is.
    pub value: Spread,
}

impl Display for Bars {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let greatest = self.bars.iter().map(|bar| bar.value.max).fold(0.0, f64::max);
        let scale = Scale::to_exactly(greatest, PLACE);
        let height = ROW * self.bars.len() as f64;
        let values = self.bars.iter().map(|bar| format!("{}: {}", bar.label, figure::format(bar.value.median)));
        let description = format!("{}. {}", self.caption, values.collect::<Vec<_>>().join(", "));
        writeln!(out, "<figure><figcaption>{}</figcaption>", Escaped(&self.caption))?;
        writeln!(out, "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\"><title>{}</title>", Escaped(description))?;
        for (row, bar) in self.bars.iter().enumerate() {
            bar.write(out, &scale, row as f64 * ROW)?;
        }
        writeln!(out, "</svg></figure>")
    }
}

impl Bar {
    fn write(&self, out: &mut fmt::Formatter<'_>, scale: &Scale, top: f64) -> fmt::Result {
        let [begin, end, min, max] = [0.0, self.value.median, self.value.min, self.value.max].map(|it| scale.at(it));
        let (text, bar, middle) = (top + 14.0, top + 20.0, top + 29.0);
        // A bar of nothing still shows where it would be.
        let width = (end - begin).max(1.0);
        writeln!(out, "<text x=\"{begin}\" y=\"{text}\">{}</text>", Escaped(&self.label))?;
        let class = class(self.colour);
        writeln!(
            out,
            "<rect class=\"{class}\" x=\"{begin}\" y=\"{bar}\" width=\"{width:.1}\" height=\"18\" rx=\"2\"/>"
        )?;
        if max > min {
            writeln!(out, "<line class=\"whisker\" x1=\"{min:.1}\" y1=\"{middle}\" x2=\"{max:.1}\" y2=\"{middle}\"/>")?;
        }
        let (x, y, value) = (max.max(begin + width) + 6.0, middle + 4.5, figure::format(self.value.median));
        writeln!(out, "<text class=\"value\" x=\"{x:.1}\" y=\"{y}\">{}</text>", Escaped(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_values_and_carry_them_as_text() {
        let bar = |label: &str, values: &[f64]| {
            let value = Spread::of(values.iter().copied()).expect("values");
            Bar { label: label.into(), colour: 0, value }
        };
        let bars = vec![bar("vesta", &[1.0]), bar("R&D", &[3.0, 4.0, 5.0])];
        let svg = Bars { caption: "CPU".into(), bars }.to_string();
        // 5 is the whole length of 330.
        assert!(svg.contains(r#"width="66.0""#) && svg.contains(r#"width="264.0""#), "{svg}");
        assert_eq!(svg.matches("whisker").count(), 1, "one run has no spread: {svg}");
        assert!(svg.contains("<title>CPU. vesta: 1, R&amp;D: 4</title>"), "{svg}");
    }
}
