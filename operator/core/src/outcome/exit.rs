//! Attempts whose container has ended without a report.

use dcanary_crds::AttemptOutcome;
use dcanary_protocol::{exit, limits::TERMINATION_BYTES};
use jiff::Timestamp;

use super::{REPORT_GRACE, REPORT_LOOK, Situation, Verdict, decided, server_unavailable, wait};
use crate::{
    seen_pod::{Ended, SeenPod},
    text,
    time::later,
};

/// The container has ended and there is no report.
pub(super) fn by_exit(it: Situation<'_>, pod: &SeenPod, ended: &Ended) -> Verdict {
    // a report may still come: the runner exits only when the server has it
    if may_report(ended)
        && let Some(until) = unreported(it, pod)
    {
        return wait(None, Some(until));
    }
    if let Some(reason) = it.stopping {
        return decided(AttemptOutcome::Cancelled, reason, "");
    }
    let said = said(ended);
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
        (_, "DeadlineExceeded") => it.timed_out(
            "DeadlineExceeded",
            format!("the Pod ran past its last deadline{said}"),
        ),
        (_, "InitFailed") => decided(AttemptOutcome::Lost, "RunnerNotDelivered", ended.message.clone()),
        _ if never_ran(ended) => decided(
            AttemptOutcome::Refused,
            "StartError",
            format!("the container cannot be started{said}"),
        ),
        (Some(exit::RUNNER_ERROR), _) => decided(
            AttemptOutcome::Lost,
            "RunnerError",
            format!("the runner could not do its work{said}"),
        ),
        _ if pod.deleting_since.is_some() => decided(
            AttemptOutcome::Lost,
            "PodDeleted",
            "the Pod was deleted while it ran",
        ),
        (Some(exit::TIMED_OUT), _) => {
            it.timed_out("StageTimedOut", "the stage ran out of time; there is no report")
        }
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
        // its report may be at the server; without it nobody knows what the stage made
        (Some(exit::SUCCEEDED), _) if it.server_away_since.is_some() => server_unavailable(),
        (Some(exit::SUCCEEDED), _) => decided(
            AttemptOutcome::Failed,
            "ReportMissing",
            "the container exited with 0 and there is no report: its steps may have stopped the runner",
        ),
        (Some(code), _) => decided(
            AttemptOutcome::Failed,
            "RunnerKilled",
            format!("the container exited with {code} and there is no report"),
        ),
        (None, reason) => decided(
            AttemptOutcome::Lost,
            reason,
            format!("the Pod ended without its container{said}"),
        ),
    }
}

/// What the kubelet says, or the runner with the one exit code before which it writes the container's message itself. After any other
/// end of the container that message may be what a step wrote: it is no diagnosis, and nobody has masked it.
fn said(ended: &Ended) -> String {
    let trusted = match ended.exit_code {
        None | Some(exit::RUNNER_ERROR) => true,
        Some(_) => never_ran(ended),
    };
    if ended.message.is_empty() || !trusted {
        String::new()
    } else {
        format!(": {}", text::cut(&ended.message, TERMINATION_BYTES))
    }
}

/// The container was never started.
fn never_ran(ended: &Ended) -> bool {
    matches!(
        ended.reason.as_str(),
        "StartError" | "ContainerCannotRun" | "RunContainerError"
    )
}

/// Until when a report may still turn up, if it may. Only what was read from the server's list some time after the end was seen
/// shows that there is none; the clock of the kubelet shows nothing.
fn unreported(it: Situation<'_>, pod: &SeenPod) -> Option<Timestamp> {
    let until = match (it.server_away_since, it.stopping) {
        (Some(since), Some(_)) => later(since, REPORT_GRACE),
        // somebody wants the Pod gone, and with it perhaps its namespace, which nothing of a run may hold up
        (Some(_), None) if pod.deleting_since.is_some() => {
            later(pod.end_seen.unwrap_or(it.now), REPORT_GRACE).min(it.lost_at()?)
        }
        (Some(_), None) => it.lost_at()?,
        (None, _) => {
            let known = later(pod.end_seen.unwrap_or(it.now), REPORT_GRACE);
            if it.reports_as_of.is_some_and(|as_of| as_of >= known) {
                return None;
            }
            return Some(known.max(later(it.now, REPORT_LOOK)));
        }
    };
    (it.now < until).then_some(until)
}

/// Whether a report may exist although the container ended like this.
fn may_report(ended: &Ended) -> bool {
    !matches!(
        ended.reason.as_str(),
        "StartError" | "ContainerCannotRun" | "InitFailed"
    ) && ended.exit_code != Some(exit::RUNNER_ERROR)
}
