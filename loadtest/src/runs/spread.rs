//! Median, least and greatest of what several runs have shown: three runs have no standard deviation worth the name.

/// What several runs have shown of one figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle one, or the mean of both in the middle.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// How many there were.
    pub count: usize,
}

impl Spread {
    /// Of these values, in any order. `None` where there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            1 => values[middle],
            _ => f64::midpoint(values[middle - 1], values[middle]),
        };
        Some(Self { median, min, max, count: values.len() })
    }

    /// From the least to the greatest.
    pub fn width(&self) -> f64 {
        self.max - self.min
    }

    /// Whether `other`'s median is farther away than either's values are apart. `None`: a single run tells no spread.
    pub fn differs_from(&self, other: &Spread) -> Option<bool> {
        let known = self.count.min(other.count) > 1;
        known.then(|| (self.median - other.median).abs() > self.width().max(other.width()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0, count: 3 }));
        assert_eq!(Spread::of([4.0, 1.0, 3.0, 2.0]).map(|spread| spread.median), Some(2.5));
        assert_eq!(Spread::of([7.0]), Some(Spread { median: 7.0, min: 7.0, max: 7.0, count: 1 }));
        assert_eq!(Spread::of([f64::NAN]), None);
    }

    #[test]
    fn medians_differ_where_they_are_farther_apart_than_either_spread() {
        let spread = |values: &[f64]| Spread::of(values.iter().copied()).expect("values");
        assert_eq!(spread(&[1.0, 2.0, 3.0]).differs_from(&spread(&[4.5, 5.0, 4.8])), Some(true));
        assert_eq!(spread(&[1.0, 2.0, 3.0]).differs_from(&spread(&[3.5, 3.9, 3.7])), Some(false));
        assert_eq!(spread(&[1.0]).differs_from(&spread(&[9.0, 9.1])), None);
    }
}
