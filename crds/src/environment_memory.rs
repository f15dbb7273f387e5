//! What the status of an Environment remembers beyond its rollout.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::RouteKind;

/// A release that a person took away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WithdrawnRelease {
    /// Name of the Release.
    pub release: String,
    /// Images.
    #[serde(default)]
    pub images: BTreeMap<String, String>,
    /// Digest of what moves between environments, images and artifacts: `sha256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Who took it away, and why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub since: Option<Timestamp>,
}

/// A Promotion that the operator made from a Decision that goes back: it waits for no approval and not for the chain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WayBack {
    /// UID of the Decision.
    pub decision: String,
    /// UID of the Promotion.
    pub promotion_uid: String,
    /// Identity of the release that the Decision leads to, `sha256:…`.
    pub identity: String,
}

/// An evidence document that is on its way to the artifact store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnstoredEvidence {
    /// Its digest, `sha256:…`.
    pub digest: String,
    /// The document.
    pub document: String,
}

/// A route that may have something of ours: backend of the candidate, mirror, rules of testers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct KnownRoute {
    /// `HTTPRoute` or `GRPCRoute`.
    #[serde(default)]
    pub kind: RouteKind,
    /// Its name, in the Environment's namespace.
    pub name: String,
    /// Name of the rule whose backends are weighted, where `traffic.route.ref` gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Since when nothing of ours is in it any more, and its gateway has not said that it knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub given_back_at: Option<Timestamp>,
}
