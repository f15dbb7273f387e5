//! Stages with an `environment`: the Release and the Promotion that an attempt asks for.
//!
//! A stage brings the images of the nearest stages before it that build any, and what else these stored. A stage after another deployment,
//! with nothing built in between, brings the same Release: what was seen in staging goes to production.

use std::collections::{BTreeMap, BTreeSet};

use dcanary_crds::{
    ArtifactStatus, AttemptPromotion, EnvironmentRef, Promotion, PromotionSpec, Release, ReleaseRef,
    ReleaseSource, ReleaseSpec, ResultStatus, RunRef, StageState, StageStatus, labels,
};
use dcanary_types::value::sha256;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::{
    definition::text,
    plan::{PlanError, Subject, refused},
    pod::{label, pod_name},
    values,
};

/// Longest part of a run's name in the name of its Release.
const RUN_CHARS: usize = 40;

/// A Release and the Promotion of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployment {
    /// The Release.
    pub release: Release,
    /// The Promotion.
    pub promotion: Promotion,
}

/// The stages whose images a stage brings into its Environment: those that build any, upstream, with no other such stage in between; where
/// there is none, those of the deployments before it. The answer depends on the definition alone.
pub fn sources<'a>(
    stage: usize,
    needs: impl Fn(usize) -> &'a [usize],
    builds: impl Fn(usize) -> bool,
    deploys: impl Fn(usize) -> bool,
) -> BTreeSet<usize> {
    let mut seen = BTreeSet::from([stage]);
    let mut from = vec![stage];
    loop {
        let mut open: Vec<usize> = from.iter().flat_map(|stage| needs(*stage)).copied().collect();
        let (mut found, mut earlier) = (BTreeSet::new(), Vec::new());
        while let Some(next) = open.pop() {
            if !seen.insert(next) {
                continue;
            }
            if builds(next) {
                found.insert(next);
            } else if deploys(next) {
                earlier.push(next);
            } else {
                open.extend(needs(next));
            }
        }
        if !found.is_empty() || earlier.is_empty() {
            return found;
        }
        from = earlier;
    }
}

/// What an attempt of a stage with an `environment` asks for. Depends only on what can no longer change once the stage's needs have ended.
///
/// # Errors
/// When the stages before it left nothing that can be deployed.
pub fn deployment(subject: Subject<'_>) -> Result<Deployment, PlanError> {
    let stages = &subject.definition.stages;
    let Some((stage, environment)) = stages
        .get(subject.index)
        .and_then(|stage| Some((&stage.stage, stage.stage.environment.as_ref()?)))
    else {
        return Err(refused("InternalError", "the definition has no such deployment"));
    };
    let spec = spec(subject)?;
    let meta = &subject.run.metadata;
    let run = meta.name.clone().unwrap_or_default();
    let uid = meta.uid.clone().unwrap_or_default();
    let release = name(&run, &spec)?;
    let by = subject
        .run
        .spec
        .trigger
        .as_ref()
        .and_then(|trigger| trigger.by.clone());
    let promotion = PromotionSpec {
        environment_ref: EnvironmentRef {
            name: environment.clone(),
            namespace: None,
        },
        release_ref: ReleaseRef {
            name: release.clone(),
        },
        requested_by: by.filter(|by| !by.is_empty()),
        reason: Some(format!("stage {} of run {run}", stage.name)),
        undo: false,
        identity: None,
    };
    let attempt = subject.attempt;
    Ok(Deployment {
        release: Release {
            metadata: metadata(subject, &release, []),
            spec,
        },
        promotion: Promotion {
            metadata: metadata(
                subject,
                &pod_name(&run, &uid, &stage.name, attempt),
                [
                    (labels::STAGE, label(&stage.name)),
                    (labels::ATTEMPT, attempt.to_string()),
                ],
            ),
            spec: promotion,
            status: None,
        },
    })
}

/// What later stages, and the journal, get to know of a deployment that succeeded.
pub fn results(asked: &AttemptPromotion) -> Vec<ResultStatus> {
    let all = [("promotion", &asked.name), ("release", &asked.release)];
    let result = |(name, value): (&str, &String)| ResultStatus {
        name: name.to_owned(),
        digest: text(&sha256(value.as_bytes())),
        size: i64::try_from(value.len()).unwrap_or_default(),
        value: Some(value.clone()),
    };
    all.map(result).into()
}

