use dcanary_core::definition::{self, Definition, StageDefinition};
use dcanary_crds::{AttemptOutcome, LedgerMode, Param};
use dcanary_types::{Value, cbor, record::Source};

use super::*;

/// A pipeline of one stage with one parameter.
fn definition() -> Definition {
    Definition {
        project: "shop".to_owned(),
        params: vec![Param {
            name: "who".to_owned(),
            description: None,
            default: Some("world".to_owned()),
        }],
        source: Some(dcanary_crds::Source {
            repo: "https://git.example/web".to_owned(),
            reference: Some("main".to_owned()),
            credentials: None,
        }),
        stages: vec![StageDefinition {
            stage: serde_saphyr::from_str("{name: build, image: i, steps: [{run: 'true'}]}").unwrap(),
            finally: false,
            needs: Vec::new(),
            executor: None,
            image: "i".to_owned(),
        }],
        parallelism: None,
        timeouts: definition::Limits::default(),
        image_pull_secrets: Vec::new(),
        ledger: LedgerMode::default(),
    }
}

fn record(n: u64, transition: Transition) -> Record {
    Record {
        run: "uid-1".to_owned(),
        n,
        claimed_ts: 0,
        transition,
    }
}

fn journal() -> Vec<Record> {
    let outputs = Outputs::new(
        [Artifact {
            name: "app".to_owned(),
            digest: [1; 32],
            size: 7,
        }],
        [(
            "version".to_owned(),
            ResultDigest {
                digest: sha256(b"1.4"),
                size: 3,
            },
        )],
    )
    .digest();
    vec![
        record(
            0,
            Transition::RunOpened {
                name: "team/web-1".to_owned(),
                definition: definition().digest().unwrap(),
                graph: definition().graph().unwrap().digest(),
                params: sha256(&cbor::encode(&Value::Map(
                    [("who".to_owned(), Value::Text("ada".to_owned()))].into(),
                ))),
                source: Some(Source {
                    repo: "https://git.example/web".to_owned(),
                    reference: Some("main".to_owned()),
                    commit: "a".repeat(40),
                }),
            },
        ),
        record(
            1,
            Transition::StageStarted {
                stage: "build".to_owned(),
                attempt: 1,
                image: "i".to_owned(),
            },
        ),
        record(
            2,
            Transition::StageSucceeded {
                stage: "build".to_owned(),
                attempt: 1,
                outputs,
                artifacts: None,
            },
        ),
        record(
            3,
            Transition::RunFinished {
                outcome: Outcome::Succeeded,
            },
        ),
    ]
}

fn run() -> PipelineRun {
    let one = "01".repeat(32);
    let two = definition::text(&sha256(b"1.4"));
    let three = definition::text(&definition().digest().unwrap());
    let resolved = definition().encode(definition::MAX_RESOLVED_BYTES).unwrap();
    let commit = "a".repeat(40);
    serde_saphyr::from_str(&format!(
        "apiVersion: dcanary.dev/v1alpha1
kind: PipelineRun
metadata: {{name: web-1, namespace: team, uid: uid-1}}
spec:
  pipelineRef: {{name: web}}
  params: [{{name: who, value: ada}}]
  source: {{commit: '{commit}'}}
status:
  definition: '{three}'
  resolved: '{resolved}'
  conditions:
  - {{type: Succeeded, status: 'True', reason: Succeeded, message: '', lastTransitionTime: '2026-01-01T00:00:00Z'}}
  - {{type: Finished, status: 'True', reason: Succeeded, message: '', lastTransitionTime: '2026-01-01T00:00:00Z'}}
  journal: {{next: 4, recorded: 4, pending: []}}
  stages:
  - name: build
    state: Succeeded
    attempts: [{{number: 1, pod: p, outcome: Succeeded, reason: Succeeded}}]
    artifacts: [{{name: app, digest: 'sha256:{one}', size: 7, kind: file}}]
    results: [{{name: version, digest: '{two}', size: 3, value: '1.4'}}]
"
    ))
    .unwrap()
}

fn changed(change: impl FnOnce(&mut PipelineRunStatus)) -> (Status, String) {
    let mut run = run();
    change(run.status.as_mut().unwrap());
    compare(&run, &journal())
}

#[test]
fn a_status_that_says_what_the_ledger_says_passes() {
    let (status, detail) = compare(&run(), &journal());
    assert_eq!(
        (status, detail.as_str()),
        (
            Status::Passed,
            "definition, parameters, source, states, attempts, reasons, disputes, outputs and outcome of the run agree with all 4 records"
        )
    );
}

#[test]
fn a_run_with_an_image_passes_and_says_that_its_registry_is_not_recorded() {
    let (status, detail) = changed(|status| {
        let artifact = &mut status.stages[0].artifacts[0];
        artifact.kind = "image".to_owned();
        artifact.reference = Some(format!("registry.example/app@{}", artifact.digest));
    });
    assert_eq!(status, Status::Passed, "{detail}");
    assert!(
        detail.ends_with("; of an image's reference the digest is recorded, registry and repository are not"),
        "{detail}"
    );
}

