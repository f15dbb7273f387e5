//! What the chain refuses, and what it has to hold first.

use dcanary_crds::{DeployedRelease, Doing, EnvironmentStatus, JournalStatus, RolloutOutcome};
use serde_json::json;

use crate::{
    build::{canary, environment},
    world::World,
};

/// A world whose environment before has promoted a release by record 3.
pub fn after_staging(world: &mut World, release: &str, recorded: i64) {
    let mut staging = environment(canary(json!([])), json!({}));
    staging.metadata.name = Some("staging".to_owned());
    staging.metadata.uid = Some("uid-staging".to_owned());
    let place = ("shop".to_owned(), release.to_owned());
    staging.status = Some(EnvironmentStatus {
        stable: Some(DeployedRelease {
            release: release.to_owned(),
            namespace: "shop".to_owned(),
            identity: release.to_owned(),
            images: world.releases[&place].spec.images.clone(),
            since: Some(world.now),
            record: Some(3),
            ..DeployedRelease::default()
        }),
        journal: Some(JournalStatus {
            next: 4,
            recorded,
            ..JournalStatus::default()
        }),
        ..EnvironmentStatus::default()
    });
    world.from = Some(staging);
}

#[test]
fn a_release_comes_by_itself_when_the_chain_holds_that_it_succeeded_before() {
    let more = json!({"promotesFrom": {"name": "staging", "auto": true}});
    let mut world = World::new(environment(canary(json!([])), more));
    after_staging(&mut world, "good1", 3);
    world.run(30);
    assert_eq!(world.promotions.len(), 0, "the chain would refuse it");
    after_staging(&mut world, "good1", 4);
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
}

#[test]
fn a_promotion_waits_for_the_chain_to_hold_that_its_release_succeeded_before() {
    let more = json!({"promotesFrom": {"name": "staging"}});
    let mut world = World::new(environment(canary(json!([])), more));
    after_staging(&mut world, "good1", 3);
    let name = world.promote("good1");
    world.run(30);
    assert_eq!((world.finished(&name), world.doing()), (None, None));
    let conditions = world.promotions[0].status.clone().unwrap().conditions;
    assert!(
        conditions
            .iter()
            .any(|condition| condition.reason == "WaitingForSource"
                && condition.message.contains("not on the ledger yet")),
        "{conditions:?}"
    );
    after_staging(&mut world, "good1", 4);
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
}

/// A rollout waits for the chain, and a refusal of a record is told; by how much it is before the rollout's first.
fn refused(before: i64) -> World {
    let mut world = World::new(environment(canary(json!([{"weight": 50}])), json!({})));
    world.promote("good1");
    world.run(60);
    world.chain_away = true;
    world.promote("good2");
    world.run(3);
    assert_eq!(world.doing(), Some(Doing::Waiting));
    let status = world.env.status.as_mut().unwrap();
    let first = status.rollout.as_ref().unwrap().record.unwrap();
    let journal = status.journal.as_mut().unwrap();
    journal.refused = Some("it was refused".to_owned());
    journal.refused_record = Some(first - before);
    world.run(3);
    world
}

#[test]
fn a_refused_record_ends_the_rollout_that_it_is_of() {
    let world = refused(0);
    assert_eq!(world.outcome(), Some(RolloutOutcome::Refused));
    assert_eq!(world.stable().as_deref(), Some("good1"));
}

#[test]
fn a_refused_record_of_the_rollout_before_does_not_end_the_next_one() {
    let mut world = refused(1);
    assert_eq!(world.doing(), Some(Doing::Waiting));
    world.chain_away = false;
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}
