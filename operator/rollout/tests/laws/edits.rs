//! Edits of the Environment in the middle of a rollout.

use dcanary_crds::{Doing, Environment, RolloutOutcome, StrategyKind, Verb};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    build::{canary, environment},
    world::World,
};

fn metric(limit: f64) -> Value {
    json!({"metrics": [{"name": "errors", "interval": "5s", "count": 2, "success": format!("result < {limit}"),
        "prometheus": {"address": "http://prometheus", "query": "up"}}]})
}

fn edit(world: &mut World, strategy: Value) {
    world.env.spec.strategy = serde_json::from_value(strategy).unwrap();
    world.env.metadata.generation = world.env.metadata.generation.map(|generation| generation + 1);
}

/// `good1` is stable, `good2` on its way under this strategy.
fn under_way(strategy: Value, more: Value) -> (World, String) {
    let mut world = World::new(environment(strategy, more));
    world.promote("good1");
    world.run(60);
    let name = world.promote("good2");
    (world, name)
}

fn share(world: &World) -> i64 {
    let workload = world.status().rollout.unwrap().workload;
    world.cluster.shares().get(&workload).copied().unwrap_or(0)
}

#[test]
fn where_later_steps_are_removed_the_steps_begin_again_and_nothing_is_promoted_at_once() {
    let before = json!([{"weight": 20}, {"pause": {"duration": "5s"}}, {"weight": 50}, {"pause": {}}]);
    let (mut world, name) = under_way(canary(before), json!({}));
    world.run_to(50);
    world.run(5);
    edit(&mut world, canary(json!([{"weight": 20}, {"pause": {}}])));
    world.run(120);
    assert_eq!((share(&world), world.doing()), (20, Some(Doing::Stepping)));
    let rollout = world.status().rollout.unwrap();
    assert_eq!((rollout.step, rollout.reason.as_str()), (1, "PausedByStep"));
    assert!(rollout.strategy.unwrap().edited_at.is_some());
    world.decide(&name, Verb::Resume, "ann");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}

#[test]
fn an_edit_never_gives_the_candidate_more_requests_than_it_has_and_a_pause_is_waited_for_anew() {
    let before = json!([{"weight": 20}, {"pause": {}}]);
    let (mut world, _) = under_way(canary(before), json!({}));
    world.run_to(20);
    let after = json!([{"pause": {"duration": "30s"}}, {"weight": 80}, {"pause": {}}]);
    edit(&mut world, canary(after));
    world.run(20);
    assert_eq!(share(&world), 0, "the step before the first weight has none");
    world.run(60);
    assert_eq!(share(&world), 80);
}

#[test]
fn steps_that_are_edited_after_the_last_one_are_passed_before_the_release_is_promoted() {
    let analysis = metric(0.1);
    for doing in [Doing::Promoting, Doing::Verifying] {
        let more = json!({"hooks": {"postDeploy": [{"name": "smoke", "image": "tool", "steps": [{"run": "true"}]}]}});
        let (mut world, _) = under_way(canary(json!([{"weight": 50}])), more);
        for _ in 0..400 {
            if world.doing() == Some(doing) {
                break;
            }
            world.decide_once(usize::MAX);
            world.cluster.settle();
            world.record();
            if world.doing() != Some(doing) {
                world.pass(1);
            }
        }
        assert_eq!(world.doing(), Some(doing));
        edit(
            &mut world,
            canary(json!([{"weight": 10}, {"analysis": analysis}, {"pause": {}}])),
        );
        world.run(60);
        assert_eq!(
            (world.stable().as_deref(), share(&world)),
            (Some("good1"), 10),
            "{doing:?}"
        );
        assert_eq!(world.status().rollout.unwrap().step, 2);
    }
}

