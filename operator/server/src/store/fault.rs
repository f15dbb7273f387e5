//! What a request sees of a store that does not work.

use std::io;

use super::blobs::BlobError;
use super::commit::CommitError;
use super::disk::is_full;

/// The store could not do it. The client repeats; nothing of the request counts.
#[derive(Debug, thiserror::Error)]
pub enum StoreFault {
    /// No space.
    #[error("the store is full; the request can be repeated")]
    Full,
    /// The server stops.
    #[error("the server is stopping; the request can be repeated")]
    Closed,
    /// The volume fails.
    #[error("the store failed; the request can be repeated")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<CommitError> for StoreFault {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Full => Self::Full,
            CommitError::Closed => Self::Closed,
            CommitError::Write(_) => Self::Failed(Box::new(error)),
        }
    }
}

impl From<io::Error> for StoreFault {
    fn from(error: io::Error) -> Self {
        if is_full(&error) {
            Self::Full
        } else {
            Self::Failed(Box::new(error))
        }
    }
}

impl From<BlobError> for StoreFault {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Full => Self::Full,
            other => Self::Failed(Box::new(other)),
        }
    }
}

impl StoreFault {
    /// HTTP status and reason.
    pub fn reason(&self) -> (u16, &'static str) {
        match self {
            Self::Full => (503, "store-full"),
            Self::Closed => (503, "stopping"),
            Self::Failed(_) => (503, "store-failed"),
        }
    }
}
