//! Copies of ConfigMaps: whose they are, and those that have names as they were before.

use std::collections::BTreeMap;

use dcanary_crds::Environment;
use serde_json::{Value, json};

use super::{apply, apply_all, deployed, environment, made, put, rolling, seen};
use crate::{
    render::{Candidate, changes, config, config_maps, deployment, in_place, names, put_back, recorded},
    seen::{Key, Kind, Seen},
};

fn named(env: &Environment, name: &str) -> Environment {
    let mut env = env.clone();
    env.metadata.name = Some(name.to_owned());
    env
}

#[test]
fn two_environments_with_one_release_have_no_copy_in_common() {
    for env in [environment(), rolling("Deployment", json!({}))] {
        // one name is the beginning or the end of the other, and of what comes before or after it
        let all =
            ["web", "app", "web-app", "app-web", "web.app"].map(|name| made(&named(&env, name), &seen()));
        for (index, one) in all.iter().enumerate() {
            for other in &all[..index] {
                assert_eq!(one.identity, other.identity);
                assert!(one.config.keys().all(|copy| !other.config.contains_key(copy)));
            }
        }
    }
}

/// The release as it was made when copies had other names.
fn made_before(env: &Environment, seen: &Seen) -> Candidate {
    let mut candidate = made(env, seen);
    let renamed: BTreeMap<String, String> = ["app", "flags"]
        .map(|name| {
            let copy = names::copy_name(env, name, &candidate.identity);
            (copy, names::old_copy_name(name, &candidate.identity))
        })
        .into();
    config::rename(&mut candidate.template, &renamed);
    let config = std::mem::take(&mut candidate.config);
    candidate.config = config
        .into_iter()
        .map(|(name, mut copy)| {
            let name = renamed[&name].clone();
            copy["metadata"]["name"] = name.clone().into();
            (name, copy)
        })
        .collect();
    candidate
}

#[test]
fn a_release_that_has_copies_of_the_old_names_keeps_them_until_it_goes() {
    for env in [environment(), rolling("Deployment", json!({}))] {
        let mut seen = seen();
        let before = made_before(&env, &seen);
        assert_ne!(before, made(&env, &seen));
        apply_all(&config_maps(&before, &env, &seen), &mut seen);
        let write = in_place(&env, &before, 3, &seen).filter(|_| crate::render::uses_in_place(&env));
        let write = write.unwrap_or_else(|| deployment(&env, &before, 3));
        apply(&write, &mut seen);
        assert_eq!(made(&env, &seen), before, "no Pod is replaced");
        assert_eq!(put_back(&write.key, &seen.objects[&write.key], &before), None);
        let told = changes(Some(&deployed(&before)), &made(&env, &seen), &env, &seen);
        assert_eq!(told.configuration, Vec::<String>::new());
        // a copy that is missing comes again under the name by which the Pods know it
        let copy = before.config.keys().next().unwrap().clone();
        seen.objects.remove(&Key::new(Kind::ConfigMap, &copy));
        let again: Vec<String> = config_maps(&made(&env, &seen), &env, &seen)
            .into_iter()
            .map(|write| write.key.name)
            .collect();
        assert_eq!(again, [copy]);
        // what comes next has names of its own
        put(
            &mut seen,
            json!({"kind": "ConfigMap", "metadata": {"name": "app", "uid": "c"}, "data": {"log": "debug"}}),
        );
        let next = made(&env, &seen);
        assert!(
            next.config.keys().all(|copy| copy.starts_with("web-")),
            "{:?}",
            next.config.keys()
        );
    }
}

#[test]
fn in_place_the_record_alone_keeps_the_old_names_of_copies() {
    let env = rolling("Deployment", json!({}));
    let mut seen = seen();
    let before = made_before(&env, &seen);
    apply_all(&config_maps(&before, &env, &seen), &mut seen);
    assert_eq!(made(&env, &seen), before);
    let write = recorded(&env, &before.identity, 3, true, &seen).unwrap().unwrap();
    let template: &Value = &write.object["spec"]["template"];
    assert_eq!(template["spec"]["volumes"], before.template["spec"]["volumes"]);
}
