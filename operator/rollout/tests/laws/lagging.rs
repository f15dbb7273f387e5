//! Several operators decide about one Environment, and the caches of each are behind by themselves. The shell asks the API server for what the
//! status names and its cache lacks (`named`), so no absence there is one of a cache; and before something begins with a Promotion, whether it has
//! ended meanwhile.

use dcanary_crds::{Decision, EnvironmentStatus, Promotion, Verb};
use dcanary_rollout::{Effect, Plan, Seen, named, next};
use dcanary_types::environment::EnvTransition;
use proptest::prelude::*;
use serde_json::json;

use crate::{
    build::{canary, environment},
    world::World,
};

/// What a cache has that is behind.
#[derive(Clone)]
pub struct Behind {
    promotions: Vec<Promotion>,
    decisions: Vec<Decision>,
    status: Option<EnvironmentStatus>,
}

impl Behind {
    /// As it is now, which is soon some time ago.
    fn of(world: &World) -> Self {
        Self {
            promotions: world.promotions.clone(),
            decisions: world.decisions.clone(),
            status: world.env.status.clone(),
        }
    }

    fn promotions(&self, asked: &[Promotion]) -> Vec<Promotion> {
        with(&self.promotions, asked, |one| one.metadata.uid.clone())
    }

    fn decisions(&self, asked: &[Decision]) -> Vec<Decision> {
        with(&self.decisions, asked, |one| one.metadata.uid.clone())
    }
}

/// Those that were asked for are those that the cache lacks.
fn with<T: Clone>(cached: &[T], asked: &[T], uid: impl Fn(&T) -> Option<String>) -> Vec<T> {
    let lacks = |one: &&T| cached.iter().all(|other| uid(other) != uid(one));
    cached.iter().chain(asked.iter().filter(lacks)).cloned().collect()
}

impl World {
    /// What an operator with this cache decides on.
    pub fn seen_behind(&self, behind: &Behind) -> (Vec<Promotion>, Vec<Decision>) {
        let (promotions, decisions) = (named::promotions(&self.env), named::decisions(&self.env));
        let is_named = |one: &&Promotion| {
            let metadata = &one.metadata;
            promotions.iter().any(|named| {
                metadata.uid.as_ref() == Some(&named.uid)
                    && metadata.name.as_ref() == Some(&named.name)
                    && metadata.namespace.as_ref() == Some(&named.namespace)
            })
        };
        let asked: Vec<Promotion> = self.promotions.iter().filter(is_named).cloned().collect();
        let is_decided = |one: &&Decision| {
            let (uid, namespace) = (one.metadata.uid.as_ref(), one.metadata.namespace.as_ref());
            uid.is_some_and(|uid| decisions.uids.contains(uid))
                && namespace.is_some_and(|namespace| decisions.namespaces.contains(namespace))
        };
        let decided: Vec<Decision> = self.decisions.iter().filter(is_decided).cloned().collect();
        (behind.promotions(&asked), behind.decisions(&decided))
    }

    /// Whether the API server says that a Promotion has ended with which this decision begins something.
    pub fn is_outdated(&self, plan: &Plan) -> bool {
        let begun = named::begun(&self.env, &plan.status);
        begun.iter().any(|named| {
            let uid = Some(&named.uid);
            let mut all = self.promotions.iter();
            all.find(|one| one.metadata.uid.as_ref() == uid)
                .is_none_or(named::has_ended)
        })
    }

    /// Whether an effect writes a version of a Promotion that is another one by now.
    pub fn conflicts(&self, seen: &Seen, effect: &Effect) -> bool {
        let Effect::WritePromotion { uid, .. } = effect else {
            return false;
        };
        let of = |all: &[Promotion]| {
            let mut all = all.iter();
            all.find(|one| one.metadata.uid.as_ref() == Some(uid))
                .and_then(|one| one.status.clone())
        };
        of(&seen.promotions) != of(&self.promotions)
    }

