//! Content by digest on a volume.
//!
//! ```text
//! blobs/ab/<hex>             content; appears whole, by rename, after its sync
//! uploads/<attempt>/<name>   what has arrived of an upload
//! tmp/<n>                    content on its way; removed at start
//! ```

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use sha2::{Digest as _, Sha256};

use super::blobs::{BlobError, Blobs, PIECE, Pin, UploadKey};
use super::commit::is_full;
use super::disk::{Disk, sync_names};
use crate::digest::Digest;

type Pins = Arc<Mutex<HashMap<Digest, u32>>>;

/// Running digest of an upload, so that its end needs no second reading.
struct Running {
    hasher: Sha256,
    len: u64,
}

/// Content on a [`Disk`].
#[derive(Clone)]
pub struct FsBlobs {
    disk: Arc<dyn Disk>,
    pins: Pins,
    running: Arc<Mutex<HashMap<UploadKey, Running>>>,
    next: Arc<AtomicU64>,
}

struct Held {
    pins: Pins,
    digest: Digest,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Ok(mut pins) = self.pins.lock()
            && let Some(count) = pins.get_mut(&self.digest)
        {
            *count -= 1;
            if *count == 0 {
                pins.remove(&self.digest);
            }
        }
    }
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

fn blob_path(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("blobs/{}/{hex}", &hex[..2])
}

fn upload_path(key: &UploadKey) -> String {
    format!("uploads/{}/{}", key.attempt, key.name)
}

impl FsBlobs {
    /// Opens the store and removes what was on its way when the last server ended.
    ///
    /// # Errors
    /// When the volume fails.
    pub fn open(disk: Arc<dyn Disk>) -> std::io::Result<Self> {
        disk.remove_tree("tmp")?;
        Ok(Self {
            disk,
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
        tokio::task::spawn_blocking(move || work(&this))
            .await
            .map_err(|_| lost(what))?
    }

    fn pin(&self, digest: Digest) -> Result<Pin, BlobError> {
        let mut pins = self.pins.lock().map_err(|_| lost("pin content"))?;
        *pins.entry(digest).or_default() += 1;
        Ok(Box::new(Held {
            pins: Arc::clone(&self.pins),
            digest,
        }))
    }

    /// Pins first: whoever deletes looks at the pins under the same lock.
    fn place(&self, from: &str, digest: &Digest) -> Result<Pin, BlobError> {
        let pin = self.pin(*digest)?;
        let to = blob_path(digest);
        if self.disk.stat(&to).map_err(failed("look for content"))?.is_some() {
            self.disk.touch(&to).map_err(failed("keep content"))?;
            self.disk.remove_file(from).map_err(failed("remove a copy"))?;
        } else {
            self.disk.sync_file(from).map_err(failed("sync content"))?;
            self.disk.rename(from, &to).map_err(failed("name content"))?;
        }
        // Also when it was there: its name may be younger than the last sync.
        sync_names(self.disk.as_ref(), &to).map_err(failed("sync a name"))?;
        Ok(pin)
    }

    fn hash(&self, path: &str) -> Result<(Digest, u64), BlobError> {
        let mut hasher = Sha256::new();
        let mut len = 0;
        loop {
            let piece = self
                .disk
                .read_at(path, len, PIECE)
                .map_err(failed("read an upload"))?;
            if piece.is_empty() {
                return Ok((Digest::finish(hasher), len));
            }
            hasher.update(&piece);
            len += piece.len() as u64;
        }
    }

    fn len(&self, key: &UploadKey) -> Result<u64, BlobError> {
        let stat = self
            .disk
            .stat(&upload_path(key))
            .map_err(failed("look for an upload"))?;
        Ok(stat.map_or(0, |stat| stat.len))
    }

    fn append(&self, key: &UploadKey, offset: u64, bytes: &[u8]) -> Result<u64, BlobError> {
        let running = self
            .running
            .lock()
            .map_err(|_| lost("add to an upload"))?
            .remove(key);
        let have = self.len(key)?;
        if have != offset {
            if let (Some(running), Ok(mut all)) = (running, self.running.lock()) {
                all.insert(key.clone(), running);
            }
            return Err(BlobError::Offset { have });
        }
        let path = upload_path(key);
        if let Err(error) = self.disk.write_at(&path, offset, bytes) {
            // A part may have been written; only whole pieces count.
            self.disk
                .set_len(&path, offset)
                .map_err(failed("cut an upload"))?;
            return Err(failed("add to an upload")(error));
        }
        let end = offset + bytes.len() as u64;
        let running = match running {
            Some(running) if running.len == offset => Some(running),
            _ if offset == 0 => Some(Running {
                hasher: Sha256::new(),
                len: 0,
            }),
            _ => None,
        };
        if let Some(mut running) = running {
            running.hasher.update(bytes);
            running.len = end;
            self.running
                .lock()
                .map_err(|_| lost("add to an upload"))?
                .insert(key.clone(), running);
        }
        Ok(end)
    }

    fn digest(&self, key: &UploadKey) -> Result<(Digest, u64), BlobError> {
        let path = upload_path(key);
        let have = self.len(key)?;
        if have == 0 {
            // An empty artifact: perhaps no bytes were sent.
            self.disk
                .write_at(&path, 0, &[])
                .map_err(failed("store an upload"))?;
        }
        let known = {
            let running = self.running.lock().map_err(|_| lost("end an upload"))?;
            running
                .get(key)
                .filter(|running| running.len == have)
                .map(|running| running.hasher.clone())
        };
        let found = match known {
            Some(hasher) => (Digest::finish(hasher), have),
            None => self.hash(&path)?,
        };
        self.sync(key)?;
        Ok(found)
    }

    /// After a failed sync nobody knows what is on disk, and the next sync would not tell: the upload begins anew.
    fn sync(&self, key: &UploadKey) -> Result<(), BlobError> {
        let path = upload_path(key);
        if let Err(error) = self.disk.sync_file(&path) {
            self.drop_upload(key)?;
            return Err(failed("sync an upload")(error));
        }
        sync_names(self.disk.as_ref(), &path).map_err(failed("sync an upload"))
    }

    fn finish(&self, key: &UploadKey, digest: &Digest) -> Result<Pin, BlobError> {
        let path = upload_path(key);
        self.running
            .lock()
            .map_err(|_| lost("end an upload"))?
            .remove(key);
        if self
            .disk
            .stat(&path)
            .map_err(failed("look for an upload"))?
            .is_some()
        {
            return self.place(&path, digest);
        }
        let pin = self.pin(*digest)?;
        match self
            .disk
            .stat(&blob_path(digest))
            .map_err(failed("look for content"))?
        {
            Some(_) => Ok(pin),
            None => Err(BlobError::Absent),
        }
    }

    fn drop_upload(&self, key: &UploadKey) -> Result<(), BlobError> {
        self.running
            .lock()
            .map_err(|_| lost("drop an upload"))?
            .remove(key);
        self.disk
            .remove_file(&upload_path(key))
            .map_err(failed("drop an upload"))
    }

    fn delete_unpinned(&self, digest: &Digest, before: SystemTime) -> Result<bool, BlobError> {
        let path = blob_path(digest);
        let pins = self.pins.lock().map_err(|_| lost("delete content"))?;
        let Some(stat) = self.disk.stat(&path).map_err(failed("look for content"))? else {
            return Ok(false);
        };
        if pins.contains_key(digest) || stat.modified >= before {
            return Ok(false);
        }
        self.disk.remove_file(&path).map_err(failed("delete content"))?;
        Ok(true)
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
