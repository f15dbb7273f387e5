//! Promotions and ways back, step by step.

use dcanary_crds::{RouteKind, labels};
use serde_json::json;

use super::{
    super::{InForce, Wanted},
    testing,
    world::{World, blue_green, canary, reference, site, template, wanted},
};

fn worlds() -> Vec<World> {
    let rules = json!([{"backendRefs": [{"name": "web", "port": 80}]}]);
    let names = ["web-1", "web-2", "web-3"];
    vec![
        World::new(canary(Vec::new()), Some(template(RouteKind::Http, &json!([])))).with(&names),
        World::new(canary(Vec::new()), Some(template(RouteKind::Grpc, &json!([])))).with(&names),
        World::new(blue_green(), Some(template(RouteKind::Http, &json!([])))).with(&names),
        World::new(canary(Vec::new()), Some(reference(None)))
            .with(&names)
            .with_route(site(&rules)),
    ]
}

/// flagger #826: requests failed while traffic was switched on promotion.
#[test]
fn a_promotion_never_switches_a_service_that_has_requests() {
    for mut world in worlds() {
        world.reach(&wanted("web-1", Some("web-2"), 0));
        world.switches.clear();
        let steps = [
            wanted("web-1", Some("web-2"), 40),
            wanted("web-1", Some("web-2"), 100),
            wanted("web-2", Some("web-2"), 100),
            wanted("web-2", None, 0),
        ];
        let mut share = world.share("web-2");
        for step in &steps {
            // The gateway lags behind by more than one pass.
            for round in 0..30 {
                let split = world.set(step);
                if round % 3 == 2 {
                    world.settle();
                }
                // It goes up and never back, and all requests find one of the two.
                assert!(world.share("web-2") >= share, "{step:?}");
                share = world.share("web-2");
                assert!(world.leads_to("web", "web-2") || world.share("web-1") + share == 100);
                if split.in_force == InForce::Yes && split.effects.is_empty() {
                    break;
                }
                assert!(round < 29, "{step:?}");
            }
        }
        assert_eq!(share, 100);
        let [switch] = world.switches.as_slice() else {
            panic!("{:?}", world.switches)
        };
        assert_eq!(
            (switch.service.as_str(), switch.least),
            ("web", 100),
            "all requests went to the candidate's Service"
        );
        assert!(world.leads_to("web", "web-2") && world.leads_to("web-candidate", "web-2"));
    }
}

#[test]
fn the_stable_service_is_not_switched_before_the_weights_are_in_force() {
    for mut world in worlds() {
        world.reach(&wanted("web-1", Some("web-2"), 0));
        // Even when the caller leaves out that step.
        for _ in 0..3 {
            world.set(&wanted("web-2", Some("web-2"), 100));
            assert!(world.leads_to("web", "web-1"));
        }
        world.settle();
        world.reach(&wanted("web-2", Some("web-2"), 100));
        assert!(world.leads_to("web", "web-2"));
    }
}

#[test]
fn weight_comes_back_to_the_stable_service_only_once_it_is_switched() {
    for mut world in worlds() {
        world.reach(&wanted("web-1", Some("web-2"), 100));
        // The caller leaves out the middle part.
        let split = world.set(&wanted("web-2", None, 0));
        assert_eq!(split.effects.len(), 1);
        assert!(world.leads_to("web", "web-2"));
        assert_eq!(world.share("web-2"), 100);
        world.reach(&wanted("web-2", None, 0));
        assert_eq!(world.share("web-2"), 100);
    }
}

#[test]
fn a_newer_candidate_takes_over_when_no_request_goes_to_the_older_one() {
    for mut world in worlds() {
        world.reach(&wanted("web-1", Some("web-2"), 40));
        world.switches.clear();
        world.reach(&wanted("web-1", Some("web-3"), 40));
        let [switch] = world.switches.as_slice() else {
            panic!("{:?}", world.switches)
        };
        assert_eq!((switch.service.as_str(), switch.most), ("web-candidate", 0));
    }
}

#[test]
fn a_new_rollout_right_after_a_promotion_that_did_not_finish_loses_nothing() {
    for mut world in worlds() {
        world.reach(&wanted("web-1", Some("web-2"), 100));
        world.switches.clear();
        world.reach(&wanted("web-2", Some("web-3"), 0));
        assert_eq!(world.share("web-2"), 100);
        let found: Vec<_> = world
            .switches
            .iter()
            .map(|switch| (switch.service.as_str(), switch.least, switch.most))
            .collect();
        assert_eq!(found, [("web", 100, 100), ("web-candidate", 0, 0)]);
    }
}

#[test]
fn the_way_back_is_one_write() {
    for mut world in worlds() {
        world.reach(&wanted("web-1", Some("web-2"), 40));
        let split = world.set(&wanted("web-1", Some("web-2"), 0));
        assert_eq!(split.effects.len(), 1);
        world.settle();
        assert_eq!(world.share("web-1"), 100);
    }
}

#[test]
fn the_way_back_takes_testers_and_mirrors_along() {
    let mut world = World::new(
        canary(vec![testing::header("x", "1")]),
        Some(template(RouteKind::Http, &json!([]))),
    )
    .with(&["web-1", "web-2"]);
    let full = Wanted {
        mirror: 10,
        testers: true,
        ..wanted("web-1", Some("web-2"), 40)
    };
    world.reach(&full);
    world.switches.clear();
    // The release is given up, and its Service leads to the stable one when nobody is sent there any more.
    world.reach(&wanted("web-1", None, 0));
    assert!(world.rules().len() == 1 && world.rules()[0].get("filters").is_none());
    let [switch] = world.switches.as_slice() else {
        panic!("{:?}", world.switches)
    };
    assert!(switch.most == 0 && !switch.extra);
}

#[test]
fn a_selector_that_somebody_broke_is_mended_at_once() {
    for mut world in worlds() {
        world.reach(&wanted("web-1", Some("web-2"), 40));
        for name in ["web", "web-candidate"] {
            let key = crate::seen::Key::new(crate::seen::Kind::Service, name);
            world.seen.objects.get_mut(&key).unwrap()["spec"]["selector"] = json!({"app": "nobody"});
        }
        world.set(&wanted("web-1", Some("web-2"), 40));
        assert_eq!(world.selector("web")[labels::RELEASE], "web-1");
        assert_eq!(world.selector("web-candidate")[labels::RELEASE], "web-2");
        assert_eq!(world.share("web-2"), 40);
    }
}
