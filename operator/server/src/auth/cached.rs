//! Answers about readers, kept for a few seconds so that a page of logs is not a hundred reviews.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::reviews::{ReviewError, Reviews};
use super::{Audience, Cluster, ClusterError, Readable, RunFacts, User};
use crate::digest::Digest;

/// Answers of a kind that are kept at once.
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

/// What is kept of an answer.
#[derive(Debug, PartialEq, Eq)]
enum Kept<V> {
    Found(V),
    Nothing,
    /// None, or its time is over.
    Unknown,
}

/// Answers of which some find nothing. Those have a place of their own: anybody can ask for as many of them as they like, and they must not
/// take the place of the others.
struct Findings<K, V> {
    found: Answers<K, V>,
    nothing: Answers<K, ()>,
}

impl<K: Eq + Hash, V: Clone> Findings<K, V> {
    fn new(lifetime: Duration) -> Self {
        Self {
            found: Answers::new(lifetime),
            nothing: Answers::new(lifetime),
        }
    }

    fn get(&self, key: &K) -> Kept<V> {
        if let Some(found) = self.found.get(key) {
            return Kept::Found(found);
        }
        match self.nothing.get(key) {
            Some(()) => Kept::Nothing,
            None => Kept::Unknown,
        }
    }

    fn keep(&self, key: K, found: Option<V>) {
        match found {
            Some(found) => self.found.keep(key, found),
            None => self.nothing.keep(key, ()),
        }
    }
}

/// Reviews of readers. Trades of Pod tokens are never kept.
pub struct Readers {
    reviews: Reviews,
    users: Findings<(Digest, Audience), User>,
    permissions: Findings<(User, Readable, String), ()>,
    runs: Findings<(String, String, String), Arc<RunFacts>>,
}

/// How long an answer about a run counts.
pub const RUN_LIFETIME: Duration = Duration::from_secs(1);

impl Readers {
    /// Keeps answers for `lifetime`.
    pub fn new(lifetime: Duration) -> Self {
        Self {
            reviews: Reviews::default(),
            users: Findings::new(lifetime),
            permissions: Findings::new(lifetime),
            runs: Findings::new(RUN_LIFETIME),
        }
    }

    /// Whose token it is, for this server and at this moment: no answer is kept or used again.
    ///
    /// # Errors
    /// When the API server does not answer, or has too much to answer already.
    pub async fn now(&self, cluster: &dyn Cluster, token: &str) -> Result<Option<User>, ReviewError> {
        self.reviews.of(cluster, token, Audience::Server).await
    }

    /// Whose token it is; either audience is fine for a reader.
    ///
    /// # Errors
    /// When the API server does not answer, or has too much to answer already.
    pub async fn user(&self, cluster: &dyn Cluster, token: &str) -> Result<Option<User>, ReviewError> {
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
    /// When the API server does not answer, or has too much to answer already.
    pub async fn user_for(
        &self,
        cluster: &dyn Cluster,
        token: &str,
        audience: Audience,
    ) -> Result<Option<User>, ReviewError> {
        let key = (Digest::of(token.as_bytes()), audience);
        match self.users.get(&key) {
            Kept::Found(user) => return Ok(Some(user)),
            Kept::Nothing => return Ok(None),
            Kept::Unknown => {}
        }
        let user = self.reviews.of(cluster, token, audience).await?;
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
        match self.permissions.get(&key) {
            Kept::Found(()) => return Ok(true),
            Kept::Nothing => return Ok(false),
            Kept::Unknown => {}
        }
        let allowed = cluster.may_read(user, kind, namespace).await?;
        self.permissions.keep(key, allowed.then_some(()));
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
        match self.runs.get(&key) {
            Kept::Found(run) => return Ok(Some(run)),
            Kept::Nothing => return Ok(None),
            Kept::Unknown => {}
        }
        let run = cluster.run(namespace, name, uid).await?.map(Arc::new);
        self.runs.keep(key, run.clone());
        Ok(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_find_nothing_take_no_place_of_those_that_find_somebody() {
        let users: Findings<usize, User> = Findings::new(Duration::from_secs(3600));
        for junk in 0..=MOST {
            users.keep(junk, None);
        }
        let reader = MOST + 1;
        users.keep(reader, Some(User::default()));
        assert_eq!(users.get(&reader), Kept::Found(User::default()));
        assert_eq!(users.get(&0), Kept::Nothing, "what found nothing is known too");
        assert_eq!(users.get(&MOST), Kept::Unknown, "as far as there is room for it");
    }

    #[test]
    fn no_answer_is_used_after_its_time() {
        let users: Findings<usize, User> = Findings::new(Duration::ZERO);
        users.keep(1, Some(User::default()));
        users.keep(2, None);
        assert_eq!((users.get(&1), users.get(&2)), (Kept::Unknown, Kept::Unknown));
    }
}
