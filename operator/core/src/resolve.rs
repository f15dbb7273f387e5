//! From a Pipeline (or an inline definition) and a run to a definition in which every name is looked up.

use std::collections::BTreeMap;

use dcanary_crds::{Duration, PipelineDefinition, PipelineRunSpec, Profile, Timeouts};
use thiserror::Error;

use crate::{
    dag,
    definition::{Definition, DefinitionError, Limits, StageDefinition},
    limits,
    observed::{Observed, SeenExecutor},
    problem::{MAX_PROBLEMS, Problem, suggestion, summary},
    repository, validate,
};

/// Why a run cannot start.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unresolved {
    /// The Pipeline is not there (yet).
    #[error("there is no Pipeline `{0}` in the namespace of the run")]
    Pipeline(String),
    /// An executor is not there (yet).
    #[error(
        "stage `{stage}` names executor `{executor}`: there is no Executor in the namespace and no ClusterExecutor of that name"
    )]
    Executor {
        /// The stage.
        stage: String,
        /// The executor.
        executor: String,
    },
    /// The definition is wrong.
    #[error("{}", summary(.0))]
    Invalid(Vec<Problem>),
    /// The definition is right, and the run's own fields are wrong.
    #[error("{}", summary(.0))]
    InvalidRun(Vec<Problem>),
    /// The definition does not fit into a status.
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    /// The status of the run would not fit.
    #[error(
        "a run of {stages} stages with a definition of {definition} bytes does not fit into a status of 512 KiB: use fewer stages or shorter scripts"
    )]
    Status {
        /// Number of stages.
        stages: usize,
        /// Bytes of the encoded definition.
        definition: usize,
    },
}

impl Unresolved {
    /// Whether waiting may help.
    pub fn may_come(&self) -> bool {
        matches!(self, Self::Pipeline(_) | Self::Executor { .. })
    }

    /// One CamelCase word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Pipeline(_) => "PipelineNotFound",
            Self::Executor { .. } => "ExecutorNotFound",
            Self::Invalid(_) => "InvalidPipeline",
            Self::InvalidRun(_) => "InvalidRun",
            Self::Definition(_) | Self::Status { .. } => "DefinitionTooLarge",
        }
    }
}

/// Looks everything up. The result does not depend on anything but the arguments.
///
/// # Errors
/// What is missing or wrong.
pub fn resolve(spec: &PipelineRunSpec, seen: &Observed) -> Result<Definition, Unresolved> {
    let (definition, project, root) = match (&spec.pipeline_spec, &spec.pipeline_ref) {
        (Some(inline), _) => (inline, None, "spec.pipelineSpec"),
        (None, Some(reference)) => {
            let pipeline = seen
                .pipeline
                .as_ref()
                .ok_or_else(|| Unresolved::Pipeline(reference.name.clone()))?;
            (&pipeline.definition, pipeline.project.clone(), "spec")
        }
        (None, None) => {
            let problem = Problem::new("spec", "give exactly one of pipelineRef and pipelineSpec");
            return Err(Unresolved::Invalid(vec![problem]));
        }
    };
    let mut problems = validate::definition(definition, root, &seen.settings.limits);
    let is_of_run = problems.is_empty();
    problems.extend(wrong_params(definition, spec, &seen.settings.limits));
    problems.extend(repository::of_run(spec));
    problems.extend(validate::timeouts_of_run(spec));
    problems.truncate(MAX_PROBLEMS);
    if !problems.is_empty() {
        return Err(if is_of_run {
            Unresolved::InvalidRun(problems)
        } else {
            Unresolved::Invalid(problems)
        });
    }
    let stages = stages(definition, root, &seen.executors)?;
    Ok(Definition {
        project: project.unwrap_or_else(|| seen.settings.project.clone()),
        params: definition.params.clone(),
        source: definition.source.clone(),
        stages,
        parallelism: definition.parallelism,
        timeouts: timeouts(definition.timeouts.as_ref(), spec.timeouts.as_ref()),
        image_pull_secrets: definition.image_pull_secrets.clone(),
        ledger: definition
            .ledger
            .as_ref()
            .map(|ledger| ledger.mode)
            .unwrap_or_default(),
    })
}

/// Values of all parameters: the run's, else the defaults. Call it only with a run whose parameters were found right.
pub fn params(definition: &Definition, spec: &PipelineRunSpec) -> BTreeMap<String, String> {
    let given: BTreeMap<&str, &str> = spec
        .params
        .iter()
        .map(|param| (param.name.as_str(), param.value.as_str()))
        .collect();
    definition
        .params
        .iter()
        .filter_map(|param| {
            let value = given
                .get(param.name.as_str())
                .copied()
                .or(param.default.as_deref())?;
            Some((param.name.clone(), value.to_owned()))
        })
        .collect()
}

