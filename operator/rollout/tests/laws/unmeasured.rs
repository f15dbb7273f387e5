//! Nothing goes on unmeasured.

use dcanary_crds::{Doing, TemplateSpec, Verb};
use serde_json::{Value, json};

use crate::{
    build::{canary, environment},
    world::World,
};

fn by_template() -> Value {
    json!({"templates": [{"name": "share"}]})
}

fn template() -> TemplateSpec {
    serde_json::from_value(
        json!({"metrics": [{"name": "errors", "interval": "5s", "success": "result < 0.1",
        "prometheus": {"address": "http://prometheus", "query": "errors{release=\"$(release)\"}"}}]}),
    )
    .unwrap()
}

impl World {
    fn has_template(&mut self, has: bool) {
        self.templates = has
            .then(|| ((false, "share".to_owned()), template()))
            .into_iter()
            .collect();
    }
}

/// With a first release and the Template.
fn measured(strategy: Value, more: Value) -> World {
    let mut world = World::new(environment(strategy, more));
    world.has_template(true);
    world.promote("good1");
    world.run(30);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    world
}

fn steps() -> Value {
    canary(
        json!([{"weight": 20}, {"pause": {"duration": "10s"}}, {"weight": 60}, {"pause": {"duration": "10s"}}]),
    )
}

#[test]
fn an_analysis_that_cannot_be_carried_out_lets_nothing_be_deployed() {
    let analysed = canary(json!([{"weight": 20}, {"analysis": by_template()}]));
    let post = json!({"blueGreen": {"postPromotionAnalysis": by_template()}});
    for (strategy, more) in [
        (steps(), json!({"analysis": by_template()})),
        (analysed, json!({})),
        (post, json!({})),
    ] {
        let mut world = measured(strategy, more);
        world.has_template(false);
        let name = world.promote("good2");
        world.run(60);
        let rollout = world.status().rollout.unwrap();
        assert_eq!(
            (rollout.doing, rollout.reason.as_str(), rollout.weight),
            (Doing::PreDeploy, "TemplateNotFound", 0)
        );
        assert!(rollout.message.contains("`share`"), "{}", rollout.message);
        assert_eq!(world.cluster.replicas(&rollout.workload), 0);
        world.has_template(true);
        world.run(90);
        assert_eq!(world.finished(&name), Some((true, "Promoted".to_owned())));
    }
}

#[test]
fn whenever_the_template_of_the_background_analysis_goes_nothing_is_promoted_without_it() {
    let mut held = 0;
    for at in (0..40).step_by(4) {
        let mut world = measured(steps(), json!({"analysis": by_template()}));
        let name = world.promote("good2");
        world.run(at);
        if world.stable().as_deref() == Some("good2") {
            break;
        }
        held += 1;
        world.has_template(false);
        world.run(30);
        assert_eq!(world.stable().as_deref(), Some("good1"), "gone after {at} s");
        assert_eq!(world.status().rollout.unwrap().reason, "TemplateNotFound");
        world.decide(&name, Verb::Abort, "ann");
        world.run(30);
        assert_eq!(world.finished(&name), Some((false, "Aborted".to_owned())));
    }
    assert!(held > 3, "{held}");
}

#[test]
fn a_step_whose_template_lacks_a_value_says_so_and_is_not_passed() {
    let mut world = measured(
        canary(json!([{"weight": 20}, {"pause": {}}, {"analysis": by_template()}])),
        json!({}),
    );
    let name = world.promote("good2");
    world.run_to(20);
    let mut asks = template();
    asks.params = serde_json::from_value(json!([{"name": "threshold"}])).unwrap();
    world.templates.insert((false, "share".to_owned()), asks);
    world.decide(&name, Verb::Resume, "ann");
    world.run(60);
    let rollout = world.status().rollout.unwrap();
    assert_eq!((rollout.weight, rollout.reason.as_str()), (20, "TemplateInvalid"));
    assert!(rollout.message.contains("`threshold`"), "{}", rollout.message);
    world.has_template(true);
    world.run(60);
    assert_eq!(world.finished(&name), Some((true, "Promoted".to_owned())));
}
