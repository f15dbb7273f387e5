use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{UID, WEB, adopting, apply_all, environment, existing, made, put, release, rolling, seen};
use crate::{
    plan::Actor,
    render::{Candidate, candidate, claimed, config::rename, config_maps, deployment, scale, uses_in_place},
    seen::{Key, Kind},
};

fn text(value: &Value) -> String {
    serde_json::to_string(value).unwrap()
}

#[test]
fn the_deployment_of_a_release() {
    let (env, seen) = (environment(), seen());
    let candidate = made(&env, &seen);
    let write = deployment(&env, &candidate, 2);
    assert_eq!(write.actor, Actor::Environment);
    insta::assert_yaml_snapshot!(write.object);
}

#[test]
fn a_pod_is_available_once_gateways_had_time_to_learn_of_it_unless_the_template_says_otherwise() {
    let (mut env, seen) = (environment(), seen());
    let ready_for = |env: &dcanary_crds::Environment| {
        deployment(env, &made(env, &seen), 2).object["spec"]["minReadySeconds"].clone()
    };
    assert_eq!(ready_for(&env), 5);
    let template = |env: &mut dcanary_crds::Environment, seconds: Option<i32>| {
        let spec = &mut env.spec.workload.template.as_mut().unwrap().spec;
        spec.remove("minReadySeconds");
        spec.extend(seconds.map(|seconds| ("minReadySeconds".to_owned(), seconds.into())));
    };
    template(&mut env, None);
    assert_eq!(ready_for(&env), 2);
    template(&mut env, Some(0));
    assert_eq!(ready_for(&env), 0);
}

#[test]
fn the_copies_of_a_release() {
    let (env, seen) = (environment(), seen());
    let writes = config_maps(&made(&env, &seen), &env, &seen);
    let objects: Vec<&Value> = writes.iter().map(|write| &write.object).collect();
    insta::assert_yaml_snapshot!(objects);
}

#[test]
fn every_reference_to_a_tracked_config_map_leads_to_the_copy_and_no_other_does() {
    let mut template = json!({"spec": {
        "volumes": [
            {"name": "a", "configMap": {"name": "app"}},
            {"name": "b", "projected": {"sources": [{"configMap": {"name": "app"}}, {"secret": {"name": "app"}}]}},
            {"name": "app", "secret": {"secretName": "app"}},
            {"name": "c", "configMap": {"name": "other"}},
        ],
        "containers": [{"name": "app", "env": [
            {"name": "app", "valueFrom": {"configMapKeyRef": {"name": "app", "key": "app"}}},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "app", "key": "app"}}},
            {"name": "C", "value": "app"},
        ], "envFrom": [{"configMapRef": {"name": "app"}}, {"secretRef": {"name": "app"}}]}],
        "initContainers": [{"name": "i", "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "app", "key": "k"}}}],
            "envFrom": [{"configMapRef": {"name": "app"}}]}],
        "ephemeralContainers": [{"name": "e", "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "app", "key": "k"}}}],
            "envFrom": [{"configMapRef": {"name": "app"}}]}],
    }});
    rename(
        &mut template,
        &BTreeMap::from([("app".to_owned(), "app-0123456789".to_owned())]),
    );
    insta::assert_yaml_snapshot!(template);
}

