//! Medians, and how sure they are.

/// Half of the values are at most this, half at least; `None` without values.
pub fn median(values: &[f64]) -> Option<f64> {
    let sorted = sorted(values);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(*sorted.get(middle - 1)?, upper))
}

/// Where the median lies with at least 95 % confidence, whatever the distribution: two order statistics, chosen by the binomial
/// distribution. `None` for fewer than six values, of which none reaches 95 %.
pub fn interval(values: &[f64]) -> Option<(f64, f64)> {
    let sorted = sorted(values);
    let count = sorted.len();
    let all = i32::try_from(count).ok()?;
    // probability that at most `below` of all values lie on one side of the median
    let mut term = 0.5_f64.powi(all);
    let mut tail = 0.0;
    let mut below = 0;
    while below < count / 2 && 2.0 * (tail + term) <= 0.05 {
        tail += term;
        term *= real(count - below) / real(below + 1);
        below += 1;
    }
    let low = below.checked_sub(1)?;
    Some((*sorted.get(low)?, *sorted.get(count - 1 - low)?))
}

/// Smallest and greatest value; `None` without values.
pub fn range(values: &[f64]) -> Option<(f64, f64)> {
    let sorted = sorted(values);
    Some((*sorted.first()?, *sorted.last()?))
}

/// A count as a real number; counts here are far below 2³².
pub fn real(count: impl TryInto<u32>) -> f64 {
    f64::from(count.try_into().unwrap_or(u32::MAX))
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(count: u32) -> Vec<f64> {
        // not in order
        (1..=count).rev().map(f64::from).collect()
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&first(1)), Some(1.0));
        assert_eq!(median(&first(4)), Some(2.5));
        assert_eq!(median(&first(5)), Some(3.0));
    }

    #[test]
    fn the_interval_takes_the_order_statistics_of_the_tables() {
        // of the sign test's tables for 95 %
        for (count, low) in [
            (6, 1.0),
            (8, 1.0),
            (9, 2.0),
            (10, 2.0),
            (20, 6.0),
            (30, 10.0),
            (100, 40.0),
        ] {
            let high = f64::from(count) + 1.0 - low;
            assert_eq!(interval(&first(count)), Some((low, high)), "{count}");
        }
    }

    #[test]
    fn few_values_have_a_range_and_no_interval() {
        for count in 0..6 {
            assert_eq!(interval(&first(count)), None, "{count}");
        }
        assert_eq!(range(&first(3)), Some((1.0, 3.0)));
        assert_eq!(range(&[]), None);
    }

    #[test]
    fn the_interval_holds_the_median_of_many_samples_as_often_as_it_says() {
        // a fixed generator (Knuth's), so that the test gives the same every time
        let mut state = 1_u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            f64::from(u32::try_from(state >> 32).unwrap_or_default()) / f64::from(u32::MAX)
        };
        let held = (0..2_000)
            .filter(|_| {
                // skewed, true median 0.25
                let sample: Vec<f64> = (0..30).map(|_| next().powi(2)).collect();
                interval(&sample).is_some_and(|(low, high)| low <= 0.25 && 0.25 <= high)
            })
            .count();
        assert!(held >= 1_880, "{held} of 2000");
    }
}
