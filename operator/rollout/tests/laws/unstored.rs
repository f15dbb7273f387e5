//! Evidence waits for the artifact store longer than its rollout has a place in the status.

use dcanary_rollout::Effect;
use serde_json::{Value, json};

use crate::{
    build::{canary, environment},
    world::World,
};

fn analysis(name: &str) -> Value {
    json!({"metrics": [{"name": name, "interval": "5s", "count": 2, "success": "result < 0.1",
        "prometheus": {"address": "http://prometheus", "query": "up"}}]})
}

/// `bad` goes back, of whose analysis the store takes nothing, and the next rollout begins. Its digest.
fn lost(world: &mut World) -> String {
    world.store_away = true;
    world.promote("bad");
    world.run(60);
    let rollout = world.status().rollout.unwrap();
    assert_eq!(rollout.reason, "AnalysisFailed");
    let digest = rollout.analyses[0].evidence.clone().unwrap();
    assert!(!world.evidence.contains(&digest));
    digest
}

#[test]
fn evidence_of_a_rollout_that_went_back_is_stored_although_the_next_one_has_begun() {
    let steps = json!([{"weight": 50}, {"analysis": analysis("errors")}]);
    let mut world = World::new(environment(canary(steps), json!({})));
    world.promote("good1");
    world.run(60);
    let digest = lost(&mut world);
    world.promote("good2");
    world.run(5);
    assert_eq!(world.status().rollout.unwrap().release, "good2");
    // a Template may be another one by now: the document stays what it was
    world.env.spec.strategy = serde_json::from_value(canary(json!([{"weight": 50}]))).unwrap();
    world.run(5);
    world.store_away = false;
    world.run(60);
    assert!(world.evidence.contains(&digest));
    assert_eq!(world.status().unstored, [], "the store has it");
}

#[test]
fn what_is_kept_for_the_store_has_an_end() {
    let steps = json!([{"weight": 50}, {"analysis": analysis("errors")}]);
    let mut world = World::new(environment(canary(steps), json!({})));
    world.promote("good1");
    world.run(60);
    let digest = lost(&mut world);
    let status = world.env.status.as_mut().unwrap();
    status.unstored = (0..3)
        .map(|n| dcanary_crds::UnstoredEvidence {
            digest: format!("sha256:{n}"),
            document: "x".repeat(40 * 1024),
        })
        .collect();
    world.promote("good2");
    world.store_away = true;
    for _ in 0..5 {
        world.decide_once(usize::MAX);
        world.record();
    }
    let plan = dcanary_rollout::next(&world.env, &world.seen(), world.now);
    let kept: Vec<String> = world
        .status()
        .unstored
        .into_iter()
        .map(|one| one.digest)
        .collect();
    assert_eq!(
        kept,
        ["sha256:1", "sha256:2", digest.as_str()],
        "the oldest is given up"
    );
    let stored = |effect: &&Effect| matches!(effect, Effect::StoreEvidence { .. });
    assert_eq!(plan.effects.iter().filter(stored).count(), 3);
}
