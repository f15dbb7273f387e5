//! The plan that a build Pod is given (`docs/protocol.md`).

use std::collections::BTreeMap;

use dcanary_crds::{Artifact, Checkout, DownloadArtifact, Image, PipelineRun, PipelineRunStatus, Step};
use dcanary_expr::{Template, TemplateError, Values};
use dcanary_protocol::{
    PROTOCOL,
    plan::{Action, EnvVar, ImageFile, Input, Limits, Mask, Plan, RunRef, StepPlan},
    report::ArtifactKind,
};
use thiserror::Error;

use crate::{
    credentials::{self, Credentials},
    definition::{Definition, StageDefinition},
    values::{self, SourceValues},
};

/// Time between SIGTERM and SIGKILL for the processes of a step, in seconds.
pub const GRACE: u64 = 20;
/// Where Secrets of a stage are mounted, one folder each.
pub const SECRETS: &str = "/var/run/dcanary/secrets";

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// A result or artifact of an earlier stage is missing: the stage is skipped.
    #[error("{0}")]
    Missing(String),
    /// The stage cannot be run as it is written.
    #[error("{message}")]
    Refused {
        /// One CamelCase word.
        reason: &'static str,
        /// One sentence.
        message: String,
    },
}

/// Everything that a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The run.
    pub run: &'a PipelineRun,
    /// Its definition.
    pub definition: &'a Definition,
    /// Its status.
    pub status: &'a PipelineRunStatus,
    /// Index of the stage.
    pub index: usize,
    /// Attempt, from 1.
    pub attempt: i32,
}

struct Builder<'a> {
    subject: Subject<'a>,
    stage: &'a StageDefinition,
    values: Values,
    source: SourceValues,
    credentials: Vec<Credentials>,
}

/// The plan of an attempt. Depends only on what can no longer change once the stage's needs have ended.
///
/// # Errors
/// When a result is missing, or the stage cannot be run as it is written.
pub fn plan(subject: Subject<'_>) -> Result<Plan, PlanError> {
    let Some(stage) = subject.definition.stages.get(subject.index) else {
        return Err(refused("StageMissing", "the definition has no such stage"));
    };
    let builder = Builder {
        subject,
        stage,
        values: values::values(subject.run, subject.definition, subject.status, subject.index),
        source: values::source(subject.run, subject.definition),
        credentials: credentials::of(subject.run, subject.definition, stage),
    };
    builder.build()
}

fn refused(reason: &'static str, message: impl Into<String>) -> PlanError {
    PlanError::Refused {
        reason,
        message: message.into(),
    }
}

