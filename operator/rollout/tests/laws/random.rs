//! Random histories: whatever happens in whatever order, the laws hold and every promotion comes to an end.

use dcanary_crds::Verb;
use proptest::prelude::*;
use serde_json::json;

use crate::{
    build::{canary, environment},
    world::World,
};

#[derive(Debug, Clone)]
enum Happens {
    Decide(usize),
    Settle,
    Record,
    Time(i64),
    Promote(&'static str),
    Say(Verb),
    Undo,
    ChainAway(bool),
    MetricsAway(bool),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        8 => (0usize..6).prop_map(Happens::Decide),
        4 => Just(Happens::Decide(usize::MAX)),
        6 => Just(Happens::Settle),
        4 => Just(Happens::Record),
        6 => (1i64..40).prop_map(Happens::Time),
        2 => prop_oneof![Just("good1"), Just("good2"), Just("good3"), Just("bad"), Just("crash")].prop_map(Happens::Promote),
        1 => prop_oneof![
            Just(Verb::Abort), Just(Verb::Pause), Just(Verb::Resume), Just(Verb::Skip), Just(Verb::Retry), Just(Verb::Reject)
        ].prop_map(Happens::Say),
        1 => Just(Happens::Undo),
        1 => any::<bool>().prop_map(Happens::ChainAway),
        1 => any::<bool>().prop_map(Happens::MetricsAway),
    ]
}

fn strategies() -> impl Strategy<Value = serde_json::Value> {
    let metric = json!({"metrics": [{"name": "errors", "interval": "5s", "count": 2, "success": "result < 0.1",
        "prometheus": {"address": "http://prometheus", "query": "up"}}]});
    let pre = json!({"blueGreen": {"prePromotionAnalysis": metric.clone(), "postPromotionAnalysis": metric.clone(), "scaleDownDelay": "20s"}});
    prop_oneof![
        Just(canary(
            json!([{"weight": 20}, {"analysis": metric}, {"weight": 50}, {"pause": {"duration": "15s"}}])
        )),
        Just(canary(
            json!([{"replicas": "50%"}, {"mirror": 30}, {"weight": 40}, {"weight": 100}])
        )),
        Just(canary(json!([{"weight": 10}, {"pause": {}}, {"weight": 70}]))),
        Just(pre),
    ]
}

/// Each case is a long history: fewer than for other laws.
fn cases() -> u32 {
    (ProptestConfig::default().cases / 8).max(1)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]
    #[test]
    fn whatever_happens_the_laws_hold_and_every_promotion_ends(
        strategy in strategies(),
        by_steps in any::<bool>(),
        history in proptest::collection::vec(happens(), 1..60),
    ) {
        let more = json!({"progressDeadline": "60s", "rollback": {"mode": if by_steps { "Steps" } else { "Immediate" }, "window": 1}});
        let mut world = World::new(environment(strategy, more));
        world.promote("good1");
        world.run(40);
        for event in history {
            match event {
                Happens::Decide(until) => { world.decide_once(until); }
                Happens::Settle => world.cluster.settle(),
                Happens::Record => { world.record(); }
                Happens::Time(seconds) => world.pass(seconds),
                Happens::Promote(release) => { world.promote(release); }
                Happens::Say(verb) => {
                    if let Some(rollout) = world.status().rollout.filter(|rollout| rollout.finished_at.is_none()) {
                        world.decide(&rollout.promotion, verb, "bob");
                    }
                }
                Happens::Undo => world.decide_environment(Verb::Undo, None),
                Happens::ChainAway(away) => world.chain_away = away,
                Happens::MetricsAway(away) => world.metric_away = away,
            }
        }
        // everything is back, and somebody answers what is asked
        world.chain_away = false;
        world.metric_away = false;
        for _ in 0..12 {
            world.run(90);
            if let Some(rollout) = world.status().rollout.filter(|rollout| rollout.finished_at.is_none()) {
                world.decide(&rollout.promotion, Verb::Resume, "bob");
            }
        }
        for promotion in world.promotions.clone() {
            let name = promotion.metadata.name.unwrap();
            prop_assert!(world.finished(&name).is_some(), "{name} has not ended: {:?}", world.status().rollout.map(|r| (r.promotion, r.doing, r.reason, r.message)));
        }
        let stable = world.status().stable.unwrap().workload;
        let shares = world.cluster.shares();
        prop_assert_eq!(shares.get(&stable), Some(&100));
    }
}
