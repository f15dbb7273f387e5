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
