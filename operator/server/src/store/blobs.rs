//! Content by digest, behind an interface that fits object stores: put, get with a range, exists, delete, and uploads
//! that grow from an offset.

use bytes::Bytes;
use futures::stream::BoxStream;
use std::io;
use std::ops::Range;
use std::time::SystemTime;

use crate::digest::Digest;

/// Bytes of one piece of a stream.
pub const PIECE: usize = 256 << 10;

/// Why content could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// No space.
    #[error("the volume is full")]
    Full,
    /// The store failed.
    #[error("cannot {what}")]
    Failed {
        /// The intention.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// An upload is at another offset.
    #[error("the upload has {have} bytes")]
    Offset {
        /// Bytes that are there.
        have: u64,
    },
    /// An upload is not what it was announced to be; it is dropped.
    #[error("the upload has digest {stored} and is dropped")]
    Differs {
        /// Digest of what was there.
        stored: Digest,
        /// Its bytes.
        size: u64,
    },
    /// Not there.
    #[error("no such content")]
    Absent,
}

/// Key of an upload that is not complete.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UploadKey {
    /// The attempt.
    pub attempt: String,
    /// The artifact.
    pub name: String,
}

/// Keeps new content from being collected until its reference is committed.
pub type Pin = Box<dyn Send + Sync>;

/// A store of content. Everything that it answers with success is durable, except what [`Blobs::upload_append`] says.
/// Calls for one upload are made one after the other.
#[allow(clippy::missing_errors_doc)]
#[async_trait::async_trait]
pub trait Blobs: Send + Sync + 'static {
    /// Stores some bytes.
    async fn put(&self, bytes: Bytes) -> Result<(Digest, Pin), BlobError>;
    /// Keeps content that is there, as if it had been put again; `None` when it is not.
    async fn keep(&self, digest: &Digest) -> Result<Option<Pin>, BlobError>;
    /// Size of some content, if it is there.
    async fn size(&self, digest: &Digest) -> Result<Option<u64>, BlobError>;
    /// A range of some content; the range must lie inside it.
    async fn get(
        &self,
        digest: &Digest,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, BlobError>>, BlobError>;
    /// Deletes content that is not pinned and not newer than `before`; says whether it did.
    async fn delete(&self, digest: &Digest, before: SystemTime) -> Result<bool, BlobError>;
    /// All digests.
    async fn list(&self) -> Result<Vec<Digest>, BlobError>;

    /// Bytes of an upload.
    async fn upload_len(&self, key: &UploadKey) -> Result<u64, BlobError>;
    /// Adds bytes; they become durable with [`Blobs::upload_sync`].
    async fn upload_append(&self, key: &UploadKey, offset: u64, bytes: Bytes) -> Result<u64, BlobError>;
    /// Makes an upload durable.
    async fn upload_sync(&self, key: &UploadKey) -> Result<(), BlobError>;
    /// Digest and size of what has arrived, all of it durable.
    async fn upload_digest(&self, key: &UploadKey) -> Result<(Digest, u64), BlobError>;
    /// Ends an upload: its content is there under the digest and the upload is gone. Doing it again changes nothing. An upload with
    /// another digest is dropped ([`BlobError::Differs`]), whatever [`Blobs::upload_digest`] said of it before.
    async fn upload_finish(&self, key: &UploadKey, digest: &Digest) -> Result<Pin, BlobError>;
    /// Drops one upload.
    async fn upload_drop(&self, key: &UploadKey) -> Result<(), BlobError>;
    /// Drops all uploads of an attempt.
    async fn upload_discard(&self, attempt: &str) -> Result<(), BlobError>;
    /// Attempts with uploads that are not complete.
    async fn uploads(&self) -> Result<Vec<String>, BlobError>;
}
