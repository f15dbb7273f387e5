//! `image`: files as one layer of an OCI image, which the server completes with its base and pushes.

use std::collections::BTreeMap;
use std::path::Path;

use dcanary_protocol::paths;
use dcanary_protocol::plan::{EnvVar, ImageFile};
use dcanary_protocol::report::{ArtifactKind, ArtifactReport};
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::work::Work;
use super::{Context, Done};
use crate::interrupt::Interrupt;
use crate::oci::{self, Description};
use crate::server::upload::{Item, UploadError};
use crate::tarball::archive::Body;
use crate::tarball::select::{self, Impossible, SelectError, Selection, Times};
use crate::workspace::{PathError, Workspace, inside};

const REASON: &str = "ImageFailed";

/// Why an image is not built or pushed.
#[derive(Debug, Error)]
pub(crate) enum ImageError {
    #[error("working directory: {0}")]
    Directory(#[from] PathError),
    #[error("`{0}` is no absolute path for an image")]
    Target(String),
    #[error(
        "`{0}` cannot be a file of an image: names that begin with `.wh.` say in a layer that a file of the base is deleted"
    )]
    Whiteout(String),
    #[error(
        "files[{}] puts `/{}` below `/{}`, which files[{}] makes a {}: nothing can lie below it; give one of them another `to`",
        .0.source, .0.path, .0.above, .0.above_source, if .0.is_link { "symlink" } else { "file" }
    )]
    Impossible(Impossible),
    #[error(transparent)]
    Select(#[from] SelectError),
    #[error("the files cannot be read: {0}")]
    Read(#[from] std::io::Error),
    #[error("the files cannot be collected: {0}")]
    Task(#[from] tokio::task::JoinError),
    #[error("image {reference}: {source}")]
    Upload { reference: String, source: UploadError },
}

/// The image that a step describes.
#[derive(Debug)]
pub(crate) struct Image<'a> {
    pub(crate) artifact: &'a str,
    pub(crate) reference: &'a str,
    pub(crate) base: Option<&'a str>,
    pub(crate) files: &'a [ImageFile],
    pub(crate) entrypoint: &'a [String],
    pub(crate) cmd: &'a [String],
    pub(crate) env: &'a [EnvVar],
    pub(crate) user: Option<&'a str>,
    pub(crate) working_dir: Option<&'a str>,
    pub(crate) labels: &'a BTreeMap<String, String>,
}

/// Builds the image and hands it to the server.
pub(super) async fn run(context: &Context, work: Work, image: Image<'_>) -> Done {
    match build(context, &work, &image).await {
        Ok(artifact) => {
            let reference = artifact.reference.as_deref().unwrap_or(image.reference);
            let _ = context
                .journal
                .note(context.index, &format!("pushed {reference}"))
                .await;
            Done {
                artifact: Some(artifact),
                ..Done::succeeded()
            }
        }
        Err(error) => Done::failed(REASON, error.to_string()),
    }
}

async fn build(context: &Context, work: &Work, image: &Image<'_>) -> Result<ArtifactReport, ImageError> {
    let base = context.workspace.directory(context.step.working_dir.as_deref())?;
    let description = Description {
        reference: image.reference.to_owned(),
        base: image.base.map(ToOwned::to_owned),
        config: config(image),
        created: context.source_date(),
    };
    let (workspace, files) = (context.workspace.clone(), image.files.to_vec());
    let building = work.blocking(move |interrupt| layout(&workspace, &base, &files, &description, interrupt));
    let body = building.await??;
    let item = Item {
        name: image.artifact.to_owned(),
        kind: ArtifactKind::Image,
        media_type: "application/x-tar",
        file_name: Some(format!("{}.oci.tar", image.artifact)),
        reference: Some(image.reference.to_owned()),
        body,
    };
    let stored = context
        .server
        .upload(item, context.plan.limits.artifact_bytes)
        .await;
    let stored = stored.map_err(|source| ImageError::Upload {
        reference: image.reference.to_owned(),
        source,
    })?;
    Ok(ArtifactReport {
        name: image.artifact.to_owned(),
        digest: stored.manifest.unwrap_or(stored.digest),
        size: stored.size,
        kind: ArtifactKind::Image,
        reference: stored.reference,
    })
}

fn layout(
    workspace: &Workspace,
    base: &Path,
    files: &[ImageFile],
    description: &Description,
    interrupt: &Interrupt,
) -> Result<Body, ImageError> {
    let mut selection = Selection::new(workspace, Times::Fixed(description.created), interrupt);
    for (number, ImageFile { from, to }) in files.iter().enumerate() {
        selection.set_source(number);
        let from_root = if from.starts_with('/') {
            workspace.root()
        } else {
            base
        };
        let (real, metadata) = select::resolve(workspace, from_root, &inside(from)?, from)?;
        let mut target = paths::in_image(to).ok_or_else(|| ImageError::Target(to.clone()))?;
        if metadata.is_file() && (to.ends_with('/') || target.as_os_str().is_empty()) {
            target.push(Path::new(from).file_name().unwrap_or_default());
        }
        selection.add(&real, target.as_os_str().as_encoded_bytes(), &metadata)?;
    }
    if let Some(impossible) = selection.impossible() {
        return Err(ImageError::Impossible(impossible));
    }
    let files = selection.finish();
    if let Some(name) = files
        .iter()
        .map(|file| file.meta.path.as_slice())
        .find(|path| is_whiteout(path))
    {
        return Err(ImageError::Whiteout(String::from_utf8_lossy(name).into_owned()));
    }
    Ok(oci::layout(files, description, interrupt)?)
}

fn is_whiteout(path: &[u8]) -> bool {
    path.split(|&byte| byte == b'/')
        .any(|part| part.starts_with(b".wh."))
}

/// Only what the step names, so that the rest stays the base's.
fn config(image: &Image<'_>) -> Map<String, Value> {
    let mut config = Map::new();
    if !image.entrypoint.is_empty() {
        config.insert("Entrypoint".into(), json!(image.entrypoint));
    }
    if !image.cmd.is_empty() {
        config.insert("Cmd".into(), json!(image.cmd));
    }
    if !image.env.is_empty() {
        let env: Vec<String> = image
            .env
            .iter()
            .map(|EnvVar { name, value }| format!("{name}={value}"))
            .collect();
        config.insert("Env".into(), json!(env));
    }
    if let Some(user) = image.user {
        config.insert("User".into(), json!(user));
    }
    if let Some(directory) = image.working_dir {
        config.insert("WorkingDir".into(), json!(directory));
    }
    if !image.labels.is_empty() {
        config.insert("Labels".into(), json!(image.labels));
    }
    config
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
