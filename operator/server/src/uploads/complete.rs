//! The end of an upload: its digest, its place, for images the push.

use dcanary_protocol::report::{ArtifactKind, Stored, UploadComplete};

use super::{UploadError, fault, key, open, writable};
use crate::attempts::Attempt;
use crate::attempts::record::ArtifactRecord;
use crate::core::Core;
use crate::digest::Digest;
use crate::grants::Grant;
use crate::images::{Image, Pushed};
use crate::names::ItemName;
use crate::store::blobs::{BlobError, UploadKey};

/// Longest file name, media type or reference of an artifact, in bytes. The record of its attempt has them, which is held in memory and
/// written anew with every change; a file system has shorter names.
const SHORT: usize = 4 << 10;

fn short(what: &'static str, text: Option<&String>) -> Result<(), UploadError> {
    match text {
        Some(text) if text.len() > SHORT => Err(UploadError::Long { what, most: SHORT }),
        _ => Ok(()),
    }
}

/// Ends an upload. Repeating it waits for the first and is answered alike.
///
/// # Errors
/// When what is stored is not what was sent, or an image cannot be pushed.
pub async fn complete(
    core: &Core,
    attempt: &Attempt,
    name: &ItemName,
    request: UploadComplete,
) -> Result<Stored, UploadError> {
    let expected: Digest = request.digest.parse().map_err(UploadError::BadDigest)?;
    short("the media type", Some(&request.media_type))?;
    short("the file name", request.file_name.as_ref())?;
    short("the reference", request.reference.as_ref())?;
    let key = key(attempt, name);
    let lock = core.uploads.lock(&key);
    let _one_at_a_time = lock.lock().await;
    let known = attempt.state.lock().await.record.artifacts.get(name).cloned();
    let same = known.filter(|known| known.digest == expected && known.size == request.size);
    if let Some(known) = same
        .as_ref()
        .filter(|known| known.complete && known.kind == request.kind)
    {
        return Ok(stored(known));
    }
    if writable(&attempt.state.lock().await.record, core, name)?.is_some_and(|known| known.complete) {
        return Err(UploadError::Complete);
    }
    let mut artifact = match same {
        Some(placed) => ArtifactRecord {
            kind: request.kind,
            ..placed
        },
        None => place(core, attempt, name, &key, expected, &request).await?,
    };
    let _pin = match core.store.blobs.upload_finish(&key, &artifact.digest).await {
        Ok(pin) => pin,
        Err(BlobError::Absent) => return Err(UploadError::Offset { have: 0 }),
        Err(BlobError::Differs { stored, size }) => {
            let namespace = attempt.state.lock().await.record.namespace.clone();
            core.usage.give_back(&namespace, size);
            return Err(UploadError::DigestMismatch { stored });
        }
        Err(error) => return Err(fault(error)),
    };
    if request.kind == ArtifactKind::Image {
        let pushed = push(core, attempt, &artifact, request.reference).await;
        crate::metrics::Metrics::count(
            &core.metrics.image_pushes,
            pushed.as_ref().map_or_else(|error| error.reason().1, |_| "ok"),
        );
        let patience = core.settings.registry_patience;
        let pushed = pushed.map_err(|error| match error {
            UploadError::Image(error) => UploadError::Image(core.uploads.patience(&key, error, patience)),
            other => other,
        })?;
        artifact.manifest = Some(pushed.manifest);
        artifact.reference = pushed.reference;
    }
    artifact.complete = true;
    commit(core, attempt, name, &artifact).await?;
    Ok(stored(&artifact))
}

/// Pushes an image, unless the attempt is over before it becomes visible under its tag.
async fn push(
    core: &Core,
    attempt: &Attempt,
    artifact: &ArtifactRecord,
    reference: Option<String>,
) -> Result<Pushed, UploadError> {
    let namespace = attempt.state.lock().await.record.namespace.clone();
    let image = Image {
        namespace: &namespace,
        tar: &artifact.digest,
        size: artifact.size,
        reference,
    };
    let prepared = tokio::select! {
        prepared = core.registries.prepare(&core.store.blobs, image) => prepared?,
        () = attempt.over() => {
            open(&attempt.state.lock().await.record)?;
            return Err(UploadError::Broken);
        }
    };
    // Held until the registry has answered: once a revocation is answered, the tag changes no more.
    let state = attempt.state.lock().await;
    open(&state.record)?;
    let pushed = prepared.publish().await?;
    drop(state);
    Ok(pushed)
}

/// Computes the digest of what arrived and records it, before the content is moved.
async fn place(
    core: &Core,
    attempt: &Attempt,
    name: &ItemName,
    key: &UploadKey,
    expected: Digest,
    request: &UploadComplete,
) -> Result<ArtifactRecord, UploadError> {
    let have = core.store.blobs.upload_len(key).await.map_err(fault)?;
    if have != request.size {
        return Err(UploadError::Offset { have });
    }
    let (digest, size) = core.store.blobs.upload_digest(key).await.map_err(fault)?;
    if digest != expected {
        core.store.blobs.upload_drop(key).await.map_err(fault)?;
        let namespace = attempt.state.lock().await.record.namespace.clone();
        core.usage.give_back(&namespace, size);
        return Err(UploadError::DigestMismatch { stored: digest });
    }
    let artifact = ArtifactRecord {
        kind: request.kind,
        digest,
        size,
        media_type: request.media_type.clone(),
        file_name: request.file_name.clone(),
        manifest: None,
        reference: None,
        complete: false,
    };
    commit(core, attempt, name, &artifact).await?;
    Ok(artifact)
}

async fn commit(
    core: &Core,
    attempt: &Attempt,
    name: &ItemName,
    artifact: &ArtifactRecord,
) -> Result<(), UploadError> {
    let mut state = attempt.state.lock().await;
    writable(&state.record, core, name)?;
    let mut next = state.clone();
    next.record.artifacts.insert(name.clone(), artifact.clone());
    let ops = vec![attempt.store(&next.record)];
    // What is not complete nobody may read yet.
    let named = [Some(artifact.digest), artifact.manifest]
        .into_iter()
        .flatten()
        .filter(|_| artifact.complete);
    let wanted = named.map(|digest| {
        let grant = Grant {
            content: artifact.digest,
            file_name: artifact.file_name.clone(),
            media_type: artifact.media_type.clone(),
        };
        (digest, grant)
    });
    core.commit_granting(ops, &next.record.namespace, wanted.collect())
        .await?;
    *state = next;
    Ok(())
}

fn stored(artifact: &ArtifactRecord) -> Stored {
    Stored {
        digest: artifact.digest.to_string(),
        size: artifact.size,
        manifest: artifact.manifest.map(|digest| digest.to_string()),
        reference: artifact.reference.clone(),
    }
}
