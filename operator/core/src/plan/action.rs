//! Steps and what they do.

use std::collections::BTreeMap;

use dcanary_crds::{Checkout, DownloadArtifact, Image, Step};
use dcanary_protocol::plan::{Action, EnvVar, ImageFile, StepPlan};

use super::{
    ARTIFACT_MISSING, Builder, PlanError, Variables, artifact_name, image_name, kind, refused, step_name,
    stored,
};
use crate::{
    credentials::{self, Credentials, Withheld},
    repository, values,
};

impl Builder<'_> {
    /// The plan of a step. `beaten` are the values of executor and stage that other steps have from a Secret.
    pub(super) fn step(&self, index: usize, step: &Step, beaten: &Variables) -> Result<StepPlan, PlanError> {
        let mut env = Vec::new();
        for (name, value) in beaten {
            if step.env.iter().all(|var| var.name != *name) {
                self.left.take(format_args!("steps[{index}].env"), value.len())?;
                env.push(EnvVar {
                    name: name.clone(),
                    value: value.clone(),
                });
            }
        }
        for (i, var) in step.env.iter().enumerate() {
            if let Some(value) = &var.value {
                let field = format_args!("steps[{index}].env[{i}].value");
                env.push(EnvVar {
                    name: var.name.clone(),
                    value: self.render(field, &var.name, value)?,
                });
            }
        }
        Ok(StepPlan {
            name: step_name(step, index),
            condition: step.condition.clone(),
            env,
            working_dir: step.working_dir.clone(),
            timeout_seconds: step.timeout.map_or(0, dcanary_crds::Duration::as_secs),
            continue_on_error: step.continue_on_error,
            action: self.action(index, step)?,
        })
    }

    fn action(&self, index: usize, step: &Step) -> Result<Action, PlanError> {
        if let Some(script) = &step.run {
            return Ok(Action::Run {
                script: script.clone(),
                shell: step.shell.clone(),
            });
        }
        if let Some(checkout) = &step.checkout {
            return self.checkout(index, checkout);
        }
        if let Some(artifact) = &step.artifact {
            return Ok(Action::Artifact {
                artifact: artifact_name(artifact),
                paths: artifact.paths.clone(),
                raw: artifact.raw,
            });
        }
        if let Some(download) = &step.download_artifact {
            return self.download(download);
        }
        match &step.image {
            Some(image) => self.image(index, image),
            None => Err(refused("StepEmpty", format!("step {} does nothing", index + 1))),
        }
    }

    fn checkout(&self, index: usize, checkout: &Checkout) -> Result<Action, PlanError> {
        let url = match &checkout.repo {
            Some(repo) => {
                let url = self.render(format_args!("steps[{index}].checkout.repo"), "", repo)?;
                // a parameter or result may have brought a token in, and whoever may read Pods would see it
                if let Some(problem) = repository::problem(format!("steps[{index}].checkout.repo"), &url) {
                    return Err(refused("RepositoryHoldsSecret", problem.to_string()));
                }
                url
            }
            None => self.source.repo.clone().ok_or_else(|| {
                refused(
                    "SourceMissing",
                    "`checkout` names no repository, and neither run nor pipeline has a `source`",
                )
            })?,
        };
        if let Err(why) = credentials::of_checkout(self.subject.run, self.subject.definition, checkout) {
            return Err(withheld(index, why));
        }
        let credentials = self.credentials.iter().find(|c| c.steps.contains(&index));
        let revision = match &checkout.reference {
            Some(reference) => self.render(format_args!("steps[{index}].checkout.ref"), "", reference)?,
            None if checkout.repo.is_none() => self
                .source
                .commit
                .clone()
                .or_else(|| self.source.reference.clone())
                .unwrap_or_else(|| "HEAD".to_owned()),
            None => "HEAD".to_owned(),
        };
        let number =
            |value: Option<i32>, default| value.map_or(default, |n| u32::try_from(n).unwrap_or(default));
        Ok(Action::Checkout {
            url,
            revision,
            depth: number(checkout.depth, 1),
            submodules: number(checkout.submodules, 0),
            path: checkout.path.clone().unwrap_or_else(|| ".".to_owned()),
            credentials: credentials.map(Credentials::root),
        })
    }

    fn download(&self, download: &DownloadArtifact) -> Result<Action, PlanError> {
        let upstream = values::upstream(self.subject.definition, self.subject.index);
        let stages: Vec<_> = upstream
            .into_iter()
            .filter_map(|i| self.subject.status.stages.get(i))
            .filter(|stage| download.stage.as_ref().is_none_or(|name| *name == stage.name))
            .collect();
        let found = stages.iter().find_map(|stage| {
            stage
                .artifacts
                .iter()
                .find(|artifact| artifact.name == download.name)
        });
        let artifact = found.ok_or_else(|| PlanError::Missing {
            reason: ARTIFACT_MISSING,
            message: format!("no earlier stage has stored artifact `{}`", download.name),
            of: self.makers(stages.iter().map(|stage| stage.name.as_str()), &download.name),
        })?;
        Ok(Action::DownloadArtifact {
            artifact: artifact.name.clone(),
            digest: artifact.digest.clone(),
            kind: kind(&artifact.kind),
            file_name: artifact.name.clone(),
            path: download.path.clone().unwrap_or_else(|| ".".to_owned()),
        })
    }

    /// Those of the stages whose steps store an artifact of that name.
    fn makers<'n>(&self, names: impl Iterator<Item = &'n str>, artifact: &str) -> Vec<String> {
        let stores = |name: &&str| {
            let mut stages = self.subject.definition.stages.iter();
            let stage = stages.find(|stage| stage.stage.name == **name);
            let mut steps = stage.into_iter().flat_map(|stage| &stage.stage.steps);
            steps.any(|step| stored(step).as_deref() == Some(artifact))
        };
        names.filter(stores).map(str::to_owned).collect()
    }

    fn image(&self, index: usize, image: &Image) -> Result<Action, PlanError> {
        let render = |field: &str, values: &BTreeMap<String, String>| {
            let rendered = values.iter().map(|(name, value)| {
                let field = format_args!("steps[{index}].image.{field}.{name}");
                Ok((name.clone(), self.render(field, name, value)?))
            });
            rendered.collect::<Result<BTreeMap<_, _>, _>>()
        };
        let one =
            |field: &str, value: &str| self.render(format_args!("steps[{index}].image.{field}"), "", value);
        let env = render("env", &image.env)?
            .into_iter()
            .map(|(name, value)| EnvVar { name, value });
        Ok(Action::Image {
            artifact: image_name(image),
            reference: one("push", &image.push)?,
            base: image.base.as_ref().map(|base| one("base", base)).transpose()?,
            files: image
                .files
                .iter()
                .map(|file| ImageFile {
                    from: file.from.clone(),
                    to: file.to.clone(),
                })
                .collect(),
            entrypoint: image.entrypoint.clone(),
            cmd: image.cmd.clone(),
            env: env.collect(),
            user: image.user.clone(),
            working_dir: image.working_dir.clone(),
            labels: render("labels", &image.labels)?,
        })
    }
}

/// Without the Secret it would fail in its Pod, where nothing is known of the reason.
fn withheld(index: usize, why: Withheld) -> PlanError {
    let (reason, advice) = match why {
        Withheld::AnotherRepository => (
            "CredentialsForAnother",
            "without `repo` they are for the repository of the pipeline's `source` only, and the run names another one: name it in `checkout.repo`",
        ),
        Withheld::NoHost => ("CredentialsWithoutHost", credentials::HOST_ADVICE),
    };
    refused(reason, format!("steps[{index}].checkout.credentials: {advice}"))
}
