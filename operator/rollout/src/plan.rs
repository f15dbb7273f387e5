//! What a decision asks of the world.

use dcanary_core::{Event, SealOutbox, Wake};
use dcanary_crds::{EnvironmentStatus, PromotionStatus, SecretKey};
use serde_json::Value;

use crate::seen::{Key, MeasureKey};

/// Field manager of everything that is written: what others own in an object is theirs.
pub const FIELD_MANAGER: &str = "dcanary";

/// The next step of an Environment: the whole status it should have, what to do once that is persisted, and when to look again.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The complete desired status.
    pub status: EnvironmentStatus,
    /// What to do, in order, after the status is persisted.
    pub effects: Vec<Effect>,
    /// Facts worth an Event, once the status is persisted.
    pub events: Vec<Event>,
    /// When to decide again if nothing changes.
    pub wake: Wake,
}

impl Plan {
    /// Whether objects are written or deleted: only on the status that was decided on, also where it stays as it is.
    pub fn is_fenced(&self) -> bool {
        let mut all = self.effects.iter();
        all.any(|effect| matches!(effect, Effect::Write(_) | Effect::Delete { .. }))
    }
}

/// One thing to do. Every effect may be repeated: after a crash the same plan comes again.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Add our finalizer to the Environment. Comes alone.
    HoldEnvironment,
    /// Create or replace an object of the Environment's namespace.
    Write(Box<Write>),
    /// Delete an object, with its UID, and its version where that is known, as preconditions. Not found is success.
    Delete {
        /// The object.
        key: Key,
        /// Its UID.
        uid: String,
        /// Its `resourceVersion`, as it was decided on.
        version: Option<String>,
        /// As whom.
        actor: Actor,
    },
    /// Write the status of a Promotion, if it is not equal. Not found is success.
    WritePromotion {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// UID: another object of that name is left alone.
        uid: String,
        /// The status.
        status: Box<PromotionStatus>,
    },
    /// Ask for a sample. The answer comes as `Seen::measurements`.
    Measure(Box<Measure>),
    /// Ask a gateway whether it has a split. The answer comes as `Seen::check`.
    Verify(Box<Verify>),
    /// Put a document into the artifact store. The answer comes as `Seen::evidence`.
    StoreEvidence {
        /// `sha256:…` of it.
        digest: String,
        /// JSON (RFC 8785).
        document: String,
    },
    /// Write records into an immutable ConfigMap of the operator's namespace.
    SealOutbox(SealOutbox),
    /// Delete the ConfigMap of sealed records that the chain holds now.
    DropSealed {
        /// Name of the ConfigMap.
        config_map: String,
    },
    /// Take our finalizer off the Environment.
    ReleaseEnvironment,
}

/// As whom the API server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// The Environment's service account, by impersonation.
    Environment,
    /// The operator itself: PipelineRuns and Promotions.
    Operator,
}

/// An object to write.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// The object.
    pub key: Key,
    /// The whole object. With `metadata.resourceVersion` it replaces that version (409: observe again); without it is created
    /// (AlreadyExists: observe again; one that is not ours is told as a `Foreign` refusal).
    pub object: Value,
    /// As whom.
    pub actor: Actor,
}

/// Requests that show whether a gateway has a split: `GET`, answered with 302 and a `Location` at a certain host, several times in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verify {
    /// Which split.
    pub token: String,
    /// Address of the gateway: scheme, host, perhaps a port.
    pub url: String,
    /// Name under which it is asked, where that is another one than in the address.
    pub host: Option<String>,
    /// Path that is asked for.
    pub path: String,
    /// Host of the `Location` in the answer.
    pub leads_to: String,
}

/// A sample to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measure {
    /// Which.
    pub key: MeasureKey,
    /// Seconds that it may take.
    pub timeout: u64,
    /// Bearer token of the Environment's namespace.
    pub token: Option<SecretKey>,
    /// How.
    pub source: Source,
}

/// Where a sample comes from. Replacements are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A query to Prometheus.
    Prometheus {
        /// Base URL.
        address: String,
        /// PromQL.
        query: String,
    },
    /// A JSON document.
    Web {
        /// URL.
        url: String,
        /// JSONPath.
        json_path: Option<String>,
    },
}
