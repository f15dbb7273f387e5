use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    TOOLS, adopting, apply, apply_all, deployed, environment, existing, made, put, release_of, rolling, seen,
};
use crate::{
    render::{adopted, candidate, changes, config_maps, deployment, difference::paths, in_place},
    seen::Seen,
};

const NEXT: &str = "registry.example.com/web@sha256:3333";

/// The world with the stable release running in it, and that release.
fn running(env: &dcanary_crds::Environment) -> (Seen, dcanary_crds::DeployedRelease) {
    let mut seen = seen();
    let stable = made(env, &seen);
    apply_all(&config_maps(&stable, env, &seen), &mut seen);
    let write = if crate::render::uses_in_place(env) {
        in_place(env, &stable, 3, &seen).unwrap()
    } else {
        deployment(env, &stable, 3)
    };
    apply(&write, &mut seen);
    (seen, deployed(&stable))
}

#[test]
fn an_equal_release_changes_nothing() {
    for env in [environment(), rolling("Deployment", json!({}))] {
        let (seen, stable) = running(&env);
        let found = changes(Some(&stable), &made(&env, &seen), &env, &seen);
        assert_eq!(
            (found.images, found.configuration),
            (Vec::<String>::new(), Vec::<String>::new())
        );
    }
}

#[test]
fn images_keys_and_paths_that_differ_are_told() {
    for before in [environment(), rolling("Deployment", json!({}))] {
        let (mut seen, stable) = running(&before);
        put(
            &mut seen,
            json!({"kind": "ConfigMap", "metadata": {"name": "app", "uid": "c"}, "data": {"log": "debug", "new": "1"}}),
        );
        put(
            &mut seen,
            json!({"kind": "ConfigMap", "metadata": {"name": "flags", "uid": "c"}, "data": {"mode": "fast"}}),
        );
        let mut env = serde_json::to_value(&before).unwrap();
        let template = env.pointer_mut("/spec/workload/template/spec/template").unwrap();
        template["metadata"]["annotations"] = json!({"prometheus.io/port": "80"});
        template["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "1"}});
        template["spec"]["containers"][1]["image"] = "proxy:2".into();
        template["spec"]["containers"]
            .as_array_mut()
            .unwrap()
            .push(json!({"name": "log", "image": "log:1"}));
        template["spec"]["volumes"]
            .as_array_mut()
            .unwrap()
            .retain(|volume| volume["name"] != "plain");
        let env = serde_json::from_value(env).unwrap();
        let next = candidate(
            &env,
            &release_of("web-8", &[("web", NEXT), ("tools", TOOLS)]),
            &seen,
        )
        .unwrap();
        let found = changes(Some(&stable), &next, &env, &seen);
        assert_eq!(found.images, [format!("web: {} → {NEXT}", super::WEB)]);
        assert_eq!(found.to.unwrap().commit, "a1b2c3");
        assert_eq!(
            found.configuration,
            [
                "~app/log",
                "+app/new",
                "-flags/blob",
                "+template.metadata.annotations[prometheus.io/port]",
                "-template.metadata.annotations[prometheus.io/scrape]",
                "+template.spec.containers[log]",
                "~template.spec.containers[proxy].image",
                "+template.spec.containers[server].resources.limits.cpu",
                "-template.spec.volumes[plain]",
            ]
        );
    }
}

#[test]
fn maps_that_come_and_go_are_told_key_by_key() {
    let (mut seen, stable) = running(&environment());
    put(
        &mut seen,
        json!({"kind": "ConfigMap", "metadata": {"name": "other", "uid": "c"}, "data": {"x": "1"}}),
    );
    let mut env = environment();
    env.spec.workload.config_maps = vec!["app".into(), "other".into()];
    let found = changes(Some(&stable), &made(&env, &seen), &env, &seen);
    // that the Pods use `flags` itself now, and a copy of `other`, is no change of the template
    assert_eq!(found.configuration, ["-flags/blob", "-flags/mode", "+other/x"]);
}

#[test]
fn the_first_release_is_all_new() {
    let (env, seen) = (environment(), seen());
    let found = changes(None, &made(&env, &seen), &env, &seen);
    assert_eq!(found.images.len(), 2);
    assert!(found.images[1].starts_with("web: none → "), "{:?}", found.images);
    assert!(found.configuration.is_empty() && found.from.is_none());
}

#[test]
fn an_adopted_deployment_is_compared_by_its_template() {
    let env = adopting("shop", json!({"canary": {"steps": [{"weight": 10}]}}));
    let mut seen = seen();
    put(&mut seen, existing("shop"));
    let stable = adopted(&env, &seen).unwrap().unwrap();
    let next = candidate(&env, &release_of("shop-2", &[("server", NEXT)]), &seen).unwrap();
    let found = changes(Some(&stable), &next, &env, &seen);
    assert_eq!(found.images, [format!("server: shop:1 → {NEXT}")]);
    // its selector's label is not on new Pods
    assert!(
        found
            .configuration
            .contains(&"-template.metadata.labels.app".to_owned()),
        "{:?}",
        found.configuration
    );
    assert!(
        found.configuration.iter().all(|line| line.contains("template.")),
        "{:?}",
        found.configuration
    );
}

#[test]
fn many_changes_are_cut_and_counted() {
    let (mut seen, stable) = running(&environment());
    let data: Value = (0..200)
        .map(|i| (format!("k{i}"), json!("v")))
        .collect::<serde_json::Map<_, _>>()
        .into();
    put(
        &mut seen,
        json!({"kind": "ConfigMap", "metadata": {"name": "app", "uid": "c"}, "data": data}),
    );
    let found = changes(Some(&stable), &made(&environment(), &seen), &environment(), &seen).configuration;
    assert_eq!(found.len(), 51);
    assert_eq!(found[50], "and 151 more");
}

proptest! {
    #[test]
    fn a_template_does_not_differ_from_itself_with_defaults_added(env in prop::collection::vec(("[A-Z]{1,3}", "[a-z]{0,3}"), 0..4)) {
        let env: Vec<Value> = env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let new = json!({"spec": {"containers": [{"name": "a", "image": "x", "env": env}]}});
        let mut old = new.clone();
        old["spec"]["dnsPolicy"] = "ClusterFirst".into();
        old["spec"]["securityContext"] = json!({});
        old["spec"]["containers"][0]["imagePullPolicy"] = "Always".into();
        old["metadata"] = json!({"creationTimestamp": null});
        prop_assert_eq!(paths(&old, &new, &BTreeSet::new()), Vec::<String>::new());
    }

    #[test]
    fn lists_of_named_elements_are_compared_in_whatever_order(order in Just(vec![0, 1, 2, 3]).prop_shuffle()) {
        let element = |i: &i32| json!({"name": format!("n{i}"), "value": i});
        let old: Vec<Value> = (0..4).map(|i| element(&i)).collect();
        let new: Vec<Value> = order.iter().map(element).collect();
        prop_assert_eq!(paths(&old.into(), &new.into(), &BTreeSet::new()), Vec::<String>::new());
    }
}
