use super::*;
use crate::exit::Exit;

fn promotion(name: &str) -> Promotion {
    let all: Vec<serde_json::Value> =
        serde_saphyr::from_str(include_str!("../../render/fixtures/promotions.yaml")).unwrap();
    let one = all
        .into_iter()
        .find(|one| one["metadata"]["name"] == name)
        .unwrap();
    serde_json::from_value(one).unwrap()
}

fn found(name: &str) -> Found {
    Found {
        promotion: promotion(name),
        namespace: "shop".to_owned(),
        environment: Some(
            serde_saphyr::from_str(include_str!("../../render/fixtures/environment_canary.yaml")).unwrap(),
        ),
    }
}

fn caller(name: &str, groups: &[&str]) -> Caller {
    Caller {
        username: name.to_owned(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
    }
}

fn refused(found: &Found, who: &Caller) -> String {
    may(Verb::Approve, found, who).unwrap_err().message
}

#[test]
fn a_member_of_a_named_group_may_approve_and_others_are_told_who_may() {
    let found = found("web-42-aaaaa");
    assert_eq!(may(Verb::Approve, &found, &caller("cy", &["sre"])), Ok(()));
    let said = refused(&found, &caller("cy", &["dev"]));
    assert!(
        said.contains("users bo or groups sre") && said.contains("you are cy"),
        "{said}"
    );
}

#[test]
fn nobody_approves_what_he_asked_for_or_twice() {
    let mut found = found("web-42-aaaaa");
    let said = refused(&found, &caller("ada", &["sre"]));
    assert!(
        said.contains("you asked for Promotion web-42-aaaaa yourself"),
        "{said}"
    );
    let said = refused(&found, &caller("bo", &[]));
    assert!(said.contains("approved Promotion web-42-aaaaa already"), "{said}");
    let environment = found.environment.as_mut().unwrap();
    environment.spec.approval.as_mut().unwrap().allow_self = true;
    assert_eq!(may(Verb::Approve, &found, &caller("ada", &["sre"])), Ok(()));
}

#[test]
fn a_promotion_of_nobody_cannot_be_approved() {
    let said = refused(&found("web-43-fffff"), &caller("cy", &["sre"]));
    assert!(said.contains("dcanary promote production web-43"), "{said}");
}

#[test]
fn where_no_approval_is_asked_for_there_is_nothing_to_approve() {
    let mut found = found("web-42-aaaaa");
    found.environment.as_mut().unwrap().spec.approval = None;
    let said = refused(&found, &caller("cy", &["sre"]));
    assert!(
        said.contains("asks for no approval: nothing to approve"),
        "{said}"
    );
}

#[test]
fn an_ended_promotion_is_beyond_every_decision() {
    for verb in [Verb::Approve, Verb::Abort, Verb::Resume, Verb::Override] {
        let said = may(verb, &found("web-40-ccccc"), &caller("cy", &["sre"]))
            .unwrap_err()
            .message;
        assert!(
            said.contains(&format!("has ended (AnalysisFailed): nothing to {}", verb.word())),
            "{said}"
        );
    }
}

#[test]
fn an_abort_that_comes_after_the_switch_still_goes_back() {
    let mut found = found("web-41-bbbbb");
    let ada = caller("ada", &[]);
    let said = may(Verb::Abort, &found, &ada).unwrap_err().message;
    assert!(said.ends_with("dcanary undo production"), "{said}");
    found.promotion.metadata.uid = Some("uid-41".to_owned());
    let environment = found.environment.as_mut().unwrap();
    environment
        .status
        .as_mut()
        .unwrap()
        .stable
        .as_mut()
        .unwrap()
        .promotion = Some("uid-41".to_owned());
    assert_eq!(may(Verb::Abort, &found, &ada), Ok(()));
    assert!(may(Verb::Pause, &found, &ada).is_err());
}

#[test]
fn what_was_looked_at_before_must_be_what_is_there_now() {
    let seen = promotion("web-42-aaaaa");
    let present = identity(&seen, None).unwrap();
    assert_eq!(identity(&seen, Some(&present)), Ok(present));
    let failure = identity(&seen, Some("sha256:00")).unwrap_err();
    assert_eq!(failure.exit, Exit::Failed);
    assert!(failure.message.contains("of another release"), "{failure}");
    let failure = identity(&promotion("web-43-fffff"), None).unwrap_err();
    assert_eq!(failure.exit, Exit::CannotTell);
    assert!(
        failure
            .message
            .contains("has not looked at Promotion web-43-fffff yet"),
        "{failure}"
    );
}