impl Builder<'_> {
    fn build(&self) -> Result<Plan, PlanError> {
        let meta = &self.subject.run.metadata;
        let name = meta.name.clone().unwrap_or_default();
        let pipeline = self
            .subject
            .run
            .spec
            .pipeline_ref
            .as_ref()
            .map_or_else(|| name.clone(), |p| p.name.clone());
        let steps = self
            .stage
            .stage
            .steps
            .iter()
            .enumerate()
            .map(|(i, step)| self.step(i, step));
        Ok(Plan {
            protocol: PROTOCOL,
            run: RunRef {
                namespace: meta.namespace.clone().unwrap_or_default(),
                name,
                uid: meta.uid.clone().unwrap_or_default(),
                pipeline,
            },
            stage: self.stage.stage.name.clone(),
            attempt: u32::try_from(self.subject.attempt).unwrap_or(1),
            steps: steps.collect::<Result<_, _>>()?,
            env: self.env()?,
            masks: self.masks(),
            inputs: self.inputs(),
            variables: self.values.variables(),
            timeout_seconds: self.stage.timeout(),
            grace_seconds: GRACE,
            limits: Limits::default(),
        })
    }

    fn render(&self, text: &str) -> Result<String, PlanError> {
        let template =
            Template::parse(text).map_err(|error| refused("ExpressionInvalid", error.to_string()))?;
        template.render(&self.values).map_err(|error| match &error {
            TemplateError::NoValue(dcanary_expr::Reference::Result { stage, name }) if self.is_large(stage, name) => refused(
                "ResultTooLarge",
                format!("result `{name}` of stage `{stage}` is too large for a variable; read it from \"$DCANARY_INPUTS/{stage}/{name}\""),
            ),
            TemplateError::NoValue(_) => PlanError::Missing(error.to_string()),
            TemplateError::Malformed { .. } | TemplateError::TooLong => refused("ExpressionInvalid", error.to_string()),
        })
    }

    fn is_large(&self, stage: &str, name: &str) -> bool {
        let stage = self
            .subject
            .status
            .stages
            .iter()
            .find(|status| status.name == stage);
        stage.is_some_and(|stage| {
            stage
                .results
                .iter()
                .any(|result| result.name == name && result.value.is_none())
        })
    }

    /// Later variables win: executor, stage, then what the operator sets.
    fn env(&self) -> Result<Vec<EnvVar>, PlanError> {
        let mut env = BTreeMap::new();
        let executor = self.stage.executor.iter().flat_map(|executor| &executor.env);
        for var in executor.chain(&self.stage.stage.env) {
            match &var.value {
                Some(value) => env.insert(var.name.clone(), self.render(value)?),
                // set by the kubelet; a value of the executor with the same name must not hide it
                None => env.remove(&var.name),
            };
        }
        for (name, value) in &self.values.params {
            env.insert(format!("PARAM_{name}"), value.clone());
        }
        for (stage, values) in &self.values.stages {
            for (name, value) in &values.results {
                let reference = dcanary_expr::Reference::Result {
                    stage: stage.clone(),
                    name: name.clone(),
                };
                env.insert(reference.variable(), value.clone());
            }
        }
        let run = &self.subject.run.metadata;
        let set = [
            ("DCANARY_RUN", run.name.clone()),
            ("DCANARY_RUN_NAMESPACE", run.namespace.clone()),
            ("DCANARY_RUN_UID", run.uid.clone()),
            ("DCANARY_STAGE", Some(self.stage.stage.name.clone())),
            ("DCANARY_ATTEMPT", Some(self.subject.attempt.to_string())),
            ("DCANARY_REPO", self.source.repo.clone()),
            ("DCANARY_REF", self.source.reference.clone()),
            ("DCANARY_COMMIT", self.source.commit.clone()),
        ];
        env.extend(
            set.into_iter()
                .map(|(name, value)| (name.to_owned(), value.unwrap_or_default())),
        );
        Ok(env
            .into_iter()
            .map(|(name, value)| EnvVar { name, value })
            .collect())
    }

    fn masks(&self) -> Vec<Mask> {
        let mut masks: Vec<Mask> = secret_env(self.stage)
            .into_keys()
            .map(|name| Mask::Env { name })
            .collect();
        masks.extend(self.stage.stage.secrets.iter().map(|secret| Mask::Dir {
            path: format!("{SECRETS}/{}", secret.name),
        }));
        masks.extend(self.credentials.iter().map(|credentials| Mask::Dir {
            path: credentials.mount(),
        }));
        masks
    }

    fn inputs(&self) -> Vec<Input> {
        let upstream = values::upstream(self.subject.definition, self.subject.index);
        let stages = upstream
            .into_iter()
            .filter_map(|i| self.subject.status.stages.get(i));
        stages
            .flat_map(|stage| stage.results.iter().map(move |result| (stage, result)))
            .filter(|(_, result)| result.value.is_none())
            .map(|(stage, result)| Input {
                stage: stage.name.clone(),
                name: result.name.clone(),
                digest: result.digest.clone(),
            })
            .collect()
    }

    fn step(&self, index: usize, step: &Step) -> Result<StepPlan, PlanError> {
        let plain = step
            .env
            .iter()
            .filter_map(|var| Some((var.name.clone(), var.value.as_ref()?)));
        let env = plain.map(|(name, value)| {
            Ok(EnvVar {
                name,
                value: self.render(value)?,
            })
        });
        Ok(StepPlan {
            name: step_name(step, index),
            condition: step.condition.clone(),
            env: env.collect::<Result<_, _>>()?,
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
            Some(image) => self.image(image),
            None => Err(refused("StepEmpty", format!("step {} does nothing", index + 1))),
        }
    }

    fn checkout(&self, index: usize, checkout: &Checkout) -> Result<Action, PlanError> {
        let url = match &checkout.repo {
            Some(repo) => self.render(repo)?,
            None => self.source.repo.clone().ok_or_else(|| {
                refused(
                    "SourceMissing",
                    "`checkout` names no repository, and neither run nor pipeline has a `source`",
                )
            })?,
        };
        let revision = match &checkout.reference {
            Some(reference) => self.render(reference)?,
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
            credentials: self
                .credentials
                .iter()
                .find(|c| c.steps.contains(&index))
                .map(Credentials::root),
        })
    }

    fn download(&self, download: &DownloadArtifact) -> Result<Action, PlanError> {
        let upstream = values::upstream(self.subject.definition, self.subject.index);
        let stages = upstream
            .into_iter()
            .filter_map(|i| self.subject.status.stages.get(i));
        let found = stages
            .filter(|stage| download.stage.as_ref().is_none_or(|name| *name == stage.name))
            .find_map(|stage| {
                stage
                    .artifacts
                    .iter()
                    .find(|artifact| artifact.name == download.name)
            });
        let artifact = found.ok_or_else(|| {
            PlanError::Missing(format!(
                "no earlier stage has stored artifact `{}`",
                download.name
            ))
        })?;
        Ok(Action::DownloadArtifact {
            artifact: artifact.name.clone(),
            digest: artifact.digest.clone(),
            kind: kind(&artifact.kind),
            file_name: artifact.name.clone(),
            path: download.path.clone().unwrap_or_else(|| ".".to_owned()),
        })
    }

    fn image(&self, image: &Image) -> Result<Action, PlanError> {
        let render = |values: &BTreeMap<String, String>| {
            values
                .iter()
                .map(|(name, value)| Ok((name.clone(), self.render(value)?)))
                .collect::<Result<BTreeMap<_, _>, _>>()
        };
        let env = render(&image.env)?
            .into_iter()
            .map(|(name, value)| EnvVar { name, value });
        Ok(Action::Image {
            artifact: image_name(image),
            reference: self.render(&image.push)?,
            base: image.base.as_ref().map(|base| self.render(base)).transpose()?,
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
            labels: render(&image.labels)?,
        })
    }
}

/// Variables of the container that the kubelet sets from Secrets: of the executor, the stage and its steps.
pub fn secret_env(stage: &StageDefinition) -> BTreeMap<String, dcanary_crds::SecretKey> {
    let mut env = BTreeMap::new();
    let executor = stage.executor.iter().flat_map(|executor| &executor.env);
    for var in executor
        .chain(&stage.stage.env)
        .chain(stage.stage.steps.iter().flat_map(|step| &step.env))
    {
        match &var.secret {
            Some(key) => env.insert(var.name.clone(), key.clone()),
            None => None,
        };
    }
    env
}

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
