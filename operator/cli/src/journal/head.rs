//! The head and the policy that it certifies, of one moment.

use dcanary_ledger::{Head, Ledger, LedgerError};
use dcanary_types::cbor;

/// How often the head is fetched until the policy is its own.
const TRIES: usize = 5;

/// Fetches the head and the policy document. They are two answers, and a role that changes between them gives a policy
/// that the head does not certify: both are fetched again then. A document that never fits is handed out as it is, for
/// the verifier to refuse.
///
/// # Errors
/// When the ledger cannot be reached or is not believed.
pub async fn with_policy(ledger: &dyn Ledger) -> Result<(Head, Vec<u8>), LedgerError> {
    let mut tries = 1;
    loop {
        let head = ledger.head().await?;
        let policy = ledger.policy().await?;
        if is_of(&head, &policy) || tries >= TRIES {
            return Ok((head, policy));
        }
        tries += 1;
    }
}

/// Whether the head certifies the document.
pub fn is_of(head: &Head, policy: &[u8]) -> bool {
    cbor::decode(policy).is_ok_and(|value| value.hash() == head.policy_hash)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use dcanary_ledger::{Appended, Position, RunKey, Segment};
    use dcanary_types::{Hash, policy::Policy};

    use super::*;

    /// A ledger whose policy is changed after each of the first `changes` heads.
    struct Busy {
        changes: usize,
        heads: AtomicUsize,
    }

    impl Busy {
        fn new(changes: usize) -> Self {
            Self {
                changes,
                heads: AtomicUsize::new(0),
            }
        }

        fn policy_at(step: usize) -> Policy {
            Policy::new(step as u64, [])
        }
    }

    #[async_trait]
    impl Ledger for Busy {
        async fn ready(&self) -> Result<(), LedgerError> {
            Ok(())
        }

        async fn append(&self, _: &[Segment]) -> Result<Appended, LedgerError> {
            unreachable!("nothing is written")
        }

        async fn position(&self, _: &RunKey) -> Result<Position, LedgerError> {
            unreachable!("no run is asked for")
        }

        async fn head(&self) -> Result<Head, LedgerError> {
            let step = self.heads.fetch_add(1, Ordering::SeqCst).min(self.changes);
            Ok(Head {
                size: 1,
                root: [0; 32],
                last_hash: [0; 32],
                policy_hash: Self::policy_at(step).hash(),
                time: 0,
                certificate: vec![],
                hash_tree: vec![],
            })
        }

        async fn blocks(&self, _: u64, _: u64) -> Result<Vec<Vec<u8>>, LedgerError> {
            unreachable!("no block is asked for")
        }

        async fn inclusion(&self, _: u64, _: u64) -> Result<Vec<Hash>, LedgerError> {
            unreachable!("no proof is asked for")
        }

        async fn consistency(&self, _: u64, _: u64) -> Result<Vec<Hash>, LedgerError> {
            unreachable!("no proof is asked for")
        }

        async fn run_blocks(&self, _: &RunKey) -> Result<Vec<u64>, LedgerError> {
            unreachable!("no run is asked for")
        }

        async fn run_graph(&self, _: &RunKey) -> Result<Option<Vec<u8>>, LedgerError> {
            unreachable!("no run is asked for")
        }

        async fn policy(&self) -> Result<Vec<u8>, LedgerError> {
            let step = self.heads.load(Ordering::SeqCst).min(self.changes);
            Ok(Self::policy_at(step).encode())
        }
    }

    #[tokio::test]
    async fn a_role_that_changes_between_head_and_policy_is_no_forgery() {
        for changes in 0..TRIES {
            let ledger = Busy::new(changes);
            let (head, policy) = with_policy(&ledger).await.unwrap();
            assert!(is_of(&head, &policy), "{changes} changes");
            assert_eq!(ledger.heads.load(Ordering::SeqCst), changes + 1);
        }
    }

    #[tokio::test]
    async fn a_policy_that_never_fits_is_left_to_the_verifier_after_a_few_tries() {
        let ledger = Busy::new(usize::MAX);
        let (head, policy) = with_policy(&ledger).await.unwrap();
        assert!(!is_of(&head, &policy));
        assert_eq!(ledger.heads.load(Ordering::SeqCst), TRIES);
    }
}
