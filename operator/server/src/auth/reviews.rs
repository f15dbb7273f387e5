//! Asking the API server whose token it is. Anybody who reaches this server may show one, so what no review would accept is refused without,
//! and only few reviews are under way at once: the others wait, and not for long.

use std::time::{Duration, SystemTime};

use tokio::sync::Semaphore;

use super::claims::plausible;
use super::{Audience, Cluster, ClusterError, User};

/// Reviews under way at once.
const SLOTS: usize = 16;
/// Longest wait for a slot.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest time of the API server, so that one that hangs does not hold the slots.
const TIME: Duration = Duration::from_secs(30);

/// It is not known whose token it is.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// The API server does not answer.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Too many at once.
    #[error("too many tokens are being reviewed: repeat it")]
    Busy,
}

/// Reviews under way.
pub struct Reviews {
    slots: Semaphore,
    patience: Duration,
}

impl Default for Reviews {
    fn default() -> Self {
        Self {
            slots: Semaphore::new(SLOTS),
            patience: PATIENCE,
        }
    }
}

impl Reviews {
    /// Whose token it is; `None` when it is not valid for the audience.
    ///
    /// # Errors
    /// When the API server does not answer, or has too much to answer already.
    pub async fn of(
        &self,
        cluster: &dyn Cluster,
        token: &str,
        audience: Audience,
    ) -> Result<Option<User>, ReviewError> {
        if !plausible(token, audience, SystemTime::now()) {
            return Ok(None);
        }
        let Ok(Ok(_slot)) = tokio::time::timeout(self.patience, self.slots.acquire()).await else {
            return Err(ReviewError::Busy);
        };
        match tokio::time::timeout(TIME, cluster.review(token, audience)).await {
            Ok(answer) => Ok(answer?),
            Err(late) => Err(ReviewError::Cluster(ClusterError {
                what: "review a token",
                source: late.into(),
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::auth::relay::{Answer, Call, RelayError};
    use crate::auth::{PodFacts, Readable, RunFacts};

    /// An API server whose reviews wait until they may go on.
    struct Slow {
        asked: AtomicUsize,
        go: Semaphore,
    }

    #[async_trait::async_trait]
    impl Cluster for Slow {
        async fn review(&self, _: &str, _: Audience) -> Result<Option<User>, ClusterError> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            drop(self.go.acquire().await);
            Ok(Some(User::default()))
        }

        async fn may_read(&self, _: &User, _: Readable, _: &str) -> Result<bool, ClusterError> {
            unreachable!()
        }

        async fn pod(&self, _: &str, _: &str) -> Result<Option<PodFacts>, ClusterError> {
            unreachable!()
        }

        async fn run(&self, _: &str, _: &str, _: &str) -> Result<Option<RunFacts>, ClusterError> {
            unreachable!()
        }

        async fn run_uids(&self) -> Result<HashSet<String>, ClusterError> {
            unreachable!()
        }

        async fn relay(&self, _: &str, _: Call) -> Result<Answer, RelayError> {
            unreachable!()
        }
    }

    #[tokio::test]
    async fn few_reviews_are_under_way_at_once_and_one_that_waits_too_long_is_to_be_repeated() {
        let cluster = Arc::new(Slow {
            asked: AtomicUsize::new(0),
            go: Semaphore::new(0),
        });
        let reviews = Arc::new(Reviews {
            patience: Duration::from_millis(200),
            ..Reviews::default()
        });
        let ask = || {
            let (cluster, reviews) = (Arc::clone(&cluster), Arc::clone(&reviews));
            async move { reviews.of(cluster.as_ref(), "opaque", Audience::ApiServer).await }
        };
        let first: Vec<_> = (0..SLOTS).map(|_| tokio::spawn(ask())).collect();
        while cluster.asked.load(Ordering::SeqCst) < SLOTS {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(matches!(ask().await, Err(ReviewError::Busy)));
        assert_eq!(
            cluster.asked.load(Ordering::SeqCst),
            SLOTS,
            "it was never asked about"
        );
        cluster.go.add_permits(SLOTS);
        for one in first {
            assert!(one.await.unwrap().unwrap().is_some());
        }
        assert!(ask().await.unwrap().is_some(), "and then there is room again");
    }
}
