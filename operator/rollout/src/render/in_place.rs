//! Workloads that are updated in place, under the Environment's name.

use std::collections::BTreeMap;

use dcanary_crds::{DeployedRelease, Environment, WorkloadKind, labels};
use serde_json::{Map, Value, json};

use super::{
    Candidate, RenderError,
    claim::claimed,
    deployment, halt, images, metadata, object,
    record::{self, Record},
};
use crate::{
    plan::{Actor, Write},
    seen::{Key, Kind, Seen},
};

/// What of a Deployment or DaemonSet goes at once, and how much more there may be.
const DEFAULT_SHARE: &str = "25%";
/// Fields of a StatefulSet's spec that the API server lets change, besides `template`, `replicas` and `updateStrategy`.
const CHANGEABLE: [&str; 3] = [
    "minReadySeconds",
    "persistentVolumeClaimRetentionPolicy",
    "ordinals",
];
/// Annotation: the partition, where the StatefulSet has no place for it (`OnDelete`).
const PARTITION: &str = "dcanary.dev/partition";
/// Kinds, the most common first.
pub(super) const KINDS: [Kind; 3] = [Kind::Deployment, Kind::StatefulSet, Kind::DaemonSet];

/// The ordinal at which a StatefulSet stops until it is let on; 0 when it does not.
pub fn partition(env: &Environment) -> i32 {
    let is_stateful = env
        .spec
        .workload
        .template
        .as_ref()
        .is_some_and(|template| template.kind == WorkloadKind::StatefulSet);
    let wanted = env
        .spec
        .strategy
        .rolling
        .as_ref()
        .and_then(|rolling| rolling.partition);
    wanted.filter(|_| is_stateful).unwrap_or(0)
}

/// The ordinal below which a live StatefulSet's Pods keep the release before.
pub(super) fn stops_at(workload: &Value) -> i32 {
    object::number(workload, "/spec/updateStrategy/rollingUpdate/partition")
        .or_else(|| object::annotation(workload, PARTITION)?.parse().ok())
        .unwrap_or(0)
        .max(0)
}

/// The workload with the candidate in it, up to the partition where there is one; `None` when it is so already.
pub fn in_place(env: &Environment, candidate: &Candidate, replicas: i32, seen: &Seen) -> Option<Write> {
    write(env, &Record::of(candidate), replicas, partition(env), seen)
}

/// The same for all Pods: the release was let on beyond the partition.
pub fn in_place_whole(env: &Environment, candidate: &Candidate, replicas: i32, seen: &Seen) -> Option<Write> {
    write(env, &Record::of(candidate), replicas, 0, seen)
}

/// The workload with a release that was recorded before, up to the partition where there is one, or `whole`; `None` when it is so already.
///
/// # Errors
/// When the record is gone, cannot be read, or belongs to somebody else.
pub fn recorded(
    env: &Environment,
    identity: &str,
    replicas: i32,
    whole: bool,
    seen: &Seen,
) -> Result<Option<Write>, RenderError> {
    let record = record::read(env, identity, seen)?;
    let partition = if whole { 0 } else { partition(env) };
    Ok(write(env, &record, replicas, partition, seen))
}

/// An earlier release again, for all Pods: the recorded template where workloads are updated in place, else its own workload with its Pods.
/// `None` when it is so already.
///
/// # Errors
/// When record or workload are gone, cannot be read, or belong to somebody else.
pub fn restore(
    env: &Environment,
    to: &DeployedRelease,
    replicas: i32,
    seen: &Seen,
) -> Result<Option<Write>, RenderError> {
    if to.workload != metadata::name(env) {
        let (key, object) =
            find(&to.workload, seen).ok_or_else(|| RenderError::WorkloadGone(to.workload.clone()))?;
        claimed(env, object).map_err(RenderError::Foreign)?;
        return Ok(deployment::scale(key, object, replicas));
    }
    let record = record::read(env, &to.identity, seen)?;
    if let Some(live) = seen.objects.get(&Key::new(kind(record.kind), &to.workload)) {
        claimed(env, live).map_err(RenderError::Foreign)?;
    }
    Ok(write(env, &record, replicas, 0, seen))
}

/// The workload of a name, of whatever kind.
pub(super) fn find<'a>(name: &str, seen: &'a Seen) -> Option<(&'a Key, &'a Value)> {
    KINDS
        .iter()
        .find_map(|kind| seen.objects.get_key_value(&Key::new(*kind, name)))
}

pub(super) const fn kind(kind: WorkloadKind) -> Kind {
    match kind {
        WorkloadKind::Deployment => Kind::Deployment,
        WorkloadKind::StatefulSet => Kind::StatefulSet,
        WorkloadKind::DaemonSet => Kind::DaemonSet,
    }
}

fn write(env: &Environment, wanted: &Record, replicas: i32, partition: i32, seen: &Seen) -> Option<Write> {
    let key = Key::new(kind(wanted.kind), metadata::name(env));
    let spec = spec(env, wanted, replicas, partition);
    // `OnDelete` has no partition of its own
    let rolling = env.spec.strategy.rolling.as_ref();
    let marked = rolling
        .is_some_and(|rolling| rolling.on_delete && partition > 0)
        .then_some(partition);
    let object = match seen.objects.get(&key) {
        Some(live) if claimed(env, live).is_ok() => {
            let mut object = replaced(env, live, wanted, spec);
            mark(&mut object, marked);
            if is_so(env, live, &object) {
                return None;
            }
            object
        }
        // also where one is there that is not ours: the refusal says whose it is
        _ => {
            let mut object = created(env, &key, wanted, spec);
            mark(&mut object, marked);
            object
        }
    };
    Some(Write {
        object: object::with_kind(object, key.kind),
        key,
        actor: Actor::Environment,
    })
}

