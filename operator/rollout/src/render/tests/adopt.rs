use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{UID, WEB, adopting, apply, apply_all, deployed, environment, existing, put, release_of, seen};
use crate::{
    render::{adopted, candidate, claim, config_maps, deployment, give_back, object::has_labels, selector},
    seen::{Key, Kind, Seen},
};

fn canary() -> dcanary_crds::Environment {
    adopting("shop", json!({"canary": {"steps": [{"weight": 10}]}}))
}

fn world() -> Seen {
    let mut seen = seen();
    put(&mut seen, existing("shop"));
    seen
}

fn shop(seen: &Seen) -> &Value {
    &seen.objects[&Key::new(Kind::Deployment, "shop")]
}

#[test]
fn an_existing_deployment_is_the_first_stable_release_and_its_pods_go_on() {
    let (env, mut seen) = (canary(), world());
    let stable = adopted(&env, &seen).unwrap().unwrap();
    assert_eq!((stable.workload.as_str(), stable.release.as_str()), ("shop", ""));
    assert_eq!(
        stable.images,
        BTreeMap::from([("server".to_owned(), "shop:1".to_owned())])
    );
    assert!(stable.identity.starts_with("sha256:"));
    assert_eq!(
        selector(&env, "shop", &seen),
        BTreeMap::from([("app".to_owned(), "shop".to_owned())])
    );

    let write = claim(&env, &seen).unwrap();
    assert_eq!(write.object["spec"], shop(&seen)["spec"]);
    apply(&write, &mut seen);
    assert_eq!(
        shop(&seen)["metadata"]["labels"]["dcanary.dev/environment-uid"],
        UID
    );
    assert_eq!(claim(&env, &seen), None);
    assert_eq!(adopted(&env, &seen).unwrap().unwrap().identity, stable.identity);
    assert_eq!(adopted(&environment(), &seen), None);
}

#[test]
fn what_is_written_has_a_kind_also_where_what_was_read_had_none() {
    let (env, mut seen) = (canary(), world());
    let key = Key::new(Kind::Deployment, "shop");
    let live = seen.objects.get_mut(&key).unwrap().as_object_mut().unwrap();
    live.remove("kind");
    live.remove("apiVersion");
    let scaled = crate::render::scale(&key, shop(&seen), 0).unwrap();
    for write in [claim(&env, &seen).unwrap(), scaled] {
        assert_eq!(
            (&write.object["apiVersion"], &write.object["kind"]),
            (&json!("apps/v1"), &json!("Deployment"))
        );
    }
}

#[test]
fn two_environments_cannot_have_one_deployment() {
    let (first, mut seen) = (canary(), world());
    apply(&claim(&first, &seen).unwrap(), &mut seen);
    let mut second = canary();
    second.metadata.uid = Some("another".into());
    second.metadata.name = Some("second".into());
    let error = adopted(&second, &seen).unwrap().unwrap_err();
    assert!(
        error.reason() == "Foreign" && !error.waits() && error.to_string().contains("Environment `web`"),
        "{error}"
    );
    assert_eq!(claim(&second, &seen), None);
    assert!(candidate(&second, &release_of("shop-2", &[("server", WEB)]), &seen).is_err());
    assert!(give_back(&second, &deployed_of(&first, &seen), &seen).is_empty());
}

fn deployed_of(env: &dcanary_crds::Environment, seen: &Seen) -> dcanary_crds::DeployedRelease {
    deployed(&candidate(env, &release_of("shop-2", &[("server", WEB)]), seen).unwrap())
}

#[test]
fn a_deployment_that_is_missing_unreadable_or_without_labels_is_told() {
    let env = canary();
    let error = adopted(&env, &seen()).unwrap().unwrap_err();
    assert!(error.waits() && error.to_string().contains("`shop`"), "{error}");
    let mut unreadable = world();
    unreadable
        .unreadable
        .insert(Key::new(Kind::Deployment, "shop"), "timeout".into());
    assert!(adopted(&env, &unreadable).unwrap().unwrap_err().waits());
    let mut bare = existing("shop");
    bare["spec"]["selector"] = json!({"matchExpressions": []});
    let mut seen = seen();
    put(&mut seen, bare);
    let error = adopted(&env, &seen).unwrap().unwrap_err();
    assert!(!error.waits() && error.reason() == "SelectorEmpty", "{error}");
}

