//! Waiting for the server, and telling people about it: a full store must not look like a step that hangs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::journal::Journal;

/// First pause after a failed request.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Shorter waits are nobody's concern.
const QUIET: Duration = Duration::from_secs(5);
/// How often a wait is mentioned again.
const AGAIN: Duration = Duration::from_mins(1);

/// Why a request has to be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Later {
    /// The pause that the server asked for.
    pub(crate) pause: Option<Duration>,
    /// Reason of the protocol, or `unreachable`.
    pub(crate) reason: String,
    /// What the server says about it.
    pub(crate) detail: String,
}

impl Later {
    /// The server did not say why.
    pub(crate) fn because(reason: &str) -> Self {
        Self {
            pause: None,
            reason: reason.to_owned(),
            detail: String::new(),
        }
    }
}

impl Later {
    /// For whom it waits, for people: the server itself may wait for a registry.
    fn told(&self) -> String {
        if self.reason == "registry" {
            format!("waiting for the registry: {}", self.detail)
        } else {
            format!("waiting for the server: {self}")
        }
    }
}

impl std::fmt::Display for Later {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.reason)?;
        if self.detail.is_empty() {
            return Ok(());
        }
        write!(formatter, " ({})", self.detail)
    }
}

/// When each reason was mentioned last.
#[derive(Debug, Default)]
struct Mentioned {
    last: BTreeMap<String, Instant>,
}

impl Mentioned {
    /// Whether a wait that began at `since` is to be mentioned now; several tasks may wait for the same reason.
    fn is_due(&mut self, reason: &str, since: Instant, now: Instant) -> bool {
        if now.duration_since(since) < QUIET {
            return false;
        }
        if self
            .last
            .get(reason)
            .is_some_and(|last| now.duration_since(*last) < AGAIN)
        {
            return false;
        }
        self.last.insert(reason.to_owned(), now);
        true
    }
}

/// Tells the container's log, and the stream where it has room. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Announcer {
    journal: Journal,
    step: watch::Receiver<u32>,
    mentioned: Arc<Mutex<Mentioned>>,
}

impl std::fmt::Debug for Announcer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Announcer").finish_non_exhaustive()
    }
}

impl Announcer {
    pub(crate) fn new(journal: Journal, step: watch::Receiver<u32>) -> Self {
        Self {
            journal,
            step,
            mentioned: Arc::default(),
        }
    }

    fn mention(&self, later: &Later, since: Instant) {
        let mut mentioned = self.mentioned.lock().unwrap_or_else(PoisonError::into_inner);
        if mentioned.is_due(&later.reason, since, Instant::now()) {
            drop(mentioned);
            let step = *self.step.borrow();
            self.journal.remark(step, &later.told());
        }
    }
}

/// Growing pauses between attempts of one request.
#[derive(Debug)]
pub(crate) struct Pause {
    announcer: Announcer,
    since: Instant,
    next: Duration,
}

impl Pause {
    pub(super) fn new(announcer: &Announcer) -> Self {
        Self {
            announcer: announcer.clone(),
            since: Instant::now(),
            next: FIRST_PAUSE,
        }
    }

    /// Waits, and mentions it when the wait is long.
    pub(crate) async fn wait(&mut self, later: &Later) {
        let spread = f64::from(rand::random::<u16>()) / f64::from(u16::MAX);
        let pause = self.next.max(later.pause.unwrap_or_default()).min(LONGEST_PAUSE);
        let until = Instant::now() + pause.mul_f64(0.8 + 0.2 * spread);
        let loud = self.since + QUIET;
        if loud < until {
            tokio::time::sleep_until(loud).await;
            self.announcer.mention(later, self.since);
        }
        tokio::time::sleep_until(until).await;
        self.next = (self.next * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_mentioned_after_five_seconds_and_then_once_a_minute() {
        let mut mentioned = Mentioned::default();
        let since = Instant::now();
        let due: Vec<u64> = (0..200)
            .filter(|second| mentioned.is_due("store-full", since, since + Duration::from_secs(*second)))
            .collect();
        assert_eq!(due, [5, 65, 125, 185]);
    }

    #[test]
    fn tasks_that_wait_for_the_same_reason_speak_once_and_another_reason_is_heard() {
        let mut mentioned = Mentioned::default();
        let since = Instant::now();
        let now = since + QUIET;
        assert!(mentioned.is_due("store-full", since, now));
        assert!(!mentioned.is_due("store-full", since, now + Duration::from_secs(1)));
        assert!(mentioned.is_due("registry", since, now + Duration::from_secs(1)));
    }

    #[test]
    fn who_waits_for_a_registry_is_told_so_and_not_to_look_at_the_server() {
        let mut later = Later::because("registry");
        later.detail = "cannot push docker.io/me/x: name not known".to_owned();
        let told = "waiting for the registry: cannot push docker.io/me/x: name not known";
        assert_eq!(later.told(), told);
        assert_eq!(
            Later::because("store-full").told(),
            "waiting for the server: store-full"
        );
    }

    #[test]
    fn what_the_server_says_is_part_of_the_line() {
        let later = Later {
            detail: "the store is full".into(),
            ..Later::because("store-full")
        };
        assert_eq!(later.to_string(), "store-full (the store is full)");
        assert_eq!(Later::because("unreachable").to_string(), "unreachable");
    }
}
