//! Whatever is edited, in any order.

use dcanary_crds::{Doing, Environment, RolloutOutcome, StrategyKind, Verb};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{edit, metric};
use crate::{
    build::{canary, environment},
    world::World,
};

#[derive(Debug, Clone)]
enum Happens {
    Rounds(usize),
    Time(i64),
    Edit(Value),
    Replicas(i32),
    Analysis(bool),
    Promote(&'static str),
    Say(Verb),
}

fn strategies() -> impl Strategy<Value = Value> {
    let step = prop_oneof![
        3 => (1i64..=100).prop_map(|weight| json!({"weight": weight})),
        1 => (1i64..20).prop_map(|seconds| json!({"pause": {"duration": format!("{seconds}s")}})),
        1 => Just(json!({"pause": {}})),
        1 => Just(json!({"analysis": metric(0.1)})),
    ];
    let steps = (any::<bool>(), proptest::collection::vec(step, 1..5)).prop_map(|(replicas, mut steps)| {
        // weights do not go down
        let mut weights: Vec<i64> = steps.iter().filter_map(|step| step["weight"].as_i64()).collect();
        weights.sort_unstable();
        let mut weights = weights.into_iter();
        for step in &mut steps {
            if step["weight"].is_i64() {
                *step = json!({"weight": weights.next()});
            }
        }
        if replicas {
            steps.insert(0, json!({"replicas": "50%"}));
        }
        canary(json!(steps))
    });
    prop_oneof![
        6 => steps,
        1 => Just(json!({"blueGreen": {"autoPromote": false, "scaleDownDelay": "10s"}})),
        1 => Just(json!({"blueGreen": {"prePromotionAnalysis": metric(0.1), "scaleDownDelay": "10s"}})),
        1 => Just(json!({"rolling": {}})),
    ]
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        6 => (1usize..6).prop_map(Happens::Rounds),
        6 => (1i64..30).prop_map(Happens::Time),
        4 => strategies().prop_map(Happens::Edit),
        1 => (4i32..7).prop_map(Happens::Replicas),
        1 => any::<bool>().prop_map(Happens::Analysis),
        2 => prop_oneof![Just("good1"), Just("good2"), Just("good3"), Just("bad")].prop_map(Happens::Promote),
        1 => prop_oneof![Just(Verb::Resume), Just(Verb::Abort)].prop_map(Happens::Say),
    ]
}

/// What has to be true between two looks at a world.
struct Watch {
    /// Strategy with which the steps of the rollout of a promotion were left behind.
    left: Option<(String, Value)>,
}

impl Watch {
    fn look(&mut self, world: &World, env: &Environment) {
        let Some(rollout) = world.status().rollout else {
            return;
        };
        if rollout.straight || world.status().stable.is_none() {
            return;
        }
        let strategy = serde_json::to_value(&env.spec.strategy).unwrap();
        let id = rollout.promotion_uid.clone();
        let beyond = matches!(rollout.doing, Doing::Promoting | Doing::Verifying)
            || rollout.outcome == Some(RolloutOutcome::Promoted);
        if !beyond {
            self.left = None;
            return;
        }
        let steps = &strategy["canary"]["steps"];
        match &self.left {
            None => self.left = Some((id, steps.clone())),
            Some((of, left))
                if *of == id && rollout.finished_at.is_none() && env.spec.strategy.canary.is_some() =>
            {
                let same = rollout.strategy.unwrap().kind != StrategyKind::Canary || left == steps;
                assert!(same, "promoted by {left}, the strategy says {steps}");
            }
            Some(_) => {}
        }
    }
}

fn cases() -> u32 {
    (ProptestConfig::default().cases / 32).max(1)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]
    #[test]
    fn whatever_is_edited_the_laws_hold_and_every_promotion_ends(
        first in strategies(),
        history in proptest::collection::vec(happens(), 1..30),
    ) {
        let mut world = World::new(environment(first, json!({"progressDeadline": "60s"})));
        let mut watch = Watch { left: None };
        world.promote("good1");
        world.run(40);
        world.promote("good2");
        for event in history {
            let weight = world.status().rollout.map_or(0, |rollout| rollout.wanted_weight);
            let edited = matches!(event, Happens::Edit(_));
            match event {
                Happens::Rounds(rounds) => for _ in 0..rounds {
                    world.decide_once(usize::MAX);
                    world.cluster.settle();
                    world.record();
                    watch.look(&world, &world.env);
                },
                Happens::Time(seconds) => world.pass(seconds),
                Happens::Edit(strategy) => edit(&mut world, strategy),
                Happens::Replicas(replicas) => world.env.spec.replicas = Some(replicas),
                Happens::Analysis(some) => {
                    world.env.spec.analysis = some.then(|| serde_json::from_value(metric(0.1)).unwrap());
                }
                Happens::Promote(release) => { world.promote(release); }
                Happens::Say(verb) => {
                    if let Some(rollout) = world.under_way() {
                        world.decide(&rollout.promotion, verb, "bob");
                    }
                }
            }
            if edited {
                let before = world.status().rollout.map(|rollout| rollout.promotion_uid);
                world.decide_once(usize::MAX);
                watch.look(&world, &world.env);
                let rollout = world.status().rollout.unwrap_or_default();
                let first = world.env.spec.strategy.canary.iter().flat_map(|canary| &canary.steps).next();
                let asked = first.and_then(|step| step.weight).unwrap_or(0);
                let follows = before == Some(rollout.promotion_uid) && rollout.doing == Doing::Stepping;
                prop_assert!(!follows || rollout.wanted_weight <= weight.max(asked), "{weight} % became {}", rollout.wanted_weight);
            }
        }
        for _ in 0..40 {
            let names: Vec<_> = world.promotions.iter().filter_map(|promotion| promotion.metadata.name.clone()).collect();
            if names.iter().all(|name| world.finished(name).is_some()) {
                break;
            }
            world.run(30);
            if let Some(rollout) = world.under_way() {
                world.decide(&rollout.promotion, Verb::Resume, "bob");
            }
        }
        world.all_have_ended()?;
    }
}
