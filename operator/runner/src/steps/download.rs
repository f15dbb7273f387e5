//! `downloadArtifact`: fetches an artifact of an earlier stage.

use std::path::Path;

use dcanary_protocol::report::ArtifactKind;
use thiserror::Error;

use super::work::Work;
use super::{Context, Done};
use crate::server::inputs::{FetchError, publish};
use crate::tarball::unpack::{self, UnpackError};
use crate::workspace::PathError;

const REASON: &str = "DownloadFailed";

/// Why an artifact is not there.
#[derive(Debug, Error)]
pub(crate) enum DownloadError {
    #[error("working directory: {0}")]
    Directory(#[from] PathError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    #[error("the archive cannot be unpacked: {0}")]
    Task(#[from] tokio::task::JoinError),
    #[error("`{0}` is no file name")]
    FileName(String),
    #[error("it cannot be written: {0}")]
    Write(#[source] std::io::Error),
}

/// What to fetch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a str,
    pub(crate) digest: &'a str,
    pub(crate) kind: ArtifactKind,
    pub(crate) file_name: &'a str,
    pub(crate) path: &'a str,
}

/// Fetches an artifact into its directory.
pub(super) async fn run(context: &Context, work: Work, wanted: Wanted<'_>) -> Done {
    match fetch(context, &work, wanted).await {
        Ok(()) => {
            let text = format!("fetched {} ({})", wanted.name, wanted.digest);
            let _ = context.journal.note(context.index, &text).await;
            Done::succeeded()
        }
        Err(error) => Done::failed(REASON, format!("artifact {}: {error}", wanted.name)),
    }
}

async fn fetch(context: &Context, work: &Work, wanted: Wanted<'_>) -> Result<(), DownloadError> {
    let base = context.workspace.directory(context.step.working_dir.as_deref())?;
    let directory = context.workspace.create_directory(&base, wanted.path)?;
    let limit = context.plan.limits.artifact_bytes;
    if wanted.kind == ArtifactKind::Directory {
        let folder = context.workspace.own("tmp");
        std::fs::create_dir_all(&folder).map_err(DownloadError::Write)?;
        let mut file = tempfile::tempfile_in(folder).map_err(DownloadError::Write)?;
        context.server.fetch(wanted.digest, limit, &mut file).await?;
        let reader = std::io::BufReader::new(file);
        let workspace = context.workspace.clone();
        work.blocking(move |interrupt| {
            unpack::unpack(
                reader,
                &directory,
                limit,
                |path| workspace.is_own(path),
                interrupt,
            )
        })
        .await??;
        return Ok(());
    }
    let name = Path::new(wanted.file_name);
    if name.file_name() != Some(name.as_os_str()) {
        return Err(DownloadError::FileName(wanted.file_name.to_owned()));
    }
    let mut file = tempfile::NamedTempFile::new_in(&directory).map_err(DownloadError::Write)?;
    context
        .server
        .fetch(wanted.digest, limit, file.as_file_mut())
        .await?;
    publish(file, &directory.join(name)).map_err(DownloadError::Write)
}
