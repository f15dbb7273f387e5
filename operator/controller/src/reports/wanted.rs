//! Decisions that need to know that no report is under way.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// Runs that have a Pod that ended without a report: before that counts against them, the server's list is read to its end once more.
#[derive(Default)]
pub struct Wanted {
    runs: Mutex<BTreeSet<String>>,
    asked: Notify,
}

impl Wanted {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks on behalf of a run, which is woken when the list was read to its end.
    pub fn ask(&self, run_uid: &str) {
        self.lock().insert(run_uid.to_owned());
        self.asked.notify_one();
    }

    /// Waits until somebody asks.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Those who asked.
    pub fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.lock())
    }

    /// They still wait.
    pub fn put_back(&self, runs: BTreeSet<String>) {
        self.lock().extend(runs);
    }
}
