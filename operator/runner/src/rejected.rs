//! What frames that the server does not take mean for their step and the stage.

use dcanary_protocol::limits::MESSAGE_BYTES;
use dcanary_protocol::plan::StepPlan;
use dcanary_protocol::report::{FinalReport, Outcome, StepOutcome};

use crate::spool::Rejection;
use crate::text::cut;

/// Reason of a stage that fails for a limit of the server.
pub(crate) const REASON: &str = "LimitExceeded";

/// A result that a step wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrote {
    /// Number of its frame.
    pub(crate) number: u64,
    /// Index of the step.
    pub(crate) step: usize,
    pub(crate) name: String,
}

/// What the stage fails with so far: the first rejection of a step that must not fail.
pub(crate) fn failure(steps: &[StepPlan], wrote: &[Wrote], rejections: &[Rejection]) -> Option<String> {
    rejections.iter().find_map(|rejection| {
        let result = wrote.iter().find(|wrote| wrote.number == rejection.number);
        let said = message(result, rejection);
        match result.and_then(|result| steps.get(result.step)) {
            Some(step) if step.continue_on_error => None,
            Some(step) => Some(format!("step {}: {said}", step.name)),
            None => Some(said),
        }
    })
}

fn message(result: Option<&Wrote>, rejection: &Rejection) -> String {
    let what = result.map_or_else(
        || "a part of the stream".to_owned(),
        |result| format!("the result `{}`", result.name),
    );
    format!("the server does not take {what}: {}", rejection.detail)
}

/// Makes the final report agree with what the server has.
pub(crate) fn amend(report: &mut FinalReport, steps: &[StepPlan], wrote: &[Wrote], rejections: &[Rejection]) {
    for rejection in rejections {
        let Some(result) = wrote.iter().find(|wrote| wrote.number == rejection.number) else {
            continue;
        };
        // The server may have a value that was written later; one that was written before is not the result.
        let last = wrote.iter().rfind(|other| other.name == result.name);
        if last == Some(result) {
            report.results.retain(|reported| reported.name != result.name);
        }
        if let Some(step) = report.steps.get_mut(result.step) {
            let said = message(Some(result), rejection);
            let before = step
                .message
                .take()
                .filter(|_| step.outcome != StepOutcome::Succeeded);
            let text = before.map_or(said.clone(), |before| format!("{before}; {said}"));
            step.message = Some(cut(&text, MESSAGE_BYTES).to_owned());
            if step.outcome == StepOutcome::Succeeded {
                step.outcome = StepOutcome::Failed;
            }
        }
    }
    if report.outcome == Outcome::Succeeded
        && let Some(message) = failure(steps, wrote, rejections)
    {
        report.outcome = Outcome::Failed;
        REASON.clone_into(&mut report.reason);
        cut(&message, MESSAGE_BYTES).clone_into(&mut report.message);
    }
}

#[cfg(test)]
mod tests {
    use dcanary_protocol::plan::Action;
    use dcanary_protocol::report::{ResultReport, StepReport};

    use super::*;

    fn plan(names: &[&str]) -> Vec<StepPlan> {
        let step = |name: &&str| StepPlan {
            name: (*name).to_owned(),
            condition: None,
            env: Vec::new(),
            working_dir: None,
            timeout_seconds: 0,
            continue_on_error: name.starts_with("optional"),
            action: Action::Run {
                script: String::new(),
                shell: Vec::new(),
            },
        };
        names.iter().map(step).collect()
    }

    fn report(steps: &[StepPlan], results: &[&str]) -> FinalReport {
        let step = |step: &StepPlan| StepReport {
            name: step.name.clone(),
            outcome: StepOutcome::Succeeded,
            exit_code: Some(0),
            started_at: None,
            finished_at: None,
            message: None,
        };
        let result = |name: &&str| ResultReport {
            name: (*name).to_owned(),
            value: None,
            digest: "sha256:00".into(),
            size: 1,
        };
        FinalReport {
            outcome: Outcome::Succeeded,
            reason: "Succeeded".into(),
            message: String::new(),
            frames: 9,
            steps: steps.iter().map(step).collect(),
            results: results.iter().map(result).collect(),
            artifacts: Vec::new(),
            second_trade: false,
        }
    }

    fn wrote(number: u64, step: usize, name: &str) -> Wrote {
        Wrote {
            number,
            step,
            name: name.to_owned(),
        }
    }

    fn rejection(number: u64) -> Rejection {
        Rejection {
            number,
            detail: "too much".into(),
        }
    }

    #[test]
    fn a_result_that_is_not_taken_fails_its_step_and_the_stage_by_name() {
        let steps = plan(&["one", "two"]);
        let mut report = report(&steps, &["big", "small"]);
        let written = [wrote(3, 0, "small"), wrote(6, 1, "big")];
        amend(&mut report, &steps, &written, &[rejection(6)]);
        assert_eq!(
            (report.outcome, report.reason.as_str()),
            (Outcome::Failed, REASON)
        );
        assert_eq!(
            report.message,
            "step two: the server does not take the result `big`: too much"
        );
        assert_eq!(report.steps[0].outcome, StepOutcome::Succeeded);
        assert_eq!(report.steps[1].outcome, StepOutcome::Failed);
        let names: Vec<&str> = report.results.iter().map(|result| result.name.as_str()).collect();
        assert_eq!(names, ["small"]);
    }

    #[test]
    fn a_later_value_that_is_taken_stays_and_an_earlier_one_does_not_come_back() {
        let steps = plan(&["one"]);
        let written = [wrote(2, 0, "a"), wrote(3, 0, "a")];
        let mut first = report(&steps, &["a"]);
        amend(&mut first, &steps, &written, &[rejection(2)]);
        assert_eq!(first.results.len(), 1);
        let mut last = report(&steps, &["a"]);
        amend(&mut last, &steps, &written, &[rejection(3)]);
        assert!(last.results.is_empty());
    }

    #[test]
    fn a_step_that_may_fail_fails_alone() {
        let steps = plan(&["optional"]);
        let mut report = report(&steps, &["a"]);
        amend(&mut report, &steps, &[wrote(2, 0, "a")], &[rejection(2)]);
        assert_eq!(report.outcome, Outcome::Succeeded);
        assert_eq!(report.steps[0].outcome, StepOutcome::Failed);
        assert!(report.results.is_empty());
    }

    #[test]
    fn another_frame_that_is_not_taken_fails_the_stage_but_no_outcome_is_made_better() {
        let steps = plan(&["one"]);
        let mut lost = report(&steps, &[]);
        amend(&mut lost, &steps, &[], &[rejection(1)]);
        assert_eq!(lost.outcome, Outcome::Failed);
        let mut cancelled = report(&steps, &["a"]);
        cancelled.outcome = Outcome::Cancelled;
        amend(&mut cancelled, &steps, &[wrote(2, 0, "a")], &[rejection(2)]);
        assert_eq!(cancelled.outcome, Outcome::Cancelled);
        assert!(cancelled.results.is_empty());
    }
}