    /// The other operator decides once on the status of its cache too, while its objects are as they are now. What it wants to write of the status
    /// is refused when that is another one by now, and so is all that it wants to do on a status that stays as it is.
    pub fn other_decides_on_its_status(&mut self, behind: &Behind) {
        let mut stale = self.env.clone();
        stale.status.clone_from(&behind.status);
        self.behind = Some(behind.clone());
        let now = std::mem::replace(&mut self.env, stale);
        let seen = self.seen();
        let plan = next(&self.env, &seen, self.now);
        let (stale, is_fenced) = (std::mem::replace(&mut self.env, now), plan.is_fenced());
        self.behind = None;
        let equal = stale.status.as_ref() == Some(&plan.status);
        let outdated = stale.status != self.env.status;
        if outdated && (!equal || is_fenced) {
            return;
        }
        if !outdated {
            self.env.status = Some(plan.status.clone());
        }
        for effect in &plan.effects {
            if !self.conflicts(&seen, effect) {
                self.carry_out(effect);
            }
        }
    }

    /// The other operator decides once, with its cache.
    fn other_decides(&mut self, behind: &Behind) {
        self.behind = Some(behind.clone());
        self.decide_once(usize::MAX);
        self.behind = None;
    }
}

fn with_good1() -> World {
    let steps = json!([{"weight": 20}, {"pause": {}}, {"weight": 50}, {"pause": {}}]);
    let mut world = World::new(environment(canary(steps), json!({})));
    world.promote("good1");
    world.run(60);
    world
}

/// Decisions that the journal has, and how often.
fn recorded(world: &World, decision: &str) -> usize {
    let is =
        |one: &&EnvTransition| matches!(one, EnvTransition::Decided { decision: uid, .. } if uid == decision);
    world.chain.iter().filter(is).count()
}

#[test]
fn a_promotion_that_another_operator_took_up_is_not_taken_for_deleted() {
    let mut world = with_good1();
    let behind = Behind::of(&world);
    let name = world.promote("good2");
    world.decide_once(usize::MAX);
    world.other_decides(&behind);
    world.run_to(20);
    world.other_decides(&behind);
    let rollout = world.status().rollout.unwrap();
    assert_eq!(rollout.promotion, name);
    assert_ne!(rollout.reason, "PromotionDeleted");
    assert_eq!(rollout.weight, 20);
}

#[test]
fn a_decision_that_another_operator_carried_out_is_carried_out_once() {
    let mut world = with_good1();
    let name = world.promote("good2");
    world.run_to(20);
    world.run(5);
    // the cache has one Decision, and not the next one
    world.decide(&name, Verb::Pause, "ann");
    world.run(5);
    let behind = Behind::of(&world);
    world.decide(&name, Verb::Skip, "ann");
    let skip = world.decisions.last().unwrap().metadata.uid.clone().unwrap();
    world.run(5);
    for _ in 0..3 {
        world.other_decides(&behind);
        world.run(5);
    }
    assert_eq!(recorded(&world, &skip), 1);
    assert!(world.finished(&name).is_none(), "one step was skipped, not two");
}

#[test]
fn a_way_back_stays_one_for_an_operator_that_does_not_see_its_promotion_yet() {
    let more = json!({"approval": {"required": 1, "users": ["bob"]}});
    let mut world = World::new(environment(canary(json!([{"weight": 50}])), more));
    for release in ["good1", "good2"] {
        let name = world.promote(release);
        world.run(5);
        world.decide(&name, Verb::Approve, "bob");
        world.run(60);
    }
    let behind = Behind::of(&world);
    world.decide_environment(Verb::Undo, None);
    for _ in 0..40 {
        world.decide_once(usize::MAX);
        world.other_decides(&behind);
    }
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
}

#[test]
fn a_promotion_that_ended_ends_once_for_an_operator_that_does_not_see_it_yet() {
    let mut world = with_good1();
    let behind = Behind::of(&world);
    let held = world.status().stable.unwrap().identity;
    world.decide_environment(Verb::Hold, Some(held));
    let name = world.promote("good1");
    // the status of the Environment has its end, its own status not yet
    world.decide_once(0);
    assert_eq!(world.status().ended.len(), 1);
    world.other_decides(&behind);
    assert_eq!(world.status().ended.len(), 1, "its end is told first");
    world.run(10);
    assert!(world.finished(&name).is_some());
}

