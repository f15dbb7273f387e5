//! How far the observed split is from the weight, and how far chance alone would be.

use crate::{
    report::{Row, grouped},
    stats::{median, range, real},
};

/// Requests of a window.
pub const WINDOW: u32 = 1_000;
/// Requests that are looked at together to see whether a gateway acts on a weight.
pub const LOOK: u32 = 100;
/// Points that a window may be off.
const AIM: f64 = 2.0;

/// Consecutive requests while a gateway acts on a weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Percent that the candidate should have.
    pub weight: u32,
    /// Points between what it had and what it should have, without sign.
    pub off: f64,
}

/// The row of a weight.
pub fn row(windows: &[Window], weight: u32, problem: Option<&str>) -> Row {
    let what = format!("split at {weight} %, as requests see it");
    let aim = format!("≤ {AIM} points at {} requests", grouped(WINDOW));
    let of = windows.iter().filter(|window| window.weight == weight);
    let off: Vec<f64> = of.map(|window| window.off).collect();
    let (Some(middle), Some((_, worst))) = (median(&off), range(&off)) else {
        return Row::missing(&what, problem.unwrap_or("no windows"), &aim);
    };
    Row {
        what,
        figure: format!("median {middle:.1}, worst {worst:.1} points"),
        detail: format!(
            "{} windows of {} requests; lots (binomial) would be off by {:.1} in the median and by {:.1} in the worst of as many",
            off.len(),
            grouped(WINDOW),
            chance(WINDOW, weight, 0.5),
            chance(WINDOW, weight, 0.5_f64.powf(1.0 / real(off.len())))
        ),
        aim,
        met: Some(worst <= AIM),
    }
    .cut_short(problem)
}

/// The row about how late a gateway acts on weights.
pub fn late(seconds: &[f64], problem: Option<&str>) -> Row {
    const WHAT: &str = "gateway acts on a weight after the status says that it is in force";
    let (Some(middle), Some((_, worst))) = (median(seconds), range(seconds)) else {
        return Row::missing(WHAT, problem.unwrap_or("no changes"), "–");
    };
    Row {
        what: WHAT.to_owned(),
        figure: format!("median {middle:.2} s, worst {worst:.2} s"),
        detail: format!(
            "{} changes, looked at {LOOK} requests at a time; until then it splits as before",
            seconds.len()
        ),
        aim: "–".to_owned(),
        met: None,
    }
    .cut_short(problem)
}

/// How many points such a share of windows is off at most, when each request is given to the candidate by a lot of that weight.
///
/// With the share `0.5^(1/n)`: how far the worst of `n` windows is off, in half of all cases.
fn chance(requests: u32, weight: u32, share: f64) -> f64 {
    let (all, p) = (f64::from(requests), f64::from(weight) / 100.0);
    if p <= 0.0 || p >= 1.0 {
        return 0.0;
    }
    // logarithms: the probability of the first count is smaller than a number can be
    let mut log = all * (1.0 - p).ln();
    let mut counts = Vec::new();
    for count in 0..=requests {
        let count = f64::from(count);
        counts.push(((count / all - p).abs() * 100.0, log.exp()));
        log += ((all - count) / (count + 1.0) * p / (1.0 - p)).ln();
    }
    counts.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut sum = 0.0;
    for (points, probability) in counts {
        sum += probability;
        if sum >= share {
            return points;
        }
    }
    100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_what_the_normal_distribution_says_of_many_requests() {
        // quantiles of |x|: 0.6745 and 1.960 standard deviations; a count is a tenth of a point
        for weight in [20, 50, 80] {
            let p = f64::from(weight) / 100.0;
            let deviation = (p * (1.0 - p) / 1000.0).sqrt() * 100.0;
            for (share, quantile) in [(0.5, 0.6745), (0.95, 1.960)] {
                let found = chance(1_000, weight, share);
                assert!(
                    (found - quantile * deviation).abs() <= 0.1,
                    "{weight} {share}: {found}"
                );
            }
        }
    }

    #[test]
    fn a_coin_thrown_twice_is_right_half_of_the_time() {
        assert!(chance(2, 50, 0.49) < f64::EPSILON);
        assert!((chance(2, 50, 0.51) - 50.0).abs() < f64::EPSILON);
        assert!(chance(1_000, 100, 0.99) < f64::EPSILON);
        assert!(chance(1_000, 0, 0.99) < f64::EPSILON);
    }

    fn window(weight: u32, off: f64) -> Window {
        Window { weight, off }
    }

    #[test]
    fn a_row_is_about_one_weight_and_meets_the_aim_by_its_worst_window() {
        let windows = [window(20, 1.5), window(20, 0.1), window(20, 0.2), window(50, 9.0)];
        let found = row(&windows, 20, None);
        assert_eq!(found.figure, "median 0.2, worst 1.5 points");
        assert!(
            found.detail.starts_with("3 windows of 1,000 requests; lots"),
            "{}",
            found.detail
        );
        assert_eq!(found.met, Some(true));
        assert_eq!(row(&windows, 50, None).met, Some(false));
        assert_eq!(row(&windows, 50, Some("broke")).met, Some(false));
    }

    #[test]
    fn how_late_a_gateway_acts_is_told_and_aims_at_nothing() {
        let found = late(&[0.0, 0.5, 0.0], None);
        assert_eq!(
            (found.figure.as_str(), found.met),
            ("median 0.00 s, worst 0.50 s", None)
        );
        assert_eq!(late(&[], Some("no gateway")).detail, "no gateway");
    }

    #[test]
    fn without_windows_it_says_why_and_with_some_that_it_was_cut_short() {
        let missing = row(&[], 20, Some("no gateway"));
        assert_eq!(
            (missing.figure.as_str(), missing.detail.as_str()),
            ("not measured", "no gateway")
        );
        let cut = row(&[window(20, 0.1)], 20, Some("no gateway"));
        assert!(cut.detail.ends_with("; cut short: no gateway"), "{}", cut.detail);
        assert_eq!(cut.met, None);
    }
}