/// What is wrong with the parameters of a run, given those of its pipeline.
pub fn wrong_params(
    definition: &PipelineDefinition,
    spec: &PipelineRunSpec,
    limits: &limits::Limits,
) -> Vec<Problem> {
    let names: Vec<&str> = definition
        .params
        .iter()
        .map(|param| param.name.as_str())
        .collect();
    let mut problems = Vec::new();
    let mut given: Vec<&str> = Vec::new();
    for (i, param) in spec.params.iter().enumerate() {
        if problems.len() >= MAX_PROBLEMS {
            break;
        }
        let name = param.name.as_str();
        if !names.contains(&name) {
            let hint = suggestion(name, names.iter().copied());
            problems.push(Problem::new(
                format!("spec.params[{i}].name"),
                format!("there is no parameter `{name}`{hint}"),
            ));
        }
        if given.contains(&name) {
            problems.push(Problem::new(
                format!("spec.params[{i}].name"),
                format!("parameter `{name}` is given twice"),
            ));
        }
        if param.value.len() > limits.param_bytes {
            problems.push(Problem::new(
                format!("spec.params[{i}].value"),
                format!("the value is longer than {}", limits::bytes(limits.param_bytes)),
            ));
        }
        if param.value.contains('\0') {
            problems.push(Problem::new(
                format!("spec.params[{i}].value"),
                "the value has a NUL character, which no variable can hold",
            ));
        }
        given.push(name);
    }
    for param in &definition.params {
        if param.default.is_none() && !given.contains(&param.name.as_str()) {
            problems.push(Problem::new(
                "spec.params",
                format!("parameter `{}` is required: it has no default", param.name),
            ));
        }
    }
    problems
}

fn stages(
    definition: &PipelineDefinition,
    root: &str,
    executors: &BTreeMap<String, SeenExecutor>,
) -> Result<Vec<StageDefinition>, Unresolved> {
    let needs = validate::needs(definition);
    let order = dag::order(&needs).map_err(|_| {
        Unresolved::Invalid(vec![Problem::new(
            format!("{root}.stages"),
            "stages depend on each other in a circle",
        )])
    })?;
    let mut place = vec![0; order.len()];
    for (at, node) in order.iter().enumerate() {
        place[*node] = at;
    }
    let main = order
        .iter()
        .map(|node| (&definition.stages[*node], needs[*node].as_slice(), false));
    let finally = definition
        .finally
        .iter()
        .map(|stage| (stage, [].as_slice(), true));
    main.chain(finally)
        .map(|(stage, needs, finally): (_, &[usize], _)| {
            let executor = stage
                .executor
                .as_ref()
                .map(|name| executor(&stage.name, name, executors))
                .transpose()?;
            let mut needs: Vec<usize> = needs.iter().map(|need| place[*need]).collect();
            needs.sort_unstable();
            let image = executor
                .as_ref()
                .map(|executor| executor.image.clone())
                .or_else(|| stage.image.clone());
            Ok(StageDefinition {
                stage: stage.clone(),
                finally,
                needs,
                image: image.unwrap_or_default(),
                executor,
            })
        })
        .collect()
}

fn executor(
    stage: &str,
    name: &str,
    executors: &BTreeMap<String, SeenExecutor>,
) -> Result<dcanary_crds::ExecutorSpec, Unresolved> {
    let seen = executors.get(name).ok_or_else(|| Unresolved::Executor {
        stage: stage.to_owned(),
        executor: name.to_owned(),
    })?;
    let mut spec = seen.spec.clone();
    if !seen.cluster {
        // whoever may write to a namespace must not be able to leave the restricted profile
        spec.profile = Profile::Restricted;
    }
    Ok(spec)
}

fn timeouts(pipeline: Option<&Timeouts>, run: Option<&Timeouts>) -> Limits {
    let default = Limits::default();
    let pick = |field: fn(&Timeouts) -> Option<Duration>, otherwise| {
        run.and_then(field)
            .or_else(|| pipeline.and_then(field))
            .map_or(otherwise, Duration::as_secs)
    };
    Limits {
        pending: pick(|t| t.pending, default.pending),
        run: pick(|t| t.run, default.run),
        finally: pick(|t| t.finally, default.finally),
    }
}

#[cfg(test)]
mod tests;
