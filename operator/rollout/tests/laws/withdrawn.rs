//! What a person took away does not come back by itself.

use dcanary_crds::{ConditionType, Verb, WithdrawnRelease};
use serde_json::json;

use crate::{
    build::{canary, environment},
    ledger::after_staging,
    world::World,
};

/// Staging has promoted a release by a Promotion of this UID.
fn staged(world: &mut World, release: &str, promotion: &str) {
    after_staging(world, release, 4);
    let staging = world.from.as_mut().unwrap().status.as_mut().unwrap();
    staging.stable.as_mut().unwrap().promotion = Some(promotion.to_owned());
}

/// `good1` and then `good2` came by themselves.
fn after_two() -> World {
    let more = json!({"promotesFrom": {"name": "staging", "auto": true}});
    let steps = json!([{"weight": 50}, {"pause": {"duration": "5s"}}]);
    let mut world = World::new(environment(canary(steps), more));
    for (release, promotion) in [("good1", "uid-one"), ("good2", "uid-two")] {
        staged(&mut world, release, promotion);
        world.run(60);
        assert_eq!(world.stable().as_deref(), Some(release));
    }
    world
}

fn last(world: &World) -> String {
    world.promotions.last().unwrap().metadata.name.clone().unwrap()
}

/// What the Environment says of what it does.
fn said(world: &World) -> (String, String) {
    let conditions = world.status().conditions;
    let found = conditions
        .into_iter()
        .find(|condition| condition.kind == ConditionType::Progressing);
    let found = found.unwrap();
    (found.reason, found.message)
}

#[test]
fn what_a_person_undid_does_not_come_back_by_itself_whatever_promotion_of_the_source_brings_it() {
    for abort in [false, true] {
        let mut world = after_two();
        if abort {
            let name = last(&world);
            world.decide(&name, Verb::Abort, "ann");
        } else {
            world.decide_environment(Verb::Undo, None);
        }
        world.run(60);
        assert_eq!(world.stable().as_deref(), Some("good1"));
        let promotions = world.promotions.len();
        // configuration of the environment before changed, so that the same release is promoted there again
        staged(&mut world, "good2", "uid-three");
        world.run(60);
        assert_eq!(world.stable().as_deref(), Some("good1"), "abort: {abort}");
        assert_eq!(world.promotions.len(), promotions);
        let (reason, message) = said(&world);
        assert_eq!(reason, "NotPromoted");
        for part in ["good2", "ann undid it: because", "`dcanary promote web good2`"] {
            assert!(message.contains(part), "{message}");
        }
    }
}

#[test]
fn what_a_person_undid_does_not_come_back_because_its_finished_promotion_is_deleted() {
    let mut world = after_two();
    let brought = last(&world);
    world.decide_environment(Verb::Undo, None);
    world.run(60);
    world
        .promotions
        .retain(|promotion| promotion.metadata.name.as_ref() != Some(&brought));
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
}

#[test]
fn what_a_person_ended_on_its_way_does_not_come_back_by_itself() {
    for undo in [false, true] {
        let mut world = after_two();
        staged(&mut world, "good3", "uid-three");
        world.run_to(50);
        let name = last(&world);
        if undo {
            world.decide_environment(Verb::Undo, None);
        } else {
            world.decide(&name, Verb::Abort, "ann");
        }
        world.run(60);
        world
            .promotions
            .retain(|promotion| promotion.metadata.name.as_ref() != Some(&name));
        staged(&mut world, "good3", "uid-four");
        world.run(60);
        assert_eq!(world.stable().as_deref(), Some("good2"), "undo: {undo}");
        assert_eq!(said(&world).0, "NotPromoted");
    }
}

#[test]
fn another_release_comes_by_itself_and_what_a_person_promotes_again_is_taken_away_no_more() {
    let mut world = after_two();
    world.decide_environment(Verb::Undo, None);
    world.run(60);
    staged(&mut world, "good3", "uid-three");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good3"));
    let count = world.status().withdrawn.len();
    assert_eq!(count, 1, "good2 still is");
    staged(&mut world, "good2", "uid-four");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good3"));
    world.promote("good2");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    assert_eq!(world.status().withdrawn, []);
}

#[test]
fn only_the_latest_releases_that_were_taken_away_are_remembered() {
    let mut world = after_two();
    let before = (0..20).map(|n| WithdrawnRelease {
        release: format!("before-{n}"),
        digest: Some(format!("sha256:{n}")),
        ..WithdrawnRelease::default()
    });
    world.env.status.as_mut().unwrap().withdrawn = before.collect();
    world.decide_environment(Verb::Undo, None);
    world.run(60);
    let all = world.status().withdrawn;
    let names: Vec<&str> = all.iter().map(|one| one.release.as_str()).collect();
    assert_eq!((names.len(), names[0], names[19]), (20, "before-1", "good2"));
}

#[test]
fn what_a_person_aborts_while_it_waits_does_not_come_back_by_itself() {
    for missing in [false, true] {
        let mut world = after_two();
        let approval = json!({"required": 1, "users": ["bob"]});
        world.env.spec.approval = Some(serde_json::from_value(approval).unwrap());
        let place = ("shop".to_owned(), "good3".to_owned());
        let release = world.releases.get(&place).cloned().unwrap();
        staged(&mut world, "good3", "uid-three");
        if missing {
            world.releases.remove(&place);
        }
        world.run(5);
        let name = last(&world);
        world.decide(&name, Verb::Abort, "ann");
        world.run(5);
        assert_eq!(world.finished(&name), Some((false, "Aborted".to_owned())));
        world.releases.insert(place, release);
        world.env.spec.approval = None;
        let deleted = |promotion: &dcanary_crds::Promotion| promotion.metadata.name.as_ref() != Some(&name);
        world.promotions.retain(deleted);
        staged(&mut world, "good3", "uid-four");
        world.run(60);
        assert_eq!(world.stable().as_deref(), Some("good2"), "missing: {missing}");
        assert_eq!(said(&world).0, "NotPromoted");
        world.promote("good3");
        world.run(60);
        assert_eq!(world.stable().as_deref(), Some("good3"));
    }
}
