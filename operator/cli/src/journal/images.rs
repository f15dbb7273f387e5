//! Where the status says that an image is: its digest there is the recorded one.

use dcanary_crds::{ArtifactStatus, PipelineRun, StageStatus};

/// The kind whose artifacts have a reference.
const IMAGE: &str = "image";

/// The records hold an artifact's digest and nothing of its place. People pull the reference that the status names, so it has to be one of that digest.
pub(super) fn compare(stage: &StageStatus) -> Result<(), String> {
    for artifact in &stage.artifacts {
        let Some(reference) = &artifact.reference else {
            continue;
        };
        let (name, stage) = (&artifact.name, &stage.name);
        if artifact.kind != IMAGE {
            return Err(format!(
                "artifact {name} of stage {stage} has the reference {reference}, and is no image but of the kind {}",
                artifact.kind
            ));
        }
        if !is_of(reference, artifact) {
            return Err(format!(
                "the reference of image {name} of stage {stage} is {reference}, its digest {}: they have to be the same image; pull it by the digest",
                artifact.digest
            ));
        }
    }
    Ok(())
}

/// Whether a reference names the artifact's digest and no other one before it.
fn is_of(reference: &str, artifact: &ArtifactStatus) -> bool {
    reference
        .split_once('@')
        .is_some_and(|(_, digest)| digest == artifact.digest)
}

/// What a comparison that passed leaves open about a run's images; nothing where there are none.
pub(super) fn unrecorded(run: &PipelineRun) -> &'static str {
    let stages = run.status.iter().flat_map(|status| &status.stages);
    if stages
        .flat_map(|stage| &stage.artifacts)
        .any(|artifact| artifact.reference.is_some())
    {
        "; of an image's reference the digest is recorded, registry and repository are not"
    } else {
        ""
    }
}

#[cfg(test)]
#[path = "images_tests.rs"]
mod tests;
