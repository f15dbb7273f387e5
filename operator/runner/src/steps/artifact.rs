//! `artifact`: stores files or a directory.

use std::sync::Arc;

use dcanary_protocol::report::{ArtifactKind, ArtifactReport};
use thiserror::Error;

use super::work::Work;
use super::{Context, Done};
use crate::server::upload::{Item, UploadError};
use crate::tarball::archive::{Archive, Body};
use crate::tarball::select::{self, SelectError, Selected, Times};
use crate::workspace::PathError;

const REASON: &str = "ArtifactFailed";

/// Why an artifact is not stored.
#[derive(Debug, Error)]
pub(crate) enum ArtifactError {
    #[error("working directory: {0}")]
    Directory(#[from] PathError),
    #[error(transparent)]
    Select(#[from] SelectError),
    #[error("the files cannot be collected: {0}")]
    Task(#[from] tokio::task::JoinError),
    #[error("artifact {name}: {source}")]
    Upload { name: String, source: UploadError },
}

/// Stores what the paths name.
pub(super) async fn run(context: &Context, work: Work, name: &str, paths: &[String], raw: bool) -> Done {
    match store(context, &work, name, paths, raw).await {
        Ok(artifact) => {
            let text = format!(
                "stored {} ({} bytes, {})",
                artifact.name, artifact.size, artifact.digest
            );
            let _ = context.journal.note(context.index, &text).await;
            Done {
                artifact: Some(artifact),
                ..Done::succeeded()
            }
        }
        Err(error) => Done::failed(REASON, error.to_string()),
    }
}

async fn store(
    context: &Context,
    work: &Work,
    name: &str,
    paths: &[String],
    raw: bool,
) -> Result<ArtifactReport, ArtifactError> {
    let base = context.workspace.directory(context.step.working_dir.as_deref())?;
    let times = if raw {
        Times::Raw
    } else {
        Times::Fixed(context.source_date())
    };
    let (workspace, paths) = (context.workspace.clone(), paths.to_vec());
    let selecting =
        work.blocking(move |interrupt| select::select(&workspace, &base, &paths, times, interrupt));
    let (kind, media_type, file_name, body) = match selecting.await?? {
        Selected::File { name, body } => (ArtifactKind::File, "application/octet-stream", name, body),
        Selected::Entries(entries) => {
            let archive = Body::Archive(Arc::new(Archive::new(entries)));
            (
                ArtifactKind::Directory,
                "application/x-tar",
                format!("{name}.tar"),
                archive,
            )
        }
    };
    let file_name = Some(context.journal.masks().text(&file_name));
    let name = context.journal.masks().text(name).replace('*', "x");
    let item = Item {
        name: name.clone(),
        kind,
        media_type,
        file_name,
        reference: None,
        body,
    };
    let stored = context
        .server
        .upload(item, context.plan.limits.artifact_bytes)
        .await;
    let stored = stored.map_err(|source| ArtifactError::Upload {
        name: name.clone(),
        source,
    })?;
    Ok(ArtifactReport {
        name,
        digest: stored.digest,
        size: stored.size,
        kind,
        reference: None,
    })
}
