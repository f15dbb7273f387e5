//! Attempts whose container has not ended, or that have no Pod.

use dcanary_crds::AttemptOutcome;
use jiff::Timestamp;

use super::{STORE_FULL, STUCK, Situation, UNSEEN, Verdict, decided, promotion, server_unavailable, wait};
use crate::{
    observed::CreateAnswer,
    pod::POD_GRACE,
    seen_pod::{PodWaiting, SeenPod},
    text,
    time::later,
};

const QUOTA_EXCEEDED: &str = "QuotaExceeded";
const NAME_TAKEN: &str = "PodNameTaken";
const NOT_CREATED: &str = "PodNotCreated";
/// How long the runner may take to report the end of its time, in seconds.
const TIMEOUT_MARGIN: u64 = POD_GRACE + 30;
/// Pause before a refused creation is looked at again, in seconds.
const CREATE_PAUSE: u64 = 10;
/// How long a Pod may take to begin before it is told where to look, in seconds.
const SILENCE: u64 = 30;

pub(super) fn live(it: Situation<'_>, pod: &SeenPod) -> Verdict {
    if let Some(reason) = it.stopping {
        return decided(AttemptOutcome::Cancelled, reason, "");
    }
    if let Some(deadline) = pod.deleting_since {
        // the deletion's time already has the grace period in it
        let stuck = later(deadline, STUCK);
        if it.now >= stuck {
            if let Some(until) = it.unread() {
                return wait(None, Some(until));
            }
            let reason = pod.disruption.as_deref().unwrap_or("PodStuck");
            return decided(
                AttemptOutcome::Lost,
                reason,
                "the Pod is being deleted and its node does not answer",
            );
        }
        return wait(None, Some(stuck));
    }
    match it.started() {
        Some(started) => running(it, started),
        None => pending(it, pod),
    }
}

fn running(it: Situation<'_>, started: Timestamp) -> Verdict {
    let mut wake = later(started, it.timeout.saturating_add(TIMEOUT_MARGIN));
    if let Some(lost) = it.lost_at() {
        if it.now >= lost {
            return server_unavailable();
        }
        // a runner that is out of time cannot say so meanwhile
        wake = lost;
    } else if it.now >= wake {
        match it.unread() {
            Some(until) => wake = until,
            None => {
                return it.timed_out(
                    "StageTimedOut",
                    "the stage ran out of time, and its runner did not say so",
                );
            }
        }
    }
    let full = it.store_full_since.map(|since| PodWaiting {
        reason: STORE_FULL.to_owned(),
        message: format!("the server's store is full since {since}; steps wait until it takes output again"),
    });
    wait(full, Some(wake))
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
    match waiting {
        Some(waiting) => out_of_patience(it, Some(shown(waiting))),
        None => silent(it),
    }
}

/// Answers of registries that another try does not change. Names of images and addresses, which always have a slash or are quoted, may
/// hold such words too and say nothing.
fn is_final(message: &str) -> bool {
    let outside = message.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    let words = outside.split_whitespace().filter(|word| !word.contains('/'));
    let message = words.collect::<Vec<_>>().join(" ").to_ascii_lowercase();
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

/// A Pod that has not begun and of which the kubelet says nothing but that it is being made. What is in its way, such as a Secret that is
/// missing, stands in its Events only, which the operator does not read.
fn silent(it: Situation<'_>) -> Verdict {
    let message = format!(
        "the Pod does not begin: its image may be large, or a Secret or volume missing; its Events say which, also when it is gone (kubectl get events --field-selector involvedObject.name={})",
        it.attempt.pod
    );
    let waiting = PodWaiting {
        reason: "ContainerCreating".to_owned(),
        message,
    };
    let long = later(it.attempt.created_at.unwrap_or(it.now), SILENCE);
    match out_of_patience(it, Some(waiting)) {
        Verdict::Undecided { wake, .. } if it.now < long => wait(None, wake).or_at(long),
        verdict => verdict,
    }
}

fn out_of_patience(it: Situation<'_>, waiting: Option<PodWaiting>) -> Verdict {
    let end = later(it.attempt.created_at.unwrap_or(it.now), it.pending);
    if it.now < end {
        return wait(waiting, Some(end));
    }
    let why = waiting.map_or_else(String::new, |waiting| {
        format!(": {}: {}", waiting.reason, waiting.message)
    });
    decided(
        AttemptOutcome::TimedOut,
        "PendingTimedOut",
        format!("the Pod did not start in time{why}"),
    )
}

/// Whether an attempt waits because its Pod could not be created, and not because of something that the Pod waits for.
pub fn is_of_creation(reason: &str) -> bool {
    [QUOTA_EXCEEDED, NAME_TAKEN, NOT_CREATED, promotion::NOT_CREATED].contains(&reason)
}

pub(super) fn without_pod(it: Situation<'_>) -> Verdict {
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
    let gone = || match it.unread() {
        Some(until) => wait(None, Some(until)),
        None => decided(AttemptOutcome::Lost, "PodGone", "the Pod is gone"),
    };
    match it.creation {
        Some(CreateAnswer::Created { gone: true, .. }) => gone(),
        // the cache will catch up
        Some(CreateAnswer::Created { gone: false, .. }) => out_of_patience(it, None),
        Some(CreateAnswer::Quota { message }) => {
            look_again(QUOTA_EXCEEDED, message, later(it.now, CREATE_PAUSE))
        }
        Some(CreateAnswer::Foreign) => look_again(
            NAME_TAKEN,
            &format!(
                "Pod {} is there and was not made by the operator: the attempt waits until the name is free",
                it.attempt.pod
            ),
            later(it.now, CREATE_PAUSE),
        ),
        Some(CreateAnswer::Refused { reason, message }) => decided(
            AttemptOutcome::Refused,
            &text::reason(reason, "PodRefused"),
            message.clone(),
        ),
        Some(CreateAnswer::NamespaceTerminating) => wait(None, Some(later(it.now, CREATE_PAUSE))),
        Some(CreateAnswer::Failed {
            message, retry_at, ..
        }) => look_again(
            NOT_CREATED,
            &format!("the API server does not create the Pod: {message}"),
            *retry_at,
        ),
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
