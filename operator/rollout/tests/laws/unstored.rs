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

/// The Template `share`, with a threshold.
fn share(world: &mut World, threshold: &str) {
    let template = json!({"metrics": [{"name": "errors", "interval": "5s", "count": 2, "success": format!("result < {threshold}"),
        "prometheus": {"address": "http://prometheus", "query": "up"}}]});
    let template = serde_json::from_value(template).unwrap();
    world.templates.insert((false, "share".to_owned()), template);
}

#[test]
fn evidence_is_kept_as_it_was_at_the_verdict_although_the_template_is_another_one_by_now() {
    for (release, outcome) in [("good2", true), ("bad", false)] {
        let steps = json!([{"weight": 50}, {"analysis": {"templates": [{"name": "share"}]}}, {"weight": 80}]);
        let mut world = World::new(environment(canary(steps), json!({})));
        share(&mut world, "0.1");
        world.promote("good1");
        world.run(60);
        world.store_away = true;
        let name = world.promote(release);
        let decided = (0..60).any(|_| {
            world.run(1);
            world.status().rollout.is_some_and(|rollout| {
                rollout.release == release && rollout.analyses.first().is_some_and(|of| of.evidence.is_some())
            })
        });
        assert!(decided, "{:?}", world.status().rollout);
        let digest = world.status().rollout.unwrap().analyses[0]
            .evidence
            .clone()
            .unwrap();
        share(&mut world, "0.2");
        world.run(30);
        assert!(!world.evidence.contains(&digest));
        if outcome {
            let rollout = world.status().rollout.unwrap();
            assert_eq!(
                (rollout.weight, rollout.reason.as_str()),
                (50, "StoringEvidence"),
                "it is not passed without the document"
            );
        }
        world.store_away = false;
        world.run(90);
        assert!(world.evidence.contains(&digest), "{release}");
        assert_eq!(world.finished(&name).map(|(promoted, _)| promoted), Some(outcome));
        assert_eq!(world.status().unstored, [], "the store has it");
    }
}

#[test]
fn evidence_that_finds_no_room_is_told() {
    let steps = json!([{"weight": 50}, {"analysis": analysis("errors")}]);
    let mut world = World::new(environment(canary(steps), json!({})));
    world.promote("good1");
    world.run(60);
    world.store_away = true;
    let status = world.env.status.as_mut().unwrap();
    status.unstored = vec![dcanary_crds::UnstoredEvidence {
        digest: "sha256:0".to_owned(),
        document: "x".repeat(256 * 1024 - 10),
    }];
    world.promote("good2");
    let mut told = Vec::new();
    for _ in 0..60 {
        let plan = dcanary_rollout::next(&world.env, &world.seen(), world.now);
        let events = plan.events.iter().filter(|event| event.reason == "EvidenceLost");
        told.extend(events.map(|event| event.note.clone()));
        world.decide_once(usize::MAX);
        world.cluster.settle();
        world.record();
        world.pass(1);
    }
    assert!(told.len() == 1 && told[0].contains("sha256:0"), "{told:?}");
    let kept: Vec<String> = world
        .status()
        .unstored
        .into_iter()
        .map(|one| one.digest)
        .collect();
    assert!(!kept.contains(&"sha256:0".to_owned()), "{kept:?}");
}
