//! How an attempt ended, from what the runner, the kubelet and the API server say.
//!
//! The runner's report counts first, whenever it comes: then the answer does not depend on which message was quicker. Without a
//! report the exit code counts, after a short wait for one.

use dcanary_crds::{AttemptOutcome, AttemptStatus};
use dcanary_protocol::{
    exit,
    report::{FinalReport, Outcome},
};
use jiff::Timestamp;

use crate::{
    observed::{CreateAnswer, SeenReport},
    pod::POD_GRACE,
    seen_pod::{Ended, PodWaiting, SeenPod},
    text,
    time::later,
};

/// How long a report is waited for after a container has ended, in seconds: the server's list is polled.
pub const REPORT_GRACE: u64 = 10;
/// How long the server may be away before attempts count as lost, in seconds.
pub const SERVER_AWAY: u64 = 10 * 60;
/// How much longer than its deadline a Pod may take to go, in seconds.
pub const STUCK: u64 = 60;
/// After this time a Pod that was created and cannot be seen counts as gone, in seconds.
const UNSEEN: u64 = 60;
/// How long the runner may take to report the end of its time, in seconds.
const TIMEOUT_MARGIN: u64 = POD_GRACE + 30;
/// Pause before a refused creation is looked at again, in seconds.
const CREATE_PAUSE: u64 = 10;

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
            Some(ended) => by_exit(it, pod, ended),
            None => live(it, pod),
        },
        None => without_pod(it),
    }
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

/// The container has ended and there is no report.
fn by_exit(it: Situation<'_>, pod: &SeenPod, ended: &Ended) -> Verdict {
    // a report may still come: the runner exits only when the server has it
    let patience = match it.server_away_since {
        Some(since) => later(since, SERVER_AWAY),
        None => later(
            ended.at.or(pod.deleting_since).unwrap_or(it.now),
            if may_report(ended) { REPORT_GRACE } else { 0 },
        ),
    };
    if it.now < patience && may_report(ended) {
        return wait(None, Some(patience));
    }
    if let Some(reason) = it.stopping {
        return decided(AttemptOutcome::Cancelled, reason, "");
    }
    let said = if ended.message.is_empty() {
        String::new()
    } else {
        format!(": {}", ended.message)
    };
    if let Some(disruption) = &pod.disruption {
        return decided(
            AttemptOutcome::Lost,
            disruption,
            format!("the cluster took the Pod away{said}"),
        );
    }
    match (ended.exit_code, ended.reason.as_str()) {
        (_, "OOMKilled") => decided(
            AttemptOutcome::Failed,
            "OutOfMemory",
            "the container used more memory than its limit and was killed",
        ),
        (_, "DeadlineExceeded") => decided(
            AttemptOutcome::TimedOut,
            "DeadlineExceeded",
            format!("the Pod ran past its last deadline{said}"),
        ),
        (_, "InitFailed") => decided(AttemptOutcome::Lost, "RunnerNotDelivered", ended.message.clone()),
        (_, "StartError" | "ContainerCannotRun" | "RunContainerError") => decided(
            AttemptOutcome::Refused,
            "StartError",
            format!("the container cannot be started{said}"),
        ),
        (Some(exit::RUNNER_ERROR), _) => decided(
            AttemptOutcome::Lost,
            "RunnerError",
            "the runner could not do its work",
        ),
        _ if pod.deleting_since.is_some() => decided(
            AttemptOutcome::Lost,
            "PodDeleted",
            "the Pod was deleted while it ran",
        ),
        (Some(exit::TIMED_OUT), _) => decided(
            AttemptOutcome::TimedOut,
            "StageTimedOut",
            "the stage ran out of time; there is no report",
        ),
        (Some(exit::CANCELLED), _) => decided(
            AttemptOutcome::Lost,
            "PodDeleted",
            "the Pod was told to stop; there is no report",
        ),
        (Some(exit::FAILED), _) => decided(
            AttemptOutcome::Failed,
            "StepFailed",
            "the runner exited with 1; there is no report",
        ),
        (Some(exit::SUCCEEDED), _) => decided(
            AttemptOutcome::Failed,
            "ReportMissing",
            "the container exited with 0 and there is no report: its steps may have stopped the runner",
        ),
        (Some(code), _) => decided(
            AttemptOutcome::Failed,
            "RunnerKilled",
            format!("the container exited with {code} and there is no report{said}"),
        ),
        (None, reason) => decided(
            AttemptOutcome::Lost,
            reason,
            format!("the Pod ended without its container{said}"),
        ),
    }
}

/// Whether a report may exist although the container ended like this.
fn may_report(ended: &Ended) -> bool {
    !matches!(
        ended.reason.as_str(),
        "StartError" | "ContainerCannotRun" | "InitFailed"
    ) && ended.exit_code != Some(exit::RUNNER_ERROR)
}

fn live(it: Situation<'_>, pod: &SeenPod) -> Verdict {
    if let Some(reason) = it.stopping {
        return decided(AttemptOutcome::Cancelled, reason, "");
    }
    if let Some(deadline) = pod.deleting_since {
        // the deletion's time already has the grace period in it
        let stuck = later(deadline, STUCK);
        if it.now >= stuck {
            let reason = pod.disruption.as_deref().unwrap_or("PodStuck");
            return decided(
                AttemptOutcome::Lost,
                reason,
                "the Pod is being deleted and its node does not answer",
            );
        }
        return wait(None, Some(stuck));
    }
    match pod.started_at.or(it.attempt.started_at) {
        Some(started) => running(it, started),
        None => pending(it, pod),
    }
}

