//! Names that a definition leaves out.

use dcanary_crds::{Artifact, Image, Step};
use dcanary_protocol::{
    names::{ITEM_BYTES, is_of_item},
    report::ArtifactKind,
};

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

/// Name of an artifact: its own, or the last part of its first path, with `x` for what is no part of a name, such as `*`.
pub fn artifact_name(artifact: &Artifact) -> String {
    let last = || {
        let path = artifact
            .paths
            .first()
            .map_or("", String::as_str)
            .trim_end_matches('/');
        path.rsplit('/')
            .next()
            .and_then(named)
            .unwrap_or_else(|| "files".to_owned())
    };
    artifact.name.clone().unwrap_or_else(last)
}

/// Name of an image: its own, or the last part of its repository.
pub fn image_name(image: &Image) -> String {
    let last = || {
        let last = image.push.rsplit('/').next().unwrap_or_default();
        last.split([':', '@'])
            .next()
            .and_then(named)
            .unwrap_or_else(|| "image".to_owned())
    };
    image.name.clone().unwrap_or_else(last)
}

/// Name of what a step stores, an artifact or an image.
pub fn stored(step: &Step) -> Option<String> {
    let image = || step.image.as_ref().map(image_name);
    step.artifact.as_ref().map(artifact_name).or_else(image)
}

/// A name out of the last part of a path.
fn named(part: &str) -> Option<String> {
    let part = part.trim_start_matches(['.', '_', '-']);
    let of_item = |c| if is_of_item(c) { c } else { 'x' };
    let name: String = part.chars().take(ITEM_BYTES).map(of_item).collect();
    (!name.is_empty()).then_some(name)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use dcanary_protocol::names::is_item;

    use super::*;

    fn name(path: &str) -> String {
        let artifact = serde_json::json!({"paths": [path]});
        artifact_name(&serde_json::from_value(artifact).unwrap())
    }

    #[test]
    fn a_name_that_is_left_out_is_one_that_the_server_takes() {
        for (path, wanted) in [
            ("dist/web.tar", "web.tar"),
            ("dist/", "dist"),
            (".", "files"),
            ("dist/*.tar", "x.tar"),
            ("dist/web-?.t[ag]z", "web-x.txagxz"),
            ("dist/**", "xx"),
            ("a/.config", "config"),
            ("Büro.pdf", "Bxro.pdf"),
            ("_", "files"),
        ] {
            assert_eq!(name(path), wanted, "{path}");
            assert!(is_item(&name(path)), "{path}");
        }
        for bad in ["", "*.tar", "a b", ".a", "a/b", "ä"] {
            assert!(!is_item(bad), "{bad}");
        }
    }
}
