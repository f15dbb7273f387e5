//! Artifacts on their way: bytes from an offset, then completion by digest.
//!
//! ```text
//! PUT … PUT … complete ─▶ digest computed ─▶ record (placed) ─▶ moved to its digest ─▶ image pushed ─▶ record (complete)
//! ```
//! Every step can be repeated after a crash; the record says which ones are done.

mod complete;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt};

use crate::attempts::Attempt;
use crate::attempts::record::{ArtifactRecord, Over, Record};
use crate::core::Core;
use crate::digest::Digest;
use crate::images::ImageError;
use crate::names::{ItemName, Namespace};
use crate::store::blobs::{BlobError, PIECE, UploadKey};
use crate::store::fault::StoreFault;
pub use complete::complete;

/// Bytes after which an upload is synced, so that a lost connection costs little.
const SYNC_EVERY: u64 = 64 << 20;

/// Why an upload did not go on.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The bytes do not continue what is there.
    #[error("{have} bytes are there")]
    Offset {
        /// Where to go on.
        have: u64,
    },
    /// It has its digest already: bytes were to be added, or it was to end with another one.
    #[error(
        "the upload of this artifact has ended; it takes no more bytes, and other content needs another name"
    )]
    Complete,
    /// The operator has closed the session.
    #[error("the session was closed by the operator")]
    Revoked,
    /// The final report was sent.
    #[error("the attempt has sent its final report")]
    Final,
    /// Its Pod belongs to no run.
    #[error(
        "only Pods of a PipelineRun store artifacts: this one has no controller owner reference to a PipelineRun with \
         the UID in its label dcanary.dev/run-uid"
    )]
    NoRun,
    /// A limit.
    #[error("{limit} is limited to {most} ({flag})")]
    Limit {
        /// What is limited.
        limit: &'static str,
        /// To how much.
        most: u64,
        /// By which flag.
        flag: &'static str,
    },
    /// The limit of a namespace.
    #[error(
        "the artifacts of namespace {namespace} together are limited to {most} bytes (--max-namespace-bytes), and what its \
         logs and results take counts too: those of deleted PipelineRuns count until their retention is over; whoever runs \
         the server can raise the limit"
    )]
    Namespace {
        /// Whose.
        namespace: Namespace,
        /// To how much.
        most: u64,
    },
    /// Something else arrived than was sent.
    #[error("stored bytes have digest {stored}; the upload is dropped, send it again from 0")]
    DigestMismatch {
        /// What was stored.
        stored: Digest,
    },
    /// The digest is none.
    #[error("digest: {0}")]
    BadDigest(#[source] crate::digest::NotADigest),
    /// What is said of it is too long.
    #[error("{what} of the artifact is longer than {most} bytes")]
    Long {
        /// What.
        what: &'static str,
        /// Bytes that it may have.
        most: usize,
    },
    /// The client paused too long.
    #[error("no bytes for {} s", .0.as_secs())]
    Slow(Duration),
    /// The connection broke.
    #[error("the connection broke")]
    Broken,
    /// The image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

impl UploadError {
    /// HTTP status and reason.
    pub fn reason(&self) -> (u16, &'static str) {
        match self {
            Self::Offset { .. } => (409, "offset"),
            Self::Complete => (409, "complete"),
            Self::Revoked => (410, "session-revoked"),
            Self::Final => (409, "final"),
            Self::NoRun => (403, "no-run"),
            Self::Limit { .. } | Self::Namespace { .. } => (413, "too-large"),
            Self::DigestMismatch { .. } => (409, "digest-mismatch"),
            Self::BadDigest(_) => (422, "bad-digest"),
            Self::Long { .. } => (422, "bad-report"),
            Self::Slow(_) => (408, "slow"),
            Self::Broken => (400, "broken"),
            Self::Image(error) => error.reason(),
            Self::Store(fault) => fault.reason(),
        }
    }
}

fn fault(error: BlobError) -> UploadError {
    match error {
        BlobError::Offset { have } => UploadError::Offset { have },
        other => UploadError::Store(other.into()),
    }
}

/// Uploads under way: one request at a time changes each.
#[derive(Default)]
pub struct Uploads {
    locks: Mutex<HashMap<UploadKey, Arc<tokio::sync::Mutex<()>>>>,
    /// Pushes that fail, and since when.
    failing: Mutex<HashMap<UploadKey, Instant>>,
}

impl Uploads {
    fn lock(&self, key: &UploadKey) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self
            .locks
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        locks.retain(|other, lock| other == key || Arc::strong_count(lock) > 1);
        Arc::clone(locks.entry(key.clone()).or_default())
    }

    /// A registry that does not work for too long counts as one that refuses: runners repeat for ever otherwise.
    fn patience(&self, key: &UploadKey, error: ImageError, patience: Duration) -> ImageError {
        let mut failing = self
            .failing
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        failing.retain(|other, since| other == key || since.elapsed() < patience * 2);
        match error {
            ImageError::Registry { what, reference, why }
                if failing.entry(key.clone()).or_insert_with(Instant::now).elapsed() >= patience =>
            {
                failing.remove(key);
                ImageError::Refused { what, reference, why }
            }
            other => other,
        }
    }
}

fn key(attempt: &Attempt, name: &ItemName) -> UploadKey {
    UploadKey {
        attempt: attempt.id.to_string(),
        name: name.to_string(),
    }
}

