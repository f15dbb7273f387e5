//! Who is asking: Kubernetes decides, behind a small interface.

pub mod cached;
pub mod claims;
pub mod kubernetes;
pub mod relay;
pub mod reviews;

use std::collections::HashSet;

use relay::{Answer, Call, RelayError};

/// The API server could not answer.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}")]
pub struct ClusterError {
    /// The intention.
    pub what: &'static str,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// For whom a token was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Audience {
    /// This server.
    Server,
    /// The API server.
    ApiServer,
}

/// A kind whose readers may read what the server keeps about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Readable {
    /// Logs, attempts and artifacts of runs.
    Runs,
    /// Evidence of analyses.
    Environments,
}

impl Readable {
    /// Its resource in the group `dcanary.dev`.
    pub const fn resource(self) -> &'static str {
        match self {
            Self::Runs => "pipelineruns",
            Self::Environments => "environments",
        }
    }
}

/// A user of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct User {
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
    /// Further facts, such as the Pod that a token is bound to.
    pub extra: Vec<(String, Vec<String>)>,
}

/// The Pod that a token is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodIdentity {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
}

impl User {
    /// The Pod of a bound service account token.
    pub fn pod(&self) -> Option<PodIdentity> {
        let one = |key: &str| {
            let (_, values) = self.extra.iter().find(|(name, _)| name == key)?;
            if let [value] = values.as_slice() {
                Some(value.clone())
            } else {
                None
            }
        };
        let (namespace, _) = self
            .name
            .strip_prefix("system:serviceaccount:")?
            .split_once(':')?;
        Some(PodIdentity {
            namespace: namespace.to_owned(),
            name: one("authentication.kubernetes.io/pod-name")?,
            uid: one("authentication.kubernetes.io/pod-uid")?,
        })
    }
}

/// A PipelineRun as owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerRun {
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
}

/// What the server wants to know of a Pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodFacts {
    /// UID.
    pub uid: String,
    /// Its controller owner reference of kind PipelineRun.
    pub owner_run: Option<OwnerRun>,
    /// Label `dcanary.dev/run-uid`.
    pub run_uid: Option<String>,
    /// Label `dcanary.dev/stage`.
    pub stage: Option<String>,
    /// Label `dcanary.dev/attempt`.
    pub attempt: Option<u32>,
}

/// What the server wants to know of a PipelineRun.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFacts {
    /// Condition `Finished` is True.
    pub finished: bool,
    /// UIDs of the Pods that its status names as attempts: the operator's word, unlike labels and owners of a Pod.
    pub pods: HashSet<String>,
    /// Stage and number of attempts under way whose Pods it does not name yet: that is no write of its own (the operator waits up to five
    /// seconds for another one), and lines of a log are not held back for it.
    pub unnamed: HashSet<(String, u32)>,
}

/// The Kubernetes that the server asks.
#[async_trait::async_trait]
pub trait Cluster: Send + Sync + 'static {
    /// Whose token it is; `None` when it is not valid for the audience.
    async fn review(&self, token: &str, audience: Audience) -> Result<Option<User>, ClusterError>;
    /// Whether a user may `get` a kind of the group `dcanary.dev` in a namespace.
    async fn may_read(&self, user: &User, kind: Readable, namespace: &str) -> Result<bool, ClusterError>;
    /// A Pod.
    async fn pod(&self, namespace: &str, name: &str) -> Result<Option<PodFacts>, ClusterError>;
    /// A run, when the one of this name has this UID.
    async fn run(&self, namespace: &str, name: &str, uid: &str) -> Result<Option<RunFacts>, ClusterError>;
    /// UIDs of all PipelineRuns that exist.
    async fn run_uids(&self) -> Result<HashSet<String>, ClusterError>;
    /// Hands a request on with a person's own token, and with no right of this server.
    async fn relay(&self, token: &str, call: Call) -> Result<Answer, RelayError>;
}
