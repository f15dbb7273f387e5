//! A run as far as the server cares: wakes who follows its logs, and counts the bytes of its results.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use tokio::sync::watch;

use crate::names::{AttemptId, Namespace, RunUid};

/// Names a run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunKey {
    /// Namespace.
    pub namespace: Namespace,
    /// UID.
    pub uid: RunUid,
}

/// A run in memory.
#[derive(Debug)]
pub struct Run {
    /// Attempts opened while it is in memory.
    pub opened: AtomicU64,
    changes: watch::Sender<u64>,
    results: Mutex<HashMap<AttemptId, (String, u64)>>,
}

impl Run {
    /// A run with the results that are known of it.
    pub fn new(results: HashMap<AttemptId, (String, u64)>) -> Self {
        Self {
            opened: AtomicU64::new(0),
            changes: watch::Sender::new(0),
            results: Mutex::new(results),
        }
    }

    /// Wakes who follows.
    pub fn changed(&self) {
        self.changes.send_modify(|version| *version += 1);
    }

    /// Follows changes.
    pub fn follow(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Bytes of results when an attempt of a stage has `bytes` of them: for each stage the attempt with the most.
    pub fn result_bytes_with(&self, attempt: &AttemptId, stage: &str, bytes: u64) -> u64 {
        let Ok(results) = self.results.lock() else {
            return u64::MAX;
        };
        let mut most: HashMap<&str, u64> = HashMap::from([(stage, bytes)]);
        for (other, (stage, bytes)) in results.iter() {
            if other != attempt {
                let most = most.entry(stage).or_default();
                *most = (*most).max(*bytes);
            }
        }
        most.values().sum()
    }

    /// Notes the bytes of an attempt's results.
    pub fn note_results(&self, attempt: &AttemptId, stage: &str, bytes: u64) {
        if let Ok(mut results) = self.results.lock() {
            results.insert(attempt.clone(), (stage.to_owned(), bytes));
        }
    }
}
