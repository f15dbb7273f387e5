//! Names that a definition leaves out.

use dcanary_crds::{Artifact, Image, Step};
use dcanary_protocol::report::ArtifactKind;

/// Name of a step: its own, or its kind and number.
pub fn step_name(step: &Step, index: usize) -> String {
    let kind = || {
        let kinds = [
            (step.run.is_some(), "run"),
            (step.checkout.is_some(), "checkout"),
            (step.artifact.is_some(), "artifact"),
            (step.download_artifact.is_some(), "download"),
            (step.image.is_some(), "image"),
        ];
        kinds
            .into_iter()
            .find(|(given, _)| *given)
            .map_or("step", |(_, kind)| kind)
    };
    step.name
        .clone()
        .unwrap_or_else(|| format!("{}-{}", kind(), index + 1))
}

/// Name of an artifact: its own, or the last part of its first path.
pub fn artifact_name(artifact: &Artifact) -> String {
    let last = || {
        let path = artifact
            .paths
            .first()
            .map_or("", String::as_str)
            .trim_end_matches('/');
        path.rsplit('/')
            .next()
            .filter(|part| !part.is_empty() && *part != ".")
            .unwrap_or("files")
            .to_owned()
    };
    artifact.name.clone().unwrap_or_else(last)
}

/// Name of an image: its own, or the last part of its repository.
pub fn image_name(image: &Image) -> String {
    let last = || {
        let last = image.push.rsplit('/').next().unwrap_or_default();
        last.split([':', '@'])
            .next()
            .filter(|part| !part.is_empty())
            .unwrap_or("image")
            .to_owned()
    };
    image.name.clone().unwrap_or_else(last)
}

/// The kind of an artifact as a status keeps it.
pub fn kind(text: &str) -> ArtifactKind {
    match text {
        "directory" => ArtifactKind::Directory,
        "image" => ArtifactKind::Image,
        "report" => ArtifactKind::Report,
        _ => ArtifactKind::File,
    }
}
