//! The operator's process at rest: what it keeps in memory, and what it does when there is nothing to do.

use std::time::Duration;

use anyhow::Result;
use tokio::time::interval;

use crate::{
    stats::real,
    usage::{Process, Sample},
};

/// Time between two looks. Nothing tells when a process gives memory back, so it has to be looked at.
const BEAT: Duration = Duration::from_secs(1);
/// Looks in a row in which memory has to stay: longer than anything that the operator does later by itself after a rollout.
const CALM: usize = 10;
/// Most looks.
const MOST: usize = 90;

/// A process at rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rest {
    /// What it has used so far.
    pub sample: Sample,
    /// Whether its memory stayed the same; else the time for that was over.
    pub calm: bool,
    /// CPU time in the last seconds, in milliseconds a second.
    pub cpu: f64,
}

impl Rest {
    /// Resident memory in MiB.
    pub fn mib(&self) -> f64 {
        real(self.sample.resident) / 1024.0
    }
}

/// Looks at a process until its memory stays where it is, or for a minute and a half.
///
/// # Errors
/// When the process is gone.
pub async fn at_rest(process: &Process) -> Result<Rest> {
    let mut beat = interval(BEAT);
    let mut samples = Vec::new();
    loop {
        beat.tick().await;
        samples.push(process.sample()?);
        if let Some(rest) = rest(&samples).filter(|rest| rest.calm || samples.len() >= MOST) {
            return Ok(rest);
        }
    }
}

/// What samples of a beat each say, once there are enough.
fn rest(samples: &[Sample]) -> Option<Rest> {
    let last = samples.get(samples.len().checked_sub(CALM)?..)?;
    let (from, to) = (last.first()?, last.last()?);
    let least = last.iter().map(|sample| sample.resident).min()?;
    let most = last.iter().map(|sample| sample.resident).max()?;
    Some(Rest {
        sample: *to,
        // within one percent
        calm: (most - least) * 100 <= most,
        cpu: to.cpu_ms_since(from) / (BEAT.as_secs_f64() * real(CALM - 1)),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn samples(resident: &[u64]) -> Vec<Sample> {
        let sample = |(ticks, resident): (u64, &u64)| Sample {
            ticks: ticks * 9,
            resident: *resident,
            peak: 0,
        };
        (0..).zip(resident).map(sample).collect()
    }

    #[test]
    fn a_process_is_at_rest_when_its_memory_stayed_within_a_percent() {
        let mut memory = vec![9_000; CALM];
        assert_eq!(rest(&samples(&memory[1..])), None, "too few looks");
        assert!(rest(&samples(&memory)).unwrap().calm);
        memory.push(9_090);
        assert!(rest(&samples(&memory)).unwrap().calm);
        memory.push(9_100);
        assert!(!rest(&samples(&memory)).unwrap().calm);
        memory.extend([9_100; CALM]);
        let found = rest(&samples(&memory)).unwrap();
        assert!(found.calm && found.sample.resident == 9_100);
        // nine ticks of ten milliseconds each second
        assert!((found.cpu - 90.0).abs() < 1e-9);
    }
}
