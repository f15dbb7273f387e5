use super::*;
use crate::render::tree::fixtures::at;

fn read(text: &str) -> Environment {
    serde_saphyr::from_str(text).unwrap()
}

fn canary() -> Environment {
    read(include_str!("fixtures/environment_canary.yaml"))
}

fn rolled_back() -> Environment {
    read(include_str!("fixtures/environment_rolled_back.yaml"))
}

fn plain(environment: &Environment) -> String {
    tree(environment, at("2026-03-01T12:10:00Z"), Style::PLAIN)
}

#[test]
fn a_canary_shows_weights_steps_approvals_changes_and_what_was_measured() {
    insta::assert_snapshot!("environment_canary", plain(&canary()));
}

#[test]
fn a_rolled_back_environment_shows_what_is_served_and_why_the_release_is_held() {
    insta::assert_snapshot!("environment_rolled_back", plain(&rolled_back()));
}

#[test]
fn an_environment_that_nobody_has_seen_says_how_to_begin() {
    let mut environment = canary();
    environment.status = None;
    let text = plain(&environment);
    assert!(text.starts_with("◌ production  Pending"), "{text}");
    assert!(text.contains("dcanary promote production RELEASE"), "{text}");
}

#[test]
fn who_still_has_to_approve_is_told_with_the_command() {
    let mut environment = canary();
    environment
        .status
        .as_mut()
        .unwrap()
        .rollout
        .as_mut()
        .unwrap()
        .approvals
        .clear();
    let text = plain(&environment);
    assert!(
        text.contains("0 of 2 approvals; users bo or groups sre: dcanary approve web-42-aaaaa"),
        "{text}"
    );
}

#[test]
fn doubts_about_approvals_and_a_contested_route_are_shown_loudly() {
    let mut environment = canary();
    let status = environment.status.as_mut().unwrap();
    let doubt = status
        .conditions
        .iter_mut()
        .find(|one| one.kind == ConditionType::ApprovalsEnforced)
        .unwrap();
    doubt.status = ConditionStatus::False;
    doubt.message = "the policy dcanary-decisions is missing".to_owned();
    status.contest = Some(dcanary_crds::Contest {
        manager: "argocd-controller".to_owned(),
        at: vec![at("2026-03-01T12:09:00Z")],
        ..dcanary_crds::Contest::default()
    });
    let text = plain(&environment);
    assert!(
        text.contains("⚠ no approval counts: the policy dcanary-decisions is missing"),
        "{text}"
    );
    assert!(text.contains("⚠ argocd-controller changes the weights"), "{text}");
}

#[test]
fn values_of_metrics_cannot_bring_escapes_into_the_terminal() {
    let mut environment = canary();
    let rollout = environment.status.as_mut().unwrap().rollout.as_mut().unwrap();
    rollout.message = "a\nb\u{1b}[31m".to_owned();
    rollout.analyses[0].metrics[0].samples[0].value = Some("\"\u{1b}]0;x\u{7}\"".to_owned());
    assert!(!plain(&environment).contains('\u{1b}'));
    let coloured = tree(&environment, at("2026-03-01T12:10:00Z"), Style { color: true });
    assert!(
        !coloured.contains("\u{1b}]") && coloured.contains("\u{1b}[36m◷\u{1b}[0m"),
        "{coloured:?}"
    );
}

#[test]
fn environments_are_a_table() {
    let now = at("2026-03-01T12:10:00Z");
    let all = [canary(), rolled_back()];
    insta::assert_snapshot!(
        "environments",
        environments(&all, false, false, now, Style::PLAIN)
    );
    insta::assert_snapshot!(
        "environments_wide",
        environments(&all, true, true, now, Style::PLAIN)
    );
}
