//! How an attempt ended, from what the runner, the kubelet and the API server say.
//!
//! The runner's report counts first, whenever it comes: then the answer does not depend on which message was quicker. Without a
//! report the exit code counts, once it is known that the server has none.

mod exit;
mod live;
pub mod promotion;
#[cfg(test)]
mod tests;

pub use live::is_of_creation;

use dcanary_crds::{AttemptOutcome, AttemptStatus};
use dcanary_protocol::report::{FinalReport, Outcome, STEP_TIMED_OUT};
use jiff::Timestamp;

use crate::{
    observed::{CreateAnswer, SeenReport},
    seen_pod::{PodWaiting, SeenPod},
    text,
    time::later,
};

/// How long a report is waited for after a container was seen to have ended, in seconds.
pub const REPORT_GRACE: u64 = 10;
/// Pause before the age of the report list is looked at again if the shell does not wake the run before, in seconds.
const REPORT_LOOK: u64 = 10;
/// How long the server may be away before attempts count as lost, in seconds.
pub const SERVER_AWAY: u64 = 10 * 60;
/// How much longer than its deadline a Pod may take to go, in seconds.
pub const STUCK: u64 = 60;
/// After this time a Pod that was created and cannot be seen counts as gone, in seconds.
pub const UNSEEN: u64 = 60;
/// Reason of an attempt that stood still, or ran out of time, because the server can store nothing.
pub const STORE_FULL: &str = "ServerStoreFull";
const STORE_FULL_TEXT: &str = "the stage ran out of time while the server's store was full";

/// What is known about an attempt without outcome.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The attempt.
    pub attempt: &'a AttemptStatus,
    /// Its Pod, when the cache has it.
    pub pod: Option<&'a SeenPod>,
    /// The answer to its creation.
    pub creation: Option<&'a CreateAnswer>,
    /// Its final report.
    pub report: Option<(&'a SeenReport, &'a FinalReport)>,
    /// Why the stage is being stopped.
    pub stopping: Option<&'static str>,
    /// Time for the attempt in seconds.
    pub timeout: u64,
    /// Time that its Pod may wait, in seconds.
    pub pending: u64,
    /// Since when the server is away.
    pub server_away_since: Option<Timestamp>,
    /// Every report that the server had at this time is among those that were looked at.
    pub reports_as_of: Option<Timestamp>,
    /// Since when the server's store is full.
    pub store_full_since: Option<Timestamp>,
    /// Now.
    pub now: Timestamp,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Undecided {
        /// Why it has not started, if there is a reason to show.
        waiting: Option<PodWaiting>,
        /// When to look again.
        wake: Option<Timestamp>,
    },
    /// It ended.
    Decided(Decision),
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The outcome.
    pub outcome: AttemptOutcome,
    /// One CamelCase word.
    pub reason: String,
    /// One sentence.
    pub message: String,
    /// It rests on the report.
    pub by_report: bool,
}

fn decided(outcome: AttemptOutcome, reason: &str, message: impl Into<String>) -> Verdict {
    Verdict::Decided(Decision {
        outcome,
        reason: text::reason(reason, "Unknown"),
        message: text::cut(&message.into(), 1024),
        by_report: false,
    })
}

fn wait(waiting: Option<PodWaiting>, wake: Option<Timestamp>) -> Verdict {
    Verdict::Undecided { waiting, wake }
}

/// Decides.
pub fn decide(it: Situation<'_>) -> Verdict {
    if let Some((_, report)) = it.report {
        return by_report(it, report);
    }
    match it.pod {
        Some(pod) => match &pod.ended {
            Some(ended) => exit::by_exit(it, pod, ended),
            None => live::live(it, pod),
        },
        None => live::without_pod(it),
    }
}

