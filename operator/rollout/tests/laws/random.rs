//! Random histories: whatever happens in whatever order, the laws hold and every promotion comes to an end.

use dcanary_crds::Verb;
use proptest::prelude::*;
use serde_json::json;

use crate::{
    build::{canary, environment},
    world::World,
};

#[derive(Debug, Clone)]
pub enum Happens {
    Decide(usize),
    Settle,
    Record,
    Time(i64),
    Promote(&'static str),
    Say(Verb),
    Undo,
    ChainAway(bool),
    MetricsAway(bool),
    /// No Pod of the workload of the candidate or of the stable release is ready, or all may be again.
    Lame(bool),
    Well,
    Scale(i32),
}

pub fn happens() -> impl Strategy<Value = Happens> {
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
        1 => any::<bool>().prop_map(Happens::Lame),
        1 => Just(Happens::Well),
        1 => (1i32..8).prop_map(Happens::Scale),
    ]
}

impl World {
    pub fn happens(&mut self, event: Happens) {
        match event {
            Happens::Decide(until) => {
                self.decide_once(until);
            }
            Happens::Settle => self.cluster.settle(),
            Happens::Record => {
                self.record();
            }
            Happens::Time(seconds) => self.pass(seconds),
            Happens::Promote(release) => {
                self.promote(release);
            }
            Happens::Say(verb) => {
                if let Some(rollout) = self.under_way() {
                    self.decide(&rollout.promotion, verb, "bob");
                }
            }
            Happens::Undo => self.decide_environment(Verb::Undo, None),
            Happens::ChainAway(away) => self.chain_away = away,
            Happens::MetricsAway(away) => self.metric_away = away,
            Happens::Lame(candidate) => {
                let status = self.status();
                let rollout = self.under_way().map(|rollout| rollout.workload);
                let stable = status.stable.map(|stable| stable.workload);
                self.cluster.lame.extend(if candidate { rollout } else { stable });
            }
            Happens::Well => self.cluster.lame.clear(),
            Happens::Scale(replicas) => self.env.spec.replicas = Some(replicas),
        }
    }

    /// Everything is back, and somebody answers what is asked: every promotion ends.
    pub fn comes_to_its_end(&mut self) -> Result<(), TestCaseError> {
        self.chain_away = false;
        self.metric_away = false;
        self.cluster.lame.clear();
        for _ in 0..12 {
            self.run(90);
            if let Some(rollout) = self.under_way() {
                self.decide(&rollout.promotion, Verb::Resume, "bob");
            } else if self.all_have_ended().is_ok() {
                break;
            }
        }
        // what takes its time after the end, like old Pods that have drained
        self.run(90);
        self.all_have_ended()
    }

    pub fn all_have_ended(&self) -> Result<(), TestCaseError> {
        for promotion in &self.promotions {
            let name = promotion.metadata.name.as_deref().unwrap();
            prop_assert!(
                self.finished(name).is_some(),
                "{name} has not ended: {:?}",
                self.status()
                    .rollout
                    .map(|r| (r.promotion, r.doing, r.reason, r.message))
            );
        }
        Ok(())
    }
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
pub fn cases() -> u32 {
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
            world.happens(event);
        }
        world.comes_to_its_end()?;
        let stable = world.status().stable.unwrap().workload;
        let shares = world.cluster.shares();
        prop_assert_eq!(shares.get(&stable), Some(&100));
    }
}
