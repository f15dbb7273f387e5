//! The Deployment of one release, and how many Pods a workload has.

use std::collections::BTreeMap;

use dcanary_core::pod::label;
use dcanary_crds::{Environment, labels};
use serde_json::{Value, json};

use super::{Candidate, left, metadata, object};
use crate::{
    plan::{Actor, Write},
    seen::{Key, Kind, Seen},
};

/// A Deployment never gives up by itself: the deadline of the Environment decides.
pub(super) const NO_DEADLINE: i32 = i32::MAX;

/// Seconds for which a Pod has to be ready until it is available, where the template says nothing. Requests are sent to available Pods, and
/// EndpointSlices and the gateway learn of a Pod only moments after it is ready; until then they would answer for it with an error.
const READY_FOR: i32 = 2;

/// The Deployment of a release, to be created. It is never changed but for its replicas, so it keeps no old ReplicaSets.
pub fn deployment(env: &Environment, candidate: &Candidate, replicas: i32) -> Write {
    let ours = metadata::of_workload(env, &candidate.workload);
    let mut spec = candidate.spec.clone();
    for (field, value) in [
        ("replicas", json!(replicas)),
        (
            "selector",
            json!({"matchLabels": object::json(&own(env, &candidate.workload))}),
        ),
        ("template", candidate.template.clone()),
        ("revisionHistoryLimit", json!(0)),
        ("progressDeadlineSeconds", json!(NO_DEADLINE)),
    ] {
        spec.insert(field.to_owned(), value);
    }
    spec.entry("minReadySeconds").or_insert_with(|| READY_FOR.into());
    Write {
        key: Key::new(Kind::Deployment, &candidate.workload),
        object: json!({
            "apiVersion": Kind::Deployment.api_version(),
            "kind": Kind::Deployment.name(),
            "metadata": metadata::new(env, &candidate.workload, &candidate.labels, &ours, Some(&candidate.identity)),
            "spec": spec,
        }),
        actor: Actor::Environment,
    }
}

/// A workload with another number of Pods; `None` when it has that number already, or is a DaemonSet.
pub fn scale(key: &Key, object: &Value, replicas: i32) -> Option<Write> {
    if key.kind == Kind::DaemonSet || wanted(object) == replicas {
        return None;
    }
    let mut object = object.clone();
    object::at(&mut object, "spec", |spec| {
        spec.insert("replicas".to_owned(), replicas.into());
    });
    Some(Write {
        key: key.clone(),
        object: object::with_kind(object, key.kind),
        actor: Actor::Environment,
    })
}

/// How many Pods a workload is to have.
pub(super) fn wanted(object: &Value) -> i32 {
    object::number(object, "/spec/replicas").unwrap_or(1)
}

/// By what a Service selects the Pods of a workload. For an adopted one by its own labels, so that its Pods need no new ones.
pub fn selector(env: &Environment, workload_name: &str, seen: &Seen) -> BTreeMap<String, String> {
    let ours = left::selector(env, workload_name, seen);
    let adopted = env.spec.workload.reference.as_ref();
    if adopted.is_none_or(|adopted| adopted.name != workload_name) {
        return ours;
    }
    match seen.objects.get(&Key::new(Kind::Deployment, workload_name)) {
        Some(live) => {
            let selector = object::texts(live, "/spec/selector/matchLabels");
            if selector.is_empty() || selector.contains_key(labels::ENVIRONMENT_UID) {
                ours
            } else {
                selector
            }
        }
        // it cannot be seen now: the Service goes on as it is
        None => seen
            .objects
            .get(&Key::new(Kind::Service, metadata::name(env)))
            .map(|service| object::texts(service, "/spec/selector"))
            .filter(|selector| !selector.is_empty())
            .unwrap_or(ours),
    }
}

/// Labels that all Pods of a workload of ours have, and no others.
pub(super) fn own(env: &Environment, workload: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (labels::ENVIRONMENT_UID.to_owned(), metadata::uid(env).to_owned()),
        (labels::RELEASE.to_owned(), label(workload)),
    ])
}
