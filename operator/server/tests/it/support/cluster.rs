//! Kubernetes as tests see it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dcanary_server::auth::relay::{Answer, Call, Relay, RelayError};
use dcanary_server::auth::{Audience, Cluster, ClusterError, OwnerRun, PodFacts, Readable, RunFacts, User};

pub const OPERATOR: &str = "system:serviceaccount:ops:conductor";

/// The subject of a JWT; another token is its own.
fn subject(token: &str) -> String {
    let payload = token
        .split('.')
        .nth(1)
        .and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Option<serde_json::Value> = payload.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let subject = claims.and_then(|claims| claims["sub"].as_str().map(ToOwned::to_owned));
    subject.unwrap_or_else(|| token.to_owned())
}

/// A double. Tokens, or their subjects, say whose they are:
/// `pod/NS/NAME/UID`, `operator`, `other/NS/NAME` (audience of the server), `reader/NAME/NS` (may read NS),
/// `reader/NAME/NS/RESOURCE` (may read only that there).
#[derive(Default)]
pub struct TestCluster {
    pub pods: Mutex<HashMap<(String, String), PodFacts>>,
    pub finished: Mutex<HashSet<String>>,
    pub runs: Mutex<HashSet<String>>,
    /// UIDs of Pods that no status names, whatever their labels and owners say.
    pub unnamed: Mutex<HashSet<String>>,
    /// Stage and number of attempts that runs' statuses have without a Pod.
    pub under_way: Mutex<HashSet<(String, u32)>>,
    pub reviews: AtomicU32,
    pub accesses: AtomicU32,
    pub down: AtomicBool,
    /// Where requests of people go; nowhere when unset.
    pub api: OnceLock<Relay>,
}

#[async_trait::async_trait]
impl Cluster for TestCluster {
    async fn review(&self, token: &str, audience: Audience) -> Result<Option<User>, ClusterError> {
        self.reviews.fetch_add(1, Ordering::Relaxed);
        if self.down.load(Ordering::Relaxed) {
            return Err(ClusterError {
                what: "review a token",
                source: "down".into(),
            });
        }
        let token = subject(token);
        let parts: Vec<&str> = token.split('/').collect();
        let extra = |name: &str, uid: &str| {
            vec![
                (
                    "authentication.kubernetes.io/pod-name".to_owned(),
                    vec![name.to_owned()],
                ),
                (
                    "authentication.kubernetes.io/pod-uid".to_owned(),
                    vec![uid.to_owned()],
                ),
            ]
        };
        let user = |name: String| User {
            name,
            ..User::default()
        };
        Ok(match (parts.as_slice(), audience) {
            (["pod", ns, name, uid], Audience::Server) => Some(User {
                extra: extra(name, uid),
                ..user(format!("system:serviceaccount:{ns}:default"))
            }),
            (["operator"], Audience::Server) => Some(user(OPERATOR.to_owned())),
            (["other", ns, name], Audience::Server) => {
                Some(user(format!("system:serviceaccount:{ns}:{name}")))
            }
            (["reader", ..], Audience::ApiServer) => Some(user(token.clone())),
            _ => None,
        })
    }

    async fn may_read(&self, user: &User, kind: Readable, namespace: &str) -> Result<bool, ClusterError> {
        self.accesses.fetch_add(1, Ordering::Relaxed);
        let mut parts = user.name.split('/').skip(2);
        let there = parts.next() == Some(namespace);
        Ok(there && parts.next().is_none_or(|only| only == kind.resource()))
    }

    async fn pod(&self, namespace: &str, name: &str) -> Result<Option<PodFacts>, ClusterError> {
        Ok(self
            .pods
            .lock()
            .unwrap()
            .get(&(namespace.to_owned(), name.to_owned()))
            .cloned())
    }

    async fn run(&self, namespace: &str, name: &str, uid: &str) -> Result<Option<RunFacts>, ClusterError> {
        if name != format!("{uid}-name") || !self.runs.lock().unwrap().contains(uid) {
            return Ok(None);
        }
        let unnamed = self.unnamed.lock().unwrap();
        let pods = self.pods.lock().unwrap();
        let own = pods
            .iter()
            .filter(|((there, _), facts)| there == namespace && facts.run_uid.as_deref() == Some(uid))
            .map(|(_, facts)| facts.uid.clone());
        Ok(Some(RunFacts {
            finished: self.finished.lock().unwrap().contains(uid),
            pods: own.filter(|pod| !unnamed.contains(pod)).collect(),
            unnamed: self.under_way.lock().unwrap().clone(),
        }))
    }

    async fn run_uids(&self) -> Result<HashSet<String>, ClusterError> {
        Ok(self.runs.lock().unwrap().clone())
    }

    async fn relay(&self, token: &str, call: Call) -> Result<Answer, RelayError> {
        match self.api.get() {
            Some(api) => api.send(token, call).await,
            None => Err(RelayError::Cluster(ClusterError {
                what: "hand a request on to the API server",
                source: "down".into(),
            })),
        }
    }
}

impl TestCluster {
    /// A build Pod of a run.
    pub fn add_pod(&self, namespace: &str, name: &str, uid: &str, run: &str, stage: &str, attempt: u32) {
        let facts = PodFacts {
            uid: uid.to_owned(),
            owner_run: Some(OwnerRun {
                name: format!("{run}-name"),
                uid: run.to_owned(),
            }),
            run_uid: Some(run.to_owned()),
            stage: Some(stage.to_owned()),
            attempt: Some(attempt),
        };
        self.pods
            .lock()
            .unwrap()
            .insert((namespace.to_owned(), name.to_owned()), facts);
        self.runs.lock().unwrap().insert(run.to_owned());
    }
}
