//! What a namespace may read under which digest, and what it is called: `grants/<namespace>/<hex>.json`.
//!
//! ```text
//! known ╲ wanted     content of that digest    a tar whose manifest has it
//! none               taken                     taken
//! content            the known name stays      the known grant stays
//! tar                taken                     the known grant stays
//! ```
//! Every Pod of a namespace may store the same bytes again: what is known of them is not for it to change.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};
use tokio::sync::MutexGuard;

use crate::core::Core;
use crate::digest::Digest;
use crate::names::Namespace;
use crate::store::blobs::Pin;
use crate::store::fault::StoreFault;
use crate::store::op::Op;

/// Locks for decisions on grants: two namespaces seldom share one.
pub const GRANT_LOCKS: usize = 64;

/// Content that a namespace may read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// The content; another digest than the grant's for images.
    pub content: Digest,
    /// File name for downloads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
    /// Media type.
    pub media_type: String,
}

/// File of a [`Grant`].
pub fn grant_path(namespace: &Namespace, digest: &Digest) -> String {
    format!("grants/{namespace}/{}.json", digest.hex())
}

fn lock_of(namespace: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    namespace.hash(&mut hasher);
    usize::try_from(hasher.finish() % GRANT_LOCKS as u64).unwrap_or(0)
}

impl Core {
    /// Nobody else decides on what a namespace may read until this is dropped. Whoever decides commits before that: of two that see no
    /// grant the second would win otherwise.
    pub(crate) async fn deciding(&self, namespace: &str) -> MutexGuard<'_, ()> {
        self.granting[lock_of(namespace)].lock().await
    }

    /// Commits changes, together with those that let a namespace read some content under some digests.
    ///
    /// # Errors
    /// When the volume fails; nothing is changed then.
    pub async fn commit_granting(
        &self,
        mut ops: Vec<Op>,
        namespace: &Namespace,
        wanted: Vec<(Digest, Grant)>,
    ) -> Result<(), StoreFault> {
        if wanted.is_empty() {
            return Ok(self.store.commits.commit(ops).await?);
        }
        let _alone = self.deciding(namespace.as_str()).await;
        let (granted, _pins) = self.grants(namespace, wanted).await?;
        ops.extend(granted);
        Ok(self.store.commits.commit(ops).await?)
    }

    /// What to commit, and what keeps the content of grants that stay until then.
    async fn grants(
        &self,
        namespace: &Namespace,
        wanted: Vec<(Digest, Grant)>,
    ) -> Result<(Vec<Op>, Vec<Pin>), StoreFault> {
        let (mut ops, mut pins) = (Vec::new(), Vec::new());
        for (digest, wanted) in wanted {
            let path = grant_path(namespace, &digest);
            let known = self.store.read(path.clone()).await?;
            // One that cannot be read lets nobody read anything, and is mended here.
            let known = known.and_then(|bytes| serde_json::from_slice::<Grant>(&bytes).ok());
            let mut grant = wanted;
            if let Some(known) = known
                && let Some(pin) = self.stands(&digest, &known, &grant).await?
            {
                pins.push(pin);
                grant = known;
            }
            // Written in any case: a sweep may be about to take back one that is old and that nobody referred to, and sees by this that
            // somebody does.
            ops.push(Op::Replace {
                path,
                bytes: serde_json::to_vec(&grant).unwrap_or_default(),
            });
        }
        Ok((ops, pins))
    }

    /// Whether what is known stays: its content then does too, which a sweep may take for content that nobody refers to.
    async fn stands(
        &self,
        digest: &Digest,
        known: &Grant,
        wanted: &Grant,
    ) -> Result<Option<Pin>, StoreFault> {
        if known.content != *digest && wanted.content == *digest {
            return Ok(None);
        }
        // Of content that was swept only the grant may be left.
        Ok(self.store.blobs.keep(&known.content).await?)
    }

    /// What a namespace may read under a digest.
    ///
    /// # Errors
    /// When the volume fails.
    pub async fn granted(&self, namespace: &Namespace, digest: &Digest) -> Result<Option<Grant>, StoreFault> {
        let found = self.store.read(grant_path(namespace, digest)).await?;
        Ok(found
            .map(|bytes| serde_json::from_slice(&bytes))
            .transpose()
            .map_err(std::io::Error::from)?)
    }
}
