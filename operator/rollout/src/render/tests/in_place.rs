use proptest::prelude::*;
use serde_json::{Value, json};

use super::{TOOLS, adopting, apply, apply_all, deployed, existing, made, put, release_of, rolling, seen};
use crate::{
    render::{
        adopted, candidate, config_maps, in_place, in_place_whole, partition, record_name, restore, selector,
    },
    seen::{Key, Kind, Seen},
};

const NEXT: &str =
    "registry.example.com/web@sha256:3333333333333333333333333333333333333333333333333333333333333333";

fn kinds() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["Deployment", "StatefulSet", "DaemonSet"])
}

/// The Pods are those of every kind.
fn without_pods(mut object: Value) -> Value {
    object["spec"]["template"]["spec"] = "as of a Deployment".into();
    object
}

#[test]
fn a_deployment_in_place() {
    let env = rolling("Deployment", json!({"maxSurge": "1", "maxUnavailable": "0%"}));
    let seen = seen();
    insta::assert_yaml_snapshot!(in_place(&env, &made(&env, &seen), 3, &seen).unwrap().object);
}

#[test]
fn a_stateful_set_in_place() {
    let env = rolling("StatefulSet", json!({"partition": 2}));
    let seen = seen();
    let write = in_place(&env, &made(&env, &seen), 3, &seen).unwrap();
    insta::assert_yaml_snapshot!(without_pods(write.object));
}

#[test]
fn a_daemon_set_in_place() {
    let env = rolling("DaemonSet", json!({"maxUnavailable": "10%"}));
    let seen = seen();
    let write = in_place(&env, &made(&env, &seen), 3, &seen).unwrap();
    insta::assert_yaml_snapshot!(without_pods(write.object));
}

#[test]
fn a_deployment_that_recreates_its_pods_goes_on_doing_so() {
    let mut env = rolling("Deployment", json!({}));
    let spec = &mut env.spec.workload.template.as_mut().unwrap().spec;
    spec.insert("strategy".into(), json!({"type": "Recreate"}));
    let seen = seen();
    let write = in_place(&env, &made(&env, &seen), 1, &seen).unwrap();
    assert_eq!(write.object["spec"]["strategy"], json!({"type": "Recreate"}));
    env.spec.strategy.rolling = Some(serde_json::from_value(json!({"maxSurge": "1"})).unwrap());
    let write = in_place(&env, &made(&env, &seen), 1, &seen).unwrap();
    assert_eq!(write.object["spec"]["strategy"]["type"], "RollingUpdate");
}

#[test]
fn a_stateful_set_keeps_what_cannot_change() {
    let env = rolling("StatefulSet", json!({}));
    let mut seen = seen();
    apply(&in_place(&env, &made(&env, &seen), 3, &seen).unwrap(), &mut seen);
    let mut other = env.clone();
    let spec = &mut other.spec.workload.template.as_mut().unwrap().spec;
    spec.insert("serviceName".into(), "another".into());
    spec.insert("podManagementPolicy".into(), "Parallel".into());
    spec.insert("volumeClaimTemplates".into(), json!([]));
    spec.insert("minReadySeconds".into(), json!(9));
    let next = candidate(
        &other,
        &release_of("web-8", &[("web", NEXT), ("tools", TOOLS)]),
        &seen,
    )
    .unwrap();
    let write = in_place(&other, &next, 3, &seen).unwrap();
    let spec = &write.object["spec"];
    assert_eq!(spec["serviceName"], "web");
    assert_eq!(spec["volumeClaimTemplates"][0]["metadata"]["name"], "data");
    assert!(spec.get("podManagementPolicy").is_none());
    assert_eq!(spec["minReadySeconds"], 9);
    assert_eq!(spec["template"]["spec"]["containers"][0]["image"], NEXT);
}

#[test]
fn a_partition_holds_until_it_is_let_on_and_a_rollback_has_none() {
    for (on_delete, pointer) in [
        (false, "/spec/updateStrategy/rollingUpdate/partition"),
        (true, "/metadata/annotations/dcanary.dev~1partition"),
    ] {
        let env = rolling("StatefulSet", json!({"partition": 2, "onDelete": on_delete}));
        assert_eq!(partition(&env), 2);
        let mut seen = seen();
        let stable = made(&env, &seen);
        apply_all(&config_maps(&stable, &env, &seen), &mut seen);
        apply(&in_place(&env, &stable, 3, &seen).unwrap(), &mut seen);
        let key = Key::new(Kind::StatefulSet, "web");
        let at = |seen: &Seen| seen.objects[&key].pointer(pointer).cloned();
        let two = if on_delete { json!("2") } else { json!(2) };
        assert_eq!(at(&seen), Some(two.clone()));
        assert_eq!(in_place(&env, &stable, 3, &seen), None);
        apply(&in_place_whole(&env, &stable, 3, &seen).unwrap(), &mut seen);
        assert_ne!(at(&seen), Some(two));
        assert_eq!(in_place_whole(&env, &stable, 3, &seen), None);
        assert_eq!(restore(&env, &deployed(&stable), 3, &seen), Ok(None));
    }
    assert_eq!(partition(&rolling("Deployment", json!({"partition": 2}))), 0);
}

