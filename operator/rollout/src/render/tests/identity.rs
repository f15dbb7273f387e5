use std::collections::BTreeMap;

use dcanary_crds::{Environment, WorkloadKind};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{environment, made, put, release, release_of, rolling, seen};
use crate::render::{
    candidate, canonical, configuration, digest,
    identity::{Parts, identity},
    release_digest,
};

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// JSON with the keys in the other order.
fn reversed(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let fields: Vec<String> = map
                .iter()
                .rev()
                .map(|(name, value)| format!(" {} : {}", Value::from(name.as_str()), reversed(value)))
                .collect();
            format!("{{{} }}", fields.join(","))
        }
        Value::Array(list) => format!("[{}]", list.iter().map(reversed).collect::<Vec<_>>().join(" ,")),
        plain => plain.to_string(),
    }
}

/// Paths of all leaves.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (name, value) in map {
                let name = name.replace('~', "~0").replace('/', "~1");
                leaves(value, &format!("{path}/{name}"), found);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for (i, value) in list.iter().enumerate() {
                leaves(value, &format!("{path}/{i}"), found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

fn with(env: &Environment, pointer: &str, value: Value) -> Environment {
    let mut json = serde_json::to_value(env).unwrap();
    *json.pointer_mut(pointer).unwrap() = value;
    serde_json::from_value(json).unwrap()
}

const TEMPLATE: &str = "/spec/workload/template/spec/template";

proptest! {
    #[test]
    fn equal_json_has_one_digest_in_whatever_order_its_keys_come(value in json_value()) {
        let other: Value = serde_json::from_str(&reversed(&value)).unwrap();
        prop_assert_eq!(digest(&value), digest(&other));
        let back: Value = serde_json::from_str(&canonical(&value)).unwrap();
        prop_assert_eq!(back, value);
    }

    #[test]
    fn different_json_has_different_digests(a in json_value(), b in json_value()) {
        prop_assert_eq!(a == b, digest(&a) == digest(&b));
    }

    #[test]
    fn the_identity_does_not_see_labels_and_annotations_that_are_ours(
        name in "[a-z-]{1,12}", value in "[a-z0-9]{1,8}", place in 0..3_usize,
    ) {
        let place = [
            format!("{TEMPLATE}/metadata/labels"),
            format!("{TEMPLATE}/metadata/annotations"),
            "/spec/workload/template/labels".to_owned(),
        ][place].clone();
        let before = made(&environment(), &seen());
        let mut env = serde_json::to_value(environment()).unwrap();
        env.pointer_mut(&place).unwrap()[format!("dcanary.dev/{name}")] = value.into();
        let after = made(&serde_json::from_value(env).unwrap(), &seen());
        prop_assert_eq!(&before.identity, &after.identity);
        prop_assert_eq!(before.template, after.template);
    }

    #[test]
    fn the_identity_changes_with_every_field_of_the_template(pick in any::<prop::sample::Index>()) {
        let env = environment();
        let template = serde_json::to_value(&env).unwrap().pointer(TEMPLATE).unwrap().clone();
        let mut paths = Vec::new();
        leaves(&template, "", &mut paths);
        // what is ours, and what says which image goes where, is no content
        paths.retain(|path| !path.contains("dcanary.dev") && !path.contains("app.kubernetes.io~1name")
            && !path.contains("creationTimestamp")
            && template.pointer(path).and_then(Value::as_str).is_none_or(|text| !text.contains("$(")));
        let path = pick.get(&paths);
        let changed = with(&env, &format!("{TEMPLATE}{path}"), "changed".into());
        let (before, after) = (made(&env, &seen()), made(&changed, &seen()));
        prop_assert_ne!(&before.identity, &after.identity, "{}", path);
        prop_assert_ne!(configuration(&env, &seen()).unwrap(), configuration(&changed, &seen()).unwrap());
        prop_assert_ne!(before.workload, after.workload);
    }

    #[test]
    fn the_identity_changes_with_every_value_of_a_tracked_config_map(
        map in prop::sample::select(vec!["app", "flags"]), part in prop::sample::select(vec!["data", "binaryData"]),
        name in "[a-z]{1,4}", value in "[a-z]{1,4}",
    ) {
        let env = environment();
        let mut changed = seen();
        let mut object = changed.objects[&crate::Key::new(crate::Kind::ConfigMap, map)].clone();
        let before = object.get(part).and_then(|part| part.get(&name)).cloned();
        prop_assume!(before != Some(value.clone().into()));
        object[part][name] = value.into();
        put(&mut changed, object);
        prop_assert_ne!(made(&env, &seen()).identity, made(&env, &changed).identity);
        prop_assert_ne!(configuration(&env, &seen()).unwrap(), configuration(&env, &changed).unwrap());
    }

    #[test]
    fn the_identity_changes_with_images_and_digests_of_secrets_and_with_nothing_else(
        image in "[a-z]{1,8}", secret in "[a-f0-9]{1,8}",
    ) {
        let env = environment();
        let before = made(&env, &seen());
        let other = release_of("other", &[("web", &format!("r/{image}@sha256:3")), ("tools", super::TOOLS)]);
        prop_assert_ne!(&before.identity, &candidate(&env, &other, &seen()).unwrap().identity);

        let mut rotated = seen();
        rotated.secrets.insert("keys".into(), format!("sha256:other{secret}"));
        prop_assert_ne!(&before.identity, &made(&env, &rotated).identity);

        // names of Releases, metadata of ConfigMaps, and Secrets that nobody tracks
        let renamed = release_of("web-8", &[("web", super::WEB), ("tools", super::TOOLS)]);
        let mut noise = seen();
        noise.secrets.insert("other".into(), secret);
        put(&mut noise, json!({"kind": "ConfigMap", "metadata": {"name": "app", "uid": "new", "labels": {"x": image}}, "data": {"log": "info"}}));
        prop_assert_eq!(&before.identity, &candidate(&env, &renamed, &noise).unwrap().identity);
    }
}

#[test]
fn the_identity_is_what_the_documents_say() {
    let template: Value = json!({"spec": {"containers": [{"image": "web@sha256:1", "name": "web"}]}});
    let images = BTreeMap::from([("web".to_owned(), "web@sha256:1".to_owned())]);
    let nothing = BTreeMap::new();
    let text = canonical(
        &json!({"v": 1, "images": {"web": "web@sha256:1"}, "kind": "Deployment", "template": template,
        "configMaps": {}, "secrets": {}}),
    );
    assert_eq!(
        text,
        r#"{"configMaps":{},"images":{"web":"web@sha256:1"},"kind":"Deployment","secrets":{},"template":{"spec":{"containers":[{"image":"web@sha256:1","name":"web"}]}},"v":1}"#
    );
    let parts = Parts {
        images: &images,
        kind: WorkloadKind::Deployment,
        template: &template,
        config_maps: &nothing,
        secrets: &nothing,
    };
    assert_eq!(
        identity(parts),
        digest(&serde_json::from_str::<Value>(&text).unwrap())
    );
    // computed by another program
    assert_eq!(
        identity(parts),
        "sha256:da1219892561a9160c54d13df15fc45613ff428bc7e1c8580f853cb3f1962b61"
    );
}

#[test]
fn kinds_have_different_identities_and_strategies_have_not() {
    let seen = seen();
    let canary = made(&environment(), &seen);
    let in_place = made(&rolling("Deployment", json!({})), &seen);
    assert_eq!(canary.identity, in_place.identity);
    assert_ne!(canary.workload, in_place.workload);
    assert_ne!(
        in_place.identity,
        made(&rolling("DaemonSet", json!({})), &seen).identity
    );
}

#[test]
fn what_moves_between_environments_is_images_and_artifacts_alone() {
    let mut other = release();
    other.metadata.name = Some("elsewhere".into());
    other.spec.source = None;
    assert_eq!(release_digest(&release()), release_digest(&other));
    other.spec.artifacts.insert("sbom".into(), "sha256:9".into());
    assert_ne!(release_digest(&release()), release_digest(&other));
    let fields: Map<String, Value> = Map::new();
    assert_eq!(canonical(&fields.into()), "{}");
}
