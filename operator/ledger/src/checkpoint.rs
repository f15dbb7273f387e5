//! The last verified head, kept so that a later one is accepted only if it extends it.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use candid::Principal;
use dcanary_types::value::sha256;
pub use dcanary_verifier::checkpoint::Checkpoint;
use thiserror::Error;

/// A short name of a network for where checkpoints are kept: the first canister has the same id on every node.
pub fn network_name(root_key: &[u8]) -> String {
    hex::encode(&sha256(root_key)[..8])
}

/// Why a checkpoint could not be read or kept.
#[derive(Debug, Error)]
#[error("cannot {verb} the checkpoint in {place}: {reason}")]
pub struct CheckpointError {
    /// `read` or `write`.
    pub verb: &'static str,
    /// File or object.
    pub place: String,
    /// What is wrong.
    pub reason: String,
}

/// Where checkpoints are kept: a ConfigMap for the operator, a file for people, memory in tests.
///
/// A store is a memory of this client, not an authority: losing it only loses the power to notice a fork that happened before.
#[async_trait]
pub trait CheckpointStore: Send + Sync {
    /// The last checkpoint of that ledger, if any.
    async fn load(&self, ledger: Principal) -> Result<Option<Checkpoint>, CheckpointError>;
    /// Replaces the checkpoint of that ledger.
    async fn save(&self, ledger: Principal, checkpoint: &Checkpoint) -> Result<(), CheckpointError>;
}

/// Forgets everything when the process ends.
#[derive(Debug, Default)]
pub struct MemoryCheckpoints(Mutex<BTreeMap<Principal, Checkpoint>>);

#[async_trait]
impl CheckpointStore for MemoryCheckpoints {
    async fn load(&self, ledger: Principal) -> Result<Option<Checkpoint>, CheckpointError> {
        Ok(self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&ledger)
            .cloned())
    }

    async fn save(&self, ledger: Principal, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(ledger, checkpoint.clone());
        Ok(())
    }
}

/// One JSON file for each ledger in a folder, written atomically.
#[derive(Debug)]
pub struct FileCheckpoints {
    folder: PathBuf,
}

impl FileCheckpoints {
    /// Keeps checkpoints in `folder`, which is made when first needed.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    fn path(&self, ledger: Principal) -> PathBuf {
        self.folder.join(format!("{ledger}.json"))
    }
}

#[async_trait]
impl CheckpointStore for FileCheckpoints {
    async fn load(&self, ledger: Principal) -> Result<Option<Checkpoint>, CheckpointError> {
        let path = self.path(ledger);
        let failed = |reason: String| CheckpointError {
            verb: "read",
            place: path.display().to_string(),
            reason,
        };
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|source| {
                failed(format!(
                    "{source}; delete the file to start again without a memory"
                ))
            }),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(failed(source.to_string())),
        }
    }

    async fn save(&self, ledger: Principal, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        let path = self.path(ledger);
        let failed = |reason: String| CheckpointError {
            verb: "write",
            place: path.display().to_string(),
            reason,
        };
        let bytes = serde_json::to_vec_pretty(checkpoint).map_err(|source| failed(source.to_string()))?;
        let beside = self.folder.join(format!(".{ledger}.{}", std::process::id()));
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(&self.folder)?;
            let mut file = fs::File::create(&beside)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&beside, &path)
        };
        write().map_err(|source| failed(source.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(size: u64) -> Checkpoint {
        Checkpoint {
            ledger: vec![1],
            size,
            root: [7; 32],
            time: 5,
            certificate: vec![1, 2],
            hash_tree: vec![3],
        }
    }

    #[tokio::test]
    async fn a_file_store_gives_back_what_was_saved_for_each_ledger_apart() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileCheckpoints::new(folder.path().join("new/folder"));
        let (a, b) = (Principal::from_slice(&[1]), Principal::from_slice(&[2]));
        assert_eq!(store.load(a).await.unwrap(), None);
        store.save(a, &checkpoint(1)).await.unwrap();
        store.save(b, &checkpoint(2)).await.unwrap();
        store.save(a, &checkpoint(3)).await.unwrap();
        assert_eq!(store.load(a).await.unwrap(), Some(checkpoint(3)));
        assert_eq!(store.load(b).await.unwrap(), Some(checkpoint(2)));
        assert_eq!(fs::read_dir(folder.path().join("new/folder")).unwrap().count(), 2);
    }

    #[tokio::test]
    async fn a_torn_file_is_named_and_not_taken_for_no_memory() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileCheckpoints::new(folder.path());
        let ledger = Principal::from_slice(&[1]);
        fs::write(folder.path().join(format!("{ledger}.json")), "{\"size\": 1").unwrap();
        let error = store.load(ledger).await.unwrap_err().to_string();
        assert!(
            error.contains("cannot read the checkpoint") && error.contains("delete the file"),
            "{error}"
        );
    }
}
