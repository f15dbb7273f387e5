//! The interleaved measurement: both sides of a pair one after the other, in alternating order, so that what the machine does
//! meanwhile falls on both.

use std::time::Duration;

use anyhow::Result;

use crate::stats;

/// Seconds that the two sides of a pair took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// Bare Pods, until the phase was Succeeded.
    pub bare: f64,
    /// The same Pods, until their containers had ended as the Pods' status shows, which the kubelet reports a step earlier.
    pub exited: f64,
    /// `PipelineRun`s.
    pub run: f64,
}

/// All pairs of one kind of work.
#[derive(Debug, Clone, Default)]
pub struct Series(pub Vec<Pair>);

impl Series {
    /// Run divided by bare Pods, for each pair.
    pub fn ratios(&self) -> Vec<f64> {
        self.0.iter().map(|pair| pair.run / pair.bare).collect()
    }

    /// Run divided by bare Pods until their containers' end, for each pair.
    pub fn ratios_to_exit(&self) -> Vec<f64> {
        self.0.iter().map(|pair| pair.run / pair.exited).collect()
    }

    /// Median seconds of bare Pods and of runs.
    pub fn medians(&self) -> Option<(f64, f64)> {
        let side = |of: fn(&Pair) -> f64| stats::median(&self.0.iter().map(of).collect::<Vec<_>>());
        Some((side(|pair| pair.bare)?, side(|pair| pair.run)?))
    }
}

/// Measures `count` pairs; each side gets the number of the pair and returns its seconds, bare Pods until Succeeded and until their
/// containers' end. Says each pair on stderr.
///
/// Before each side it waits as `phase` says for the pair, the same for both sides: see [`phase`].
///
/// # Errors
/// The first error of a side: a series with holes would not be one.
pub async fn interleave(
    what: &str,
    count: u32,
    phase: fn(u32) -> Duration,
    mut bare: impl AsyncFnMut(u32) -> Result<(f64, f64)>,
    mut run: impl AsyncFnMut(u32) -> Result<f64>,
) -> Result<Series> {
    let mut series = Series::default();
    for number in 1..=count {
        let pause = phase(number);
        let (bare_first, mut run_seconds) = (number % 2 == 1, 0.0);
        if !bare_first {
            tokio::time::sleep(pause).await;
            run_seconds = run(number).await?;
        }
        tokio::time::sleep(pause).await;
        let (bare, exited) = bare(number).await?;
        if bare_first {
            tokio::time::sleep(pause).await;
            run_seconds = run(number).await?;
        }
        let pair = Pair {
            bare,
            exited,
            run: run_seconds,
        };
        eprintln!(
            "{what} {number}/{count}: bare {:.2} s ({:.2} s until exit), run {:.2} s, ratio {:.2}",
            pair.bare,
            pair.exited,
            pair.run,
            pair.run / pair.bare
        );
        series.0.push(pair);
    }
    Ok(series)
}

/// When in the kubelet's second the sides of a pair begin.
///
/// The kubelet looks at its containers once a second, and a deletion is over when it has looked. Without this every measurement would
/// begin at the same point of that second, all would be rounded the same way, and the interval would be narrow and wrong. The points
/// are multiples of the golden ratio: they fill the second evenly however many pairs there are.
pub fn phase(number: u32) -> Duration {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    Duration::from_secs_f64((f64::from(number) * GOLDEN).fract())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn phases_fill_the_second() {
        for count in [3, 10, 30] {
            let mut all: Vec<f64> = (1..=count).map(|number| phase(number).as_secs_f64()).collect();
            all.sort_by(f64::total_cmp);
            assert!(all.iter().all(|phase| (0.0..1.0).contains(phase)));
            let gap = all.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
            assert!(gap < 2.0 / f64::from(count), "{count}: {gap}");
        }
    }

    #[tokio::test]
    async fn the_order_alternates_and_ratios_are_of_pairs() {
        let order = RefCell::new(String::new());
        let side = async |name: char, seconds: f64| {
            order.borrow_mut().push(name);
            seconds
        };
        let series = interleave(
            "test",
            3,
            |_| Duration::ZERO,
            async |n| Ok((side('b', f64::from(n)).await, 0.5)),
            async |_| Ok(side('r', 6.0).await),
        )
        .await
        .unwrap();
        assert_eq!(order.into_inner(), "brrbbr");
        assert_eq!(series.ratios(), vec![6.0, 3.0, 2.0]);
        assert_eq!(series.ratios_to_exit(), vec![12.0; 3]);
        assert_eq!(series.medians(), Some((2.0, 6.0)));
    }

    #[tokio::test]
    async fn an_error_ends_the_series() {
        let result = interleave(
            "test",
            2,
            |_| Duration::ZERO,
            async |_| Ok((1.0, 1.0)),
            async |_| anyhow::bail!("no"),
        )
        .await;
        assert_eq!(result.unwrap_err().to_string(), "no");
    }
}