#[test]
fn each_contradiction_fails_with_its_place() {
    let cases: Vec<(&str, (Status, String))> = vec![
        (
            "stage build is Failed",
            changed(|status| status.stages[0].state = StageState::Failed),
        ),
        (
            "artifacts of stage build",
            changed(|status| status.stages[0].artifacts[0].size = 8),
        ),
        (
            "artifacts of stage build",
            changed(|status| status.stages[0].results.clear()),
        ),
        (
            "the reference of image app of stage build is evil.example/x@sha256:00",
            changed(|status| {
                let artifact = &mut status.stages[0].artifacts[0];
                artifact.kind = "image".to_owned();
                artifact.reference = Some(format!("evil.example/x@sha256:{}", "00".repeat(32)));
            }),
        ),
        (
            "is no image but of the kind file",
            changed(|status| {
                let artifact = &mut status.stages[0].artifacts[0];
                artifact.reference = Some(format!("registry.example/app@{}", artifact.digest));
            }),
        ),
        (
            "is malformed",
            changed(|status| {
                status.stages[0].results[0].digest = "x".to_owned();
                status.stages[0].results[0].value = None;
            }),
        ),
        (
            "the value of result version of stage build",
            changed(|status| status.stages[0].results[0].value = Some("6.6".to_owned())),
        ),
        (
            "the value of result version of stage build",
            changed(|status| status.stages[0].results[0].value = Some("https://evil.example/x".to_owned())),
        ),
        (
            "attempt 1 of stage build failed in the cluster and succeeded in the ledger",
            changed(|status| {
                status.stages[0].attempts[0].outcome = Some(AttemptOutcome::Failed);
                status.stages[0].attempts[0].reason = "StepFailed".to_owned();
            }),
        ),
        (
            "attempt 1 of stage build goes on in the cluster and succeeded in the ledger",
            changed(|status| status.stages[0].attempts[0].outcome = None),
        ),
        (
            "attempt 2",
            changed(|status| status.stages[0].attempts[0].number = 2),
        ),
        (
            "another definition",
            changed(|status| status.definition = Some(format!("sha256:{}", "00".repeat(32)))),
        ),
        (
            "status.definition is not there",
            changed(|status| status.definition = None),
        ),
        (
            "status.resolved: the status has no resolved definition",
            changed(|status| status.resolved = None),
        ),
        (
            "status.resolved: the resolved definition in the status cannot be read",
            changed(|status| status.resolved = Some("AAAA".to_owned())),
        ),
        (
            "status.resolved: the resolved definition in the status has not the digest",
            changed(|status| {
                let mut other = definition();
                other.stages[0].image = "evil".to_owned();
                status.resolved = Some(other.encode(definition::MAX_RESOLVED_BYTES).unwrap());
            }),
        ),
        (
            "the run failed in the cluster",
            changed(|status| status.conditions[0].status = ConditionStatus::False),
        ),
        (
            "goes on in the cluster",
            changed(|status| status.conditions.clear()),
        ),
        (
            "which the status does not have",
            changed(|status| status.stages.clear()),
        ),
        (
            "says 5 records",
            changed(|status| status.journal.as_mut().unwrap().recorded = 5),
        ),
    ];
    for (said, (status, detail)) in cases {
        assert_eq!(status, Status::Failed, "{said}");
        assert!(detail.contains(said), "{detail}");
    }
}

#[test]
fn records_of_an_older_run_of_the_same_name_and_definition_fail() {
    let mut newer = run();
    newer.metadata.uid = Some("uid-2".to_owned());
    let (status, detail) = compare(&newer, &journal());
    assert_eq!(status, Status::Failed);
    assert!(
        detail.contains("of run uid-1") && detail.contains("is uid-2"),
        "{detail}"
    );
    // One record of another run among them is enough.
    let mut mixed = journal();
    mixed[2].run = "uid-0".to_owned();
    assert_eq!(compare(&run(), &mixed).0, Status::Failed);
}

#[test]
fn another_name_in_the_ledger_fails() {
    let mut other = run();
    other.metadata.name = Some("web-2".to_owned());
    assert!(
        compare(&other, &journal())
            .1
            .contains("as team/web-1, the cluster as team/web-2")
    );
}

#[test]
fn records_that_wait_leave_it_open_and_a_silent_ledger_fails() {
    let journal = journal();
    let mut behind = run();
    behind.status.as_mut().unwrap().journal.as_mut().unwrap().recorded = 2;
    let (status, detail) = compare(&behind, &journal[..2]);
    assert_eq!(
        (status, detail.as_str()),
        (Status::Unchecked, "2 records are not in the ledger yet")
    );
    // Nothing waits, and still the ledger lacks the end.
    let journal_status = behind.status.as_mut().unwrap().journal.as_mut().unwrap();
    journal_status.next = 2;
    let (status, detail) = compare(&behind, &journal[..2]);
    assert_eq!(status, Status::Failed);
    assert!(detail.contains("has not ended in the ledger"), "{detail}");
}

#[test]
fn a_run_that_ended_by_its_deletion_passes_when_the_ledger_has_it_as_cancelled() {
    let mut deleted = run();
    let end = &mut deleted.status.as_mut().unwrap().conditions[0];
    end.status = ConditionStatus::False;
    end.reason = "Deleted".to_owned();
    let ended = |outcome| {
        let mut journal = journal();
        journal[3].transition = Transition::RunFinished { outcome };
        compare(&deleted, &journal)
    };
    let (status, detail) = ended(Outcome::Cancelled);
    assert_eq!(status, Status::Passed, "{detail}");
    let (status, detail) = ended(Outcome::Failed);
    assert_eq!(status, Status::Failed);
    assert!(
        detail.contains("cancelled in the cluster and failed in the ledger"),
        "{detail}"
    );
}

#[path = "opened_tests.rs"]
mod opened;
