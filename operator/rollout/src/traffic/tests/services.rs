//! The Services.

use dcanary_crds::{Port, Strategy, labels};
use serde_json::json;

use super::{
    super::{ADOPT, Wanted},
    world::{UID, World, blue_green, canary, wanted},
};
use crate::seen::{Key, Kind, Refusal};

fn service() -> Key {
    Key::new(Kind::Service, "web")
}

#[test]
fn services_are_created_with_the_ports_of_the_traffic() {
    let mut world = World::new(blue_green(), None).with(&["web-1"]);
    world.reach(&wanted("web-1", None, 0));
    let service = world.service("web");
    assert_eq!(service["metadata"]["labels"][labels::ENVIRONMENT_UID], UID);
    assert_eq!(
        service["spec"]["ports"],
        json!([{"port": 80, "targetPort": 8080, "protocol": "TCP"}])
    );
    // Without a candidate its Service leads to the stable release: a late request finds somebody.
    assert!(world.leads_to("web", "web-1") && world.leads_to("web-candidate", "web-1"));
}

#[test]
fn several_ports_have_names_and_protocols_the_spelling_of_kubernetes() {
    let mut world = World::new(blue_green(), None).with(&["web-1"]);
    let ports = &mut world.env.spec.traffic.as_mut().unwrap().ports;
    ports.push(Port {
        name: Some("calls".to_owned()),
        port: 9000,
        target_port: None,
        app_protocol: Some("h2c".to_owned()),
    });
    world.reach(&wanted("web-1", None, 0));
    assert_eq!(
        world.service("web")["spec"]["ports"],
        json!([
            {"port": 80, "targetPort": 8080, "protocol": "TCP", "name": "port-80"},
            {"port": 9000, "targetPort": 9000, "protocol": "TCP", "name": "calls", "appProtocol": "kubernetes.io/h2c"},
        ])
    );
}

#[test]
fn a_switch_keeps_everything_else_of_a_service() {
    let mut world = World::new(blue_green(), None).with(&["web-1", "web-2"]);
    world.reach(&wanted("web-1", None, 0));
    let object = world.seen.objects.get_mut(&service()).unwrap();
    object["spec"]["sessionAffinity"] = json!("ClientIP");
    object["spec"]["ports"][0]["nodePort"] = json!(30080);
    object["metadata"]["annotations"] = json!({"theirs": "kept"});
    let mut before = object.clone();
    world.reach(&wanted("web-1", Some("web-2"), 100));
    let mut after = world.service("web").clone();
    assert_ne!(before["spec"]["selector"], after["spec"]["selector"]);
    for object in [&mut before, &mut after] {
        object["spec"]["selector"] = json!(null);
        object["metadata"]["resourceVersion"] = json!(null);
        object["metadata"]["generation"] = json!(null);
    }
    assert_eq!(before, after);
}

#[test]
fn a_service_of_somebody_else_is_left_alone() {
    let theirs =
        json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "shop"}, "ports": [{"port": 80}]}});
    let mut world = World::new(canary(Vec::new()), None).with(&["web-1"]);
    world.store(&service(), theirs);
    let split = world.ask(&wanted("web-1", None, 0));
    assert!(split.effects.is_empty());
    let said = world.reason(&wanted("web-1", None, 0));
    assert!(said.starts_with("Foreign: ") && said.contains(ADOPT), "{said}");
    let other = json!({labels::ENVIRONMENT: "api", labels::ENVIRONMENT_UID: "e2"});
    world.seen.objects.get_mut(&service()).unwrap()["metadata"]["labels"] = other;
    assert!(
        world
            .reason(&wanted("web-1", None, 0))
            .contains("belongs to Environment api")
    );
    // It cannot be given to us while it is another Environment's.
    world.seen.objects.get_mut(&service()).unwrap()["metadata"]["annotations"] = json!({ADOPT: "true"});
    assert!(
        world
            .reason(&wanted("web-1", None, 0))
            .contains("belongs to Environment api")
    );
}

#[test]
fn a_service_that_is_given_to_us_is_taken_over_and_given_back() {
    let theirs = json!({
        "metadata": {"name": "web", "annotations": {ADOPT: "true"}, "labels": {"app.kubernetes.io/name": "shop"}},
        "spec": {
            "selector": {"app": "shop"},
            "ports": [{"name": "http", "port": 80, "targetPort": "http"}, {"name": "admin", "port": 81, "targetPort": 81}],
        },
    });
    let mut world = World::new(canary(Vec::new()), None);
    world.workload("shop", &json!({"app": "shop"}));
    world.env.spec.workload.reference = Some(dcanary_crds::WorkloadRef {
        name: "shop".to_owned(),
    });
    world.env.spec.traffic.as_mut().unwrap().ports[0].target_port = None;
    world.store(&service(), theirs);
    let before = world.service("web").clone();
    world.reach(&wanted("shop", None, 0));
    let after = world.service("web");
    assert_eq!(after["spec"]["ports"], before["spec"]["ports"]);
    assert_eq!(after["spec"]["selector"], before["spec"]["selector"]);
    assert_eq!(after["metadata"]["labels"]["app.kubernetes.io/name"], "shop");
    assert_eq!(after["metadata"]["labels"][labels::ENVIRONMENT_UID], UID);
    world.remove();
    assert_eq!(world.service("web")["spec"], before["spec"]);
    assert_eq!(
        world.service("web")["metadata"]["labels"],
        before["metadata"]["labels"]
    );
    assert!(
        !world
            .seen
            .objects
            .contains_key(&Key::new(Kind::Service, "web-candidate"))
    );
}

#[test]
fn in_place_there_is_one_service() {
    let mut world = World::new(Strategy::default(), None).with(&["web"]);
    world.reach(&wanted("web", None, 0));
    assert!(world.leads_to("web", "web"));
    assert!(
        !world
            .seen
            .objects
            .contains_key(&Key::new(Kind::Service, "web-candidate"))
    );
}

#[test]
fn what_cannot_be_read_is_not_written() {
    let mut world = World::new(canary(Vec::new()), None).with(&["web-1"]);
    world.seen.unreadable.insert(service(), "timed out".to_owned());
    let split = world.ask(&wanted("web-1", None, 0));
    assert!(split.effects.is_empty());
    assert!(format!("{:?}", split.in_force).contains("cannot be read: timed out"));
}

#[test]
fn a_write_that_is_refused_is_told_with_the_answer() {
    let mut world = World::new(canary(Vec::new()), None).with(&["web-1"]);
    let refusal = Refusal {
        reason: "Forbidden".to_owned(),
        message: "cannot create resource services".to_owned(),
        retry_at: jiff::Timestamp::UNIX_EPOCH,
    };
    world.seen.refusals.insert(service(), refusal);
    let said = world.reason(&wanted("web-1", None, 0));
    assert_eq!(said, "Forbidden: Service web: cannot create resource services");
}

#[test]
fn the_first_release_is_led_to_by_both() {
    let mut world = World::new(canary(Vec::new()), None).with(&["web-1"]);
    world.reach(&Wanted {
        candidate: Some("web-1"),
        ..Wanted::default()
    });
    assert!(world.leads_to("web", "web-1") && world.leads_to("web-candidate", "web-1"));
}