#[test]
fn a_template_that_somebody_else_changed_is_put_right() {
    let env = rolling("Deployment", json!({}));
    let mut seen = seen();
    let stable = made(&env, &seen);
    apply(&in_place(&env, &stable, 3, &seen).unwrap(), &mut seen);
    for (pointer, value) in [
        ("/spec/template/spec/containers/0/image", json!("web:hotfix")),
        ("/spec/template/metadata/labels/tier", json!("back")),
        ("/spec/replicas", json!(9)),
        ("/spec/strategy/rollingUpdate/maxSurge", json!(7)),
        (
            "/metadata/annotations/dcanary.dev~1identity",
            json!("sha256:forged"),
        ),
    ] {
        let mut changed = seen.clone();
        let live = changed
            .objects
            .get_mut(&Key::new(Kind::Deployment, "web"))
            .unwrap();
        *live.pointer_mut(pointer).unwrap() = value;
        let write = in_place(&env, &stable, 3, &changed).unwrap_or_else(|| panic!("{pointer}"));
        apply(&write, &mut changed);
        assert_eq!(in_place(&env, &stable, 3, &changed), None, "{pointer}");
    }
}

#[test]
fn a_workload_of_somebody_else_is_never_replaced() {
    let env = rolling("Deployment", json!({}));
    let mut seen = seen();
    let stable = made(&env, &seen);
    apply_all(&config_maps(&stable, &env, &seen), &mut seen);
    put(&mut seen, existing("web"));
    let write = in_place(&env, &stable, 3, &seen).unwrap();
    assert!(write.object["metadata"].get("resourceVersion").is_none());
    let error = restore(&env, &deployed(&stable), 3, &seen).unwrap_err();
    assert!(!error.waits() && error.reason() == "Foreign", "{error}");
}

#[test]
fn without_its_record_a_release_cannot_come_back_and_one_that_cannot_be_read_is_waited_for() {
    let env = rolling("Deployment", json!({}));
    let mut seen = seen();
    let stable = made(&env, &seen);
    let to = deployed(&stable);
    let error = restore(&env, &to, 3, &seen).unwrap_err();
    assert!(
        error.reason() == "RecordMissing" && !error.waits() && error.to_string().contains("promote it again"),
        "{error}"
    );

    apply_all(&config_maps(&stable, &env, &seen), &mut seen);
    let key = Key::new(Kind::ConfigMap, record_name(&env, &stable.identity));
    seen.objects.get_mut(&key).unwrap()["data"]["template.json"] = "{".into();
    assert_eq!(
        restore(&env, &to, 3, &seen).unwrap_err().reason(),
        "RecordInvalid"
    );
    // the record of another release in its place
    let mut other = stable.clone();
    other.identity = "sha256:another".into();
    let written = config_maps(&other, &env, &seen).pop().unwrap();
    seen.objects.get_mut(&key).unwrap()["data"] = written.object["data"].clone();
    assert_eq!(
        restore(&env, &to, 3, &seen).unwrap_err().reason(),
        "RecordInvalid"
    );
    seen.unreadable.insert(key, "timeout".into());
    assert!(restore(&env, &to, 3, &seen).unwrap_err().waits());

    let mut own = to;
    own.workload = "web-0123456789".into();
    let error = restore(&env, &own, 3, &seen).unwrap_err();
    assert!(
        error.reason() == "WorkloadGone" && error.to_string().contains("web-0123456789"),
        "{error}"
    );
}

