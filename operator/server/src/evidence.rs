//! Evidence of analyses: small documents that the operator stores and that outlive runs.
//!
//! `evidence/<namespace>/<hex>.json` is a [`Grant`] that no attempt owns: the namespace may read the document, and the sweep keeps it
//! until it is too old.

use bytes::Bytes;

use crate::core::Core;
use crate::digest::Digest;
use crate::grants::Grant;
use crate::names::Namespace;
use crate::store::fault::StoreFault;
use crate::store::op::Op;

/// Folder of the grants.
pub const EVIDENCE: &str = "evidence";
/// Largest document.
pub const BYTES: usize = 1 << 20;

/// Why evidence is not stored.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// It is something else than its digest says.
    #[error("the document has the digest {stored}, not the one in the path")]
    DigestMismatch {
        /// What it has.
        stored: Digest,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

impl EvidenceError {
    /// HTTP status and reason.
    pub fn reason(&self) -> (u16, &'static str) {
        match self {
            Self::DigestMismatch { .. } => (409, "digest-mismatch"),
            Self::Store(fault) => fault.reason(),
        }
    }
}

fn path(namespace: &Namespace, digest: &Digest) -> String {
    format!("{EVIDENCE}/{namespace}/{}.json", digest.hex())
}

/// Stores a document for a namespace. Repeating it keeps it for longer.
///
/// # Errors
/// When it is not what its digest says, or the store does not work.
pub async fn put(
    core: &Core,
    namespace: &Namespace,
    digest: Digest,
    document: Bytes,
) -> Result<(), EvidenceError> {
    if !core.store.space.has_room().await {
        return Err(StoreFault::Full.into());
    }
    let found = Digest::of(&document);
    if found != digest {
        return Err(EvidenceError::DigestMismatch { stored: found });
    }
    // pinned until its grant is committed
    let (content, _pin) = core.store.blobs.put(document).await.map_err(StoreFault::from)?;
    let grant = Grant {
        content,
        file_name: None,
        media_type: "application/json".to_owned(),
    };
    let op = Op::Replace {
        path: path(namespace, &digest),
        bytes: serde_json::to_vec(&grant).unwrap_or_default(),
    };
    // The sweep takes back one that is too old, and must not take this one for it.
    let _alone = core.deciding(namespace.as_str()).await;
    core.store
        .commits
        .commit(vec![op])
        .await
        .map_err(StoreFault::from)?;
    Ok(())
}

/// What a namespace may read under a digest.
///
/// # Errors
/// When the volume fails.
pub async fn granted(
    core: &Core,
    namespace: &Namespace,
    digest: &Digest,
) -> Result<Option<Grant>, StoreFault> {
    let found = core.store.read(path(namespace, digest)).await?;
    Ok(found
        .map(|bytes| serde_json::from_slice(&bytes))
        .transpose()
        .map_err(std::io::Error::from)?)
}
