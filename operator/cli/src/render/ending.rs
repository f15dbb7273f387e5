//! How a run ended, and why nothing of it is recorded, in sentences.

use dcanary_crds::{
    AttemptStatus, ConditionStatus, ConditionType, PipelineRunStatus, StageState, StageStatus,
};

use super::{
    branches::{harmless, joined},
    tree::{reason, run_mark, why},
};

/// How a run ended and why, a line each: its own reason, and that of each stage that failed it. For who has only waited for it.
pub fn ending(name: &str, status: &PipelineRunStatus) -> Vec<String> {
    let (.., word) = run_mark(status);
    let mut lines = vec![format!("{}: {word}", harmless(name))];
    if word == "Succeeded" {
        return lines;
    }
    lines.push(format!("  {}", reason(status)));
    let failed = |stage: &&StageStatus| stage.state == StageState::Failed && !stage.optional;
    lines.extend(status.stages.iter().filter(failed).map(|stage| {
        let (reason, message) = why(stage);
        let said = joined([reason, message], ": ");
        format!("  stage {}: {}", harmless(&stage.name), harmless(&said))
    }));
    lines
}

/// Why nothing of a run is in the ledger, as far as the cluster says it.
pub fn unrecorded(status: &PipelineRunStatus) -> Option<String> {
    let recorded = status.conditions.iter().find(|condition| {
        condition.kind == ConditionType::Recorded && condition.status == ConditionStatus::False
    });
    if let Some(condition) = recorded {
        let said = harmless(&joined([condition.reason.as_str(), &condition.message], ": "));
        return Some(match reason(status) {
            why if condition.reason == "NeverBegan" && !why.is_empty() => format!("{said} ({why})"),
            _ => said,
        });
    }
    if status.started_at.is_none() {
        return Some(joined(["it has not begun", &reason(status)], ": "));
    }
    status
        .journal
        .is_none()
        .then(|| "its Pipeline keeps its runs out of the journal (`ledger.mode`)".to_owned())
}

/// Why there is no log of the stages that were asked for, a line each; empty unless it is known of all of them.
pub fn never_began(status: &PipelineRunStatus, only: Option<&str>) -> Vec<String> {
    let asked = status
        .stages
        .iter()
        .filter(|stage| only.is_none_or(|only| only == stage.name));
    let lines: Option<Vec<String>> = asked.map(without_log).collect();
    lines.unwrap_or_default()
}

/// Why an ended stage has no log, where its status says so.
fn without_log(stage: &StageStatus) -> Option<String> {
    let ran = |attempt: &AttemptStatus| attempt.started_at.is_some() || !attempt.steps.is_empty();
    if !stage.state.ended() || stage.reason.is_empty() || stage.attempts.iter().any(ran) {
        return None;
    }
    let (name, said) = (
        harmless(&stage.name),
        harmless(&joined([stage.reason.as_str(), &stage.message], ": ")),
    );
    match stage.state {
        StageState::Succeeded => None,
        StageState::Skipped => Some(format!("stage {name} was skipped and has no log: {said}")),
        _ => Some(format!("stage {name} never began: {said}")),
    }
}

#[cfg(test)]
mod tests {
    use dcanary_crds::{Condition, JournalStatus};

    use super::*;
    use crate::render::tree::fixtures;

    fn status() -> PipelineRunStatus {
        fixtures::failed().status.unwrap_or_default()
    }

    #[test]
    fn who_has_only_waited_is_told_why_a_run_failed_and_in_which_stages() {
        let mut status = status();
        let lines = ending("web-1", &status);
        assert_eq!(lines.first().map(String::as_str), Some("web-1: Failed"));
        let failed = status
            .stages
            .iter_mut()
            .find(|stage| stage.state == StageState::Failed && !stage.optional);
        let Some(stage) = failed else { unreachable!() };
        let told = format!("  stage {}: {}", stage.name, stage.reason);
        assert!(lines.iter().any(|line| line.starts_with(&told)), "{lines:?}");
        stage.message = "a\nb\u{1b}[2J".to_owned();
        let text = ending("web-1", &status).concat();
        assert!(!text.contains(['\n', '\u{1b}']), "{text:?}");
    }

    #[test]
    fn why_nothing_is_recorded_is_what_the_cluster_says() {
        let mut status = status();
        status
            .conditions
            .retain(|one| one.kind != ConditionType::Recorded);
        status.journal = Some(JournalStatus::default());
        assert_eq!(unrecorded(&status), None);
        status.journal = None;
        assert!(unrecorded(&status).is_some_and(|why| why.contains("`ledger.mode`")));
        status.conditions.push(Condition {
            kind: ConditionType::Recorded,
            status: ConditionStatus::False,
            reason: "NeverBegan".to_owned(),
            message: "it has no definition".to_owned(),
            ..status
                .conditions
                .first()
                .cloned()
                .unwrap_or_else(|| unreachable!())
        });
        let why = unrecorded(&status).unwrap_or_default();
        assert!(why.starts_with("NeverBegan: it has no definition ("), "{why}");
        status.conditions.clear();
        status.started_at = None;
        assert_eq!(unrecorded(&status).as_deref(), Some("it has not begun"));
    }

    #[test]
    fn why_there_is_no_log_is_told_only_where_nothing_that_was_asked_for_began() {
        let mut status = status();
        assert!(never_began(&status, None).is_empty(), "some ran");
        assert!(never_began(&status, Some("build")).is_empty());
        assert_eq!(
            never_began(&status, Some("package")),
            ["stage package was skipped and has no log: NeedsNotMet"]
        );
        status
            .stages
            .retain(|stage| stage.name == "test" || stage.name == "package");
        assert!(never_began(&status, None).is_empty(), "test ran");
        for attempt in status.stages.iter_mut().flat_map(|stage| &mut stage.attempts) {
            attempt.started_at = None;
            attempt.steps.clear();
        }
        let told = never_began(&status, None);
        assert_eq!(
            told.first().map(String::as_str),
            Some("stage test never began: OutOfMemory: killed at 64Mi")
        );
        assert_eq!(told.len(), 2, "{told:?}");
    }
}
