//! Paths of steps, by the rules of the runner: what it would refuse in a Pod is told before there is one.

use std::path::{Path, PathBuf};

use dcanary_crds::{Image, Stage, Step};
use dcanary_protocol::paths;

use super::{Context, literal::expression};

pub(super) fn step(context: &mut Context<'_>, path: &str, step: &Step) {
    let checkout = step.checkout.as_ref().and_then(|checkout| checkout.path.as_ref());
    let download = step.download_artifact.as_ref();
    let named = [
        ("workingDir", step.working_dir.as_ref()),
        ("checkout.path", checkout),
        (
            "downloadArtifact.path",
            download.and_then(|download| download.path.as_ref()),
        ),
    ];
    for (name, value) in named {
        if let Some(value) = value {
            inside(context, format!("{path}.{name}"), value);
        }
    }
    if let Some(own) = checkout.filter(|checkout| is_own(checkout)) {
        context.tell(
            format!("{path}.checkout.path"),
            format!("`{own}` is a folder of the runner: check out into another directory"),
        );
    }
    if let Some(artifact) = &step.artifact {
        for (i, value) in artifact.paths.iter().enumerate() {
            let place = format!("{path}.artifact.paths[{i}]");
            let Some(relative) = inside(context, place.clone(), value) else {
                continue;
            };
            if let Err(error) = paths::pattern(&relative) {
                context.tell(
                    place,
                    format!(
                        "`{value}` is no glob: {}; a character such as `[` in a name is written `[[]`",
                        error.msg
                    ),
                );
            }
        }
    }
    if let Some(image) = &step.image {
        files(context, path, image);
    }
}

fn files(context: &mut Context<'_>, path: &str, image: &Image) {
    for (i, file) in image.files.iter().enumerate() {
        let place = format!("{path}.image.files[{i}]");
        inside(context, format!("{place}.from"), &file.from);
        if expression(&file.to).is_none() && paths::in_image(&file.to).is_none() {
            context.tell(
                format!("{place}.to"),
                format!(
                    "`{}` is no place in an image: write an absolute path without `..`",
                    file.to
                ),
            );
        }
    }
}

/// Two checkouts into one directory: the second finds a repository there. What a script or a condition may change is left to the run.
pub(super) fn checkouts(context: &mut Context<'_>, path: &str, stage: &Stage) {
    let mut taken: Vec<(PathBuf, usize)> = Vec::new();
    for (i, step) in stage.steps.iter().enumerate() {
        if step.run.is_some() {
            taken.clear();
        }
        let Some(checkout) = &step.checkout else { continue };
        let named = checkout.path.as_deref().unwrap_or(".");
        let sure = step.condition.is_none() && !step.continue_on_error;
        let Some(directory) = paths::inside(named).filter(|_| sure) else {
            continue;
        };
        match taken.iter().find(|(other, _)| *other == directory) {
            Some((_, first)) => context.tell(
                format!("{path}.steps[{i}].checkout.path"),
                format!("steps[{first}] of this stage has checked out into the same directory: give another `path`, such as `path: other`"),
            ),
            None => taken.push((directory, i)),
        }
    }
}

/// The path below the workspace; tells of one that leads elsewhere. One with an expression is told of already.
fn inside(context: &mut Context<'_>, path: String, value: &str) -> Option<PathBuf> {
    if expression(value).is_some() {
        return None;
    }
    let inside = paths::inside(value);
    if inside.is_none() {
        context.tell(
            path,
            format!("`{value}` leads out of the workspace: write a path below /workspace, without `..`"),
        );
    }
    inside
}

fn is_own(path: &str) -> bool {
    paths::inside(path).is_some_and(|path: PathBuf| path.starts_with(Path::new(paths::OWN)))
}
