//! How far a workload is.

use std::collections::BTreeMap;

use dcanary_core::text::cut;
use dcanary_crds::labels;
use serde_json::Value;

use super::{deployment, in_place, object, pods};
use crate::seen::{Key, Kind, Seen};

const MESSAGE_BYTES: usize = 512;

/// How far a workload is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkloadState {
    /// UID.
    pub uid: String,
    /// Pods that it is to have; of a DaemonSet, how many nodes it is for.
    pub replicas: i32,
    /// Pods that it has, old and new.
    pub total: i32,
    /// Pods that are ready.
    pub ready: i32,
    /// Pods that have been ready for `minReadySeconds`.
    pub available: i32,
    /// Pods with its present template.
    pub updated: i32,
    /// The numbers are about its present spec.
    pub current: bool,
    /// Pods below this ordinal keep the release before (StatefulSets).
    pub partition: i32,
    /// It has one Pod a node: nobody says how many.
    pub every_node: bool,
    /// What keeps its Pods from coming or from being ready: one CamelCase word, and a sentence that says what to do.
    pub problem: Option<(String, String)>,
}

impl WorkloadState {
    /// Pods that can serve and go on doing so: none is known before the controller of the workload has followed its present spec. It may have been
    /// scaled to zero a moment ago.
    pub fn available_now(&self) -> i32 {
        if self.current { self.available } else { 0 }
    }
}

/// How far a workload is; `None` when it is not there.
pub fn state(key: &Key, seen: &Seen) -> Option<WorkloadState> {
    let object = seen.objects.get(key)?;
    let status = |name: &str| object::number(object, &format!("/status/{name}")).unwrap_or(0);
    let generation = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64);
    let every_node = key.kind == Kind::DaemonSet;
    let names = if every_node {
        [
            "currentNumberScheduled",
            "numberReady",
            "numberAvailable",
            "updatedNumberScheduled",
        ]
    } else {
        [
            "replicas",
            "readyReplicas",
            "availableReplicas",
            "updatedReplicas",
        ]
    };
    let [total, ready, available, updated] = names.map(status);
    Some(WorkloadState {
        uid: object::uid(object),
        replicas: if every_node {
            status("desiredNumberScheduled")
        } else {
            deployment::wanted(object)
        },
        total,
        ready,
        available,
        updated,
        current: generation("/status/observedGeneration")
            .is_some_and(|observed| observed >= generation("/metadata/generation").unwrap_or(0)),
        partition: in_place::stops_at(object),
        every_node,
        problem: refused(object).or_else(|| of_pods(object, seen)),
    })
}

/// All Pods are available, and all that are to have the present template have it. A DaemonSet has as many Pods as there are nodes for it; a
/// StatefulSet with a partition is complete when the Pods from it on are.
pub fn complete(state: &WorkloadState, replicas: i32) -> bool {
    let wanted = if state.every_node {
        state.replicas
    } else {
        replicas
    };
    let updated = wanted.saturating_sub(state.partition).max(0);
    state.current
        && state.replicas == wanted
        && state.total == wanted
        && state.available == wanted
        && state.updated >= updated
}

/// The API server lets no Pods be made.
fn refused(object: &Value) -> Option<(String, String)> {
    let condition = object::condition(object, "ReplicaFailure")
        .filter(|condition| object::text(condition, "/status") == Some("True"))?;
    let message = object::text(condition, "/message").unwrap_or_default();
    let quota = message.contains("exceeded quota");
    let (reason, advice) = if quota {
        (
            "QuotaExceeded",
            "raise the ResourceQuota, or ask for less, or free some of it",
        )
    } else {
        (
            object::text(condition, "/reason").unwrap_or("ReplicaFailure"),
            "change the template, or what refuses its Pods",
        )
    };
    Some((
        reason.to_owned(),
        format!(
            "no Pod can be created: {}; {advice}",
            cut(message.trim_end_matches(['.', ' ']), MESSAGE_BYTES)
        ),
    ))
}

/// The same Pod is told of each time, as long as nothing changes.
fn of_pods(object: &Value, seen: &Seen) -> Option<(String, String)> {
    let selector = object::texts(object, "/spec/selector/matchLabels");
    let identity = object
        .pointer("/spec/template")
        .and_then(|template| object::annotation(template, labels::IDENTITY));
    seen.pods
        .values()
        .filter(|pod| is_of(pod, &selector, identity))
        .filter_map(pods::trouble)
        .min()
        .map(|trouble| (trouble.reason, trouble.message))
}

/// Workloads that are updated in place have Pods of two releases: what is wrong with those of the other is no problem of this one.
fn is_of(pod: &Value, selector: &BTreeMap<String, String>, identity: Option<&str>) -> bool {
    !selector.is_empty()
        && object::has_labels(pod, selector)
        && (identity.is_none() || object::annotation(pod, labels::IDENTITY) == identity)
}
