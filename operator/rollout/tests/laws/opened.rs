//! How the journal of an Environment begins.

use dcanary_crds::{Environment, Verb};
use dcanary_types::environment::EnvTransition;
use serde_json::json;

use crate::{
    build::{canary, environment},
    world::World,
};

fn after_staging() -> World {
    let more = json!({"promotesFrom": {"name": "staging"}, "approval": {"required": 1, "users": ["bob"]}});
    World::new(environment(canary(json!([{"weight": 50}])), more))
}

fn identity() -> String {
    format!("sha256:{}", "1".repeat(64))
}

fn staging() -> Environment {
    let mut staging = environment(canary(json!([])), json!({}));
    staging.metadata.name = Some("staging".to_owned());
    staging.metadata.uid = Some("uid-staging".to_owned());
    staging
}

#[test]
fn a_release_is_held_on_record_also_where_the_environment_before_is_missing() {
    let mut world = after_staging();
    world.decide_environment(Verb::Hold, Some(identity()));
    world.run(5);
    assert!(
        matches!(
            &world.chain[..],
            [
                EnvTransition::Opened {
                    from: None,
                    approvals: 1,
                    ..
                },
                EnvTransition::Held { .. }
            ]
        ),
        "{:?}",
        world.chain
    );
    world.from = Some(staging());
    world.run(5);
    let last = world.chain.last();
    assert!(
        matches!(last, Some(EnvTransition::Changed { from: Some(from), .. }) if from == "uid-staging"),
        "{last:?}"
    );
}

#[test]
fn a_release_is_held_on_record_also_where_the_spec_is_not_followed() {
    let window = json!([{"name": "weekend", "start": "never", "duration": "1h"}]);
    let mut world = World::new(environment(canary(json!([])), json!({"freeze": window})));
    world.decide_environment(Verb::Hold, Some(identity()));
    world.run(5);
    assert!(
        matches!(
            &world.chain[..],
            [EnvTransition::Opened { .. }, EnvTransition::Held { .. }]
        ),
        "{:?}",
        world.chain
    );
    world.env.spec.freeze.clear();
    world.run(5);
    let last = world.chain.last();
    assert!(matches!(last, Some(EnvTransition::Changed { .. })), "{last:?}");
}
