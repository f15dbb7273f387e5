//! Effects that are lost: the operator died after it had written the status, and before it had done what the status says.

use std::collections::{BTreeMap, BTreeSet};

use dcanary_crds::{DeployedRelease, EnvironmentStatus, Verb};
use dcanary_rollout::{Key, Kind};
use serde_json::{Value, json};

use crate::{
    build::{canary, environment},
    world::World,
};

/// What a path leads to.
#[derive(Debug, PartialEq)]
struct End {
    stable: Option<(String, String)>,
    history: Vec<String>,
    held: Vec<String>,
    promotions: BTreeMap<String, Option<(bool, String)>>,
    objects: Vec<Key>,
    replicas: BTreeMap<String, i64>,
    shares: BTreeMap<String, i64>,
    evidence: usize,
    gone: bool,
}

impl End {
    fn of(world: &World) -> Self {
        let status = world.status();
        let names = world
            .promotions
            .iter()
            .map(|promotion| promotion.metadata.name.clone().unwrap());
        let deployments = world
            .cluster
            .objects
            .keys()
            .filter(|key| key.kind == Kind::Deployment);
        Self {
            stable: status.stable.map(|stable| (stable.release, stable.identity)),
            history: status
                .history
                .into_iter()
                .map(|deployed| deployed.release)
                .collect(),
            held: status.held.into_iter().filter_map(|held| held.release).collect(),
            promotions: names.map(|name| (name.clone(), world.finished(&name))).collect(),
            objects: world.cluster.objects.keys().cloned().collect(),
            replicas: deployments
                .map(|key| (key.name.clone(), world.cluster.replicas(&key.name)))
                .collect(),
            shares: world.cluster.shares(),
            evidence: world.evidence.len(),
            gone: world.is_gone(),
        }
    }
}

/// Goes a path twice, the second time with each effect lost once, and compares the ends.
fn is_the_same(path: impl Fn(&mut World), env: impl Fn() -> dcanary_crds::Environment) -> World {
    let mut kept = World::new(env());
    path(&mut kept);
    let mut lossy = World::new(env());
    lossy.lost = Some(BTreeSet::new());
    path(&mut lossy);
    assert_eq!(End::of(&lossy), End::of(&kept));
    lossy
}

fn stage(name: &str) -> Value {
    json!([{"name": name, "image": "busybox", "steps": [{"run": "true"}]}])
}

fn everything() -> dcanary_crds::Environment {
    let metrics = json!({"metrics": [
        {"name": "errors", "interval": "5s", "count": 2, "success": "result < 0.1",
            "prometheus": {"address": "http://prometheus", "query": "up"}},
        {"name": "smoke", "interval": "5s", "count": 1, "job": stage("smoke")[0]},
    ]});
    let steps = json!([{"mirror": 10}, {"weight": 20}, {"analysis": metrics}, {"weight": 60}]);
    let more = json!({
        "hooks": {"preDeploy": stage("migrate"), "postDeploy": stage("tell"), "onRollback": stage("mourn")},
        "workload": {
            "configMaps": ["settings"], "disruptionBudget": {"maxUnavailable": "1"},
            "template": {"spec": {"template": {"spec": {"containers": [
                {"name": "app", "image": "$(images.app)", "envFrom": [{"configMapRef": {"name": "settings"}}]}]}}}},
        },
        "history": {"limit": 1}, "deletionPolicy": "Delete",
    });
    let mut env = environment(canary(steps), more);
    env.metadata.finalizers = None;
    env
}

fn settings(world: &mut World, colour: &str) {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "shop"}, "data": {"colour": colour}});
    world
        .cluster
        .objects
        .insert(Key::new(Kind::ConfigMap, "settings"), object);
}

#[test]
fn an_effect_that_is_lost_once_is_asked_for_again() {
    let path = |world: &mut World| {
        settings(world, "blue");
        for release in ["good1", "good2"] {
            world.promote(release);
            world.run(150);
        }
        settings(world, "green");
        world.run(150);
        world.promote("bad");
        world.run(150);
        world.decide_environment(Verb::Undo, None);
        world.run(150);
        world.promote("good3");
        world.run(150);
    };
    let mut world = is_the_same(path, everything);
    assert_eq!(world.stable().as_deref(), Some("good3"));
    assert_eq!(
        world.promotions.len(),
        6,
        "of which one undoes and one follows the configuration"
    );
    assert_eq!(world.status().held.len(), 1);
    let lost = world.lost.clone().unwrap();
    for kind in [
        "HoldEnvironment",
        "Write(",
        "Delete ",
        "WritePromotion",
        "Measure",
        "StoreEvidence",
    ] {
        assert!(
            lost.iter().any(|effect| effect.starts_with(kind)),
            "no {kind} was lost"
        );
    }
    world.delete();
    world.run(60);
    let ours = |key: &&Key| key.kind != Kind::PipelineRun && key.name != "settings";
    assert!(world.is_gone());
    assert_eq!(world.cluster.objects.keys().find(ours), None);
}

