//! Answers about readers, kept for a few seconds so that a page of logs is not a hundred reviews.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Audience, ClusterError, Readable, RunFacts, User};
use crate::auth::Cluster;
use crate::digest::Digest;

/// Answers that are kept at once.
const MOST: usize = 4_096;

struct Answers<K, V> {
    kept: Mutex<HashMap<K, (Instant, V)>>,
    lifetime: Duration,
}

impl<K: Eq + Hash, V: Clone> Answers<K, V> {
    fn new(lifetime: Duration) -> Self {
        Self {
            kept: Mutex::default(),
            lifetime,
        }
    }

    fn get(&self, key: &K) -> Option<V> {
        let kept = self.kept.lock().ok()?;
        kept.get(key)
            .filter(|(at, _)| at.elapsed() < self.lifetime)
            .map(|(_, value)| value.clone())
    }

    fn keep(&self, key: K, value: V) {
        if let Ok(mut kept) = self.kept.lock() {
            if kept.len() >= MOST {
                kept.retain(|_, (at, _)| at.elapsed() < self.lifetime);
            }
            if kept.len() < MOST {
                kept.insert(key, (Instant::now(), value));
            }
        }
    }
}

/// Reviews of readers. Trades of Pod tokens are never kept.
pub struct Readers {
    users: Answers<(Digest, Audience), Option<User>>,
    permissions: Answers<(User, Readable, String), bool>,
    runs: Answers<(String, String, String), Option<Arc<RunFacts>>>,
}

/// How long an answer about a run counts.
pub const RUN_LIFETIME: Duration = Duration::from_secs(1);

impl Readers {
    /// Keeps answers for `lifetime`.
    pub fn new(lifetime: Duration) -> Self {
        Self {
            users: Answers::new(lifetime),
            permissions: Answers::new(lifetime),
            runs: Answers::new(RUN_LIFETIME),
        }
    }

    /// Whose token it is; either audience is fine for a reader.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn user(&self, cluster: &dyn Cluster, token: &str) -> Result<Option<User>, ClusterError> {
        for audience in [Audience::Server, Audience::ApiServer] {
            if let Some(user) = self.user_for(cluster, token, audience).await? {
                return Ok(Some(user));
            }
        }
        Ok(None)
    }

    /// Whose token it is, for one audience.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn user_for(
        &self,
        cluster: &dyn Cluster,
        token: &str,
        audience: Audience,
    ) -> Result<Option<User>, ClusterError> {
        let key = (Digest::of(token.as_bytes()), audience);
        if let Some(user) = self.users.get(&key) {
            return Ok(user);
        }
        let user = cluster.review(token, audience).await?;
        self.users.keep(key, user.clone());
        Ok(user)
    }

    /// Whether a user may read a kind in a namespace.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn may_read(
        &self,
        cluster: &dyn Cluster,
        user: &User,
        kind: Readable,
        namespace: &str,
    ) -> Result<bool, ClusterError> {
        let key = (user.clone(), kind, namespace.to_owned());
        if let Some(allowed) = self.permissions.get(&key) {
            return Ok(allowed);
        }
        let allowed = cluster.may_read(user, kind, namespace).await?;
        self.permissions.keep(key, allowed);
        Ok(allowed)
    }

    /// A run, asked once for all who read it; `None` when it is not there.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn run(
        &self,
        cluster: &dyn Cluster,
        namespace: &str,
        name: &str,
        uid: &str,
    ) -> Result<Option<Arc<RunFacts>>, ClusterError> {
        let key = (namespace.to_owned(), name.to_owned(), uid.to_owned());
        if let Some(run) = self.runs.get(&key) {
            return Ok(run);
        }
        let run = cluster.run(namespace, name, uid).await?.map(Arc::new);
        self.runs.keep(key, run.clone());
        Ok(run)
    }
}