impl Situation<'_> {
    /// When its container started: by the operator's clock as far as it saw that, because a node's may be wrong.
    fn started(&self) -> Option<Timestamp> {
        let pod = self.pod;
        pod.and_then(|pod| pod.start_seen.or(pod.started_at))
            .or(self.attempt.started_at)
    }

    /// When its container started, or when its Pod was to be created.
    fn begun(&self) -> Timestamp {
        self.started().or(self.attempt.created_at).unwrap_or(self.now)
    }

    /// When it is lost because the server is away. An attempt that began meanwhile has its own ten minutes.
    fn lost_at(&self) -> Option<Timestamp> {
        let since = self.server_away_since?;
        Some(later(since.max(self.begun()), SERVER_AWAY))
    }

    /// Until when nothing is decided that a report could contradict, because the server may have one that nobody here has read.
    fn unread(&self) -> Option<Timestamp> {
        match self.lost_at() {
            Some(lost) => (self.now < lost).then_some(lost),
            None if self.reports_as_of.is_none() => Some(later(self.now, REPORT_LOOK)),
            None => None,
        }
    }

    /// Out of time. While the server is away or cannot store anything, steps stand still by no fault of their own.
    fn timed_out(&self, reason: &str, message: impl Into<String>) -> Verdict {
        if self.store_full_since.is_some() {
            decided(AttemptOutcome::Lost, STORE_FULL, STORE_FULL_TEXT)
        } else if self.server_away_since.is_some() {
            server_unavailable()
        } else {
            decided(AttemptOutcome::TimedOut, reason, message)
        }
    }
}

/// Whether a report says that time ran out, of the stage or of a step in it.
pub fn ran_out_of_time(report: &FinalReport) -> bool {
    match report.outcome {
        Outcome::TimedOut => true,
        Outcome::Failed => report.reason == STEP_TIMED_OUT,
        Outcome::Succeeded | Outcome::Cancelled | Outcome::Error => false,
    }
}

fn server_unavailable() -> Verdict {
    decided(
        AttemptOutcome::Lost,
        "ServerUnavailable",
        "the server was away for 10 minutes",
    )
}

fn by_report(it: Situation<'_>, report: &FinalReport) -> Verdict {
    let (outcome, otherwise) = match report.outcome {
        Outcome::Succeeded => (AttemptOutcome::Succeeded, "Succeeded"),
        Outcome::Failed => (AttemptOutcome::Failed, "StepFailed"),
        Outcome::TimedOut => (AttemptOutcome::TimedOut, "StageTimedOut"),
        Outcome::Error => (AttemptOutcome::Lost, "RunnerError"),
        Outcome::Cancelled => (AttemptOutcome::Cancelled, "Cancelled"),
    };
    let mut decision = Decision {
        outcome,
        reason: text::reason(&report.reason, otherwise),
        message: text::cut(&report.message, 1024),
        by_report: true,
    };
    match (report.outcome, it.stopping) {
        // uploads stand still then, by no fault of the stage
        (Outcome::TimedOut | Outcome::Failed, _)
            if it.store_full_since.is_some() && ran_out_of_time(report) =>
        {
            decision.outcome = AttemptOutcome::Lost;
            STORE_FULL.clone_into(&mut decision.reason);
            STORE_FULL_TEXT.clone_into(&mut decision.message);
        }
        (Outcome::Cancelled, Some(reason)) => reason.clone_into(&mut decision.reason),
        // SIGTERM counts only from outside the Pod: somebody else took it away
        (Outcome::Cancelled, None) => {
            let disruption = it.pod.and_then(|pod| pod.disruption.as_deref());
            decision.outcome = AttemptOutcome::Lost;
            decision.reason = text::reason(disruption.unwrap_or_default(), "PodDeleted");
            "the Pod was taken away while it ran".clone_into(&mut decision.message);
        }
        (Outcome::Error, Some(reason)) => {
            decision.outcome = AttemptOutcome::Cancelled;
            reason.clone_into(&mut decision.reason);
        }
        _ => {}
    }
    Verdict::Decided(decision)
}
