//! What is counted.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, bail};
use jiff::Timestamp;

use super::Outcome;

/// How many losses are told in words.
const WORDS: usize = 20;

/// Answers of one version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answers {
    /// With a code below 500.
    pub good: u32,
    /// With 500 or above.
    pub bad: u32,
}

/// What was counted.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Answers by version.
    pub answers: BTreeMap<String, Answers>,
    /// Requests that nothing of the application answered.
    pub lost: u32,
    /// The first of them: when, and how.
    pub losses: Vec<String>,
    times: Vec<Duration>,
    last: BTreeMap<String, Timestamp>,
}

impl Tally {
    /// All requests.
    pub fn requests(&self) -> u32 {
        let answered: u32 = self.answers.values().map(|one| one.good + one.bad).sum();
        answered + self.lost
    }

    /// Answers of a version.
    pub fn of(&self, version: &str) -> u32 {
        self.answers.get(version).map_or(0, |one| one.good + one.bad)
    }

    /// When the last answer of a version came, by the clock of this machine.
    pub fn last(&self, version: &str) -> Option<Timestamp> {
        self.last.get(version).copied()
    }

    /// Percent of all requests that a version answered.
    pub fn percent(&self, version: &str) -> f64 {
        100.0 * f64::from(self.of(version)) / f64::from(self.requests().max(1))
    }

    /// Time in which so many percent of the requests had their answer.
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        let place = times.len().saturating_sub(1) * percent / 100;
        times.get(place).copied().unwrap_or_default()
    }

    /// What came since an earlier moment.
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |version: &String| earlier.answers.get(version).copied().unwrap_or_default();
        let answers = self.answers.iter().map(|(version, now)| {
            let then = before(version);
            let more = Answers {
                good: now.good - then.good,
                bad: now.bad - then.bad,
            };
            (version.clone(), more)
        });
        let answers: BTreeMap<_, _> = answers.filter(|(_, more)| more.good + more.bad > 0).collect();
        let mut last = self.last.clone();
        last.retain(|version, _| answers.contains_key(version));
        Self {
            answers,
            lost: self.lost - earlier.lost,
            losses: self.losses[earlier.losses.len()..].to_vec(),
            times: self.times[earlier.times.len()..].to_vec(),
            last,
        }
    }

    /// Every request must have been answered by the application.
    ///
    /// # Errors
    /// When one was lost, with when and how.
    pub fn none_lost(&self) -> Result<()> {
        if self.lost > 0 {
            bail!(
                "{} of {} requests were lost: {:#?}",
                self.lost,
                self.requests(),
                self.losses
            );
        }
        Ok(())
    }

    /// A version's share of the requests must be a weight, give or take some points.
    ///
    /// # Errors
    /// When it is not.
    pub fn splits(&self, version: &str, weight: u32, points: f64) -> Result<()> {
        let found = self.percent(version);
        if (found - f64::from(weight)).abs() > points {
            bail!(
                "{found:.1} % instead of {weight} % of {} requests: {:?}",
                self.requests(),
                self.answers
            );
        }
        Ok(())
    }

    /// One more request: what became of it, in which time, when since the beginning, and when by the clock.
    pub(super) fn add(&mut self, outcome: Outcome, took: Duration, at: Duration, came: Timestamp) {
        self.times.push(took);
        match outcome {
            Outcome::Answer { version, code, .. } => {
                self.last.insert(version.clone(), came);
                let answers = self.answers.entry(version).or_default();
                if code < 500 {
                    answers.good += 1;
                } else {
                    answers.bad += 1;
                }
            }
            Outcome::Lost(how) => {
                self.lost += 1;
                if self.losses.len() < WORDS {
                    self.losses.push(format!("at {:.1} s: {how}", at.as_secs_f64()));
                }
            }
        }
    }
}
