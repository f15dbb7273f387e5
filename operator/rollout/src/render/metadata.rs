//! Labels and annotations that we put on objects, and who they belong to.

use std::collections::BTreeMap;

use dcanary_core::pod::label;
use dcanary_crds::{Environment, labels};
use serde_json::{Map, Value, json};

use super::object::{self, within};

/// The recommended label by which tools group objects.
pub(super) const APP_NAME: &str = "app.kubernetes.io/name";
const PREFIX: &str = "dcanary.dev/";

/// Name of the Environment.
pub(super) fn name(env: &Environment) -> &str {
    env.metadata.name.as_deref().unwrap_or_default()
}

/// Its namespace.
pub(super) fn namespace(env: &Environment) -> &str {
    env.metadata.namespace.as_deref().unwrap_or_default()
}

/// Its UID.
pub(super) fn uid(env: &Environment) -> &str {
    env.metadata.uid.as_deref().unwrap_or_default()
}

/// Labels that say to which Environment something belongs.
pub(super) fn of_environment(env: &Environment) -> BTreeMap<String, String> {
    BTreeMap::from([
        (labels::ENVIRONMENT.to_owned(), label(name(env))),
        (labels::ENVIRONMENT_UID.to_owned(), uid(env).to_owned()),
    ])
}

/// Labels of what belongs to a workload.
pub(super) fn of_workload(env: &Environment, workload: &str) -> BTreeMap<String, String> {
    let mut labels = of_environment(env);
    labels.insert(labels::RELEASE.to_owned(), label(workload));
    labels.insert(APP_NAME.to_owned(), label(name(env)));
    labels
}

/// Labels and annotations under this name are set by us alone.
pub(super) fn is_ours(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// The user's labels, without those that we set.
pub(super) fn of_user(labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    labels
        .iter()
        .filter(|(name, _)| !is_ours(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Metadata of an object of ours.
pub(super) fn new(
    env: &Environment,
    name: &str,
    user: &BTreeMap<String, String>,
    ours: &BTreeMap<String, String>,
    identity: Option<&str>,
) -> Value {
    let mut labels = of_user(user);
    labels.extend(ours.clone());
    let mut metadata = json!({"name": name, "namespace": namespace(env), "labels": object::json(&labels)});
    if let Some(identity) = identity {
        metadata["annotations"] = json!({labels::IDENTITY: identity});
    }
    metadata
}

/// Puts labels over those that are there, and the identity.
pub(super) fn put_on(
    metadata: &mut Map<String, Value>,
    ours: &BTreeMap<String, String>,
    identity: Option<&str>,
) {
    within(metadata, "labels", |labels| {
        labels.extend(
            ours.iter()
                .map(|(name, value)| (name.clone(), value.clone().into())),
        );
    });
    if let Some(identity) = identity {
        within(metadata, "annotations", |annotations| {
            annotations.insert(labels::IDENTITY.to_owned(), identity.into());
        });
    }
}

/// Takes off what we put on the metadata of Pods, also where the user wrote it.
pub(super) fn take_off(metadata: &mut Map<String, Value>) {
    remove(metadata, |part, name| {
        is_ours(name) || (part == "labels" && name == APP_NAME)
    });
}

/// Takes our marks off an object that is the user's.
pub(super) fn take_marks_off(metadata: &mut Map<String, Value>) {
    remove(metadata, |_, name| is_ours(name));
}

fn remove(metadata: &mut Map<String, Value>, which: impl Fn(&str, &str) -> bool) {
    for part in ["labels", "annotations"] {
        let Some(Value::Object(map)) = metadata.get_mut(part) else {
            continue;
        };
        map.retain(|name, _| !which(part, name));
        if map.is_empty() {
            metadata.remove(part);
        }
    }
}
