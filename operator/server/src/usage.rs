//! What each namespace takes, for the limit on what its artifacts may.
//!
//! ```text
//! counted by the last sweep, or at start  +  arrived since that count began  =  taken
//! ```
//! What arrives are bytes of uploads. Kept logs and results count too, from the next sweep on, so that what they take is not there for
//! artifacts. Of these the sum may be too much for a while (content that was there already, an upload that was given up), and never too
//! little.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::names::Namespace;

#[derive(Debug, Default)]
struct Sums {
    counted: HashMap<Namespace, u64>,
    arrived: HashMap<Namespace, u64>,
}

impl Sums {
    fn taken(&self, namespace: &Namespace) -> u64 {
        let of = |sums: &HashMap<Namespace, u64>| sums.get(namespace).copied().unwrap_or_default();
        of(&self.counted).saturating_add(of(&self.arrived))
    }
}

/// Bytes by namespace.
#[derive(Debug, Default)]
pub struct Usage(Mutex<Sums>);

impl Usage {
    /// Goes on from a count.
    pub fn new(counted: HashMap<Namespace, u64>) -> Self {
        Self(Mutex::new(Sums {
            counted,
            arrived: HashMap::new(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Sums> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes bytes for a namespace, as long as it then has no more than `most`; 0 is no limit. Whether there was room.
    pub fn take(&self, namespace: &Namespace, bytes: u64, most: u64) -> bool {
        let mut sums = self.lock();
        if most > 0 && sums.taken(namespace).saturating_add(bytes) > most {
            return false;
        }
        let arrived = sums.arrived.entry(namespace.clone()).or_default();
        *arrived = arrived.saturating_add(bytes);
        true
    }

    /// Gives back what was taken and is not there.
    pub fn give_back(&self, namespace: &Namespace, bytes: u64) {
        let sums = &mut *self.lock();
        let mut left = bytes;
        // the count first: one that is under way may have missed it, and replaces that sum
        for of in [&mut sums.counted, &mut sums.arrived] {
            if let Some(sum) = of.get_mut(namespace) {
                let some = left.min(*sum);
                *sum -= some;
                left -= some;
            }
        }
    }

    /// A count begins: what arrives from now on may not be in it.
    pub fn count_begins(&self) {
        let sums = &mut *self.lock();
        for (namespace, bytes) in sums.arrived.drain() {
            let counted = sums.counted.entry(namespace).or_default();
            *counted = counted.saturating_add(bytes);
        }
    }

    /// A count is there. One that failed is not told, and nothing changes.
    pub fn counted(&self, counted: HashMap<Namespace, u64>) {
        self.lock().counted = counted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Namespace {
        name.parse().unwrap()
    }

    #[test]
    fn a_namespace_takes_so_much_and_no_more_and_others_do_not_mind() {
        let (usage, full, other) = (Usage::default(), named("full"), named("other"));
        assert!(usage.take(&full, 60, 100));
        assert!(!usage.take(&full, 41, 100));
        assert!(usage.take(&full, 40, 100));
        assert!(!usage.take(&full, 1, 100));
        assert!(usage.take(&other, 100, 100));
        assert!(usage.take(&full, 1_000, 0), "0 is no limit");
        assert!(!usage.take(&other, u64::MAX, 100));
    }

    #[test]
    fn what_arrives_while_it_is_counted_is_not_forgotten() {
        let (usage, namespace) = (Usage::default(), named("a"));
        assert!(usage.take(&namespace, 50, 100));
        usage.count_begins();
        assert!(
            !usage.take(&namespace, 51, 100),
            "the old sum counts until there is a new one"
        );
        assert!(usage.take(&namespace, 30, 100));
        // the sweep has removed all but ten bytes
        usage.counted(HashMap::from([(namespace.clone(), 10)]));
        assert!(!usage.take(&namespace, 61, 100));
        assert!(usage.take(&namespace, 60, 100));
    }

    #[test]
    fn what_is_given_back_can_be_taken_again_whenever_it_was_counted() {
        let namespace = named("a");
        let usage = Usage::new(HashMap::from([(namespace.clone(), 70)]));
        assert!(usage.take(&namespace, 30, 100));
        usage.give_back(&namespace, 50);
        assert!(!usage.take(&namespace, 51, 100));
        assert!(usage.take(&namespace, 50, 100));
        usage.give_back(&namespace, u64::MAX);
        usage.give_back(&named("nobody"), 1);
        assert!(usage.take(&namespace, 100, 100));
    }
}
