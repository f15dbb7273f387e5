//! Conditions (`metav1.Condition`), with types as an enum so that no name is spelled twice.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Type of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ConditionType {
    /// Pipelines: the definition is valid and can be run.
    Ready,
    /// Runs: Unknown while active, then True or False.
    Succeeded,
    /// Runs: True at any end, so that one `kubectl wait` returns for both outcomes.
    Finished,
    /// Something is still being done (kstatus).
    Reconciling,
    /// Nothing will happen without a change by a person (kstatus).
    Stalled,
    /// The journal holds every record; False only after 30 seconds of lag.
    Recorded,
    /// Environments: a rollout is under way.
    Progressing,
    /// Environments and promotions: the rollout waits for a person.
    Paused,
    /// Environments: the last rollout failed and traffic went back.
    RolledBack,
    /// Environments with approvals: the admission policies that make Decisions trustworthy are in place.
    ApprovalsEnforced,
}

/// `True`, `False` or `Unknown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Not known yet.
    Unknown,
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// One observed fact about an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: ConditionType,
    /// `True`, `False` or `Unknown`.
    pub status: ConditionStatus,
    /// One CamelCase word that says why.
    pub reason: String,
    /// The same for people.
    pub message: String,
    /// When `status` last changed.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub last_transition_time: Timestamp,
    /// Generation of the object that this was computed from.
    #[serde(default)]
    pub observed_generation: i64,
}
