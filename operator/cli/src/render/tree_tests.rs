use super::*;

fn plain(run: &PipelineRun) -> String {
    tree(run, fixtures::at("2026-03-01T12:10:00Z"), Style::PLAIN)
}

#[test]
fn a_failed_run_shows_what_failed_and_what_it_left() {
    insta::assert_snapshot!("tree_failed", plain(&fixtures::failed()));
}

#[test]
fn a_running_run_shows_attempts_and_what_waits() {
    insta::assert_snapshot!("tree_running", plain(&fixtures::running()));
}

#[test]
fn a_run_without_status_is_pending() {
    let mut run = fixtures::running();
    run.status = None;
    insta::assert_snapshot!("tree_pending", plain(&run));
}

#[test]
fn colours_are_only_where_they_are_wanted() {
    let run = fixtures::failed();
    assert!(!plain(&run).contains('\u{1b}'));
    let colored = tree(&run, fixtures::at("2026-03-01T12:10:00Z"), Style { color: true });
    assert!(colored.contains("\u{1b}[31m✖\u{1b}[0m"));
}

#[test]
fn a_result_with_newlines_and_escapes_stays_one_harmless_line() {
    let result = ResultStatus {
        name: "x".to_owned(),
        value: Some("a\nb\u{1b}[31m\"; touch /pwned; $(id)".to_owned()),
        ..ResultStatus::default()
    };
    let line = result_line(&result);
    assert!(!line.contains('\n') && !line.contains('\u{1b}'), "{line:?}");
}

fn running_stage(run: &mut PipelineRun) -> &mut StageStatus {
    let stages = &mut run.status.as_mut().unwrap().stages;
    let mut stages = stages.iter_mut();
    stages.find(|stage| stage.state == StageState::Running).unwrap()
}

#[test]
fn a_stage_whose_pod_cannot_be_created_yet_shows_what_it_waits_for() {
    let mut run = fixtures::running();
    running_stage(&mut run).attempts = vec![AttemptStatus {
        number: 1,
        reason: "QuotaExceeded".to_owned(),
        message: "exceeded quota: few-pods".to_owned(),
        ..AttemptStatus::default()
    }];
    let text = plain(&run);
    assert!(text.contains("QuotaExceeded: exceeded quota: few-pods"), "{text}");
}

#[test]
fn a_deployment_shows_its_promotion_and_for_what_it_waits() {
    let mut run = fixtures::running();
    running_stage(&mut run).attempts = vec![AttemptStatus {
        number: 1,
        reason: "WaitingForApproval".to_owned(),
        message: "1 of 2 have approved".to_owned(),
        promotion: Some(dcanary_crds::AttemptPromotion {
            name: "web-7-production-1-0123456789".to_owned(),
            uid: None,
            environment: "production".to_owned(),
            release: "web-7-abcdef0123".to_owned(),
        }),
        ..AttemptStatus::default()
    }];
    let text = plain(&run);
    let line = "→ production: promotion web-7-production-1-0123456789 of release web-7-abcdef0123";
    assert!(
        text.contains(line) && text.contains("WaitingForApproval: 1 of 2 have approved"),
        "{text}"
    );
}

