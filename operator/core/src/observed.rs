//! What the shell saw, as data. No client type gets in here.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dcanary_crds::{ExecutorSpec, PipelineSpec, Promotion};
use dcanary_protocol::report::ReportEntry;
use dcanary_types::Hash;
use jiff::Timestamp;

pub use crate::seen_pod::SeenPod;
use crate::settings::Settings;

/// Everything that a decision about one run may look at, besides the run and the time.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Settings of the operator.
    pub settings: Arc<Settings>,
    /// The Pipeline that the run names, if it exists. Looked at only until the definition is resolved.
    pub pipeline: Option<PipelineSpec>,
    /// Executors that the run can name: those of its namespace win over those of the cluster. Looked at only until the definition is resolved.
    pub executors: BTreeMap<String, SeenExecutor>,
    /// Pods in the cache whose label names the run's UID.
    pub pods: Vec<SeenPod>,
    /// Promotions in the cache that attempts without outcome name.
    pub promotions: Vec<Arc<Promotion>>,
    /// Environments in the cache that attempts without outcome name.
    pub environments: BTreeSet<String>,
    /// Answers to `CreatePod` and `Deploy` in this process: kept until the attempt has an outcome.
    pub creations: Vec<Creation>,
    /// Reports of this run, not acknowledged yet.
    pub reports: Vec<SeenReport>,
    /// What the recorder told about the run.
    pub journal: JournalSeen,
    /// Since when the server does not answer; `None` while it does. A process that has just started counts it as away until it has
    /// read the whole list of reports once.
    pub server_away_since: Option<Timestamp>,
    /// `reports` has every report that the server had at this time and that is not acknowledged: the list was read to its end then.
    /// `None` until that has happened once in this process.
    pub reports_as_of: Option<Timestamp>,
    /// Since when the server says that its store is full; `None` while it takes uploads.
    pub store_full_since: Option<Timestamp>,
    /// The namespace is being deleted: nothing can be created in it.
    pub namespace_terminating: bool,
    /// How many further Pods the operator allows now (limits of namespace and operator); `None` = no limit.
    pub slots: Option<usize>,
}

/// An executor and where it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenExecutor {
    /// Its spec.
    pub spec: ExecutorSpec,
    /// It is a ClusterExecutor.
    pub cluster: bool,
}

/// What became of a `CreatePod` or a `Deploy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creation {
    /// Name of the Pod or the Promotion. No two attempts of a run have the same.
    pub pod: String,
    /// The answer.
    pub answer: CreateAnswer,
}

/// An answer to `CreatePod` or `Deploy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreateAnswer {
    /// Created, or there already and ours.
    Created {
        /// UID of the Pod or the Promotion.
        uid: String,
        /// The cache has seen that UID since and then saw it go; a Promotion: a minute later it is not in the cache.
        gone: bool,
    },
    /// Quota or limits do not allow it now; it waits. The shell drops this answer after a pause of its own (10 seconds), then the plan
    /// asks for the Pod again.
    Quota {
        /// What the API server said.
        message: String,
    },
    /// An object of that name belongs to somebody else and is never adopted; a Pod waits. Dropped after a pause like `Quota`.
    Foreign,
    /// The API server will never take it: invalid, or forbidden by a policy.
    Refused {
        /// One CamelCase word: `PodInvalid`, `PodForbidden`.
        reason: String,
        /// What the API server said.
        message: String,
    },
    /// The namespace is being deleted.
    NamespaceTerminating,
    /// It did not get through (timeout, conflict, 5xx): it may be tried again.
    Failed {
        /// What happened.
        message: String,
        /// How often in a row.
        times: u32,
        /// Not before this time.
        retry_at: Timestamp,
    },
}

/// A report and when this process got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenReport {
    /// The entry of the server's list.
    pub entry: ReportEntry,
    /// When this process got it.
    pub received: Timestamp,
}

/// What the recorder told about the run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalSeen {
    /// The chain holds all records with a smaller number, as far as this process knows.
    pub recorded: u64,
    /// Block of the last of them.
    pub block: Option<u64>,
    /// Records that the chain will never take.
    pub refused: Vec<Refusal>,
    /// Another content is recorded at this number.
    pub conflict: Option<Conflict>,
    /// The chain holds more records than the run ever had: its next number.
    pub ahead: Option<u64>,
    /// Records wait, since when and why.
    pub waiting: Option<Waiting>,
    /// Answers to `SealOutbox`.
    pub sealings: Vec<Sealing>,
}

/// A record that the chain will never take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its number.
    pub n: u64,
    /// Its content hash, so that a refusal of an older content is not taken for one of its replacement.
    pub hash: Hash,
    /// Why.
    pub reason: String,
}

/// Two contents for one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    /// The number.
    pub n: u64,
    /// The block that holds the other content.
    pub have: u64,
}

/// Why records wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Since when.
    pub since: Timestamp,
    /// One CamelCase word.
    pub reason: String,
    /// One sentence.
    pub message: String,
}

/// An answer to `SealOutbox`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sealing {
    /// The ConfigMap holds these records.
    Sealed {
        /// Number of the first.
        first: i64,
        /// Number of the last.
        last: i64,
        /// Hash over the records.
        hash: String,
    },
    /// A ConfigMap of that name holds something else.
    Swapped {
        /// Name of the ConfigMap.
        config_map: String,
    },
}
