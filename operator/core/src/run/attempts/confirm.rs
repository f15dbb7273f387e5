//! An ended attempt beside what the kubelet saw and what was reported later.

use dcanary_crds::AttemptOutcome;
use dcanary_protocol::report::Outcome as Reported;
use dcanary_types::record::Transition;

use crate::{
    outcome::{STORE_FULL, ran_out_of_time},
    report,
    run::{
        budget::RESULTS_TOO_LARGE,
        step::{Step, pod_of},
    },
};

impl Step<'_> {
    /// Compares an ended attempt with what the kubelet saw and with what was reported later.
    pub(super) fn confirm(&mut self, index: usize, at: usize) {
        let attempt = &self.status.stages[index].attempts[at];
        let uid = attempt.pod_uid.as_deref();
        let traded = uid.is_some()
            && self.seen.reports.iter().any(|report| {
                let entry = &report.entry;
                let told =
                    entry.second_trade || entry.report.as_ref().is_some_and(|report| report.second_trade);
                told && Some(entry.attempt.as_str()) == uid && !self.hidden.contains(&entry.cursor)
            });
        if traded {
            self.dispute(index, at, "SecondTrade", "the token was traded a second time");
        }
        let attempt = &self.status.stages[index].attempts[at];
        let Some(outcome) = attempt.outcome else { return };
        let report = self
            .report_of(attempt.pod_uid.as_deref())
            .and_then(|seen| seen.entry.report.as_ref());
        let late = attempt.report.is_none()
            && report
                .filter(|report| !ran_out_of_time(report) || attempt.reason != STORE_FULL)
                .and_then(|report| expected(report.outcome))
                .is_some_and(|told| told != outcome);
        let code = pod_of(self.seen, self.owner, attempt)
            .and_then(|pod| pod.ended.as_ref())
            .and_then(|ended| ended.exit_code);
        let code = attempt.exit_code.or(code);
        let agrees = code.map(|code| attempt.report.is_some() && self.exit_agrees(index, at, code));
        let by_report = attempt.report.is_some();
        let missing = attempt.reason == "ReportMissing" && !by_report;
        if let (true, Some(false)) = (by_report, agrees) {
            self.dispute(
                index,
                at,
                "OutcomeDisputed",
                "the kubelet saw another end than the runner reported",
            );
        }
        if late && outcome != AttemptOutcome::Cancelled {
            self.dispute(
                index,
                at,
                "LateReport",
                "the runner's report came after the outcome was decided, and says something else",
            );
        }
        if missing {
            self.dispute(
                index,
                at,
                "OutcomeDisputed",
                "the container exited with 0 and there is no report",
            );
        }
        let attempt = &mut self.status.stages[index].attempts[at];
        attempt.exit_code = code;
        attempt.confirmed = agrees == Some(true);
    }

    /// Whether an exit code fits the report on which an outcome rests.
    fn exit_agrees(&self, index: usize, at: usize, code: i32) -> bool {
        let attempt = &self.status.stages[index].attempts[at];
        let report = self
            .report_of(attempt.pod_uid.as_deref())
            .and_then(|seen| seen.entry.report.as_ref());
        if let Some(report) = report {
            return report::agrees(report.outcome, code);
        }
        // the report was acknowledged; what it said is in the outcome
        let reported: &[Reported] = match attempt.outcome {
            Some(AttemptOutcome::Succeeded) => &[Reported::Succeeded],
            Some(AttemptOutcome::Failed)
                if attempt.reason == "ReportInvalid" || attempt.reason == RESULTS_TOO_LARGE =>
            {
                &[Reported::Succeeded]
            }
            Some(AttemptOutcome::Failed) => &[Reported::Failed],
            Some(AttemptOutcome::TimedOut) => &[Reported::TimedOut],
            // reported as out of time, of the stage or of a step, while the server's store was full
            Some(AttemptOutcome::Lost) if attempt.reason == STORE_FULL => {
                &[Reported::TimedOut, Reported::Failed]
            }
            Some(AttemptOutcome::Lost | AttemptOutcome::Cancelled) => &[Reported::Cancelled, Reported::Error],
            Some(AttemptOutcome::Refused) | None => &[],
        };
        reported.iter().any(|reported| report::agrees(*reported, code))
    }

    fn dispute(&mut self, index: usize, at: usize, reason: &str, note: &str) {
        let stage = self.status.stages[index].name.clone();
        if self.status.stages[index].attempts[at].disputed.is_some() {
            return;
        }
        let attempt = at as u64 + 1;
        if self.emit(Transition::StageDisputed {
            stage: stage.clone(),
            attempt,
            reason: reason.to_owned(),
        }) {
            self.status.stages[index].attempts[at].disputed = Some(reason.to_owned());
            self.tell(
                true,
                reason,
                &format!("stage {stage}, attempt {attempt}: {note}; no gate opens on it"),
            );
        }
    }
}

/// The outcome that a report leads to when it comes in time.
fn expected(outcome: Reported) -> Option<AttemptOutcome> {
    match outcome {
        Reported::Succeeded => Some(AttemptOutcome::Succeeded),
        Reported::Failed => Some(AttemptOutcome::Failed),
        Reported::TimedOut => Some(AttemptOutcome::TimedOut),
        Reported::Error => Some(AttemptOutcome::Lost),
        // a SIGTERM of ours after the decision
        Reported::Cancelled => None,
    }
}