#[test]
fn labels_of_ours_win_and_nothing_of_the_environment_is_inherited() {
    let (env, seen) = (environment(), seen());
    let candidate = made(&env, &seen);
    let write = deployment(&env, &candidate, 1);
    for metadata in [
        &write.object["metadata"],
        &write.object["spec"]["template"]["metadata"],
    ] {
        assert_eq!(metadata["labels"]["dcanary.dev/environment"], "web");
        assert_eq!(metadata["labels"]["dcanary.dev/environment-uid"], UID);
        assert_eq!(metadata["labels"]["dcanary.dev/release"], *candidate.workload);
        assert_eq!(metadata["labels"]["app.kubernetes.io/name"], "web");
        assert_eq!(metadata["labels"]["team"], "a");
        assert_eq!(
            metadata["annotations"]["dcanary.dev/identity"],
            *candidate.identity
        );
    }
    let pods = &write.object["spec"]["template"]["metadata"];
    assert_eq!(pods["labels"]["tier"], "front");
    assert_eq!(pods["annotations"]["prometheus.io/scrape"], "true");
    let mut all = vec![write.object];
    all.extend(
        config_maps(&candidate, &env, &seen)
            .into_iter()
            .map(|write| write.object),
    );
    for object in &all {
        assert!(
            !text(object).contains("argocd") && !text(object).contains("instance"),
            "{object}"
        );
        assert!(object["metadata"].get("ownerReferences").is_none());
        assert_eq!(claimed(&env, object), Ok(()));
    }
}

#[test]
fn what_cannot_be_read_is_waited_for_and_is_never_a_change() {
    let env = environment();
    let key = Key::new(Kind::ConfigMap, "flags");
    let mut missing = seen();
    missing.objects.remove(&key);
    let error = candidate(&env, &release(), &missing).unwrap_err();
    assert!(
        error.waits() && error.reason() == "ConfigMapMissing" && error.to_string().contains("`flags`"),
        "{error}"
    );

    let mut unreadable = seen();
    unreadable.unreadable.insert(key, "etcd is away".into());
    let error = candidate(&env, &release(), &unreadable).unwrap_err();
    assert!(
        error.waits() && error.to_string().contains("etcd is away"),
        "{error}"
    );

    let mut secret = seen();
    secret.secrets.clear();
    let error = candidate(&env, &release(), &secret).unwrap_err();
    assert!(
        error.waits() && error.reason() == "SecretMissing" && error.to_string().contains("`keys`"),
        "{error}"
    );
}

#[test]
fn fields_that_only_the_operator_sets_are_refused_with_their_place() {
    for field in ["replicas", "selector", "paused"] {
        let mut env = serde_json::to_value(environment()).unwrap();
        env["spec"]["workload"]["template"]["spec"][field] = json!(1);
        let env = serde_json::from_value(env).unwrap();
        let error = candidate(&env, &release(), &seen()).unwrap_err();
        assert!(!error.waits());
        assert!(
            error
                .to_string()
                .contains(&format!("spec.workload.template.spec.{field}")),
            "{error}"
        );
    }
    let mut env = environment();
    env.spec.workload.template = None;
    assert_eq!(
        candidate(&env, &release(), &seen()).unwrap_err().reason(),
        "NoWorkload"
    );
}

#[test]
fn copies_are_written_once_and_those_of_others_are_left_to_the_refusal() {
    let env = environment();
    let mut seen = seen();
    let candidate = made(&env, &seen);
    let writes = config_maps(&candidate, &env, &seen);
    assert_eq!(writes.len(), 2);
    apply_all(&writes, &mut seen);
    assert_eq!(config_maps(&candidate, &env, &seen), []);

    let name = writes[0].key.name.clone();
    put(
        &mut seen,
        json!({"kind": "ConfigMap", "metadata": {"name": name, "uid": "x", "resourceVersion": "1"}}),
    );
    let again = config_maps(&candidate, &env, &seen);
    assert_eq!(again.len(), 1);
    // a creation: the API server refuses it
    assert!(again[0].object["metadata"].get("resourceVersion").is_none());
}

#[test]
fn a_rollback_finds_the_configuration_of_its_time() {
    let env = environment();
    let mut seen = seen();
    let first = made(&env, &seen);
    apply_all(&config_maps(&first, &env, &seen), &mut seen);
    put(
        &mut seen,
        json!({"kind": "ConfigMap", "metadata": {"name": "app", "uid": "cm-1"}, "data": {"log": "debug"}}),
    );
    let second = made(&env, &seen);
    apply_all(&config_maps(&second, &env, &seen), &mut seen);
    let log = |candidate: &Candidate| {
        let name = candidate.template["spec"]["volumes"][0]["configMap"]["name"]
            .as_str()
            .unwrap();
        seen.objects[&Key::new(Kind::ConfigMap, name)]["data"]["log"].clone()
    };
    assert_eq!((log(&first), log(&second)), (json!("info"), json!("debug")));
}

