//! Recorded templates: what a workload that is updated in place goes back to.

use std::collections::BTreeMap;

use dcanary_crds::{Environment, WorkloadKind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Candidate, RenderError, adopt, claim::claimed, identity, metadata, names, object, source};
use crate::seen::{Key, Kind, Seen};

/// Key of the template in the ConfigMap.
const TEMPLATE: &str = "template.json";

/// A workload without its name, its number of Pods and its selector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Identity of the release.
    pub identity: String,
    /// Kind of the workload.
    pub kind: WorkloadKind,
    /// The user's labels for the workload.
    pub labels: BTreeMap<String, String>,
    /// The rest of `spec`.
    pub spec: Map<String, Value>,
    /// The Pod template, with all that we put on it.
    pub template: Value,
}

impl Record {
    pub(super) fn of(candidate: &Candidate) -> Self {
        Self {
            identity: candidate.identity.clone(),
            kind: candidate.kind,
            labels: candidate.labels.clone(),
            spec: candidate.spec.clone(),
            template: candidate.template.clone(),
        }
    }
}

/// The ConfigMap that records a candidate.
pub(super) fn of_candidate(env: &Environment, candidate: &Candidate) -> Value {
    config_map(env, &Record::of(candidate))
}

/// The ConfigMap that records an adopted Deployment which is to be updated in place itself, as it was found.
pub(super) fn of_adopted(env: &Environment, seen: &Seen) -> Option<Value> {
    let reference = env.spec.workload.reference.as_ref()?;
    if reference.name != metadata::name(env) {
        return None;
    }
    let live = source::live(env, reference, seen).ok()?;
    if adopt::is_replaced(live) {
        return None;
    }
    let identity = adopt::adopted(env, seen)?.ok()?.identity;
    let source = source::of(env, seen).ok()?;
    let mut template = source.template;
    let ours = metadata::of_workload(env, &reference.name);
    object::at(&mut template, "metadata", |metadata| {
        metadata::put_on(metadata, &ours, Some(&identity));
    });
    Some(config_map(
        env,
        &Record {
            identity,
            kind: source.kind,
            labels: source.labels,
            spec: source.spec,
            template,
        },
    ))
}

/// What was recorded of a release.
///
/// # Errors
/// When it is gone, cannot be read now, or is not what was written.
pub(super) fn read(env: &Environment, identity: &str, seen: &Seen) -> Result<Record, RenderError> {
    let key = Key::new(Kind::ConfigMap, names::record_name(env, identity));
    if let Some(answer) = seen.unreadable.get(&key) {
        return Err(RenderError::RecordUnreadable {
            name: key.name,
            answer: answer.clone(),
        });
    }
    let Some(config_map) = seen.objects.get(&key) else {
        return Err(RenderError::RecordMissing(key.name));
    };
    claimed(env, config_map).map_err(RenderError::Foreign)?;
    config_map
        .get("data")
        .and_then(|data| data.get(TEMPLATE))
        .and_then(Value::as_str)
        .and_then(|text| serde_json::from_str::<Record>(text).ok())
        .filter(|record| record.identity == identity)
        .ok_or(RenderError::RecordInvalid(key.name))
}

fn config_map(env: &Environment, record: &Record) -> Value {
    let name = names::record_name(env, &record.identity);
    let text = identity::canonical(&serde_json::to_value(record).unwrap_or_default());
    let ours = metadata::of_workload(env, metadata::name(env));
    json!({
        "apiVersion": Kind::ConfigMap.api_version(),
        "kind": Kind::ConfigMap.name(),
        "metadata": metadata::new(env, &name, &BTreeMap::new(), &ours, Some(&record.identity)),
        "data": {TEMPLATE: text},
        "immutable": true,
    })
}