#[test]
fn what_people_and_other_environments_ask_for_is_asked_for_until_it_is_there() {
    let strategy = json!({"blueGreen": {"scaleDownDelay": "10s"}});
    let env = || {
        environment(
            strategy.clone(),
            json!({"promotesFrom": {"name": "staging", "auto": true}}),
        )
    };
    let path = |world: &mut World| {
        for release in ["good1", "good2"] {
            let mut from = environment(json!({}), json!({}));
            // the ledger lets nothing vouch for itself
            from.metadata.uid = Some("e0000000-0000-0000-0000-000000000002".to_owned());
            let images = world.releases[&("shop".to_owned(), release.to_owned())]
                .spec
                .images
                .clone();
            from.status = Some(EnvironmentStatus {
                stable: Some(DeployedRelease {
                    release: release.to_owned(),
                    namespace: "shop".to_owned(),
                    identity: release.to_owned(),
                    images,
                    since: Some(world.now),
                    ..DeployedRelease::default()
                }),
                ..EnvironmentStatus::default()
            });
            world.from = Some(from);
            world.run(60);
        }
        assert_eq!(world.stable().as_deref(), Some("good2"));
        let auto = world.promotions.last().unwrap().metadata.name.clone().unwrap();
        world.decide(&auto, Verb::Abort, "ann");
        world.run(60);
    };
    let world = is_the_same(path, env);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    assert_eq!(
        world.promotions.len(),
        3,
        "what went back is not asked for again by itself"
    );
}

#[test]
fn records_that_are_put_aside_are_so_although_that_is_lost_once() {
    let env = || environment(canary(json!([{"weight": 50}])), json!({}));
    let path = |world: &mut World| {
        world.promote("good1");
        world.run(20);
        world.chain_away = true;
        // these wait for no room in the outbox, unlike promotions
        for n in 0..50 {
            world.decide_environment(Verb::Hold, Some(format!("sha256:{n:064x}")));
            world.run(1);
        }
        world.run(3);
        assert!(!world.status().journal.unwrap().sealed.is_empty());
        world.chain_away = false;
        world.run(5);
    };
    let world = is_the_same(path, env);
    let journal = world.status().journal.unwrap();
    assert_eq!((journal.pending.len(), journal.sealed.len()), (0, 0));
    assert_eq!(i64::try_from(world.chain.len()), Ok(journal.next));
    let lost = world.lost.unwrap();
    assert!(lost.iter().any(|effect| effect.starts_with("SealOutbox")));
}

#[test]
fn an_undo_is_carried_out_when_its_promotion_is_seen() {
    let mut world = World::new(environment(canary(json!([{"weight": 50}])), json!({})));
    for release in ["good1", "good2"] {
        world.promote(release);
        world.run(60);
    }
    world.decide_environment(Verb::Undo, None);
    world.decide_once(0);
    assert!(world.status().decided.is_empty(), "nothing asked for it yet");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    assert_eq!(world.status().decided.len(), 1);
    world.run(60);
    assert_eq!(world.promotions.len(), 3, "once");
}

#[test]
fn an_undo_whose_name_is_taken_is_given_up_and_told() {
    let mut world = World::new(environment(canary(json!([{"weight": 50}])), json!({})));
    for release in ["good1", "good2"] {
        world.promote(release);
        world.run(60);
    }
    world.refuses = Some(|write| write.key.kind == Kind::Promotion);
    world.refused_as = "Foreign";
    world.decide_environment(Verb::Undo, None);
    world.run(5);
    assert_eq!(world.status().decided.len(), 1);
    world.refuses = None;
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}

#[test]
fn an_abort_in_the_moment_in_which_the_rollout_ends_goes_back() {
    let mut world = World::new(environment(canary(json!([{"weight": 50}])), json!({})));
    world.promote("good1");
    world.run(60);
    let name = world.promote("good2");
    world.run(60);
    let end = world.status().rollout.unwrap().finished_at.unwrap();
    world.decide(&name, Verb::Abort, "ann");
    // the API server writes whole seconds, and the Decision was not seen in time
    let before = end.checked_sub(jiff::SignedDuration::from_secs(1)).unwrap();
    world.decisions[0].metadata.creation_timestamp.as_mut().unwrap().0 = before;
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
}
