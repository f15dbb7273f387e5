//! What a Service selects.

use std::collections::BTreeMap;

use dcanary_core::pod::label;
use dcanary_crds::labels;
use serde_json::Value;

use super::{obstacle::Obstacle, path::at, place::Place};
use crate::seen::{Key, Kind, Seen};

/// Labels and their values. Those of a workload are [`crate::render::selector`]'s.
pub(super) type Selector = BTreeMap<String, String>;

/// Selector of all Pods of an Environment.
pub(super) fn whole(uid: &str) -> Selector {
    Selector::from([(labels::ENVIRONMENT_UID.to_owned(), uid.to_owned())])
}

/// Selector of all Pods of Environments of a name, where some have the UID of one that is gone.
pub(super) fn of_name(name: &str) -> Selector {
    Selector::from([(labels::ENVIRONMENT.to_owned(), label(name))])
}

/// The Pods that it selects were made by the operator.
pub(super) fn is_ours(selector: &Selector) -> bool {
    selector.contains_key(labels::ENVIRONMENT_UID)
}

/// What a Service selects now.
pub(super) fn of_service(service: &Value) -> Selector {
    strings(at(service, &["spec", "selector"]))
}

/// Whether labels satisfy a selector.
pub(super) fn selects(selector: &Selector, labels: &Selector) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// An adopted workload's own selector must not fit the candidate's Pods: no weight would keep its requests from them.
pub(super) fn apart(place: &Place<'_>, stable: &Selector, candidate: &str) -> Result<(), Obstacle> {
    let labels_at = |path: &[&str]| {
        let object = object(candidate, place.seen);
        object.map(|object| strings(at(object, path))).unwrap_or_default()
    };
    let labels = labels_at(&["spec", "template", "metadata", "labels"]);
    // it comes again, and is the stable one by now: then these are its own Pods
    let is_itself = *stable == labels_at(&["spec", "selector", "matchLabels"]);
    if is_itself || is_ours(stable) || labels.is_empty() || !selects(stable, &labels) {
        return Ok(());
    }
    let pairs: Vec<String> = stable
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    Err(Obstacle::SelectorOverlaps {
        candidate: candidate.to_owned(),
        service: place.stable.to_owned(),
        selector: pairs.join(","),
    })
}

/// A workload.
pub(super) fn object<'s>(workload: &str, seen: &'s Seen) -> Option<&'s Value> {
    [Kind::Deployment, Kind::StatefulSet, Kind::DaemonSet]
        .into_iter()
        .find_map(|kind| seen.objects.get(&Key::new(kind, workload)))
}

/// A map of texts.
pub(super) fn strings(value: Option<&Value>) -> Selector {
    value
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}
