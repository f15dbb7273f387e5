//! What a decision asks of the world.

use dcanary_crds::{PendingRecord, PipelineRunStatus};
use dcanary_types::record::Record;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::release::Deployment;

/// The next step of a run: the whole status it should have, what to do once that is persisted, and when to look again.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The complete desired status.
    pub status: PipelineRunStatus,
    /// What to do, in order, after the status is persisted.
    pub effects: Vec<Effect>,
    /// Records that this step added to the outbox (they are in `status.journal.pending` too).
    pub journal: Vec<Record>,
    /// Facts worth an Event, once the status is persisted.
    pub events: Vec<Event>,
    /// When to decide again if nothing changes.
    pub wake: Wake,
    /// Write the status under its `resourceVersion` even when it is equal to the present one: an effect of this plan must not be carried
    /// out on a stale view. An equal write changes nothing and still fails with 409 on an old version.
    pub fence: bool,
}

/// When to decide again if nothing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// Only when something changes.
    OnChange,
    /// At this time.
    At(Timestamp),
}

impl Wake {
    /// The earlier of both.
    pub fn earlier(self, at: Timestamp) -> Self {
        match self {
            Self::OnChange => Self::At(at),
            Self::At(other) => Self::At(other.min(at)),
        }
    }
}

/// One thing to do. Every effect may be repeated: after a crash the same plan comes again.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Add the finalizer to the run. Comes alone and before anything else happens to the run.
    HoldRun,
    /// Create a build Pod. A Pod of that name that is there already counts as created only when it has the run's UID as controller.
    CreatePod(Box<CreatePod>),
    /// Create a Release and then a Promotion of it. One of that name that is there already counts as created only when it asks for the
    /// same; without the Release there is no Promotion.
    Deploy(Box<Deploy>),
    /// Delete a Pod, with its UID as precondition. Not found is success.
    DeletePod(PodRef),
    /// Take our finalizer off a Pod. Not found is success.
    ReleasePod(PodRef),
    /// Close the session of an attempt at the server.
    RevokeSession {
        /// UID of the Pod.
        attempt: String,
    },
    /// Write records into an immutable ConfigMap of the operator's namespace. Exists with the same content is success; with other
    /// content it is told as [`crate::observed::Sealing::Swapped`].
    SealOutbox(SealOutbox),
    /// Delete the ConfigMap of sealed records that the chain holds now. Not found is success.
    DropSealed {
        /// Name of the ConfigMap.
        config_map: String,
    },
    /// The reports at these cursors are persisted (or are of no concern).
    AckReports {
        /// Cursors, ascending.
        cursors: Vec<u64>,
    },
    /// Take our finalizer off the run: nothing of it can be lost any more.
    ReleaseRun,
}

/// A Pod to create.
#[derive(Debug, Clone, PartialEq)]
pub struct CreatePod {
    /// Stage.
    pub stage: String,
    /// Attempt, from 1.
    pub attempt: i32,
    /// The Pod.
    pub pod: Pod,
}

/// A Promotion to create, and what it is of.
#[derive(Debug, Clone, PartialEq)]
pub struct Deploy {
    /// Stage.
    pub stage: String,
    /// Attempt, from 1.
    pub attempt: i32,
    /// Release and Promotion.
    pub deployment: Deployment,
}

/// A Pod by name and UID.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodRef {
    /// Name, in the run's namespace.
    pub name: String,
    /// UID.
    pub uid: String,
}

/// Records to put aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealOutbox {
    /// Name of the ConfigMap.
    pub config_map: String,
    /// Number of the first record.
    pub first: i64,
    /// Number of the last record.
    pub last: i64,
    /// `sha256:…` over the records.
    pub hash: String,
    /// The records.
    pub records: Vec<PendingRecord>,
}

/// An Event on the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Whether a person should look.
    pub warning: bool,
    /// One CamelCase word.
    pub reason: String,
    /// One sentence, at most 1 kB.
    pub note: String,
}