#[test]
fn an_analysis_of_edited_steps_is_measured_anew() {
    let steps = |limit| canary(json!([{"weight": 50}, {"analysis": metric(limit)}, {"pause": {}}]));
    let (mut world, name) = under_way(steps(0.1), json!({}));
    world.run(60);
    assert_eq!(world.status().rollout.unwrap().step, 2);
    edit(&mut world, steps(-1.0));
    world.run(60);
    assert_eq!(world.finished(&name), Some((false, "AnalysisFailed".to_owned())));
}

#[test]
fn edits_of_analyses_alone_begin_these_anew_and_leave_the_steps() {
    let (mut world, name) = under_way(
        canary(json!([{"weight": 50}, {"pause": {}}])),
        json!({"analysis": {"metrics": [{"name": "errors", "interval": "5s", "success": "result < 0.1", "failure": "result > 9.0", "inconclusiveLimit": 0,
            "prometheus": {"address": "http://prometheus", "query": "up"}}]}}),
    );
    world.metric_away = true;
    world.run(60);
    assert_eq!(world.status().rollout.unwrap().reason, "AnalysisInconclusive");
    world.env.spec.analysis = None;
    world.run(5);
    let rollout = world.status().rollout.unwrap();
    assert_eq!((rollout.step, rollout.reason.as_str()), (1, "PausedByStep"));
    world.decide(&name, Verb::Resume, "ann");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}

#[test]
fn steps_that_cannot_be_followed_hold_the_rollout_where_it_is() {
    let (mut world, _) = under_way(
        canary(json!([{"weight": 20}, {"pause": {"duration": "20s"}}])),
        json!({}),
    );
    world.run_to(20);
    edit(&mut world, canary(json!([{"weight": 50}, {"weight": 40}])));
    world.run(90);
    assert_eq!(share(&world), 20);
    assert_eq!(world.status().rollout.unwrap().reason, "InvalidSpec");
    edit(&mut world, canary(json!([{"weight": 40}])));
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}

#[test]
fn what_no_step_depends_on_is_edited_without_beginning_again() {
    let steps = json!([{"weight": 50}, {"pause": {}}]);
    let (mut world, _) = under_way(canary(steps.clone()), json!({}));
    world.run(30);
    world.env.spec.replicas = Some(6);
    edit(
        &mut world,
        json!({"canary": {"steps": steps, "scaleDownDelay": "20s", "testers": [{"header": {"name": "x", "value": "y"}}]}}),
    );
    world.run(30);
    let rollout = world.status().rollout.unwrap();
    assert_eq!((rollout.step, rollout.strategy.unwrap().edited_at), (1, None));
}

#[test]
fn where_canary_becomes_blue_green_all_requests_go_back_before_the_switch() {
    let (mut world, name) = under_way(canary(json!([{"weight": 50}, {"pause": {}}])), json!({}));
    world.run_to(50);
    edit(&mut world, json!({"blueGreen": {"autoPromote": false}}));
    world.run(60);
    assert_eq!((share(&world), world.doing()), (0, Some(Doing::Stepping)));
    assert_eq!(
        world.status().rollout.unwrap().strategy.unwrap().kind,
        StrategyKind::BlueGreen
    );
    world.decide(&name, Verb::Resume, "ann");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}

#[test]
fn where_pods_are_replaced_in_another_way_it_goes_back_first_and_its_release_begins_anew() {
    for in_place_first in [false, true] {
        let beside = canary(json!([{"weight": 50}, {"pause": {}}]));
        let rolling = json!({"rolling": {}});
        let (first, then) = if in_place_first {
            (rolling, beside)
        } else {
            (beside, rolling)
        };
        let (mut world, name) = under_way(first, json!({}));
        if in_place_first {
            world.decide_once(usize::MAX);
            world.record();
            world.decide_once(usize::MAX);
            assert_eq!(world.doing(), Some(Doing::Starting));
        } else {
            world.run_to(50);
        }
        let before = world.status().stable.unwrap();
        edit(&mut world, then);
        for _ in 0..120 {
            world.run(1);
            if world.outcome() == Some(RolloutOutcome::Superseded) {
                break;
            }
        }
        assert_eq!(world.finished(&name), Some((false, "StrategyChanged".to_owned())));
        assert_eq!(world.status().stable, Some(before));
        assert_eq!(share(&world), if in_place_first { share(&world) } else { 0 });
        world.run(120);
        if in_place_first {
            assert_eq!(share(&world), 50);
            let again = world.status().rollout.unwrap().promotion;
            world.decide(&again, Verb::Resume, "ann");
            world.run(60);
        }
        assert_eq!(world.stable().as_deref(), Some("good2"));
        let in_place = world.status().stable.unwrap().workload == "web";
        assert_eq!(in_place, !in_place_first);
        assert!(world.status().held.is_empty());
    }
}