#[test]
fn an_adopted_deployment_of_the_same_name_is_updated_in_place_and_can_go_back() {
    let mut env = adopting("shop", json!({"rolling": {}}));
    env.metadata.name = Some("shop".into());
    let mut seen = seen();
    put(&mut seen, existing("shop"));
    let first = adopted(&env, &seen).unwrap().unwrap();
    let next = candidate(&env, &release_of("shop-2", &[("server", NEXT)]), &seen).unwrap();
    assert_eq!(next.workload, "shop");
    apply_all(&config_maps(&next, &env, &seen), &mut seen);
    assert_eq!(
        selector(&env, "shop", &seen),
        [("app".to_owned(), "shop".to_owned())].into()
    );
    apply(&in_place(&env, &next, 4, &seen).unwrap(), &mut seen);

    let key = Key::new(Kind::Deployment, "shop");
    let live = &seen.objects[&key];
    assert_eq!(live["spec"]["selector"], json!({"matchLabels": {"app": "shop"}}));
    assert_eq!(live["spec"]["template"]["metadata"]["labels"]["app"], "shop");
    assert_eq!(live["spec"]["template"]["spec"]["containers"][0]["image"], NEXT);
    // what we put on is no change of what the user wrote
    let again = candidate(&env, &release_of("shop-2", &[("server", NEXT)]), &seen).unwrap();
    assert_eq!(again.identity, next.identity);
    assert_eq!(in_place(&env, &next, 4, &seen), None);

    apply(&restore(&env, &first, 4, &seen).unwrap().unwrap(), &mut seen);
    let live = &seen.objects[&key];
    assert_eq!(
        live["spec"]["template"]["spec"]["containers"][0]["image"],
        "shop:1"
    );
    assert_eq!(
        live["spec"]["template"]["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"],
        "app"
    );
    assert_eq!(restore(&env, &first, 4, &seen), Ok(None));
}

#[test]
fn pods_in_place_are_selected_by_the_environment_and_by_the_workload() {
    let env = rolling("Deployment", json!({}));
    let seen = seen();
    let write = in_place(&env, &made(&env, &seen), 1, &seen).unwrap();
    let labels = &write.object["spec"]["template"]["metadata"]["labels"];
    for (name, value) in selector(&env, "web", &seen) {
        assert_eq!(labels[name], value);
    }
    let chosen = write.object["spec"]["selector"]["matchLabels"]
        .as_object()
        .unwrap();
    assert!(chosen.iter().all(|(name, value)| labels[name] == *value));
    assert_eq!(chosen.len(), 1);
}

proptest! {
    #[test]
    fn what_was_written_in_place_is_so(kind in kinds(), replicas in 0..20_i32, on_delete: bool, at in prop::option::of(0..4_i32),
        surge in prop::option::of(prop::sample::select(vec!["1", "30%"]))) {
        let env = rolling(kind, json!({"onDelete": on_delete, "partition": at, "maxSurge": surge, "maxUnavailable": surge}));
        let mut seen = seen();
        let stable = made(&env, &seen);
        apply(&in_place(&env, &stable, replicas, &seen).unwrap(), &mut seen);
        prop_assert_eq!(in_place(&env, &stable, replicas, &seen), None);
        if kind != "DaemonSet" {
            apply(&in_place(&env, &stable, replicas + 1, &seen).unwrap(), &mut seen);
        }
    }

    /// Any number of releases, any way back: each gives exactly the Pods that it had.
    #[test]
    fn a_release_that_comes_back_has_the_pods_that_it_had(kind in kinds(), images in prop::collection::vec("[a-z]{1,4}", 1..4),
        back in any::<prop::sample::Index>()) {
        let env = rolling(kind, json!({}));
        let mut seen = seen();
        let mut before: Vec<(crate::render::Candidate, Value)> = Vec::new();
        for (i, image) in images.iter().enumerate() {
            // the configuration changes with each
            put(&mut seen, json!({"kind": "ConfigMap", "metadata": {"name": "app", "uid": "c"}, "data": {"log": i.to_string()}}));
            let release = release_of(image, &[("web", &format!("r/{image}@sha256:1")), ("tools", TOOLS)]);
            let next = candidate(&env, &release, &seen).unwrap();
            apply_all(&config_maps(&next, &env, &seen), &mut seen);
            let write = in_place(&env, &next, 3, &seen).unwrap();
            let key = write.key.clone();
            apply(&write, &mut seen);
            before.push((next, seen.objects[&key]["spec"]["template"].clone()));
        }
        let (to, template) = back.get(&before);
        if let Some(write) = restore(&env, &deployed(to), 3, &seen).unwrap() {
            apply(&write, &mut seen);
        }
        let (_, live) = seen.objects.iter().find(|(key, _)| key.name == "web").unwrap();
        prop_assert_eq!(&live["spec"]["template"], template);
        prop_assert_eq!(restore(&env, &deployed(to), 3, &seen), Ok(None));
    }
}