/// A run with a text in every place in which the tree shows one.
fn wordy() -> PipelineRun {
    let mut run = fixtures::failed();
    run.spec.source = Some(dcanary_crds::RunSource {
        repo: Some("https://git.example/web".to_owned()),
        reference: Some("main".to_owned()),
        commit: Some("a".repeat(40)),
    });
    let status = run.status.as_mut().unwrap();
    status.journal.get_or_insert_default().refused = Some("Illegal".to_owned());
    let told = |kind, status| Condition {
        kind,
        status,
        reason: "Reason".to_owned(),
        message: "a message".to_owned(),
        last_transition_time: fixtures::at("2026-03-01T12:00:00Z"),
        observed_generation: 1,
    };
    status
        .conditions
        .retain(|one| !matches!(one.kind, ConditionType::Stalled | ConditionType::Recorded));
    status
        .conditions
        .push(told(ConditionType::Stalled, ConditionStatus::True));
    status
        .conditions
        .push(told(ConditionType::Recorded, ConditionStatus::False));
    let attempt = |number, outcome| AttemptStatus {
        number,
        outcome,
        reason: "Reason".to_owned(),
        message: "a message".to_owned(),
        disputed: Some("SecondTrade".to_owned()),
        promotion: Some(dcanary_crds::AttemptPromotion {
            name: "promotion".to_owned(),
            uid: None,
            environment: "production".to_owned(),
            release: "release".to_owned(),
        }),
        steps: vec![StepStatus {
            name: "step".to_owned(),
            outcome: "failed".to_owned(),
            message: Some("a message".to_owned()),
            ..StepStatus::default()
        }],
        ..AttemptStatus::default()
    };
    let result = |value: Option<&str>| ResultStatus {
        name: "result".to_owned(),
        value: value.map(str::to_owned),
        digest: "sha256:00".to_owned(),
        size: 1,
    };
    let artifact = |reference: Option<&str>| ArtifactStatus {
        name: "artifact".to_owned(),
        digest: "sha256:00".to_owned(),
        kind: "file".to_owned(),
        reference: reference.map(str::to_owned),
        ..ArtifactStatus::default()
    };
    status.stages = vec![
        StageStatus {
            name: "one".to_owned(),
            state: StageState::Running,
            attempts: vec![attempt(1, None)],
            results: vec![result(Some("value")), result(None)],
            artifacts: vec![artifact(Some("registry.example/a")), artifact(None)],
            ..StageStatus::default()
        },
        StageStatus {
            name: "two".to_owned(),
            state: StageState::Failed,
            reason: "Reason".to_owned(),
            message: "a message".to_owned(),
            attempts: vec![
                attempt(1, Some(dcanary_crds::AttemptOutcome::Failed)),
                attempt(2, Some(dcanary_crds::AttemptOutcome::Failed)),
            ],
            ..StageStatus::default()
        },
    ];
    run
}

/// Every text of a document, one after the other with something else in its place.
fn forged(value: &serde_json::Value, with: &str) -> Vec<serde_json::Value> {
    use serde_json::Value;
    match value {
        Value::String(_) => vec![Value::String(with.to_owned())],
        Value::Array(items) => (0..items.len())
            .flat_map(|i| {
                forged(&items[i], with).into_iter().map(move |inner| {
                    let mut items = items.clone();
                    items[i] = inner;
                    Value::Array(items)
                })
            })
            .collect(),
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, inner)| {
                forged(inner, with).into_iter().map(move |inner| {
                    let mut fields = fields.clone();
                    fields.insert(key.clone(), inner);
                    Value::Object(fields)
                })
            })
            .collect(),
        _ => Vec::new(),
    }
}

#[test]
fn no_text_of_others_draws_a_line_or_has_an_escape() {
    let run = wordy();
    let lines = plain(&run).lines().count();
    let mark = "zzforged";
    let with = format!("{mark}\n├─ ✔ build   Succeeded\r\u{1b}[2K\u{9b}1A");
    let mut shown = 0;
    for value in forged(&serde_json::to_value(&run).unwrap(), &with) {
        // what is a word of a list or a time cannot be anything else
        let Ok(run) = serde_json::from_value::<PipelineRun>(value) else {
            continue;
        };
        let text = plain(&run);
        assert_eq!(text.lines().count(), lines, "{text}");
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        shown += usize::from(text.contains(mark));
    }
    assert!(shown >= 30, "the tree shows {shown} of them");
}

#[test]
fn an_exit_code_that_the_message_begins_with_is_told_once() {
    let step = |message: Option<&str>| StepStatus {
        name: "unit".to_owned(),
        outcome: "failed".to_owned(),
        exit_code: Some(137),
        message: message.map(str::to_owned),
        ..StepStatus::default()
    };
    let said = |message| step_line(&step(message), Style::PLAIN);
    assert_eq!(
        said(Some("exit code 137: out of memory"))
            .matches("exit code 137")
            .count(),
        1
    );
    assert!(said(Some("out of memory")).ends_with("exit code 137, out of memory"));
    assert!(said(None).ends_with("exit code 137"));
}
