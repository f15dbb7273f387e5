//! Content by digest on a volume.
//!
//! ```text
//! blobs/ab/<hex>             content; appears whole, by rename, after its sync
//! uploads/<attempt>/<name>   what has arrived of an upload
//! tmp/<n>                    content on its way; removed at start
//! ```

mod content;
mod uploads;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;

use super::blobs::{BlobError, Blobs, PIECE, Pin, UploadKey};
use super::disk::{Disk, is_full};
use super::space::Space;
use crate::digest::Digest;
use content::{Pins, blob_path};
use uploads::{Running, upload_path};

/// Content on a [`Disk`].
#[derive(Clone)]
pub struct FsBlobs {
    disk: Arc<dyn Disk>,
    space: Arc<Space>,
    pins: Pins,
    running: Arc<Mutex<HashMap<UploadKey, Running>>>,
    next: Arc<AtomicU64>,
}

fn failed(what: &'static str) -> impl FnOnce(std::io::Error) -> BlobError {
    move |source| {
        if is_full(&source) {
            BlobError::Full
        } else {
            BlobError::Failed { what, source }
        }
    }
}

fn lost(what: &'static str) -> BlobError {
    BlobError::Failed {
        what,
        source: std::io::Error::other("a thread ended unexpectedly"),
    }
}

impl FsBlobs {
    /// Opens the store and removes what was on its way when the last server ended.
    ///
    /// # Errors
    /// When the volume fails.
    pub fn open(disk: Arc<dyn Disk>, space: Arc<Space>) -> std::io::Result<Self> {
        disk.remove_tree("tmp")?;
        Ok(Self {
            disk,
            space,
            pins: Arc::default(),
            running: Arc::default(),
            next: Arc::new(AtomicU64::new(0)),
        })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Self) -> Result<T, BlobError> + Send + 'static,
    ) -> Result<T, BlobError> {
        let this = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&this))
            .await
            .map_err(|_| lost(what))?;
        if matches!(done, Err(BlobError::Full)) {
            self.space.refused();
        }
        done
    }
}

#[async_trait::async_trait]
impl Blobs for FsBlobs {
    async fn put(&self, bytes: Bytes) -> Result<(Digest, Pin), BlobError> {
        self.blocking("store content", move |this| {
            let digest = Digest::of(&bytes);
            let path = format!("tmp/{}", this.next.fetch_add(1, Ordering::Relaxed));
            this.disk.write_at(&path, 0, &bytes).map_err(|error| {
                // What is left of it goes at the next start at the latest.
                drop(this.disk.remove_file(&path));
                failed("store content")(error)
            })?;
            let pin = this.place(&path, &digest)?;
            Ok((digest, pin))
        })
        .await
    }

    async fn keep(&self, digest: &Digest) -> Result<Option<Pin>, BlobError> {
        let digest = *digest;
        self.blocking("keep content", move |this| this.keep_there(&digest))
            .await
    }

    async fn size(&self, digest: &Digest) -> Result<Option<u64>, BlobError> {
        let path = blob_path(digest);
        self.blocking("look for content", move |this| {
            Ok(this
                .disk
                .stat(&path)
                .map_err(failed("look for content"))?
                .map(|stat| stat.len))
        })
        .await
    }

    async fn get(
        &self,
        digest: &Digest,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, BlobError>>, BlobError> {
        let path = blob_path(digest);
        if self.size(digest).await?.is_none() {
            return Err(BlobError::Absent);
        }
        let this = self.clone();
        let pieces = futures::stream::try_unfold(range, move |rest| {
            let (this, path) = (this.clone(), path.clone());
            async move {
                if rest.is_empty() {
                    return Ok(None);
                }
                let len = usize::try_from(rest.end - rest.start).unwrap_or(PIECE).min(PIECE);
                let piece = this
                    .blocking("read content", move |this| {
                        this.disk
                            .read_at(&path, rest.start, len)
                            .map_err(failed("read content"))
                    })
                    .await?;
                if piece.is_empty() {
                    return Err(BlobError::Absent);
                }
                let next = rest.start + piece.len() as u64..rest.end;
                Ok(Some((Bytes::from(piece), next)))
            }
        });
        Ok(pieces.boxed())
    }

    async fn delete(&self, digest: &Digest, before: SystemTime) -> Result<bool, BlobError> {
        let digest = *digest;
        self.blocking("delete content", move |this| {
            this.delete_unpinned(&digest, before)
        })
        .await
    }

    async fn list(&self) -> Result<Vec<Digest>, BlobError> {
        self.blocking("list content", |this| {
            let mut found = Vec::new();
            for dir in this.disk.list("blobs").map_err(failed("list content"))? {
                let names = this
                    .disk
                    .list(&format!("blobs/{dir}"))
                    .map_err(failed("list content"))?;
                found.extend(names.iter().filter_map(|name| Digest::from_hex(name).ok()));
            }
            Ok(found)
        })
        .await
    }

    async fn upload_len(&self, key: &UploadKey) -> Result<u64, BlobError> {
        let key = key.clone();
        self.blocking("look for an upload", move |this| this.len(&key))
            .await
    }

    async fn upload_append(&self, key: &UploadKey, offset: u64, bytes: Bytes) -> Result<u64, BlobError> {
        let key = key.clone();
        self.blocking("add to an upload", move |this| this.append(&key, offset, &bytes))
            .await
    }

    async fn upload_sync(&self, key: &UploadKey) -> Result<(), BlobError> {
        let key = key.clone();
        self.blocking("sync an upload", move |this| {
            let there = this
                .disk
                .stat(&upload_path(&key))
                .map_err(failed("look for an upload"))?;
            if there.is_some() { this.sync(&key) } else { Ok(()) }
        })
        .await
    }

    async fn upload_digest(&self, key: &UploadKey) -> Result<(Digest, u64), BlobError> {
        let key = key.clone();
        self.blocking("end an upload", move |this| this.digest(&key))
            .await
    }

    async fn upload_finish(&self, key: &UploadKey, digest: &Digest) -> Result<Pin, BlobError> {
        let (key, digest) = (key.clone(), *digest);
        self.blocking("end an upload", move |this| this.finish(&key, &digest))
            .await
    }

    async fn upload_drop(&self, key: &UploadKey) -> Result<(), BlobError> {
        let key = key.clone();
        self.blocking("drop an upload", move |this| this.drop_upload(&key))
            .await
    }

    async fn upload_discard(&self, attempt: &str) -> Result<(), BlobError> {
        let attempt = attempt.to_owned();
        self.blocking("drop uploads", move |this| {
            if let Ok(mut running) = this.running.lock() {
                running.retain(|key, _| key.attempt != attempt);
            }
            this.disk
                .remove_tree(&format!("uploads/{attempt}"))
                .map_err(failed("drop uploads"))
        })
        .await
    }

    async fn uploads(&self) -> Result<Vec<String>, BlobError> {
        self.blocking("list uploads", |this| {
            this.disk.list("uploads").map_err(failed("list uploads"))
        })
        .await
    }
}
