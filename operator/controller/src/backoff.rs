//! Pauses before something that failed is tried again: growing with each failure of the same object, with jitter.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

const FIRST: Duration = Duration::from_millis(200);
/// Doublings of the first pause: the longest is 51 seconds.
const DOUBLINGS: u32 = 8;

/// The pause after so many failures in a row.
pub fn pause(failures: u32) -> Duration {
    let pause = FIRST * (1 << failures.min(DOUBLINGS));
    pause + pause.mul_f64(rand::random::<f64>() / 4.0)
}

/// Failures in a row, by UID.
#[derive(Default)]
pub struct Failures(Mutex<HashMap<String, u32>>);

impl Failures {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more and gives the pause after it.
    pub fn failed(&self, uid: &str) -> Duration {
        let mut failures = self.lock();
        let count = failures.entry(uid.to_owned()).or_default();
        *count = count.saturating_add(1);
        pause(*count - 1)
    }

    /// It went well, or is gone.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_with_the_failures_of_one_object_and_begin_anew_when_it_went_well() {
        let failures = Failures::default();
        let first = failures.failed("a");
        assert!(first >= FIRST && first < FIRST * 2);
        for _ in 0..20 {
            failures.failed("a");
        }
        let long = failures.failed("a");
        assert!(
            long >= Duration::from_secs(50) && long < Duration::from_secs(70),
            "{long:?}"
        );
        assert!(
            failures.failed("b") < FIRST * 2,
            "another object has its own pauses"
        );
        failures.forget("a");
        assert!(failures.failed("a") < FIRST * 2);
    }
}
