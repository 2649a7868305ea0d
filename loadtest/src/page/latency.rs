//! From histograms of latencies to the points of a curve over percentiles.

/// A point: how many powers of ten of the runs' events it leaves above it (1: a tenth, the 90th percentile; 2: a hundredth, the
/// 99th), and the latency there.
pub type Point = (f64, f64);

/// The percentiles that the axis shows, with their places on it.
pub const PERCENTILES: [(f64, &str); 5] =
    [(0.301, "50 %"), (1.0, "90 %"), (2.0, "99 %"), (3.0, "99.9 %"), (4.0, "99.99 %")];

/// Points nearer to each other than this along the axis become one.
const NEAR: f64 = 0.01;

/// The curve of several histograms together: pairs of a bucket's upper bound and what it counts, in any order.
pub fn curve(histograms: impl IntoIterator<Item = Vec<(f64, f64)>>) -> Vec<Point> {
    let mut buckets: Vec<(f64, f64)> = histograms.into_iter().flatten().filter(|(_, count)| *count > 0.0).collect();
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    let total: f64 = buckets.iter().map(|(_, count)| count).sum();
    // One event of all is the rarest that can be told.
    let end = total.max(1.0).log10();
    let mut points: Vec<Point> = Vec::new();
    let mut counted = 0.0;
    for (upper, count) in buckets {
        let place = powers_of_ten(counted, total);
        counted += count;
        let next = powers_of_ten(counted, total).min(end);
        // A bucket reaches from the share below it to the share that it completes.
        for x in [place, next] {
            match points.last_mut() {
                Some(last) if x - last.0 < NEAR => *last = (last.0, upper.max(last.1)),
                _ => points.push((x, upper)),
            }
        }
    }
    points
}

fn powers_of_ten(counted: f64, total: f64) -> f64 {
    let above = (total - counted) / total;
    if above > 0.0 { -above.log10() } else { f64::INFINITY }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_goes_from_the_least_to_the_greatest_over_rarer_and_rarer_events() {
        let points = curve([vec![(10.0, 9.0), (1.0, 900.0)], vec![(5.0, 90.0), (100.0, 1.0)]]);
        let rounded: Vec<_> = points.iter().map(|(x, y)| ((x * 10.0).round() / 10.0, *y)).collect();
        assert_eq!(rounded, [(0.0, 1.0), (1.0, 5.0), (2.0, 10.0), (3.0, 100.0)]);
    }

    #[test]
    fn of_nothing_there_is_no_curve() {
        assert!(curve([vec![], vec![(1.0, 0.0)]]).is_empty());
        assert_eq!(curve([vec![(2.0, 1.0)]]), [(0.0, 2.0)]);
    }
}
