//! From values to places in a drawing, and where an axis has its marks.

/// Maps values to places along one axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// The value at the axis' beginning; on a logarithmic one its decadic logarithm.
    low: f64,
    /// The value at its end, likewise.
    high: f64,
    /// Where it begins and ends in the drawing.
    place: (f64, f64),
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Linear,
    Logarithmic,
}

/// About how many marks a linear axis has.
const MARKS: f64 = 5.0;

impl Scale {
    /// From 0 to at least `max`, up to a round number.
    pub fn from_zero(max: f64, place: (f64, f64)) -> Self {
        let max = if max.is_finite() && max > 0.0 { max } else { 1.0 };
        let step = round_step(max / MARKS);
        Self { low: 0.0, high: (max / step).ceil() * step, place, kind: Kind::Linear }
    }

    /// From 0 to exactly `max`.
    pub fn to_exactly(max: f64, place: (f64, f64)) -> Self {
        Self { low: 0.0, high: max.max(f64::MIN_POSITIVE), place, kind: Kind::Linear }
    }

    /// Logarithmic, over the whole decades that hold `min` and `max`; what is not above 0 stands at the beginning.
    pub fn decades(min: f64, max: f64, place: (f64, f64)) -> Self {
        let low = if min > 0.0 { min.log10().floor() } else { 0.0 };
        let high = if max > 0.0 { max.log10().ceil() } else { 0.0 };
        Self { low, high: high.max(low + 1.0), place, kind: Kind::Logarithmic }
    }

    /// Where a value stands; what is beyond an end stands there.
    pub fn at(&self, value: f64) -> f64 {
        let value = match self.kind {
            Kind::Linear => value,
            Kind::Logarithmic if value > 0.0 => value.log10(),
            Kind::Logarithmic => self.low,
        };
        let share = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        let (begin, end) = self.place;
        begin + share * (end - begin)
    }

    /// The values that the axis shows.
    pub fn marks(&self) -> Vec<f64> {
        match self.kind {
            Kind::Linear => {
                let step = round_step(self.high / MARKS);
                (0..=(self.high / step + 1e-9) as usize).map(|at| at as f64 * step).collect()
            }
            Kind::Logarithmic => (self.low as i32..=self.high as i32).map(|exponent| 10f64.powi(exponent)).collect(),
        }
    }

    /// Its two ends in the drawing.
    pub fn place(&self) -> (f64, f64) {
        self.place
    }
}

/// The next of 1, 2, 5, 10, 20… that is not less.
fn round_step(step: f64) -> f64 {
    let magnitude = 10f64.powf(step.log10().floor());
    // A hair more than the bound is still the bound.
    let factors = [1.0, 2.0, 5.0].into_iter().find(|factor| step <= factor * magnitude * (1.0 + 1e-9));
    factors.unwrap_or(10.0) * magnitude
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_axis_ends_at_a_round_number() {
        let scale = Scale::from_zero(8.5, (0.0, 100.0));
        assert_eq!(scale.marks(), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!([scale.at(0.0), scale.at(5.0), scale.at(10.0)], [0.0, 50.0, 100.0]);
        assert_eq!(Scale::from_zero(19_700.0, (0.0, 1.0)).marks(), [0.0, 5000.0, 10_000.0, 15_000.0, 20_000.0]);
        assert_eq!(Scale::from_zero(5.0, (0.0, 1.0)).marks(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn an_axis_may_go_downwards_as_heights_do() {
        let scale = Scale::from_zero(10.0, (200.0, 0.0));
        assert_eq!([scale.at(0.0), scale.at(10.0)], [200.0, 0.0]);
    }

    #[test]
    fn a_logarithmic_axis_has_whole_decades() {
        let scale = Scale::decades(0.2, 168.0, (0.0, 400.0));
        assert_eq!(scale.marks(), [0.1, 1.0, 10.0, 100.0, 1000.0]);
        assert_eq!([scale.at(0.1), scale.at(10.0), scale.at(1000.0)], [0.0, 200.0, 400.0]);
        assert_eq!(Scale::decades(1.0, 1.0, (0.0, 1.0)).marks(), [1.0, 10.0]);
    }

    #[test]
    fn nothing_stands_outside() {
        let scale = Scale::from_zero(10.0, (0.0, 100.0));
        assert_eq!([scale.at(-3.0), scale.at(99.0)], [0.0, 100.0]);
        let scale = Scale::decades(1.0, 10.0, (0.0, 100.0));
        assert_eq!([scale.at(0.0), scale.at(-1.0), scale.at(1e9)], [0.0, 0.0, 100.0]);
        assert_eq!(Scale::from_zero(f64::NAN, (0.0, 1.0)).at(0.5), 0.5);
        assert_eq!(Scale::to_exactly(0.0, (0.0, 1.0)).at(0.0), 0.0);
    }
}
