//! Pipeline files, read strictly: what the API server would prune silently is a mistake here.
//!
//! ```text
//! text ─▶ place: a tree of values with their places
//!           ├─▶ frame: the name of the object
//!           ├─▶ fields: names that the schema of the kind does not have, with the nearest one that it has
//!           │     └─▶ limits: sizes, ranges and patterns of the schema
//!           ├─▶ rules: those of the schema, in CEL, as the API server evaluates them
//!           └─▶ dcanary-core, dcanary-rollout: the same validation as the operator's, its paths looked up in the tree
//!                 └─▶ together: runs against the pipelines in the other files
//! ```

pub mod fields;
mod frame;
mod limits;
pub mod place;
mod rules;
mod together;
mod words;

use dcanary_core::{
    Limits,
    problem::Problem,
    repository,
    validate::{self, Review},
};
use dcanary_crds::{
    ClusterExecutor, ClusterTemplate, Decision, Environment, EnvironmentSpec, Executor, Pipeline,
    PipelineDefinition, PipelineRun, PipelineRunSpec, Profile, Promotion, Release, Template,
};
use kube::CustomResourceExt as _;
use serde::de::DeserializeOwned;

use place::{Node, Place};
pub use together::together;
use together::{NamedPipeline, RunOfPipeline};

/// Kinds of `dcanary.dev`.
const KINDS: [&str; 10] = [
    "Pipeline",
    "PipelineRun",
    "Executor",
    "ClusterExecutor",
    "Environment",
    "Release",
    "Promotion",
    "Decision",
    "Template",
    "ClusterTemplate",
];

/// One mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Where.
    pub place: Place,
    /// What, and what to do.
    pub message: String,
}

/// What was found in one file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// Objects that were checked: kind and name.
    pub checked: Vec<String>,
    /// Mistakes, in the order of the file.
    pub mistakes: Vec<Mistake>,
    /// What runs and is probably not what was meant, in the order of the file.
    pub advice: Vec<Mistake>,
    /// It has objects, none of them of dcanary.dev: a mistake, unless such objects are in other files.
    pub foreign: bool,
    /// It could not be read.
    pub unreadable: bool,
    /// Pipelines of the file, which runs in other files may name.
    pipelines: Vec<NamedPipeline>,
    /// Runs of the file that name a pipeline.
    runs: Vec<RunOfPipeline>,
}

impl Findings {
    /// A file that could not be read.
    pub fn unreadable(message: String) -> Self {
        let place = Place { line: 1, column: 1 };
        Self {
            mistakes: vec![Mistake { place, message }],
            unreadable: true,
            ..Self::default()
        }
    }
}

/// Checks the text of a file: pure.
pub fn lint(text: &str) -> Findings {
    let mut findings = Findings::default();
    let documents = match place::read(text) {
        Ok(documents) => documents,
        Err(mistake) => {
            findings.mistakes.push(mistake);
            return findings;
        }
    };
    let documents: Vec<Node> = documents.into_iter().flat_map(Node::listed).collect();
    for document in &documents {
        check(document, &mut findings);
    }
    if findings.checked.is_empty() && findings.mistakes.is_empty() {
        findings.foreign = documents
            .iter()
            .any(|document| document.text("apiVersion").is_some());
        let template = if text.contains("{{") { words::TEMPLATE } else { "" };
        let message = format!("there is no object of dcanary.dev/v1alpha1 in this file{template}");
        findings.mistakes.push(Mistake {
            place: Place { line: 1, column: 1 },
            message,
        });
    }
    for found in [&mut findings.mistakes, &mut findings.advice] {
        found.sort();
        found.dedup();
    }
    findings
}

fn check(document: &Node, findings: &mut Findings) {
    let group = document.text("apiVersion").unwrap_or_default();
    if !group.starts_with("dcanary.dev/") {
        return;
    }
    if group != "dcanary.dev/v1alpha1" {
        let message = format!("`{group}` is no version of dcanary.dev; use dcanary.dev/v1alpha1");
        findings.mistakes.push(Mistake {
            place: document.place_of("apiVersion"),
            message,
        });
        return;
    }
    let kind = document.text("kind").unwrap_or_default();
    let mut advice = Vec::new();
    let mistakes = match kind {
        "Pipeline" => one::<Pipeline>(document, &Pipeline::crd(), |pipeline| {
            findings
                .pipelines
                .push(NamedPipeline::new(document, &pipeline.spec.definition));
            let found = judge(&pipeline.spec.definition, "spec");
            advice = found.advice;
            told(found.problems)
        }),
        "PipelineRun" => one::<PipelineRun>(document, &PipelineRun::crd(), |run| {
            findings.runs.extend(RunOfPipeline::new(document, &run.spec));
            let found = judge_run(&run.spec);
            advice = found.advice;
            told(found.problems)
        }),
        "Environment" => one::<Environment>(document, &Environment::crd(), |environment| {
            judge_environment(&environment.spec)
        }),
        "Executor" => one::<Executor>(document, &Executor::crd(), |executor| {
            judge_executor(executor.spec.profile)
        }),
        "ClusterExecutor" => one::<ClusterExecutor>(document, &ClusterExecutor::crd(), |_| Vec::new()),
        "Release" => one::<Release>(document, &Release::crd(), |_| Vec::new()),
        "Promotion" => one::<Promotion>(document, &Promotion::crd(), |_| Vec::new()),
        "Decision" => one::<Decision>(document, &Decision::crd(), |_| Vec::new()),
        "Template" => one::<Template>(document, &Template::crd(), |_| Vec::new()),
        "ClusterTemplate" => one::<ClusterTemplate>(document, &ClusterTemplate::crd(), |_| Vec::new()),
        other => {
            let near = dcanary_core::problem::suggestion(other, KINDS);
            let message = format!("`{other}` is no kind of dcanary.dev{near}");
            vec![Mistake {
                place: document.place_of("kind"),
                message,
            }]
        }
    };
    findings.checked.push(format!("{kind} {}", document.name()));
    findings.mistakes.extend(mistakes);
    let placed = advice.into_iter().map(|problem| Mistake {
        place: document.find(&problem.path),
        message: problem.to_string(),
    });
    findings.advice.extend(placed);
}