#[test]
fn the_way_straight_back_ends_as_it_began_whatever_the_strategy_becomes() {
    let steps = canary(json!([{"weight": 50}, {"pause": {"duration": "5s"}}]));
    let (mut world, _) = under_way(steps, json!({}));
    world.run(90);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    world.decide_environment(Verb::Undo, None);
    for _ in 0..20 {
        if world
            .status()
            .rollout
            .is_some_and(|rollout| rollout.straight && rollout.weight > 0)
        {
            break;
        }
        world.decide_once(usize::MAX);
        world.cluster.settle();
        world.record();
    }
    edit(&mut world, json!({"rolling": {}}));
    world.run(90);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    assert_eq!(world.outcome(), Some(RolloutOutcome::Promoted));
}

#[test]
fn a_weight_that_is_still_on_its_way_is_taken_back_before_the_first_edited_step() {
    let (mut world, _) = under_way(canary(json!([{"weight": 50}, {"pause": {}}])), json!({}));
    for _ in 0..50 {
        world.decide_once(usize::MAX);
        if world
            .status()
            .rollout
            .is_some_and(|rollout| rollout.wanted_weight > 0)
        {
            break;
        }
        world.cluster.settle();
        world.record();
    }
    world.cluster.silent = true;
    let rollout = world.status().rollout.unwrap();
    assert_eq!((rollout.wanted_weight, rollout.weight), (50, 0));
    edit(
        &mut world,
        canary(json!([{"pause": {"duration": "1s"}}, {"weight": 60}])),
    );
    world.run(30);
    let rollout = world.status().rollout.unwrap();
    assert_eq!((rollout.step, rollout.reason.as_str()), (0, "WaitingForRoute"));
    world.cluster.silent = false;
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}

#[test]
fn a_workload_in_place_keeps_its_pods_when_the_strategy_becomes_a_canary_after_several_releases() {
    let (mut world, _) = under_way(json!({"rolling": {}}), json!({}));
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    edit(&mut world, canary(json!([{"weight": 50}])));
    world.run(60);
    assert!(world.cluster.available("web") >= 4, "it serves");
    // once another workload serves, it has time to end its requests, and no more
    world.promote("good3");
    world.run(120);
    assert_eq!(world.stable().as_deref(), Some("good3"));
    assert_eq!(world.cluster.replicas("web"), 0);
}

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
                    if let Some(rollout) = world.status().rollout.filter(|rollout| rollout.finished_at.is_none()) {
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
            let names: Vec<_> = world.promotions.iter().flat_map(|promotion| promotion.metadata.name.clone()).collect();
            if names.iter().all(|name| world.finished(name).is_some()) {
                break;
            }
            world.run(30);
            if let Some(rollout) = world.status().rollout.filter(|rollout| rollout.finished_at.is_none()) {
                world.decide(&rollout.promotion, Verb::Resume, "bob");
            }
        }
        for promotion in world.promotions.clone() {
            let name = promotion.metadata.name.unwrap();
            prop_assert!(world.finished(&name).is_some(), "{name} has not ended: {:?}", world.status().rollout.map(|r| (r.promotion, r.doing, r.reason, r.message)));
        }
    }
}
