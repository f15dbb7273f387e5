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
    let lines: Option<Vec<String>> = asked(status, only).map(without_log).collect();
    lines.unwrap_or_default()
}

/// What the stages that were asked for wait for before they can write anything: the name of the Pod, and a line, of each.
pub fn waiting<'s>(status: &'s PipelineRunStatus, only: Option<&str>) -> Vec<(&'s str, String)> {
    asked(status, only)
        .filter_map(|stage| {
            let attempt = stage.attempts.last()?;
            // what is deployed has no Pod of its own
            let has_pod = attempt.promotion.is_none();
            let waits =
                has_pod && stage.state == StageState::Running && attempt.outcome.is_none() && !ran(attempt);
            if !waits || attempt.reason.is_empty() {
                return None;
            }
            let said = harmless(&joined([attempt.reason.as_str(), &attempt.message], ": "));
            let line = format!("stage {} waits: {said}", harmless(&stage.name));
            Some((attempt.pod.as_str(), line))
        })
        .collect()
}

/// Those lines, where nothing that was asked for has run: then there is no log yet.
pub fn no_log_yet(status: &PipelineRunStatus, only: Option<&str>) -> Vec<String> {
    if asked(status, only).any(|stage| stage.attempts.iter().any(ran)) {
        return Vec::new();
    }
    waiting(status, only).into_iter().map(|(_, line)| line).collect()
}

fn asked<'s>(status: &'s PipelineRunStatus, only: Option<&str>) -> impl Iterator<Item = &'s StageStatus> {
    status
        .stages
        .iter()
        .filter(move |stage| only.is_none_or(|only| only == stage.name))
}

/// Whether an attempt began, so that there may be a log of it.
fn ran(attempt: &AttemptStatus) -> bool {
    attempt.started_at.is_some() || !attempt.steps.is_empty()
}

/// Why an ended stage has no log, where its status says so.
fn without_log(stage: &StageStatus) -> Option<String> {
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
    fn a_stage_whose_pod_waits_is_told_with_what_for_and_one_that_runs_is_not() {
        let mut status = fixtures::running().status.unwrap_or_default();
        assert!(waiting(&status, None).is_empty(), "it runs");
        let scan = status.stages.iter_mut().find(|stage| stage.name == "scan");
        let Some(attempt) = scan.and_then(|stage| stage.attempts.last_mut()) else {
            unreachable!()
        };
        attempt.started_at = None;
        attempt.reason = "CreateContainerConfigError".to_owned();
        attempt.message = "secret \"nope\" not\nfound\u{1b}[2J".to_owned();
        let told = waiting(&status, None);
        let [(pod, line)] = told.as_slice() else {
            unreachable!()
        };
        assert_eq!(*pod, "q");
        let begins = "stage scan waits: CreateContainerConfigError: secret \"nope\" not";
        assert!(
            line.starts_with(begins) && !line.contains(['\n', '\u{1b}']),
            "{line:?}"
        );
        assert_eq!(waiting(&status, Some("scan")).len(), 1);
        assert!(waiting(&status, Some("test")).is_empty());
        let scan = status.stages.iter_mut().find(|stage| stage.name == "scan");
        if let Some(attempt) = scan.and_then(|stage| stage.attempts.last_mut()) {
            attempt.promotion = Some(dcanary_crds::AttemptPromotion::default());
        }
        assert!(waiting(&status, None).is_empty(), "it rolls out");
    }

    #[test]
    fn there_is_no_log_yet_only_where_nothing_that_was_asked_for_has_run() {
        let mut status = fixtures::running().status.unwrap_or_default();
        let scan = status.stages.iter_mut().find(|stage| stage.name == "scan");
        let Some(attempt) = scan.and_then(|stage| stage.attempts.last_mut()) else {
            unreachable!()
        };
        attempt.started_at = None;
        attempt.reason = "Unschedulable".to_owned();
        assert!(no_log_yet(&status, None).is_empty(), "test ran");
        assert_eq!(
            no_log_yet(&status, Some("scan")),
            ["stage scan waits: Unschedulable"]
        );
        assert!(
            no_log_yet(&status, Some("deploy")).is_empty(),
            "nothing is known of it"
        );
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