fn mark(object: &mut Value, partition: Option<i32>) {
    object::at(object, "metadata", |metadata| {
        object::within(metadata, "annotations", |annotations| {
            match partition {
                Some(partition) => annotations.insert(PARTITION.to_owned(), partition.to_string().into()),
                None => annotations.remove(PARTITION),
            };
        });
    });
}

/// The spec but for the selector.
fn spec(env: &Environment, wanted: &Record, replicas: i32, partition: i32) -> Map<String, Value> {
    let rolling = env.spec.strategy.rolling.clone().unwrap_or_default();
    let share = |text: &Option<String>| share(text.as_deref().unwrap_or(DEFAULT_SHARE));
    let mut spec = wanted.spec.clone();
    spec.insert("template".to_owned(), wanted.template.clone());
    if wanted.kind != WorkloadKind::DaemonSet {
        spec.insert("replicas".to_owned(), replicas.into());
    }
    match wanted.kind {
        WorkloadKind::Deployment => {
            spec.insert(
                "progressDeadlineSeconds".to_owned(),
                deployment::NO_DEADLINE.into(),
            );
            // volumes that only one Pod can have need it, and it has neither surge nor share
            let recreates = spec.get("strategy").and_then(|strategy| strategy.get("type"))
                == Some(&json!("Recreate"))
                && rolling.max_surge.is_none()
                && rolling.max_unavailable.is_none();
            if !recreates {
                spec.insert(
                    "strategy".to_owned(),
                    json!({"type": "RollingUpdate", "rollingUpdate": {
                        "maxSurge": share(&rolling.max_surge),
                        "maxUnavailable": share(&rolling.max_unavailable),
                    }}),
                );
            }
        }
        WorkloadKind::StatefulSet => {
            spec.entry("serviceName")
                .or_insert_with(|| metadata::name(env).into());
            let strategy = if rolling.on_delete {
                json!({"type": "OnDelete"})
            } else {
                json!({"type": "RollingUpdate", "rollingUpdate": {"partition": partition}})
            };
            spec.insert("updateStrategy".to_owned(), strategy);
        }
        WorkloadKind::DaemonSet => {
            spec.insert(
                "updateStrategy".to_owned(),
                json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": share(&rolling.max_unavailable)}}),
            );
        }
    }
    spec
}

/// A number or a percentage, as the API has them.
pub(super) fn share(text: &str) -> Value {
    text.parse::<i32>().map_or_else(|_| text.into(), Value::from)
}

fn created(env: &Environment, key: &Key, wanted: &Record, mut spec: Map<String, Value>) -> Value {
    let ours = metadata::of_workload(env, &key.name);
    spec.insert(
        "selector".to_owned(),
        json!({"matchLabels": {labels::ENVIRONMENT_UID: metadata::uid(env)}}),
    );
    json!({
        "apiVersion": key.kind.api_version(),
        "kind": key.kind.name(),
        "metadata": metadata::new(env, &key.name, &wanted.labels, &ours, Some(&wanted.identity)),
        "spec": spec,
    })
}

/// The live object with the wanted spec. What cannot change stays: selector, and of a StatefulSet its volume claims, its Service and its
/// way of starting Pods.
fn replaced(env: &Environment, live: &Value, wanted: &Record, mut spec: Map<String, Value>) -> Value {
    let mut object = live.clone();
    let name = object::text(live, "/metadata/name")
        .unwrap_or_default()
        .to_owned();
    let mut labels = wanted.labels.clone();
    labels.extend(metadata::of_workload(env, &name));
    object::at(&mut object, "metadata", |metadata| {
        metadata::put_on(metadata, &labels, Some(&wanted.identity));
    });
    // Pods without these the API server refuses; an adopted Deployment has its own
    let selector = object::texts(live, "/spec/selector/matchLabels");
    object::within(&mut spec, "template", |template| {
        object::within(template, "metadata", |metadata| {
            metadata::put_on(metadata, &selector, None);
        });
    });
    let kept = live.pointer("/spec/selector").cloned().unwrap_or_default();
    object::at(&mut object, "spec", |live| {
        if wanted.kind == WorkloadKind::StatefulSet {
            let changes = |name: &str| {
                CHANGEABLE.contains(&name) || ["template", "replicas", "updateStrategy"].contains(&name)
            };
            live.extend(spec.into_iter().filter(|(name, _)| changes(name)));
        } else {
            spec.insert("selector".to_owned(), kept);
            *live = spec;
        }
    });
    object
}

/// Nothing of what is wanted is missing. The Pod template is known by its identity and its images, not field by field: the API server
/// writes some fields in another way than they were given, and a difference that no write can take away would never end.
fn is_so(env: &Environment, live: &Value, wanted: &Value) -> bool {
    let templates =
        [live, wanted].map(|object| object.pointer("/spec/template").cloned().unwrap_or_default());
    let [of_live, of_wanted] = &templates;
    let identity = object::annotation(wanted, labels::IDENTITY);
    let mut rest = wanted.pointer("/spec").cloned().unwrap_or_default();
    if let Value::Object(rest) = &mut rest {
        rest.remove("template");
    }
    object::annotation(live, labels::IDENTITY) == identity
        && object::annotation(live, PARTITION) == object::annotation(wanted, PARTITION)
        && object::annotation(of_live, labels::IDENTITY) == identity
        && object::has_labels(live, &metadata::of_environment(env))
        && images::of(of_live) == images::of(of_wanted)
        && object::has_labels(of_live, &pod_labels(of_wanted))
        && !halt::is_stopped(live, wanted)
        && live.get("spec").is_some_and(|spec| object::covers(spec, &rest))
}

fn pod_labels(template: &Value) -> BTreeMap<String, String> {
    object::texts(template, "/metadata/labels")
}
