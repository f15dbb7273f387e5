//! The store of content of a test server: the real one, at which a test can wait for what happens, and stop it.

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use bytes::Bytes;
use dcanary_server::digest::Digest;
use dcanary_server::store::blobs::{BlobError, Blobs, Pin, UploadKey};
use futures::stream::BoxStream;
use tokio::sync::{oneshot, watch};

pub struct WatchedBlobs {
    inner: Arc<dyn Blobs>,
    /// Where the last addition to an upload has ended.
    added: watch::Sender<u64>,
    stop: Mutex<Option<(oneshot::Sender<()>, oneshot::Receiver<()>)>>,
}

/// The next list of all content waits.
pub struct StoppedList {
    /// Somebody has asked for it.
    pub asked: oneshot::Receiver<()>,
    /// Lets it go on.
    pub go_on: oneshot::Sender<()>,
}

impl WatchedBlobs {
    pub fn new(inner: Arc<dyn Blobs>) -> Self {
        Self {
            inner,
            added: watch::Sender::new(0),
            stop: Mutex::default(),
        }
    }

    /// Waits until an upload has so many bytes.
    pub async fn added(&self, bytes: usize) {
        let mut added = self.added.subscribe();
        added.wait_for(|end| *end == bytes as u64).await.unwrap();
    }

    /// Stops whoever lists all content next, as a sweep does after it has read what is referred to.
    pub fn stop_list(&self) -> StoppedList {
        let (ask, asked) = oneshot::channel();
        let (go_on, wait) = oneshot::channel();
        *self.stop.lock().unwrap() = Some((ask, wait));
        StoppedList { asked, go_on }
    }
}

#[async_trait::async_trait]
impl Blobs for WatchedBlobs {
    async fn put(&self, bytes: Bytes) -> Result<(Digest, Pin), BlobError> {
        self.inner.put(bytes).await
    }

    async fn keep(&self, digest: &Digest) -> Result<Option<Pin>, BlobError> {
        self.inner.keep(digest).await
    }

    async fn size(&self, digest: &Digest) -> Result<Option<u64>, BlobError> {
        self.inner.size(digest).await
    }

    async fn get(
        &self,
        digest: &Digest,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, BlobError>>, BlobError> {
        self.inner.get(digest, range).await
    }

    async fn delete(&self, digest: &Digest, before: SystemTime) -> Result<bool, BlobError> {
        self.inner.delete(digest, before).await
    }

    async fn list(&self) -> Result<Vec<Digest>, BlobError> {
        let stop = self.stop.lock().unwrap().take();
        if let Some((ask, wait)) = stop {
            ask.send(()).unwrap();
            wait.await.unwrap();
        }
        self.inner.list().await
    }

    async fn upload_len(&self, key: &UploadKey) -> Result<u64, BlobError> {
        self.inner.upload_len(key).await
    }

    async fn upload_append(&self, key: &UploadKey, offset: u64, bytes: Bytes) -> Result<u64, BlobError> {
        let end = self.inner.upload_append(key, offset, bytes).await?;
        self.added.send_replace(end);
        Ok(end)
    }

    async fn upload_sync(&self, key: &UploadKey) -> Result<(), BlobError> {
        self.inner.upload_sync(key).await
    }

    async fn upload_digest(&self, key: &UploadKey) -> Result<(Digest, u64), BlobError> {
        self.inner.upload_digest(key).await
    }

    async fn upload_finish(&self, key: &UploadKey, digest: &Digest) -> Result<Pin, BlobError> {
        self.inner.upload_finish(key, digest).await
    }

    async fn upload_drop(&self, key: &UploadKey) -> Result<(), BlobError> {
        self.inner.upload_drop(key).await
    }

    async fn upload_discard(&self, attempt: &str) -> Result<(), BlobError> {
        self.inner.upload_discard(attempt).await
    }

    async fn uploads(&self) -> Result<Vec<String>, BlobError> {
        self.inner.uploads().await
    }
}