fn running(it: Situation<'_>, started: Timestamp) -> Verdict {
    let mut wake = later(started, it.timeout.saturating_add(TIMEOUT_MARGIN));
    if it.now >= wake {
        return decided(
            AttemptOutcome::TimedOut,
            "StageTimedOut",
            "the stage ran out of time, and its runner did not say so",
        );
    }
    if let Some(since) = it.server_away_since {
        let lost = later(since, SERVER_AWAY);
        if it.now >= lost {
            return decided(
                AttemptOutcome::Lost,
                "ServerUnavailable",
                "the server was away for 10 minutes",
            );
        }
        wake = wake.min(lost);
    }
    wait(None, Some(wake))
}

fn pending(it: Situation<'_>, pod: &SeenPod) -> Verdict {
    let waiting = pod.waiting.as_ref();
    match waiting.map(|waiting| waiting.reason.as_str()) {
        Some("InvalidImageName" | "ErrImageNeverPull") => {
            return decided(
                AttemptOutcome::Refused,
                "ImagePullFailed",
                waiting.map_or("", |w| w.message.as_str()),
            );
        }
        // the kubelet has tried more than once, and the registry's answer will not change by itself
        Some("ImagePullBackOff") if waiting.is_some_and(|waiting| is_final(&waiting.message)) => {
            return decided(
                AttemptOutcome::Refused,
                "ImagePullFailed",
                waiting.map_or("", |w| w.message.as_str()),
            );
        }
        _ => {}
    }
    out_of_patience(it, waiting.map(shown))
}

/// Answers of registries that another try does not change.
fn is_final(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    [
        "not found",
        "manifest unknown",
        "name unknown",
        "repository does not exist",
        "unauthorized",
        "denied",
        "forbidden",
        "no match for platform",
    ]
    .iter()
    .any(|words| message.contains(words))
}

/// The kubelet changes between the two names with every try.
fn shown(waiting: &PodWaiting) -> PodWaiting {
    let reason = match waiting.reason.as_str() {
        "ErrImagePull" => "ImagePullBackOff",
        other => other,
    };
    PodWaiting {
        reason: text::reason(reason, "Waiting"),
        message: text::cut(&waiting.message, 512),
    }
}

fn out_of_patience(it: Situation<'_>, waiting: Option<PodWaiting>) -> Verdict {
    let end = later(it.attempt.created_at.unwrap_or(it.now), it.pending);
    if it.now < end {
        return wait(waiting, Some(end));
    }
    let why = waiting.map_or_else(String::new, |waiting| {
        format!(": {} {}", waiting.reason, waiting.message)
    });
    decided(
        AttemptOutcome::TimedOut,
        "PendingTimedOut",
        format!("the Pod did not start in time{why}"),
    )
}

fn without_pod(it: Situation<'_>) -> Verdict {
    if let Some(reason) = it.stopping {
        return decided(AttemptOutcome::Cancelled, reason, "");
    }
    let look_again = |reason: &str, message: &str, at: Timestamp| {
        let waiting = PodWaiting {
            reason: reason.to_owned(),
            message: text::cut(message, 512),
        };
        match out_of_patience(it, Some(waiting)) {
            Verdict::Undecided { waiting, wake } => wait(waiting, wake.map(|wake| wake.min(at))),
            decided @ Verdict::Decided(_) => decided,
        }
    };
    let gone = || decided(AttemptOutcome::Lost, "PodGone", "the Pod is gone");
    match it.creation {
        Some(CreateAnswer::Created { gone: true, .. }) => gone(),
        // the cache will catch up
        Some(CreateAnswer::Created { gone: false, .. }) => out_of_patience(it, None),
        Some(CreateAnswer::Quota { message }) => {
            look_again("QuotaExceeded", message, later(it.now, CREATE_PAUSE))
        }
        Some(CreateAnswer::Foreign) => look_again(
            "PodNameTaken",
            "a Pod of that name belongs to somebody else",
            later(it.now, CREATE_PAUSE),
        ),
        Some(CreateAnswer::Refused { reason, message }) => decided(
            AttemptOutcome::Refused,
            &text::reason(reason, "PodRefused"),
            message.clone(),
        ),
        Some(CreateAnswer::NamespaceTerminating) => wait(None, Some(later(it.now, CREATE_PAUSE))),
        Some(CreateAnswer::Failed { retry_at, .. }) => out_of_patience(it, None).or_at(*retry_at),
        None if it.attempt.pod_uid.is_some() => {
            let unseen = later(it.attempt.created_at.unwrap_or(it.now), UNSEEN);
            if it.now >= unseen {
                gone()
            } else {
                wait(None, Some(unseen))
            }
        }
        None => out_of_patience(it, None),
    }
}

impl Verdict {
    fn or_at(self, at: Timestamp) -> Self {
        match self {
            Self::Undecided { waiting, wake } => Self::Undecided {
                waiting,
                wake: Some(wake.map_or(at, |wake| wake.min(at))),
            },
            decided @ Self::Decided(_) => decided,
        }
    }
}
