//! What comes by itself stands behind nothing that waits.

use dcanary_crds::{ConditionStatus, ConditionType, Verb};
use dcanary_rollout::Kind;
use serde_json::json;

use crate::{
    build::{canary, environment},
    ledger::after_staging,
    world::World,
};

#[test]
fn a_release_comes_by_itself_while_an_older_one_waits_for_approval_and_takes_its_place() {
    let more = json!({
        "promotesFrom": {"name": "staging", "auto": true},
        "approval": {"required": 1, "users": ["bob"]},
    });
    let mut world = World::new(environment(canary(json!([])), more));
    after_staging(&mut world, "good1", 4);
    world.run(5);
    let one = world.promotions[0].metadata.name.clone().unwrap();
    after_staging(&mut world, "good2", 4);
    world.run(5);
    assert_eq!(world.promotions.len(), 2);
    let two = world.promotions[1].metadata.name.clone().unwrap();
    world.decide(&two, Verb::Approve, "bob");
    world.run(30);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    assert_eq!(world.finished(&one), Some((false, "Superseded".to_owned())));
}

#[test]
fn a_release_that_a_person_has_asked_for_is_not_asked_for_again() {
    let more = json!({
        "promotesFrom": {"name": "staging", "auto": true},
        "approval": {"required": 1, "users": ["bob"]},
    });
    let mut world = World::new(environment(canary(json!([])), more));
    world.promote("good1");
    after_staging(&mut world, "good1", 4);
    world.run(5);
    assert_eq!(world.promotions.len(), 1);
}

#[test]
fn changed_configuration_of_the_stable_release_comes_while_another_promotion_waits_and_takes_no_ones_place() {
    let mut world = World::new(environment(canary(json!([{"weight": 50}])), json!({})));
    world.promote("good1");
    world.run(60);
    world.releases.remove(&("shop".to_owned(), "good2".to_owned()));
    let waits = world.promote("good2");
    world.run(5);
    assert_eq!(world.finished(&waits), None, "there is no such release yet");
    let before = world.status().stable.unwrap().identity;
    let template = world.env.spec.workload.template.as_mut().unwrap();
    let mut changed = serde_json::to_value(&*template).unwrap();
    changed["spec"]["template"]["metadata"] = json!({"annotations": {"colour": "red"}});
    *template = serde_json::from_value(changed).unwrap();
    world.run(90);
    let stable = world.status().stable.unwrap();
    assert_eq!(stable.release, "good1");
    assert_ne!(stable.identity, before);
    assert_eq!(world.finished(&waits), None, "it still waits");
    world.releases.insert(
        ("shop".to_owned(), "good2".to_owned()),
        crate::build::release("good2"),
    );
    world.run(90);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    assert_eq!(world.finished(&waits), Some((true, "Promoted".to_owned())));
}

#[test]
fn environments_of_one_name_in_two_namespaces_ask_for_the_same_release_under_two_names() {
    let asked = |namespace: &str| {
        let more = json!({"promotesFrom": {"name": "staging", "namespace": "shop", "auto": true}});
        let mut world = World::new(environment(canary(json!([])), more));
        world.env.metadata.namespace = Some(namespace.to_owned());
        after_staging(&mut world, "good1", 4);
        world.decide_once(usize::MAX);
        let metadata = world.promotions[0].metadata.clone();
        assert_eq!(
            metadata.namespace.as_deref(),
            Some("shop"),
            "where the Release is"
        );
        metadata.name.unwrap()
    };
    assert_ne!(asked("eu"), asked("us"));
    assert_eq!(asked("eu"), asked("eu"));
}

#[test]
fn a_promotion_that_cannot_be_made_is_told_with_what_to_do() {
    let more = json!({"promotesFrom": {"name": "staging", "auto": true}});
    let mut world = World::new(environment(canary(json!([])), more));
    after_staging(&mut world, "good1", 4);
    world.refuses = Some(|write| write.key.kind == Kind::Promotion);
    world.refused_as = "Foreign";
    world.run(5);
    let conditions = world.status().conditions;
    let mut all = conditions.iter();
    let progressing = all.find(|one| one.kind == ConditionType::Progressing).unwrap();
    assert_eq!(
        (progressing.status, progressing.reason.as_str()),
        (ConditionStatus::False, "PromotionRefused")
    );
    let message = &progressing.message;
    assert!(
        message.contains("web-auto-") && message.contains("it is not allowed"),
        "{message}"
    );
    world.refuses = None;
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
}
