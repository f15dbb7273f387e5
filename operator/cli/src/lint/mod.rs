//! Pipeline files, read strictly: what the API server would prune silently is a mistake here.
//!
//! ```text
//! text ─▶ place: a tree of values with their places
//!           ├─▶ fields: names that the schema of the kind does not have, with the nearest one that it has
//!           ├─▶ the kind's own type: wrong or missing values
//!           └─▶ dcanary-core, dcanary-rollout: the same validation as the operator's, its paths looked up in the tree
//! ```

pub mod fields;
pub mod place;

use dcanary_core::{problem::Problem, repository, validate};
use dcanary_crds::{
    ClusterExecutor, ClusterTemplate, Decision, Environment, EnvironmentSpec, Executor, Pipeline,
    PipelineDefinition, PipelineRun, PipelineRunSpec, Promotion, Release, Template,
};
use kube::CustomResourceExt as _;
use serde::de::DeserializeOwned;

use place::{Node, Place};

/// Most stages that a run may have; the operator may be set to fewer.
const MAX_STAGES: usize = 256;

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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Objects that were checked: kind and name.
    pub checked: Vec<String>,
    /// Mistakes, in the order of the file.
    pub mistakes: Vec<Mistake>,
    /// It has objects, none of them of dcanary.dev: a mistake, unless such objects are in other files.
    pub foreign: bool,
}

/// Files that are checked together: in one of them must be something of dcanary.dev, the others may belong to it. Pure.
pub fn together(files: &mut [(String, Findings)]) {
    if files.iter().any(|(_, found)| !found.checked.is_empty()) {
        let foreign = files.iter_mut().filter(|(_, found)| found.foreign);
        foreign.for_each(|(_, found)| found.mistakes.clear());
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
    for document in &documents {
        check(document, &mut findings);
    }
    if findings.checked.is_empty() && findings.mistakes.is_empty() {
        findings.foreign = documents
            .iter()
            .any(|document| document.text("apiVersion").is_some());
        let message = "there is no object of dcanary.dev/v1alpha1 in this file".to_owned();
        findings.mistakes.push(Mistake {
            place: Place { line: 1, column: 1 },
            message,
        });
    }
    findings.mistakes.sort();
    findings.mistakes.dedup();
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
    let mistakes = match kind {
        "Pipeline" => one::<Pipeline>(document, &Pipeline::crd(), |pipeline| {
            told(judge(&pipeline.spec.definition, "spec"))
        }),
        "PipelineRun" => one::<PipelineRun>(document, &PipelineRun::crd(), |run| told(judge_run(&run.spec))),
        "Environment" => one::<Environment>(document, &Environment::crd(), |environment| {
            judge_environment(&environment.spec)
        }),
        "Executor" => one::<Executor>(document, &Executor::crd(), |_| Vec::new()),
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
}

fn one<T: DeserializeOwned>(
    document: &Node,
    crd: &k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    judge: impl Fn(&T) -> Vec<(String, String)>,
) -> Vec<Mistake> {
    let mut mistakes = fields::check(document, crd);
    match serde_json::from_value::<T>(document.to_json()) {
        Ok(object) => mistakes.extend(judge(&object).into_iter().map(|(path, message)| Mistake {
            place: document.find(&path),
            message,
        })),
        // What is missing or of a wrong type; the field check has named what it can.
        Err(source) if mistakes.is_empty() => {
            mistakes.push(Mistake {
                place: document.place,
                message: source.to_string(),
            });
        }
        Err(_) => {}
    }
    mistakes
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

fn judge_run(spec: &PipelineRunSpec) -> Vec<Problem> {
    let mut problems = match (&spec.pipeline_ref, &spec.pipeline_spec) {
        (Some(_), None) => Vec::new(),
        (None, Some(inline)) => judge(inline, "spec.pipelineSpec"),
        // The API server says the same, by a rule of the schema.
        _ => vec![Problem::new(
            "spec",
            "give exactly one of pipelineRef and pipelineSpec",
        )],
    };
    problems.extend(repository::of_run(spec));
    problems
}

fn judge(definition: &PipelineDefinition, root: &str) -> Vec<Problem> {
    validate::definition(definition, root, MAX_STAGES)
}

#[cfg(test)]
mod tests;
