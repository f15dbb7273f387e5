//! Who may approve, how often, and for how long.

use dcanary_core::{Wake, time::later};
use dcanary_crds::Verb;
use dcanary_rollout::next;
use serde_json::{Value, json};

use crate::{
    build::{canary, environment},
    ledger::after_staging,
    world::World,
};

const HOUR: i64 = 3600;

fn world(approval: Value, more: Value) -> World {
    let mut more = more;
    more["approval"] = approval;
    World::new(environment(canary(json!([])), more))
}

#[test]
fn one_person_under_two_names_approves_once() {
    let users = ["bob", "oidc:bob@example.com", "cid"];
    let mut world = world(json!({"required": 2, "users": users}), json!({}));
    let name = world.promote("good1");
    world.run(5);
    world.decide(&name, Verb::Approve, "bob");
    world.decide(&name, Verb::Approve, "oidc:bob@example.com");
    world.run(30);
    assert_eq!(world.stable(), None);
    world.decide(&name, Verb::Approve, "cid");
    world.run(30);
    assert_eq!(world.stable().as_deref(), Some("good1"));
}

#[test]
fn who_asked_for_a_release_in_the_environment_before_does_not_approve_it_here() {
    let rule = json!({"promotesFrom": {"name": "staging", "auto": true}});
    let mut world = world(json!({"required": 1, "users": ["bob", "cid"]}), rule);
    after_staging(&mut world, "good1", 4);
    let staging = world.from.as_mut().unwrap().status.as_mut().unwrap();
    staging.stable.as_mut().unwrap().requested_by = Some("cid".to_owned());
    world.run(5);
    let name = world.promotions[0].metadata.name.clone().unwrap();
    world.decide(&name, Verb::Approve, "cid");
    world.run(30);
    assert_eq!(world.stable(), None, "cid brought it that far");
    world.decide(&name, Verb::Approve, "bob");
    world.run(30);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    let stable = world.status().stable.unwrap();
    assert_eq!(stable.requested_by.as_deref(), Some("cid"), "told further on");
}

#[test]
fn time_to_approve_begins_when_it_can_be_approved() {
    let rule = json!({"promotesFrom": {"name": "staging", "soak": "24h"}});
    let approval = json!({"required": 1, "users": ["bob"], "timeout": "4h"});
    let mut world = world(approval, rule);
    after_staging(&mut world, "good1", 4);
    let name = world.promote("good1");
    world.run(5);
    world.pass(24 * HOUR);
    world.run(5);
    assert_eq!(world.finished(&name), None, "it only now can be approved");
    world.pass(3 * HOUR);
    world.run(5);
    assert_eq!(world.finished(&name), None);
    world.pass(HOUR);
    world.run(5);
    assert_eq!(
        world.finished(&name),
        Some((false, "ApprovalTimedOut".to_owned()))
    );
}

#[test]
fn an_approval_that_ends_is_looked_at_again_in_that_moment() {
    let mut world = world(json!({"required": 2, "users": ["bob", "cid"]}), json!({}));
    let name = world.promote("good1");
    world.run(5);
    world.decide(&name, Verb::Approve, "bob");
    let end = later(world.now, 7);
    world.decisions[0].spec.expires_at = Some(end);
    world.run(3);
    assert_eq!(world.promotions[0].status.as_ref().unwrap().approvals.len(), 1);
    // nothing else happens meanwhile
    let plan = next(&world.env, &world.seen(), world.now);
    assert_eq!(plan.wake, Wake::At(end));
    world.run(10);
    assert_eq!(world.promotions[0].status.as_ref().unwrap().approvals, []);
    world.decide(&name, Verb::Approve, "cid");
    world.run(30);
    assert_eq!(world.stable(), None, "bob's approval counts no more");
}