fn spec(subject: Subject<'_>) -> Result<ReleaseSpec, PlanError> {
    let (run, definition) = (subject.run, subject.definition);
    let builds = |i: usize| {
        let steps = definition.stages.get(i).map(|stage| &stage.stage.steps);
        steps.is_some_and(|steps| steps.iter().any(|step| step.image.is_some()))
    };
    let deploys = |i: usize| {
        let stage = definition.stages.get(i);
        stage.is_some_and(|stage| stage.stage.environment.is_some())
    };
    let needs = |i: usize| definition.stages.get(i).map_or(&[][..], |stage| &stage.needs);
    let made: Vec<&StageStatus> = sources(subject.index, needs, builds, deploys)
        .into_iter()
        .filter_map(|i| subject.status.stages.get(i))
        .filter(|stage| stage.state == StageState::Succeeded)
        .collect();
    let images = images(&made)?;
    if images.is_empty() {
        return Err(refused(
            "NoImages",
            "no stage before it has built an image: add an `image` step to a stage that it depends on, or look why that was skipped",
        ));
    }
    let of = values::source(run, definition);
    let source = of.repo.zip(of.commit).map(|(repo, commit)| ReleaseSource {
        repo,
        reference: of.reference,
        commit,
        // a slower run that began earlier brings nothing over what a later one brought; one that people start again is a later one
        position: run
            .metadata
            .creation_timestamp
            .as_ref()
            .map(|time| time.0.as_second()),
    });
    Ok(ReleaseSpec {
        project: Some(definition.project.clone()),
        images,
        artifacts: artifacts(&made),
        config_hash: None,
        source,
        run: Some(RunRef {
            name: run.metadata.name.clone().unwrap_or_default(),
            uid: run.metadata.uid.clone(),
        }),
    })
}

fn images(made: &[&StageStatus]) -> Result<BTreeMap<String, String>, PlanError> {
    let mut images: BTreeMap<String, String> = BTreeMap::new();
    for (stage, image) in stored(made, |kind| kind == "image") {
        let reference = image.reference.as_deref().unwrap_or_default();
        // as the server says where it pushed it; what is not pinned to the digest that was stored is not what was built
        let pinned = reference
            .rsplit_once('@')
            .is_some_and(|(place, digest)| !place.is_empty() && digest == image.digest);
        if !pinned {
            return Err(refused(
                "ImageNotPinned",
                format!(
                    "image `{}` of stage {} is `{reference}`, which does not name the digest {}",
                    image.name, stage.name, image.digest
                ),
            ));
        }
        let other = images.insert(image.name.clone(), reference.to_owned());
        if other.is_some_and(|other| other != reference) {
            return Err(refused(
                "ImageAmbiguous",
                format!(
                    "several stages before it build an image `{}`: give one of them another `name`",
                    image.name
                ),
            ));
        }
    }
    Ok(images)
}

/// Files and directories. A name that several stages use is told apart by the stage.
fn artifacts(made: &[&StageStatus]) -> BTreeMap<String, String> {
    let all = stored(made, |kind| matches!(kind, "file" | "directory"));
    let times = |name: &str| all.iter().filter(|(_, other)| other.name == name).count();
    let named = all.iter().map(|(stage, artifact)| {
        let name = if times(&artifact.name) > 1 {
            format!("{}/{}", stage.name, artifact.name)
        } else {
            artifact.name.clone()
        };
        (name, artifact.digest.clone())
    });
    named.collect()
}

fn stored<'a>(
    made: &[&'a StageStatus],
    wanted: impl Fn(&str) -> bool,
) -> Vec<(&'a StageStatus, &'a ArtifactStatus)> {
    made.iter()
        .flat_map(|stage| stage.artifacts.iter().map(move |artifact| (*stage, artifact)))
        .filter(|(_, artifact)| wanted(&artifact.kind))
        .collect()
}

/// The same for the same content, so that all stages of a run that bring the same bring one Release; another one for other content.
fn name(run: &str, spec: &ReleaseSpec) -> Result<String, PlanError> {
    let text = serde_json::to_vec(spec).map_err(|error| refused("ReleaseInvalid", error.to_string()))?;
    let hash = hex::encode(sha256(&text));
    let short: String = run.chars().take(RUN_CHARS).collect();
    Ok(format!(
        "{}-{}",
        short.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()),
        &hash[..10]
    ))
}

/// No owner: what runs does not end with the run that brought it.
fn metadata<const N: usize>(subject: Subject<'_>, name: &str, more: [(&str, String); N]) -> ObjectMeta {
    let meta = &subject.run.metadata;
    let marked = |value: &Option<String>| label(value.as_deref().unwrap_or_default());
    let mut all = BTreeMap::from([
        ("app.kubernetes.io/managed-by".to_owned(), "dcanary".to_owned()),
        (labels::RUN.to_owned(), marked(&meta.name)),
        (labels::RUN_UID.to_owned(), marked(&meta.uid)),
    ]);
    all.extend(more.map(|(key, value)| (key.to_owned(), value)));
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: meta.namespace.clone(),
        labels: Some(all),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests;
