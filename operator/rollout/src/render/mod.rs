//! What a release is in an Environment, and the objects that make it run.
//!
//! ```text
//! Environment (template or adopted Deployment) ─▶ source ─┐
//! Release (images) ──────────────────────────▶ images ────┤
//! ConfigMaps, digests of Secrets ────────────▶ config ────┼─▶ identity ─▶ Candidate ─┬─▶ deployment   one per release
//!                                                         │                          ├─▶ in_place     one for all (restore: record)
//! live objects, Pods ─▶ state, pods, changes ─────────────┘                          └─▶ config_maps  copies
//! ```
//! Contracts:
//! - The identity depends on nothing but images, kind, Pod template, tracked ConfigMaps and digests of tracked Secrets; not on the order of
//!   keys, and not on what we add (labels, annotations, names of copies).
//! - Pods, copies and workloads get our labels over the user's, and nothing of the Environment's own labels and annotations.
//! - An object that is not ours is never replaced: a write for it comes without `resourceVersion`, and the API server refuses it.
//! - `None` from a function that writes says that all is so already.

mod adopt;
mod budget;
mod candidate;
mod changed;
mod changes;
mod claim;
mod config;
mod deployment;
mod difference;
mod error;
mod halt;
mod hooks;
mod identity;
mod images;
mod in_place;
mod job;
mod left;
mod metadata;
mod names;
mod object;
mod pods;
mod record;
mod runs;
mod selectors;
mod source;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use dcanary_crds::{Environment, ReleaseSource, WorkloadKind};
use serde_json::{Map, Value};

pub use adopt::{adopted, claim, give_back};
pub use budget::disruption_budget;
pub use candidate::{candidate, configuration};
pub use changed::{changed_by, put_back, was_changed};
pub use changes::changes;
pub use claim::claimed;
pub use config::config_maps;
pub use deployment::{deployment, scale, selector};
pub use error::RenderError;
pub use halt::halted;
pub use hooks::{Hook, HookState, hook, hook_key};
pub use identity::{canonical, digest, release_digest};
pub use in_place::{in_place, in_place_whole, partition, recorded, restore};
pub use job::{job, job_state};
pub use left::{is_left, serving, taken_over};
pub use names::{copy_name, record_name, release_name};
pub use object::identity_of;
pub use pods::{broken_pods, next_to_replace};
pub use runs::RunState;
pub use state::{WorkloadState, complete, state};

/// What a release is in this Environment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Candidate {
    /// Name of the Release.
    pub release: String,
    /// Namespace of the Release.
    pub namespace: String,
    /// Its identity in this Environment, `sha256:…`.
    pub identity: String,
    /// Name of its workload: of its own, or the Environment's when it is updated in place.
    pub workload: String,
    /// Images by name.
    pub images: BTreeMap<String, String>,
    /// Source that it was built from.
    pub source: Option<ReleaseSource>,
    /// The Pod template: images in, names of ConfigMaps replaced by their copies', our labels on.
    pub template: Value,
    /// Copies to write: new name → ConfigMap.
    pub config: BTreeMap<String, Value>,
    /// Kind of its workload.
    pub kind: WorkloadKind,
    /// Labels that the user wants on the workload, besides ours.
    pub labels: BTreeMap<String, String>,
    /// The rest of the workload's `spec`: without `template`, `replicas` and `selector`.
    pub spec: Map<String, Value>,
}

/// Releases are updated in place, under one name (`strategy.rolling`, or none).
pub fn uses_in_place(env: &Environment) -> bool {
    env.spec.strategy.canary.is_none() && env.spec.strategy.blue_green.is_none()
}
