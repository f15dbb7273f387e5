//! When a run that has to wait is tried again: each for itself, so that one that is refused holds up no other.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use crate::record::RunKey;

#[derive(Debug)]
struct Wait {
    since: SystemTime,
    tries: u32,
    until: Option<Instant>,
}

/// Back-off of single runs. It grows with each try of a run and ends when something of the run is recorded.
#[derive(Debug)]
pub(super) struct Waits {
    min: Duration,
    max: Duration,
    runs: BTreeMap<RunKey, Wait>,
    due: BTreeSet<(Instant, RunKey)>,
}

impl Waits {
    pub(super) fn new(min: Duration, max: Duration) -> Self {
        Self {
            min,
            max,
            runs: BTreeMap::new(),
            due: BTreeSet::new(),
        }
    }

    /// Tries a run again later; since when it waits. A run that waits already is not moved.
    pub(super) fn later(&mut self, key: &RunKey, now: Instant) -> SystemTime {
        let wait = self.runs.entry(key.clone()).or_insert_with(|| Wait {
            since: SystemTime::now(),
            tries: 0,
            until: None,
        });
        if wait.until.is_none() {
            let pause = self.min.saturating_mul(1 << wait.tries.min(16)).min(self.max);
            let until = now + pause;
            wait.tries += 1;
            wait.until = Some(until);
            self.due.insert((until, key.clone()));
        }
        wait.since
    }

    /// Something of the run is recorded, or it is gone.
    pub(super) fn over(&mut self, key: &RunKey) {
        if let Some(Wait {
            until: Some(until), ..
        }) = self.runs.remove(key)
        {
            self.due.remove(&(until, key.clone()));
        }
    }

    /// Runs whose time has come.
    pub(super) fn due(&mut self, now: Instant) -> Vec<RunKey> {
        let mut keys = Vec::new();
        while let Some((until, _)) = self.due.first()
            && *until <= now
            && let Some((_, key)) = self.due.pop_first()
        {
            if let Some(wait) = self.runs.get_mut(&key) {
                wait.until = None;
            }
            keys.push(key);
        }
        keys
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(until, _)| *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_of_a_run_grows_to_a_limit_and_starts_anew_when_something_was_recorded() {
        let second = Duration::from_secs(1);
        let mut waits = Waits::new(second, 5 * second);
        let (a, mut now) = (RunKey::new("p", "d", "a"), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..4 {
            waits.later(&a, now);
            // asked again while it waits: nothing moves
            waits.later(&a, now + 3 * second);
            let until = waits.next().unwrap();
            pauses.push(until - now);
            assert_eq!(waits.due(until.checked_sub(second / 2).unwrap()), []);
            assert_eq!(waits.due(until), std::slice::from_ref(&a));
            now = until;
        }
        assert_eq!(pauses, [second, 2 * second, 4 * second, 5 * second]);
        waits.later(&a, now);
        waits.over(&a);
        assert_eq!(waits.next(), None);
        waits.later(&a, now);
        assert_eq!(waits.next(), Some(now + second));
    }
}