#[test]
fn a_promotion_that_has_ended_is_not_taken_up_once_more_by_an_operator_that_saw_it_before() {
    let mut world = with_good1();
    let name = world.promote("good2");
    let behind = Behind::of(&world);
    world.run_to(20);
    world.decide(&name, Verb::Abort, "ann");
    world.run(60);
    assert!(world.finished(&name).is_some());
    let back = world.promote("good1");
    world.run(60);
    assert!(world.finished(&back).is_some());
    for _ in 0..5 {
        world.other_decides(&behind);
    }
    let status = world.status();
    assert!(status.rollout.is_none_or(|rollout| rollout.finished_at.is_some()));
    assert!(status.ended.is_empty());
}

#[test]
fn an_operator_that_has_missed_a_whole_rollout_takes_nothing_from_the_release_that_serves_now() {
    let mut world = with_good1();
    // at rest, as it was then
    let behind = Behind::of(&world);
    let name = world.promote("good2");
    for _ in 0..2 {
        world.run(20);
        world.decide(&name, Verb::Resume, "ann");
    }
    world.run(120);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    let serves = world.status().stable.unwrap().workload;
    for seconds in [1, 40] {
        // the law `before` watches
        world.other_decides_on_its_status(&behind);
        assert_eq!(world.cluster.replicas(&serves), 4, "it is there");
        assert_eq!(world.cluster.leads_to("web").as_ref(), Some(&serves));
        world.run(seconds);
    }
}

#[derive(Debug, Clone)]
enum Happens {
    One(usize),
    Other(usize),
    Late,
    CatchUp,
    World,
    Promote(&'static str),
    Say(Verb),
    Undo,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        6 => prop_oneof![Just(usize::MAX), 0usize..4].prop_map(Happens::One),
        6 => prop_oneof![Just(usize::MAX), 0usize..4].prop_map(Happens::Other),
        3 => Just(Happens::Late),
        2 => Just(Happens::CatchUp),
        6 => Just(Happens::World),
        2 => prop_oneof![Just("good1"), Just("good2"), Just("good3"), Just("bad")].prop_map(Happens::Promote),
        2 => prop_oneof![Just(Verb::Pause), Just(Verb::Resume), Just(Verb::Skip), Just(Verb::Abort)].prop_map(Happens::Say),
        1 => Just(Happens::Undo),
    ]
}

/// Each case is a long history: fewer than for other laws.
fn cases() -> u32 {
    (ProptestConfig::default().cases / 8).max(1)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]
    #[test]
    fn whatever_caches_lack_or_have_as_it_was_nothing_is_taken_for_deleted_and_nothing_carried_out_twice(
        history in proptest::collection::vec(happens(), 1..80),
    ) {
        let mut world = with_good1();
        let mut behind = Behind::of(&world);
        for event in history {
            match event {
                Happens::One(until) => { world.decide_once(until); }
                Happens::Other(until) => {
                    world.behind = Some(behind.clone());
                    world.decide_once(until);
                    world.behind = None;
                }
                Happens::Late => world.other_decides_on_its_status(&behind),
                Happens::CatchUp => behind = Behind::of(&world),
                Happens::World => {
                    world.cluster.settle();
                    world.record();
                    world.pass(5);
                }
                Happens::Promote(release) => { world.promote(release); }
                Happens::Say(verb) => {
                    if let Some(rollout) = world.under_way() {
                        world.decide(&rollout.promotion, verb, "bob");
                    }
                }
                Happens::Undo => world.decide_environment(Verb::Undo, None),
            }
            let status = world.status();
            let reasons = status.rollout.iter().map(|rollout| &rollout.reason);
            for reason in reasons.chain(status.ended.iter().map(|ended| &ended.reason)) {
                prop_assert_ne!(reason, "PromotionDeleted");
            }
        }
        world.run(30);
        for decision in world.decisions.clone() {
            let uid = decision.metadata.uid.unwrap();
            prop_assert!(recorded(&world, &uid) <= 1, "{uid} was carried out twice");
        }
    }
}
