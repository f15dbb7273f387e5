use dcanary_crds::{PipelineRun, PipelineRunStatus};
use dcanary_verifier::Status;

use super::*;
use crate::journal::compare::compare as whole;

fn records(transitions: Vec<Transition>) -> Vec<Record> {
    (0..)
        .zip(transitions)
        .map(|(n, transition)| Record {
            run: "uid-1".to_owned(),
            n,
            claimed_ts: 0,
            transition,
        })
        .collect()
}

fn started(attempt: u64) -> Transition {
    Transition::StageStarted {
        stage: "build".to_owned(),
        attempt,
        image: "registry.example/c:1".to_owned(),
    }
}

fn retried(attempt: u64, reason: &str) -> Transition {
    Transition::StageRetried {
        stage: "build".to_owned(),
        attempt,
        reason: reason.to_owned(),
    }
}

fn disputed(attempt: u64, reason: &str) -> Transition {
    Transition::StageDisputed {
        stage: "build".to_owned(),
        attempt,
        reason: reason.to_owned(),
    }
}

/// Three attempts that failed, the second of them disputed; `test` was skipped and `tidy` stopped.
fn journal() -> Vec<Record> {
    records(vec![
        started(1),
        retried(1, "OutOfMemory"),
        started(2),
        retried(2, "StepFailed"),
        disputed(2, "SecondTrade"),
        started(3),
        Transition::StageFailed {
            stage: "build".to_owned(),
            attempt: 3,
            reason: "StepFailed".to_owned(),
        },
        Transition::StageSkipped {
            stage: "test".to_owned(),
            reason: SkipReason::Needs,
        },
        Transition::StageStarted {
            stage: "tidy".to_owned(),
            attempt: 1,
            image: "registry.example/c:1".to_owned(),
        },
        Transition::StageCancelled {
            stage: "tidy".to_owned(),
            reason: "Cancelled".to_owned(),
        },
    ])
}

fn run() -> PipelineRun {
    serde_saphyr::from_str(
        "apiVersion: dcanary.dev/v1alpha1
kind: PipelineRun
metadata: {name: web-1, namespace: team, uid: uid-1}
spec: {pipelineRef: {name: web}}
status:
  journal: {next: 10, recorded: 10, pending: []}
  stages:
  - name: build
    state: Failed
    reason: StepFailed
    attempts:
    - {number: 1, pod: p, outcome: Failed, reason: OutOfMemory, image: 'registry.example/c@sha256:00'}
    - {number: 2, pod: q, outcome: Failed, reason: StepFailed, disputed: SecondTrade}
    - {number: 3, pod: r, outcome: Failed, reason: StepFailed, image: 'registry.example/c:1'}
  - {name: test, state: Skipped, reason: Needs}
  - name: tidy
    state: Cancelled
    reason: Cancelled
    attempts: [{number: 1, pod: s, outcome: Cancelled, reason: Cancelled}]
",
    )
    .unwrap()
}

fn changed(change: impl FnOnce(&mut PipelineRunStatus)) -> (Status, String) {
    let mut run = run();
    change(run.status.as_mut().unwrap());
    whole(&run, &journal())
}

#[test]
fn attempts_as_they_are_recorded_agree() {
    let (status, detail) = changed(|_| {});
    assert_eq!(status, Status::Passed, "{detail}");
}

#[test]
fn whoever_changes_an_attempt_in_the_status_is_found_and_the_field_is_named() {
    let cases: Vec<(&str, (Status, String))> = vec![
        (
            "attempt 2 of stage build is disputed (SecondTrade) in the ledger and not in the cluster",
            changed(|status| status.stages[0].attempts[1].disputed = None),
        ),
        (
            "is disputed as LateReport in the cluster and as SecondTrade in the ledger",
            changed(|status| status.stages[0].attempts[1].disputed = Some("LateReport".to_owned())),
        ),
        (
            "attempt 3 of stage build is disputed (LateReport) in the cluster and not in the ledger",
            changed(|status| status.stages[0].attempts[2].disputed = Some("LateReport".to_owned())),
        ),
        (
            "the ledger holds attempt 2 of stage build, which the status does not have",
            changed(|status| drop(status.stages[0].attempts.remove(1))),
        ),
        (
            "the ledger holds attempt 3 of stage build, which the status does not have",
            changed(|status| status.stages[0].attempts.truncate(2)),
        ),
        (
            "stage build has 4 attempts in the cluster and 3 in the ledger",
            changed(|status| {
                let mut further = status.stages[0].attempts[2].clone();
                further.number = 4;
                status.stages[0].attempts.push(further);
            }),
        ),
        (
            "the reason of attempt 1 of stage build is Evicted in the cluster and OutOfMemory in the ledger",
            changed(|status| status.stages[0].attempts[0].reason = "Evicted".to_owned()),
        ),
        (
            "attempt 1 of stage build succeeded in the cluster and failed (OutOfMemory)",
            changed(|status| status.stages[0].attempts[0].outcome = Some(AttemptOutcome::Succeeded)),
        ),
        (
            "the reason of stage build is OutOfMemory in the cluster and StepFailed in the ledger",
            changed(|status| status.stages[0].reason = "OutOfMemory".to_owned()),
        ),
        (
            "the reason of stage test is Condition in the cluster and Needs in the ledger",
            changed(|status| status.stages[1].reason = "Condition".to_owned()),
        ),
        (
            "the reason of stage tidy is none in the cluster and Cancelled in the ledger",
            changed(|status| status.stages[2].reason.clear()),
        ),
        (
            "attempt 1 of stage tidy succeeded in the cluster and was cancelled in the ledger",
            changed(|status| status.stages[2].attempts[0].outcome = Some(AttemptOutcome::Succeeded)),
        ),
        (
            "the image of attempt 3 of stage build is evil:1 in the cluster and registry.example/c:1 in the ledger",
            changed(|status| status.stages[0].attempts[2].image = Some("evil:1".to_owned())),
        ),
    ];
    for (said, (status, detail)) in cases {
        assert_eq!(status, Status::Failed, "{said}");
        assert!(detail.contains(said), "{detail}, not {said}");
    }
}

