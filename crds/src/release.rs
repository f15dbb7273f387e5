//! Releases: what can be deployed.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What can be deployed: images by digest, and where they come from. It never changes.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "dcanary.dev",
    version = "v1alpha1",
    kind = "Release",
    namespaced,
    shortname = "drel",
    category = "dcanary",
    derive = "PartialEq",
    doc = "What can be deployed: images by digest, and where they come from. It never changes.",
    annotation("kustomize.toolkit.fluxcd.io/substitute", "disabled"),
    printcolumn(name = "Commit", type_ = "string", json_path = ".spec.source.commit"),
    printcolumn(name = "Run", type_ = "string", json_path = ".spec.run.name"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self == oldSelf").message("a Release never changes: create a new one"),
    validation = Rule::new("self.images.all(name, self.images[name].matches('^.+@sha256:[0-9a-f]{64}$'))").message("name each image by digest, as in registry.example.com/web@sha256:…")
)]
pub struct ReleaseSpec {
    /// Project. Default: the operator's project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub project: Option<String>,
    /// Images by name, each with its digest.
    #[schemars(schema_with = "images")]
    pub images: BTreeMap<String, String>,
    /// Digests of other artifacts by name, `sha256:…`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "digests")]
    pub artifacts: BTreeMap<String, String>,
    /// Digest of configuration that belongs to it, `sha256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^sha256:[0-9a-f]{64}$"))]
    pub config_hash: Option<String>,
    /// Source that it was built from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<ReleaseSource>,
    /// Run that built it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunRef>,
}

/// Source of a release.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseSource {
    /// Repository.
    #[schemars(length(min = 1, max = 2048))]
    pub repo: String,
    /// Branch or tag.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reference: Option<String>,
    /// Commit.
    #[schemars(length(min = 1, max = 64))]
    pub commit: String,
    /// Any number that grows with each release of the repository: the number of commits up to it, or a time. Stages of pipelines give when
    /// their run was created, in seconds of Unix time. A release of an earlier position than the stable one's, or than that of the rollout
    /// under way, is deployed only with `undo`. Positions are compared within one `repo` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<i64>,
}

/// Names a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunRef {
    /// Name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// UID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub uid: Option<String>,
}

fn images(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object", "minProperties": 1, "maxProperties": 20,
        "additionalProperties": {"type": "string", "minLength": 1, "maxLength": 1024}
    })
}

fn digests(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object", "maxProperties": 50,
        "additionalProperties": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}
    })
}

/// Kinds that a Decision can be about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum DecidedKind {
    /// One promotion.
    #[default]
    Promotion,
    /// An environment.
    Environment,
    /// A run.
    PipelineRun,
}