fn open(record: &Record) -> Result<(), UploadError> {
    match record.over() {
        Some(Over::Revoked) => Err(UploadError::Revoked),
        Some(Over::Final) => Err(UploadError::Final),
        None => Ok(()),
    }
}

fn writable<'a>(
    record: &'a Record,
    core: &Core,
    name: &ItemName,
) -> Result<Option<&'a ArtifactRecord>, UploadError> {
    open(record)?;
    if record.run.is_none() {
        return Err(UploadError::NoRun);
    }
    let known = record.artifacts.get(name);
    if known.is_none() && record.artifacts.len() >= core.limits.artifacts {
        let most = core.limits.artifacts as u64;
        return Err(UploadError::Limit {
            limit: "the number of artifacts",
            most,
            flag: "--max-artifacts",
        });
    }
    Ok(known)
}

/// Whether what has a digest stands in the way of bytes at `offset`; whether it has one.
///
/// What was placed and is not complete, as an image that its registry refused, may be sent anew from its beginning. Bytes behind it are
/// another thing: a server that was killed before it moved the upload would move them with it.
fn ended(record: &Record, core: &Core, name: &ItemName, offset: u64) -> Result<bool, UploadError> {
    match writable(record, core, name)? {
        Some(known) if known.complete || offset > 0 => Err(UploadError::Complete),
        known => Ok(known.is_some()),
    }
}

/// Takes back what is recorded of an upload that begins anew, before its first bytes are written.
async fn begin(core: &Core, attempt: &Attempt, name: &ItemName, offset: u64) -> Result<(), UploadError> {
    let mut state = attempt.state.lock().await;
    if ended(&state.record, core, name, offset)? {
        let mut next = state.clone();
        next.record.artifacts.remove(name);
        let ops = vec![attempt.store(&next.record)];
        core.store.commits.commit(ops).await.map_err(StoreFault::from)?;
        *state = next;
    }
    Ok(())
}

/// Bytes that are there.
///
/// # Errors
/// When the store fails.
pub async fn offset(core: &Core, attempt: &Attempt, name: &ItemName) -> Result<u64, UploadError> {
    if let Some(known) = attempt.state.lock().await.record.artifacts.get(name)
        && known.complete
    {
        return Ok(known.size);
    }
    core.store
        .blobs
        .upload_len(&key(attempt, name))
        .await
        .map_err(fault)
}

/// Adds bytes from `offset` on. What has arrived when the stream ends or breaks is kept and durable.
///
/// # Errors
/// A wrong offset, a limit, or a slow or broken connection.
pub async fn append<S, E>(
    core: &Core,
    attempt: &Attempt,
    name: &ItemName,
    offset: u64,
    bytes: &mut S,
) -> Result<u64, UploadError>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
{
    let state = attempt.state.lock().await;
    ended(&state.record, core, name, offset)?;
    let namespace = state.record.namespace.clone();
    drop(state);
    let key = key(attempt, name);
    let lock = core.uploads.lock(&key);
    let mut at = offset;
    let mut synced = offset;
    if core.store.blobs.upload_len(&key).await.map_err(fault)? != offset {
        let have = core.store.blobs.upload_len(&key).await.map_err(fault)?;
        return Err(UploadError::Offset { have });
    }
    let reason = loop {
        let idle = core.limits.upload_idle;
        let arrived = tokio::select! {
            piece = tokio::time::timeout(idle, bytes.next()) => piece,
            () = attempt.over() => break open(&attempt.state.lock().await.record),
        };
        let piece = match arrived {
            Ok(Some(Ok(piece))) => piece,
            Ok(None) => break Ok(()),
            Ok(Some(Err(_))) => break Err(UploadError::Broken),
            Err(_) => break Err(UploadError::Slow(idle)),
        };
        let piece = gather(piece, bytes);
        let most = core.limits.artifact_bytes;
        if at + piece.len() as u64 > most {
            break Err(UploadError::Limit {
                limit: "an artifact",
                most,
                flag: "--max-artifact-bytes",
            });
        }
        if !core.store.space.has_room().await {
            break Err(StoreFault::Full.into());
        }
        let len = piece.len() as u64;
        // Only while it changes: a stalled connection must not keep out the one that takes its place.
        let one_at_a_time = lock.lock().await;
        if let Err(error) = begin(core, attempt, name, at).await {
            break Err(error);
        }
        let most = core.limits.namespace_bytes;
        if !core.usage.take(&namespace, len, most) {
            break Err(UploadError::Namespace { namespace, most });
        }
        match core.store.blobs.upload_append(&key, at, piece).await {
            Ok(end) => at = end,
            Err(error) => {
                core.usage.give_back(&namespace, len);
                break Err(fault(error));
            }
        }
        if at - synced >= SYNC_EVERY {
            core.store.blobs.upload_sync(&key).await.map_err(fault)?;
            synced = at;
        }
        drop(one_at_a_time);
        core.metrics.upload_bytes.inc_by(len);
    };
    let synced = core.store.blobs.upload_sync(&key).await.map_err(fault);
    // Why it ended comes first: what belongs to an attempt that was revoked meanwhile is not there any more to be synced.
    reason?;
    synced?;
    Ok(at)
}

/// Joins what has arrived already, up to a size that is worth a write.
fn gather<S, E>(first: Bytes, bytes: &mut S) -> Bytes
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    let mut joined = bytes::BytesMut::from(first);
    while joined.len() < PIECE
        && let Some(Some(Ok(more))) = bytes.next().now_or_never()
    {
        joined.extend_from_slice(&more);
    }
    joined.freeze()
}