#[test]
fn pods_of_new_releases_are_never_selected_by_the_adopted_selector() {
    // also where it selects by the very label that we would write
    for (name, labels) in [
        ("shop", json!({"app": "shop"})),
        ("web", json!({"app.kubernetes.io/name": "web"})),
        ("shop", json!({"app": "shop", "tier": "front"})),
    ] {
        let mut deployment = existing("shop");
        deployment["spec"]["selector"]["matchLabels"] = labels.clone();
        deployment["spec"]["template"]["metadata"]["labels"] = labels.clone();
        let mut seen = seen();
        put(&mut seen, deployment);
        let mut env = canary();
        env.metadata.name = Some(name.into());
        let next = candidate(&env, &release_of("shop-2", &[("server", WEB)]), &seen).unwrap();
        let labels = serde_json::from_value(labels).unwrap();
        assert!(
            !has_labels(&next.template, &labels),
            "{}",
            next.template["metadata"]
        );
        let own = selector(&env, &next.workload, &seen);
        assert!(has_labels(&next.template, &own), "{}", next.template["metadata"]);
    }
}

#[test]
fn what_cannot_be_seen_is_selected_as_before() {
    let env = canary();
    let mut seen = seen();
    put(
        &mut seen,
        json!({"kind": "Service", "metadata": {"name": "web"}, "spec": {"selector": {"app": "shop"}}}),
    );
    assert_eq!(
        selector(&env, "shop", &seen),
        BTreeMap::from([("app".to_owned(), "shop".to_owned())])
    );
}

#[test]
fn the_stable_release_is_given_back_with_its_image_and_the_users_names() {
    let (mut env, mut seen) = (canary(), world());
    apply(&claim(&env, &seen).unwrap(), &mut seen);
    let next = candidate(&env, &release_of("shop-2", &[("server", WEB)]), &seen).unwrap();
    apply_all(&config_maps(&next, &env, &seen), &mut seen);
    let mut release = deployment(&env, &next, 3);
    release.object["spec"]["template"]["metadata"]["labels"]["earlier"] = "yes".into();
    apply(&release, &mut seen);
    let mut empty = shop(&seen).clone();
    empty["spec"]["replicas"] = 0.into();
    // what the stable release had from it, and it has no longer
    let labels = empty["spec"]["template"]["metadata"]["labels"]
        .as_object_mut()
        .unwrap();
    labels.insert("later".into(), "yes".into());
    put(&mut seen, empty);
    env.spec.replicas = Some(5);

    let writes = give_back(&env, &deployed(&next), &seen);
    apply_all(&writes, &mut seen);
    let live = shop(&seen);
    assert_eq!(live["spec"]["replicas"], 5);
    let labels = live["metadata"]["labels"].as_object().unwrap();
    assert!(
        labels.keys().all(|name| !name.starts_with("dcanary.dev/"))
            && labels["app.kubernetes.io/name"] == "shop",
        "{labels:?}"
    );
    let template = &live["spec"]["template"];
    assert_eq!(
        template["metadata"]["labels"],
        json!({"app": "shop", "app.kubernetes.io/name": "shop", "earlier": "yes", "later": "yes"})
    );
    assert_eq!(template["spec"]["containers"][0]["image"], WEB);
    assert_eq!(
        template["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"],
        "app"
    );
    let text = serde_json::to_string(template).unwrap();
    assert!(!text.contains("dcanary.dev"), "{text}");
    assert_eq!(
        template["spec"]["topologySpreadConstraints"][0]["labelSelector"],
        json!({"matchLabels": {"app": "shop"}})
    );
    assert_eq!(give_back(&env, &deployed(&next), &seen), []);
}

#[test]
fn a_deployment_that_is_still_stable_keeps_its_pods_when_it_is_given_back() {
    let (mut env, mut seen) = (canary(), world());
    let stable = adopted(&env, &seen).unwrap().unwrap();
    apply(&claim(&env, &seen).unwrap(), &mut seen);
    env.spec.replicas = Some(4);
    let before = shop(&seen)["spec"].clone();
    apply_all(&give_back(&env, &stable, &seen), &mut seen);
    assert_eq!(shop(&seen)["spec"], before);
    assert!(
        shop(&seen)["metadata"]["labels"]
            .get("dcanary.dev/environment-uid")
            .is_none()
    );
    assert_eq!(give_back(&env, &stable, &seen), []);
    assert_eq!(give_back(&environment(), &stable, &seen), []);
}