#[test]
fn objects_of_others_are_told_with_their_owner() {
    let env = environment();
    let of = |labels: Value| json!({"kind": "Deployment", "metadata": {"name": "web", "labels": labels}});
    assert_eq!(
        claimed(&env, &of(json!({"dcanary.dev/environment-uid": UID}))),
        Ok(())
    );
    let other = claimed(
        &env,
        &of(json!({"dcanary.dev/environment-uid": "x", "dcanary.dev/environment": "shop"})),
    )
    .unwrap_err();
    assert!(
        other.contains("Deployment `web`") && other.contains("`shop`"),
        "{other}"
    );
    assert!(
        claimed(&env, &of(json!({})))
            .unwrap_err()
            .contains("delete or rename it")
    );
    // only the Deployment that is named is taken over
    let env = adopting("web", json!({}));
    assert_eq!(claimed(&env, &of(json!({}))), Ok(()));
    assert!(claimed(&env, &of(json!({"dcanary.dev/environment-uid": "x"}))).is_err());
    assert!(claimed(&env, &json!({"kind": "Service", "metadata": {"name": "web"}})).is_err());
    // objects of lists have no kind
    assert_eq!(
        claimed(
            &env,
            &json!({"metadata": {"name": "web"}, "spec": {"template": {"spec": {}}}})
        ),
        Ok(())
    );
    assert!(
        claimed(
            &env,
            &json!({"metadata": {"name": "web"}, "spec": {"selector": {}}})
        )
        .is_err()
    );
    let mut no_uid = environment();
    no_uid.metadata.uid = None;
    assert!(claimed(&no_uid, &of(json!({"dcanary.dev/environment-uid": ""}))).is_err());
}

#[test]
fn only_canary_and_blue_green_have_a_workload_for_each_release() {
    assert!(!uses_in_place(&environment()));
    assert!(uses_in_place(&rolling("StatefulSet", json!({}))));
    let mut none = environment();
    none.spec.strategy = dcanary_crds::Strategy::default();
    assert!(uses_in_place(&none));
    none.spec.strategy.blue_green = Some(dcanary_crds::BlueGreen::default());
    assert!(!uses_in_place(&none));
}

#[test]
fn releases_of_an_adopted_deployment_are_no_pods_of_its() {
    let mut seen = seen();
    put(&mut seen, existing("shop"));
    let mut env = adopting("shop", json!({"canary": {"steps": [{"weight": 10}]}}));
    env.metadata.name = Some("shop".into());
    let candidate = candidate(&env, &super::release_of("shop-2", &[("server", WEB)]), &seen).unwrap();
    assert_eq!(candidate.template["spec"]["containers"][0]["image"], WEB);
    let labels = candidate.template["metadata"]["labels"].as_object().unwrap();
    assert!(!labels.contains_key("app"), "{labels:?}");
    insta::assert_yaml_snapshot!(candidate.template["spec"]);
}

proptest! {
    #[test]
    fn scaling_changes_the_number_of_pods_and_nothing_else_and_only_once(before in 0..9_i32, after in 0..9_i32) {
        let (env, seen) = (environment(), seen());
        let write = deployment(&env, &made(&env, &seen), before);
        match scale(&write.key, &write.object, after) {
            None => prop_assert_eq!(before, after),
            Some(scaled) => {
                prop_assert_ne!(before, after);
                prop_assert_eq!(scale(&scaled.key, &scaled.object, after), None);
                let mut back = scaled.object;
                back["spec"]["replicas"] = before.into();
                prop_assert_eq!(back, write.object);
            }
        }
    }
}
