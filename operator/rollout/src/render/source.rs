//! Where the Pod template of releases comes from: the Environment, or a Deployment that exists.

use std::collections::BTreeMap;

use dcanary_crds::{Environment, WorkloadKind, WorkloadRef, WorkloadTemplate, labels};
use serde_json::{Map, Value};

use super::{RenderError, claim::claimed, config, metadata, object};
use crate::seen::{Key, Kind, Seen};

/// What releases are made from.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// Kind of the workload.
    pub kind: WorkloadKind,
    /// The user's labels for the workload.
    pub labels: BTreeMap<String, String>,
    /// The rest of `spec`.
    pub spec: Map<String, Value>,
    /// The Pod template, with nothing of ours.
    pub template: Value,
    /// Where it stands, for messages.
    pub place: String,
    /// By what an adopted Deployment selects its Pods.
    pub selector: Option<BTreeMap<String, String>>,
}

/// What releases of the Environment are made from.
///
/// # Errors
/// When there is nothing, or a field that only we set.
pub(super) fn of(env: &Environment, seen: &Seen) -> Result<Source, RenderError> {
    let workload = &env.spec.workload;
    match (&workload.template, &workload.reference) {
        (_, Some(reference)) => adopted(env, reference, seen),
        (Some(template), None) => given(template),
        (None, None) => Err(RenderError::NoWorkload),
    }
}

fn given(template: &WorkloadTemplate) -> Result<Source, RenderError> {
    let mut spec = template.spec.clone();
    for (field, instead) in [
        ("replicas", ", and give spec.replicas of the Environment instead"),
        ("selector", ""),
        (
            "paused",
            ", and pause the rollout with a Decision instead (`dcanary pause`)",
        ),
    ] {
        if spec.contains_key(field) {
            return Err(RenderError::NotAllowed {
                place: format!("spec.workload.template.spec.{field}"),
                instead,
            });
        }
    }
    let pods = spec.remove("template").unwrap_or_default();
    Ok(Source {
        kind: template.kind,
        labels: metadata::of_user(&template.labels),
        spec,
        template: plain(pods, &template.labels),
        place: "spec.workload.template.spec.template".to_owned(),
        selector: None,
    })
}

fn adopted(env: &Environment, reference: &WorkloadRef, seen: &Seen) -> Result<Source, RenderError> {
    let live = live(env, reference, seen)?;
    let selector = object::texts(live, "/spec/selector/matchLabels");
    if selector.is_empty() {
        return Err(RenderError::SelectorEmpty(reference.name.clone()));
    }
    let mut spec = live
        .get("spec")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let mut template = spec.remove("template").unwrap_or_default();
    for field in ["replicas", "selector", "paused"] {
        spec.remove(field);
    }
    // it may be the one that we update in place
    if let Some(identity) = object::annotation(&template, labels::IDENTITY).map(str::to_owned) {
        config::rename(&mut template, &config::original_names(env, &identity));
    }
    Ok(Source {
        kind: WorkloadKind::Deployment,
        labels: BTreeMap::new(),
        spec,
        template: plain(template, &BTreeMap::new()),
        place: format!("Deployment `{}`: spec.template", reference.name),
        selector: Some(selector),
    })
}

/// The adopted Deployment.
///
/// # Errors
/// When it is missing, cannot be read, or belongs to another Environment.
pub(super) fn live<'a>(
    env: &Environment,
    reference: &WorkloadRef,
    seen: &'a Seen,
) -> Result<&'a Value, RenderError> {
    let key = Key::new(Kind::Deployment, &reference.name);
    if let Some(answer) = seen.unreadable.get(&key) {
        return Err(RenderError::AdoptedUnreadable {
            name: key.name,
            answer: answer.clone(),
        });
    }
    let live = seen
        .objects
        .get(&key)
        .filter(|live| !object::is_leaving(live))
        .ok_or(RenderError::AdoptedMissing(key.name))?;
    claimed(env, live).map_err(RenderError::Foreign)?;
    Ok(live)
}

/// A Pod template as the user means it: the workload's labels on the Pods too, nothing of ours, no `null`.
fn plain(mut template: Value, labels: &BTreeMap<String, String>) -> Value {
    object::without_nulls(&mut template);
    object::at(&mut template, "metadata", |metadata| {
        object::within(metadata, "labels", |there| {
            for (name, value) in labels {
                // those of the Pods win: they say it more exactly
                there.entry(name.clone()).or_insert_with(|| value.clone().into());
            }
        });
        metadata::take_off(metadata);
    });
    template
}
