//! The plan that a build Pod is given (`docs/protocol.md`).

mod action;
mod bounds;
#[cfg(test)]
mod bounds_tests;
mod names;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use dcanary_crds::{PipelineRun, PipelineRunStatus};
use dcanary_expr::{Reference, Template, TemplateError, Values};
use dcanary_protocol::{
    PROTOCOL,
    plan::{EnvVar, Input, Limits, Mask, Plan, RunRef},
};
use thiserror::Error;

pub(crate) use bounds::STRING_BYTES;
pub use names::{artifact_name, image_name, kind, step_name, stored};

use crate::{
    credentials::{self, Credentials},
    definition::{Definition, StageDefinition},
    values::{self, SourceValues},
};

/// Time between SIGTERM and SIGKILL for the processes of a step, in seconds.
pub const GRACE: u64 = 20;
/// Where Secrets of a stage are mounted, one folder each.
pub const SECRETS: &str = "/var/run/dcanary/secrets";

/// A stage succeeded without a result that another one needs.
pub const RESULT_MISSING: &str = "ResultMissing";
/// The same for an artifact.
pub const ARTIFACT_MISSING: &str = "ArtifactMissing";

/// A result is kept by digest only, and reaches other stages as a file.
pub const RESULT_TOO_LARGE: &str = "ResultTooLarge";

/// Whether a stage has a result whose value is too large for a variable.
pub fn is_large(status: &PipelineRunStatus, stage: &str, name: &str) -> bool {
    let stage = status.stages.iter().find(|status| status.name == stage);
    let mut results = stage.into_iter().flat_map(|stage| &stage.results);
    results.any(|result| result.name == name && result.value.is_none())
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// A result or artifact of an earlier stage is missing. A stage that was skipped or failed gave none, and what needs it is skipped too;
    /// one that succeeded should have given it, and what needs it fails.
    #[error("{message}")]
    Missing {
        /// One CamelCase word.
        reason: &'static str,
        /// One sentence.
        message: String,
        /// Names of the stages that could have given it.
        of: Vec<String>,
    },
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

/// Values of variables by their names.
type Variables = BTreeMap<String, String>;

struct Builder<'a> {
    subject: Subject<'a>,
    stage: &'a StageDefinition,
    values: Values,
    source: SourceValues,
    credentials: Vec<Credentials>,
    left: bounds::Left,
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
        left: bounds::Left::all(),
    };
    builder.build()
}

pub(crate) fn refused(reason: &'static str, message: impl Into<String>) -> PlanError {
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
        let (beaten, shared) = self.plain()?;
        let steps = self
            .stage
            .stage
            .steps
            .iter()
            .enumerate()
            .map(|(i, step)| self.step(i, step, &beaten));
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
            env: self.env(shared)?,
            masks: self.masks(),
            inputs: self.inputs(),
            variables: self.values.variables(),
            timeout_seconds: self.stage.timeout(),
            grace_seconds: GRACE,
            limits: Limits::default(),
        })
    }

    /// The text of a field with its values. `name` is that of the variable or label that it becomes, if any.
    fn render(&self, field: impl fmt::Display, name: &str, text: &str) -> Result<String, PlanError> {
        let (most, cause) = self.left.most(name);
        let template =
            Template::parse(text).map_err(|error| refused("ExpressionInvalid", error.to_string()))?;
        let told = |error: &TemplateError| format!("{field}: {error}");
        let rendered = template.render(&self.values, most).map_err(|error| match &error {
            TemplateError::TooLarge { .. } => cause.refusal(&field),
            TemplateError::NoValue(Reference::Result { stage, name }) if is_large(self.subject.status, stage, name) => refused(
                RESULT_TOO_LARGE,
                format!("result `{name}` of stage `{stage}` is too large for a variable; read it from \"$DCANARY_INPUTS/{stage}/{name}\""),
            ),
            TemplateError::NoValue(Reference::Result { stage, .. }) => PlanError::Missing {
                reason: RESULT_MISSING,
                message: told(&error),
                of: vec![stage.clone()],
            },
            TemplateError::NoValue(_) => refused("ValueMissing", told(&error)),
            TemplateError::Malformed { .. } | TemplateError::TooLong => refused("ExpressionInvalid", error.to_string()),
        })?;
        self.left.take(field, rendered.len())?;
        Ok(rendered)
    }

    /// Plain values of executor and stage, later ones win: first those that some step has from a Secret instead, then all others.
    ///
    /// The kubelet sets a Secret for the whole container and a value for all steps would hide it, so each of the first kind is a value of
    /// the steps that do not take the Secret.
    fn plain(&self) -> Result<(Variables, Variables), PlanError> {
        let mut env = Variables::new();
        let executor = self.stage.executor.iter().flat_map(|executor| &executor.env);
        let executor = executor.enumerate().map(|(i, var)| ("executor.", i, var));
        let own = self
            .stage
            .stage
            .env
            .iter()
            .enumerate()
            .map(|(i, var)| ("", i, var));
        for (of, i, var) in executor.chain(own) {
            match &var.value {
                Some(value) => {
                    let field = format_args!("{of}env[{i}].value");
                    env.insert(var.name.clone(), self.render(field, &var.name, value)?)
                }
                // set by the kubelet; a value of the executor with the same name must not hide it
                None => env.remove(&var.name),
            };
        }
        let steps = &self.stage.stage.steps;
        let secrets: BTreeSet<&str> = steps
            .iter()
            .flat_map(|step| &step.env)
            .filter(|var| var.secret.is_some())
            .map(|var| var.name.as_str())
            .collect();
        Ok(env
            .into_iter()
            .partition(|(name, _)| secrets.contains(name.as_str())))
    }

    /// Variables of all steps: plain ones, and over them what the operator sets.
    fn env(&self, mut env: Variables) -> Result<Vec<EnvVar>, PlanError> {
        for (name, value) in &self.values.params {
            env.insert(format!("PARAM_{name}"), value.clone());
        }
        env.extend(self.results()?);
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

    /// Results of earlier stages as variables. One that could be either of two results is none: a stage must not be able to pass off
    /// its own for that of another.
    fn results(&self) -> Result<BTreeMap<String, String>, PlanError> {
        let mut found: BTreeMap<String, (Reference, &String)> = BTreeMap::new();
        for (stage, values) in &self.values.stages {
            for (name, value) in &values.results {
                let reference = Reference::Result {
                    stage: stage.clone(),
                    name: name.clone(),
                };
                let variable = reference.variable();
                if let Some((other, _)) = found.get(&variable) {
                    let message = format!(
                        "`{other}` and `{reference}` have the same variable {variable}: rename one of them"
                    );
                    return Err(refused("ResultAmbiguous", message));
                }
                found.insert(variable, (reference, value));
            }
        }
        Ok(found
            .into_iter()
            .map(|(name, (_, value))| (name, value.clone()))
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
            path: credentials.masks(),
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
