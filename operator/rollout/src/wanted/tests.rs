#![allow(clippy::unwrap_used)]

use dcanary_crds::{
    DeployedRelease, Duration, Environment, EnvironmentStatus, FreezeWindow, PromotesFrom, Release,
    release::DecidedKind,
};
use jiff::Timestamp;

use super::*;
use crate::seen::Seen;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn window(start: &str, hours: u64, zone: Option<&str>) -> FreezeWindow {
    FreezeWindow {
        name: "weekend".to_owned(),
        start: start.to_owned(),
        duration: Duration::from_secs(hours * 3600),
        time_zone: zone.map(str::to_owned),
    }
}

#[test]
fn a_window_is_open_from_its_start_until_its_duration_is_over() {
    // Friday, 2 January 2026
    let friday = [window("0 18 * * 5", 63, None)];
    for (time, open) in [
        ("2026-01-02T17:59:59Z", false),
        ("2026-01-02T18:00:00Z", true),
        ("2026-01-05T08:59:59Z", true),
        ("2026-01-05T09:00:00Z", false),
    ] {
        assert_eq!(frozen(&friday, at(time)).unwrap().is_some(), open, "{time}");
    }
}

#[test]
fn a_window_begins_by_the_clock_of_its_time_zone_in_summer_and_in_winter() {
    let evening = [window("0 18 * * *", 1, Some("Europe/Zurich"))];
    assert!(frozen(&evening, at("2026-01-10T17:30:00Z")).unwrap().is_some());
    assert!(frozen(&evening, at("2026-07-10T16:30:00Z")).unwrap().is_some());
    assert!(frozen(&evening, at("2026-07-10T17:30:00Z")).unwrap().is_none());
}

#[test]
fn a_window_that_cannot_be_followed_says_what_is_wrong_with_it() {
    let wrong = |window: FreezeWindow| validate_freeze(&[window]).unwrap_err().to_string();
    assert!(wrong(window("0 25 * * *", 1, None)).contains("`0 25 * * *` is no cron expression"));
    assert!(wrong(window("0 0 0 * * *", 1, None)).contains("five fields"));
    assert!(wrong(window("0 0 * * *", 1, Some("Mars/Base"))).contains("no time zone `Mars/Base`"));
    assert!(wrong(window("0 0 * * *", 0, None)).contains("duration"));
}

#[test]
fn of_several_open_windows_the_one_that_ends_last_is_told() {
    let both = [window("0 0 * * *", 2, None), window("0 0 * * *", 5, None)];
    assert_eq!(
        frozen(&both, at("2026-01-10T01:00:00Z")).unwrap().unwrap().until,
        at("2026-01-10T05:00:00Z")
    );
}

#[test]
fn a_name_of_a_forge_may_be_the_user_of_that_name_and_service_accounts_are_themselves() {
    for (one, other, same) in [
        ("ann", "ann", true),
        ("github:Ann", "ann", true),
        ("oidc:ann@example.com", "github:ann", true),
        ("ann", "bob", false),
        (
            "system:serviceaccount:a:deployer",
            "system:serviceaccount:b:deployer",
            false,
        ),
    ] {
        assert_eq!(same_person(one, other), same, "{one} {other}");
        assert_eq!(same_person(other, one), same, "{other} {one}");
    }
}

#[test]
fn a_release_has_arrived_only_with_the_same_images_and_the_same_artifacts() {
    let release = |artifact: &str| {
        let spec = serde_json::json!({"images": {"web": "web:1"}, "artifacts": {"model": artifact}});
        Release::new("r", serde_json::from_value(spec).unwrap())
    };
    let (one, other) = (release("sha256:11"), release("sha256:22"));
    let spec = serde_json::json!({"workload": {}, "strategy": {}});
    let mut from = Environment::new("staging", serde_json::from_value(spec).unwrap());
    let deployed = DeployedRelease {
        images: one.spec.images.clone(),
        digest: Some(digest_of(&one)),
        ..DeployedRelease::default()
    };
    from.status = Some(EnvironmentStatus {
        stable: Some(deployed.clone()),
        ..EnvironmentStatus::default()
    });
    let rule = PromotesFrom {
        name: "staging".to_owned(),
        ..PromotesFrom::default()
    };
    let now = at("2026-01-02T18:00:00Z");
    let seen = Seen {
        from: Some(from),
        ..Seen::default()
    };
    assert_eq!(arrived(&rule, &seen, &one, false, now), Arrived::Yes);
    assert_ne!(arrived(&rule, &seen, &other, false, now), Arrived::Yes);
    let here = DeployedRelease {
        digest: Some(digest_of(&other)),
        ..deployed.clone()
    };
    assert!(
        !is_same(&here, &deployed.images, deployed.digest.as_deref()),
        "what only images tell apart is not all"
    );
}

#[test]
fn a_decision_counts_only_for_exactly_the_object_that_it_is_for() {
    let decision = |namespace: &str, kind: &str, name: &str, uid: &str| -> dcanary_crds::Decision {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "dcanary.dev/v1alpha1", "kind": "Decision",
            "metadata": {"name": "d", "namespace": namespace, "uid": "d", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"for": {"kind": kind, "name": name, "uid": uid}, "verb": "approve", "by": {"username": "ann"}},
        }))
        .unwrap()
    };
    let counts = |decision| {
        let seen = Seen {
            decisions: vec![decision],
            ..Seen::default()
        };
        let now = at("2026-01-02T00:00:00Z");
        !counted(&seen, DecidedKind::Promotion, "team", "p", "uid-p", now).is_empty()
    };
    assert!(counts(decision("team", "Promotion", "p", "uid-p")));
    // where its author had the right is where the object is, and no other place
    assert!(!counts(decision("shop", "Promotion", "p", "uid-p")));
    assert!(!counts(decision("team", "Environment", "p", "uid-p")));
    assert!(!counts(decision("team", "Promotion", "q", "uid-p")));
    assert!(!counts(decision(
        "team",
        "Promotion",
        "p",
        "uid-of-the-one-before"
    )));
}
