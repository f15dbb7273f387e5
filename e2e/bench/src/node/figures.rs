//! The rows of the node's table.

use std::time::Duration;

use super::{CANISTERS, CONNECTIONS, Load, client::VERIFIED};
use crate::{
    report::{Row, grouped},
    stats::{median, range, real},
};

/// Everything that was measured.
pub struct Figures {
    /// Empty updates, one after the other.
    pub alone: Vec<Duration>,
    /// Empty updates over many connections.
    pub updates: Load,
    /// Queries over many connections.
    pub queries: Load,
    /// Greatest resident memory of the node under these, in KiB.
    pub peak: u64,
    /// Messages that a start after SIGKILL had to execute again, and how much longer than a clean one it took.
    pub replay: (usize, Duration),
    /// Updates of 16 pages, in the small heap and in the large one.
    pub heaps: Vec<Vec<Duration>>,
    /// From start to serving after SIGTERM, with the canisters at rest.
    pub starts: Vec<Duration>,
    /// Resident memory at rest, in KiB.
    pub idle: u64,
}

impl Figures {
    /// The rows, in the order of the aims.
    pub fn rows(&self) -> Vec<Row> {
        let verified = format!("one reply in {VERIFIED} verified by the agent; ");
        let mut rows = vec![self.alone()];
        rows.extend(self.updates.rows("durable empty updates", &verified, 3_000, 300));
        rows.extend(self.queries.rows("queries", "", 5_000, 100));
        rows.extend(self.heap());
        rows.extend([self.at_rest(), self.under_load(), self.start(), self.replay()]);
        rows
    }

    fn alone(&self) -> Row {
        let times = milliseconds(&self.alone);
        let (half, most) = (median(&times).unwrap_or_default(), percentile(&times, 99));
        Row {
            what: "durable empty update, one client".to_owned(),
            figure: format!("median {half:.2} ms, 99 % {most:.2} ms"),
            detail: format!(
                "{} on one connection, signed before; their answers are not verified",
                times.len()
            ),
            aim: "≤ 2 ms and ≤ 10 ms".to_owned(),
            met: Some(half <= 2.0 && most <= 10.0),
        }
    }

    fn heap(&self) -> Option<Row> {
        let [small, large] = self.heaps.as_slice() else {
            return None;
        };
        let (small, large) = (median(&milliseconds(small))?, median(&milliseconds(large))?);
        let ratio = large / small;
        Some(Row {
            what: "update of 16 pages in a heap of 1 GiB against one of 1 MiB".to_owned(),
            figure: format!("{ratio:.2} ×"),
            detail: format!("medians {large:.2} ms and {small:.2} ms; no page is empty"),
            aim: "flat: ≤ 1.2 ×".to_owned(),
            met: Some(ratio <= 1.2),
        })
    }

    fn at_rest(&self) -> Row {
        let idle = mebibytes(self.idle);
        Row {
            what: format!("memory at rest, {CANISTERS} canisters"),
            figure: format!("{idle:.0} MiB"),
            detail: "resident, after a start; each is the shipped ledger".to_owned(),
            aim: "≤ 80 MB".to_owned(),
            met: Some(idle * 1.048_576 <= 80.0),
        }
    }

    fn under_load(&self) -> Row {
        let peak = mebibytes(self.peak);
        Row {
            what: "memory under load".to_owned(),
            figure: format!("{peak:.0} MiB"),
            detail: "greatest resident, under the updates and queries above".to_owned(),
            aim: "≤ 300 MB".to_owned(),
            met: Some(peak * 1.048_576 <= 300.0),
        }
    }

    fn start(&self) -> Row {
        let times = milliseconds(&self.starts);
        let half = median(&times).unwrap_or_default();
        let (least, most) = range(&times).unwrap_or_default();
        Row {
            what: "start after a clean stop, until it serves".to_owned(),
            figure: format!("median {half:.0} ms"),
            detail: format!(
                "{} starts with {CANISTERS} canisters, {least:.0}–{most:.0} ms",
                times.len()
            ),
            aim: "≤ 100 ms".to_owned(),
            met: Some(half <= 100.0),
        }
    }

    fn replay(&self) -> Row {
        let (messages, took) = self.replay;
        Row {
            what: "replay after SIGKILL".to_owned(),
            figure: format!(
                "{:.0} messages a second",
                real(messages) / took.as_secs_f64().max(0.001)
            ),
            detail: format!(
                "{messages} since the last checkpoint; {} ms more than a clean start",
                took.as_millis()
            ),
            aim: "–".to_owned(),
            met: None,
        }
    }
}

impl Load {
    /// How many a second, and the CPU for each, with the least and the most that are aimed at.
    fn rows(&self, what: &str, how: &str, least: u32, most: u32) -> [Row; 2] {
        let (rate, each) = (self.rate(), self.each());
        [
            Row {
                what: format!("{what}, {CONNECTIONS} connections"),
                figure: format!("{rate:.0} a second"),
                detail: format!(
                    "{}, signed before; {how}the clients on the same processors",
                    self.requests
                ),
                aim: format!("≥ {} a second", grouped(least)),
                met: Some(rate >= f64::from(least)),
            },
            Row {
                what: "CPU of the node for each of these".to_owned(),
                figure: format!("{each:.0} µs"),
                detail: format!("{:.0} ms for all", self.cpu),
                aim: format!("≤ {most} µs"),
                met: Some(each <= f64::from(most)),
            },
        ]
    }

    fn rate(&self) -> f64 {
        real(self.requests) / self.took.as_secs_f64()
    }

    /// CPU for each, in microseconds.
    fn each(&self) -> f64 {
        self.cpu * 1_000.0 / real(self.requests)
    }
}

fn milliseconds(times: &[Duration]) -> Vec<f64> {
    times.iter().map(|time| time.as_secs_f64() * 1_000.0).collect()
}

fn mebibytes(kib: u64) -> f64 {
    real(kib) / 1_024.0
}

/// The value that so many of a hundred do not exceed.
fn percentile(values: &[f64], of_hundred: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
        .get(sorted.len() * of_hundred / 100)
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_exceeded_by_the_rest_only() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert!((percentile(&values, 99) - 199.0).abs() < f64::EPSILON);
        assert!(percentile(&[], 99).abs() < f64::EPSILON);
    }

    #[test]
    fn cpu_is_shared_among_the_requests() {
        let load = Load {
            requests: 1_000,
            took: Duration::from_millis(500),
            cpu: 250.0,
        };
        assert!((load.rate() - 2_000.0).abs() < 0.01);
        assert!((load.each() - 250.0).abs() < 0.01);
    }
}