#[test]
fn an_attempt_that_ended_only_in_the_cluster_is_found_and_one_that_waited_to_be_tried_again_may_be_stopped() {
    let mut run = run();
    let status = run.status.as_mut().unwrap();
    status.journal = None;
    status.stages.truncate(1);
    status.stages[0].state = dcanary_crds::StageState::Running;
    status.stages[0].attempts.truncate(1);
    let under_way = records(vec![started(1)]);
    let (found, detail) = whole(&run, &under_way);
    assert_eq!(found, Status::Failed);
    assert!(
        detail.contains("attempt 1 of stage build failed in the cluster and has not ended in the ledger"),
        "{detail}"
    );
    let stage = &mut run.status.as_mut().unwrap().stages[0];
    stage.state = dcanary_crds::StageState::Cancelled;
    stage.reason = "Cancelled".to_owned();
    let stopped = records(vec![
        started(1),
        retried(1, "OutOfMemory"),
        Transition::StageCancelled {
            stage: "build".to_owned(),
            reason: "Cancelled".to_owned(),
        },
    ]);
    let (found, detail) = whole(&run, &stopped);
    assert_eq!(found, Status::Passed, "{detail}");
}

#[test]
fn an_attempt_or_dispute_that_waits_for_the_ledger_is_no_contradiction() {
    let mut ahead = run();
    let status = ahead.status.as_mut().unwrap();
    status.journal.as_mut().unwrap().next = 11;
    status.stages[0].attempts[2].disputed = Some("LateReport".to_owned());
    let (found, detail) = whole(&ahead, &journal());
    assert_eq!(found, Status::Unchecked, "{detail}");
    // Nor is one whose record was refused: a note is in its place.
    let mut refused = journal();
    refused.push(Record {
        n: 10,
        transition: Transition::RecordRefused {
            hash: [0; 32],
            reason: "Illegal".to_owned(),
        },
        ..refused[0].clone()
    });
    let (found, detail) = whole(&ahead, &refused);
    assert_eq!(found, Status::Passed, "{detail}");
}

#[test]
fn every_disputed_attempt_is_told() {
    assert_eq!(
        disputes(&journal()),
        ["stage build, attempt 2: SecondTrade; no gate opens on it"]
    );
}

#[test]
fn a_stage_for_which_the_status_had_no_room_is_recorded_as_ended() {
    let mut full = run();
    full.status.as_mut().unwrap().stages[1].reason = "StatusFull".to_owned();
    let skipped = |reason| {
        let mut journal = journal();
        journal[7].transition = Transition::StageSkipped {
            stage: "test".to_owned(),
            reason,
        };
        whole(&full, &journal)
    };
    let (status, detail) = skipped(SkipReason::Ended);
    assert_eq!(status, Status::Passed, "{detail}");
    for other in [SkipReason::Condition, SkipReason::Needs, SkipReason::Results] {
        let (status, detail) = skipped(other);
        assert_eq!(status, Status::Failed);
        assert!(
            detail.contains("the reason of stage test is StatusFull in the cluster"),
            "{detail}"
        );
    }
}

#[test]
fn an_image_whose_name_the_status_shortened_is_compared_as_far_as_it_goes() {
    let image = format!("registry.example/{}:1", "c".repeat(500));
    let mut journal = journal();
    journal[5].transition = Transition::StageStarted {
        stage: "build".to_owned(),
        attempt: 3,
        image: image.clone(),
    };
    let shortened = |image: &str| {
        let mut run = run();
        let stages = &mut run.status.as_mut().unwrap().stages;
        stages[0].attempts[2].image = Some(dcanary_core::text::cut(image, 384));
        whole(&run, &journal)
    };
    let (status, detail) = shortened(&image);
    assert_eq!(status, Status::Passed, "{detail}");
    let (status, detail) = shortened(&image.replace('c', "d"));
    assert_eq!(status, Status::Failed);
    assert!(
        detail.contains("the image of attempt 3 of stage build"),
        "{detail}"
    );
}
