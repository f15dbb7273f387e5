//! What an Environment of the same name left behind when it was deleted (`deletionPolicy: Orphan`), and how it becomes ours.
//!
//! The selectors of its workloads cannot change, so their Pods keep its UID as a label, for as long as they are there.

use std::{cmp::Reverse, collections::BTreeMap};

use dcanary_core::pod::label;
use dcanary_crds::{DeployedRelease, Environment, WorkloadKind, labels};
use serde_json::Value;

use super::{claim::claimed, deployment, images, in_place, metadata, object};
use crate::{
    plan::{Actor, Write},
    seen::{Key, Kind, Seen},
};

/// Whether an object was made for an Environment of our name that is not this one. That one is gone: there is only one of a name.
pub fn is_left(env: &Environment, object: &Value) -> bool {
    let uid = object::label(object, labels::ENVIRONMENT_UID);
    uid.is_some_and(|uid| !uid.is_empty() && uid != metadata::uid(env))
        && object::label(object, labels::ENVIRONMENT) == Some(label(metadata::name(env)).as_str())
}

/// The object with our mark on it; `None` when it was not left behind.
pub fn taken_over(env: &Environment, key: &Key, object: &Value) -> Option<Write> {
    if !is_left(env, object) || object::is_leaving(object) {
        return None;
    }
    let mut object = object.clone();
    object::at(&mut object, "metadata", |metadata| {
        metadata::put_on(metadata, &metadata::of_environment(env), None);
    });
    Some(Write {
        key: key.clone(),
        object: object::with_kind(object, key.kind),
        actor: Actor::Environment,
    })
}

/// The workload that served for the Environment before, as the first stable release: where its Service leads, else the one with the most
/// Pods, which serve in a way that we do not see.
pub fn serving(env: &Environment, seen: &Seen) -> Option<DeployedRelease> {
    let template = env.spec.workload.template.as_ref();
    let kind = in_place::kind(template.map_or(WorkloadKind::Deployment, |template| template.kind));
    let left = |key: &Key, object: &Value| {
        key.kind == kind
            && is_left(env, object)
            && !object::is_leaving(object)
            && object::identity_of(object).is_some()
    };
    let service = seen.objects.get(&Key::new(Kind::Service, metadata::name(env)));
    let led_to = service
        .filter(|service| is_left(env, service))
        .and_then(|service| service.pointer("/spec/selector")?.get(labels::RELEASE)?.as_str());
    let all = || seen.objects.iter().filter(|(key, object)| left(key, object));
    let led_to = led_to.and_then(|name| all().find(|(key, _)| label(&key.name) == name));
    let (key, object) = led_to.or_else(|| {
        all()
            .filter(|(_, object)| kind == Kind::DaemonSet || deployment::wanted(object) > 0)
            .max_by_key(|(key, object)| {
                let ready = object::number(object, "/status/availableReplicas").unwrap_or(0);
                (ready, Reverse(*key))
            })
    })?;
    Some(DeployedRelease {
        identity: object::identity_of(object).unwrap_or_default().to_owned(),
        workload: key.name.clone(),
        images: images::of(object.pointer("/spec/template").unwrap_or(&Value::Null)),
        ..DeployedRelease::default()
    })
}

/// The UID that the Pods of a workload of ours have as a label: that of the Environment which made it.
pub(super) fn uid_on_pods<'a>(env: &'a Environment, workload: &'a Value) -> &'a str {
    let selected = workload
        .pointer("/spec/selector/matchLabels")
        .and_then(|selector| selector.get(labels::ENVIRONMENT_UID)?.as_str());
    selected
        .filter(|_| claimed(env, workload).is_ok())
        .unwrap_or(metadata::uid(env))
}

/// Labels that all Pods of a workload of ours have, and no others. Those of one that was left behind have the UID that it was made with.
pub(super) fn selector(env: &Environment, workload: &str, seen: &Seen) -> BTreeMap<String, String> {
    let mut selector = deployment::own(env, workload);
    if let Some((_, live)) = in_place::find(workload, seen) {
        let uid = uid_on_pods(env, live).to_owned();
        selector.insert(labels::ENVIRONMENT_UID.to_owned(), uid);
    }
    selector
}
