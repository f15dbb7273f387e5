//! Everything that is kept: files changed by group commit, and content by digest.

pub mod blobs;
pub mod commit;
pub mod disk;
pub mod fault;
pub mod fs_blobs;
pub mod op;
pub mod replay;
pub mod space;
pub mod volume;

use std::io;
use std::sync::Arc;

use blobs::Blobs;
use commit::{CommitSettings, Committer};
use disk::Disk;
use fs_blobs::FsBlobs;
use replay::{ReplayError, replay};
use space::{Reserve, Space};

use crate::metrics::StoreMetrics;

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The last server's commit logs.
    #[error("cannot recover the volume")]
    Recover(#[source] ReplayError),
    /// Something else of the volume.
    #[error("cannot prepare the volume")]
    Prepare(#[source] io::Error),
}

/// The store of one server.
pub struct Store {
    /// Files.
    pub disk: Arc<dyn Disk>,
    /// Changes of files.
    pub commits: Committer,
    /// Content by digest.
    pub blobs: Arc<dyn Blobs>,
    /// Free space.
    pub space: Arc<Space>,
}

impl Store {
    /// Recovers a volume and opens it. Blocking.
    ///
    /// # Errors
    /// When the volume fails; the next start tries again.
    pub fn open(
        disk: Arc<dyn Disk>,
        settings: CommitSettings,
        reserve: Reserve,
        metrics: StoreMetrics,
    ) -> Result<Self, OpenError> {
        let replayed = replay(disk.as_ref()).map_err(OpenError::Recover)?;
        tracing::info!(records = replayed.records, "volume recovered");
        let space = Arc::new(Space::new(Arc::clone(&disk), reserve, metrics.clone()));
        let blobs = FsBlobs::open(Arc::clone(&disk), Arc::clone(&space)).map_err(OpenError::Prepare)?;
        let commits = Committer::start(
            Arc::clone(&disk),
            Arc::clone(&space),
            settings,
            replayed.next,
            metrics,
        )
        .map_err(OpenError::Prepare)?;
        Ok(Self {
            disk,
            commits,
            blobs: Arc::new(blobs),
            space,
        })
    }

    /// A whole file, off the async threads; `None` when there is none.
    ///
    /// # Errors
    /// When the volume fails.
    pub async fn read(&self, path: String) -> io::Result<Option<Vec<u8>>> {
        self.blocking(move |disk| match disk.read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    /// Work on the disk, off the async threads.
    ///
    /// # Errors
    /// The error of the work.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Disk) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let disk = Arc::clone(&self.disk);
        tokio::task::spawn_blocking(move || work(disk.as_ref()))
            .await
            .map_err(io::Error::other)?
    }
}
