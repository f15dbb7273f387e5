//! When a route is in force.

use dcanary_crds::RouteKind;
use serde_json::{Value, json};

use super::{
    super::{InForce, of},
    world::{World, canary, template, wanted},
};
use crate::seen::{Key, Kind};

fn world() -> World {
    let mut world =
        World::new(canary(Vec::new()), Some(template(RouteKind::Http, &json!([])))).with(&["web-1", "web-2"]);
    world.reach(&wanted("web-1", Some("web-2"), 20));
    world
}

fn object(world: &mut World) -> &mut Value {
    world
        .seen
        .objects
        .get_mut(&Key::new(Kind::HttpRoute, "web"))
        .unwrap()
}

fn state(world: &World) -> InForce {
    world.ask(&wanted("web-1", Some("web-2"), 20)).in_force
}

#[test]
fn a_route_is_in_force_when_every_parent_has_taken_up_its_generation() {
    let mut world = world();
    assert_eq!(state(&world), InForce::Yes);
    assert_eq!(of(&world.env, &world.seen, None).unwrap().weight(), Some(20));
    object(&mut world)["status"]["parents"][0]["conditions"][1]["observedGeneration"] = json!(0);
    assert!(matches!(state(&world), InForce::NotYet { .. }));
    object(&mut world)["status"] = json!({});
    assert!(matches!(state(&world), InForce::NotYet { .. }));
}

#[test]
fn one_parent_is_not_all() {
    let mut world = world();
    world
        .env
        .spec
        .traffic
        .as_mut()
        .unwrap()
        .route
        .as_mut()
        .unwrap()
        .template
        .as_mut()
        .unwrap()
        .parent_refs
        .push(serde_json::from_value(json!({"name": "internal"})).unwrap());
    let asked = wanted("web-1", Some("web-2"), 20);
    world.set(&asked);
    let generation = object(&mut world)["metadata"]["generation"].clone();
    for condition in object(&mut world)["status"]["parents"][0]["conditions"]
        .as_array_mut()
        .unwrap()
    {
        condition["observedGeneration"] = generation.clone();
    }
    let InForce::NotYet { message } = state(&world) else {
        panic!("{:?}", state(&world))
    };
    assert!(message.contains("internal"), "{message}");
    world.reach(&asked);
}

#[test]
fn an_implementation_that_says_the_parent_is_not_its_own_does_not_count() {
    let mut world = world();
    let parents = object(&mut world)["status"]["parents"].as_array_mut().unwrap();
    let mut other = parents[0].clone();
    other["controllerName"] = json!("example.org/other");
    other["conditions"][0]["status"] = json!("False");
    other["conditions"][0]["reason"] = json!("NoMatchingParent");
    parents.insert(0, other);
    assert_eq!(state(&world), InForce::Yes);
}

#[test]
fn a_gateway_that_refuses_is_quoted() {
    let mut world = world();
    let said = json!({"type": "Accepted", "status": "False", "reason": "NotAllowedByListeners", "message": "no listener", "observedGeneration": 1});
    let generation = object(&mut world)["metadata"]["generation"].clone();
    let conditions = &mut object(&mut world)["status"]["parents"][0]["conditions"];
    conditions[0] = said;
    conditions[0]["observedGeneration"] = generation.clone();
    let InForce::Refused { reason, message } = state(&world) else {
        panic!("{:?}", state(&world))
    };
    assert_eq!(reason, "RouteRejected");
    assert!(
        message.contains("public does not accept HTTPRoute web: NotAllowedByListeners: no listener"),
        "{message}"
    );
    // A backend that the gateway has not found yet comes by itself.
    let conditions = &mut object(&mut world)["status"]["parents"][0]["conditions"];
    conditions[0] = json!({"type": "Accepted", "status": "True", "observedGeneration": generation});
    conditions[1] = json!({"type": "ResolvedRefs", "status": "False", "reason": "BackendNotFound", "observedGeneration": generation});
    assert!(matches!(state(&world), InForce::NotYet { .. }));
}

#[test]
fn parts_that_are_left_out_are_not_in_force() {
    let mut world = world();
    let generation = object(&mut world)["metadata"]["generation"].clone();
    let partial = json!({"type": "PartiallyInvalid", "status": "True", "reason": "UnsupportedValue", "observedGeneration": generation});
    object(&mut world)["status"]["parents"][0]["conditions"]
        .as_array_mut()
        .unwrap()
        .push(partial);
    assert!(matches!(state(&world), InForce::Refused { .. }));
}

#[test]
fn without_the_gateway_api_a_route_is_refused_and_the_services_are_there() {
    let mut world =
        World::new(canary(Vec::new()), Some(template(RouteKind::Grpc, &json!([])))).with(&["web-1"]);
    world.seen.gateway_api = false;
    let split = world.set(&wanted("web-1", None, 0));
    assert_eq!(split.effects.len(), 2);
    assert!(
        world
            .reason(&wanted("web-1", None, 0))
            .starts_with("GatewayApiMissing: the cluster does not know GRPCRoute")
    );
    assert!(world.ask(&wanted("web-1", None, 0)).effects.is_empty());
}