fn one<T: DeserializeOwned>(
    document: &Node,
    crd: &k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    judge: impl FnOnce(&T) -> Vec<(String, String)>,
) -> Vec<Mistake> {
    let fields::Found {
        wrong: mut mistakes,
        beyond,
        instead,
    } = fields::check(document, crd);
    mistakes.extend(frame::check(document));
    let whole = document.to_json();
    let placed = |(path, message): (String, String)| Mistake {
        place: document.find(&path),
        message,
    };
    let readable = document.with(&instead).unwrap_or_default();
    let judged = match serde_path_to_error::deserialize::<_, T>(&readable) {
        Ok(object) => judge(&object).into_iter().map(placed).collect(),
        // What is missing; the field check has named what it can.
        Err(source) if mistakes.is_empty() && beyond.is_empty() => {
            let path = source.path().to_string();
            vec![placed((path.clone(), format!("{path}: {}", source.inner())))]
        }
        Err(_) => Vec::new(),
    };
    let schema = fields::schema(crd).and_then(|schema| serde_json::to_value(schema).ok());
    let ruled = schema
        .map(|schema| rules::check(&whole, &schema))
        .unwrap_or_default();
    let ruled = ruled.into_iter().map(placed);
    // what the operator says of a place is more to the point than the schema
    let others = beyond.into_iter().chain(ruled);
    let others: Vec<Mistake> = others
        .filter(|one| judged.iter().all(|said| said.place != one.place))
        .collect();
    mistakes.extend(judged);
    mistakes.extend(others);
    mistakes
}

/// Whoever may write to a namespace cannot leave the restricted profile; the operator takes another one for it (`resolve`).
fn judge_executor(profile: Profile) -> Vec<(String, String)> {
    let message = "spec.profile: an Executor of a namespace is always `restricted`, whatever it says: leave it out, or let an administrator make a ClusterExecutor";
    let other = profile != Profile::Restricted;
    other
        .then(|| ("spec.profile".to_owned(), message.to_owned()))
        .into_iter()
        .collect()
}

/// Paths and sentences.
fn told(problems: Vec<Problem>) -> Vec<(String, String)> {
    let one = |problem: Problem| (problem.path.clone(), problem.to_string());
    problems.into_iter().map(one).collect()
}

/// The first mistake, as the Environment would say it in its status: a sentence that begins with the path.
fn judge_environment(spec: &EnvironmentSpec) -> Vec<(String, String)> {
    let Err(wrong) = dcanary_rollout::decide::validate(spec) else {
        return Vec::new();
    };
    let message = wrong.to_string();
    let path = message
        .split(|letter: char| !(letter.is_ascii_alphanumeric() || ".[]".contains(letter)))
        .next()
        .unwrap_or_default();
    vec![(path.to_owned(), message)]
}

fn judge_run(spec: &PipelineRunSpec) -> Review {
    let mut found = match &spec.pipeline_spec {
        Some(inline) if spec.pipeline_ref.is_none() => judge(inline, "spec.pipelineSpec"),
        _ => Review::default(),
    };
    if spec.pipeline_ref.is_some() == spec.pipeline_spec.is_some() {
        // The API server says the same, by a rule of the schema.
        let both = Problem::new("spec", "give exactly one of pipelineRef and pipelineSpec");
        found.problems.push(both);
    }
    found.problems.extend(repository::of_run(spec));
    found.problems.extend(validate::timeouts_of_run(spec));
    found
}

/// With the limits of an operator that is set to no others.
fn judge(definition: &PipelineDefinition, root: &str) -> Review {
    validate::review(definition, root, &Limits::default())
}

#[cfg(test)]
mod docs_tests;
#[cfg(test)]
mod schema_tests;
#[cfg(test)]
mod tests;
