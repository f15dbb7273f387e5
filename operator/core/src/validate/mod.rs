//! Whether a definition can be run: all mistakes at once, each with its place.
//!
//! ```text
//! names ─▶ graph ─▶ stages ─▶ steps ─▶ expressions      (the same code for the controller and `dcanary lint`)
//! ```

mod deployment;
mod expressions;
mod graph;
mod images;
mod limits;
mod literal;
mod names;
mod paths;
mod resources;
mod stage;
mod step;
mod variables;

use std::collections::{BTreeMap, BTreeSet};

use dcanary_crds::{PipelineDefinition, Stage};
use dcanary_expr::Reference;
use dcanary_protocol::git::{address_problem, is_revision};

use crate::{
    credentials,
    limits::Limits,
    problem::{MAX_PROBLEMS, Problem, suggestion},
    repository,
};

pub use graph::needs;
pub use limits::timeouts_of_run;
pub(crate) use literal::expression;
pub use names::is_subdomain;

/// What is being looked at: the whole definition and what is upstream of each stage.
pub(crate) struct Context<'a> {
    pub(crate) definition: &'a PipelineDefinition,
    /// Names of the stages upstream of each stage; `stages` first, then `finally`.
    pub(crate) upstream: Vec<BTreeSet<&'a str>>,
    /// References to results by their variable, and where each was first.
    pub(crate) variables: BTreeMap<String, (Reference, String)>,
    /// How much it may be.
    pub(crate) limits: &'a Limits,
    /// Where the definition is.
    pub(crate) root: &'a str,
    pub(crate) problems: Vec<Problem>,
    /// Whether advice is wanted: looking for it costs more, and nothing depends on it.
    pub(crate) is_advising: bool,
    /// What runs, and is probably not what was meant.
    pub(crate) advice: Vec<Problem>,
}

impl Context<'_> {
    /// What cannot be known from the text alone: a script may be in any language and set any variable.
    pub(crate) fn advise(&mut self, path: impl Into<String>, message: impl Into<String>) {
        if self.advice.len() < MAX_PROBLEMS {
            self.advice.push(Problem::new(path, message));
        }
    }

    pub(crate) fn tell(&mut self, path: impl Into<String>, message: impl Into<String>) {
        if !self.is_full() {
            self.problems.push(Problem::new(path, message));
        }
    }

    /// The address of a repository must be one that is fetched from, and hold nothing secret.
    pub(crate) fn check_repository(&mut self, path: String, url: &str) {
        match repository::problem(&path, url) {
            Some(problem) => self.tell(problem.path, problem.message),
            // what an expression becomes is known in the run only
            None if url.contains("$(") => {}
            None => {
                if let Some(reason) = address_problem(url) {
                    self.tell(path, format!("the repository cannot be fetched: {reason}"));
                }
            }
        }
    }

    /// What a run checks out is the name of a branch or tag, or the id of a commit.
    pub(crate) fn check_revision(&mut self, path: String, name: &str) {
        if !name.contains("$(") && !is_revision(name) {
            self.tell(path, format!("`{name}` is no branch, tag or id of a commit: write the name of one, without `:`, `~`, `^`, spaces or `*`"));
        }
    }

    /// Credentials are mounted for the host of a repository.
    pub(crate) fn check_host(&mut self, path: String, url: &str) {
        if credentials::folder_for(url).is_none() {
            self.tell(path, credentials::HOST_ADVICE);
        }
    }

    /// Whether nothing further is told: nobody reads so many, and looking for them could take long.
    pub(crate) fn is_full(&self) -> bool {
        self.problems.len() >= MAX_PROBLEMS
    }

    /// A name that was perhaps meant.
    pub(crate) fn hint<'n>(&self, word: &str, names: impl IntoIterator<Item = &'n str>) -> String {
        if self.is_full() {
            String::new()
        } else {
            suggestion(word, names)
        }
    }
}

/// The mistakes of a definition, at most 100, that is found at `root` (`spec` for a Pipeline, `spec.pipelineSpec` for a run). Empty: it can be run.
pub fn definition(definition: &PipelineDefinition, root: &str, limits: &Limits) -> Vec<Problem> {
    ordered(look(definition, root, limits, false).problems)
}

/// What there is to say of a definition to its author.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Review {
    /// Its mistakes, as [`definition`] finds them.
    pub problems: Vec<Problem>,
    /// What runs and is probably not what was meant, at most 100. No run is refused for it.
    pub advice: Vec<Problem>,
}

/// As [`definition`], with advice, which takes longer to look for.
pub fn review(definition: &PipelineDefinition, root: &str, limits: &Limits) -> Review {
    let found = look(definition, root, limits, true);
    Review {
        problems: ordered(found.problems),
        advice: ordered(found.advice),
    }
}

fn ordered(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort();
    problems.dedup();
    problems
}

fn look<'a>(
    definition: &'a PipelineDefinition,
    root: &'a str,
    limits: &'a Limits,
    is_advising: bool,
) -> Context<'a> {
    let mut context = Context {
        definition,
        upstream: Vec::new(),
        variables: BTreeMap::new(),
        limits,
        root,
        problems: Vec::new(),
        is_advising,
        advice: Vec::new(),
    };
    limits::check(&mut context, root);
    if let Some(source) = &definition.source {
        context.check_repository(format!("{root}.source.repo"), &source.repo);
        if source.credentials.is_some() {
            context.check_host(format!("{root}.source.credentials"), &source.repo);
        }
        if let Some(reference) = &source.reference {
            context.check_revision(format!("{root}.source.ref"), reference);
        }
        if let Some(secret) = &source.credentials {
            names::secret(&mut context, format!("{root}.source.credentials"), secret);
        }
    }
    for (i, secret) in definition.image_pull_secrets.iter().enumerate() {
        names::secret(&mut context, format!("{root}.imagePullSecrets[{i}]"), secret);
    }
    literal::definition(&mut context, root);
    graph::check(&mut context, root);
    for (index, (path, stage, finally)) in all(definition, root).enumerate() {
        if context.is_full() {
            break;
        }
        stage::check(&mut context, &path, stage, index, finally);
    }
    context
}

/// All stages with their path and whether they are `finally` stages; `stages` first.
pub(crate) fn all<'a>(
    definition: &'a PipelineDefinition,
    root: &str,
) -> impl Iterator<Item = (String, &'a Stage, bool)> + use<'a> {
    let path = |list: &str, i: usize| format!("{root}.{list}[{i}]");
    let stages = definition
        .stages
        .iter()
        .enumerate()
        .map(|(i, stage)| (path("stages", i), stage, false));
    let finally = definition
        .finally
        .iter()
        .enumerate()
        .map(|(i, stage)| (path("finally", i), stage, true));
    stages.chain(finally).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod condition_tests;
#[cfg(test)]
mod known_tests;
#[cfg(test)]
mod literal_tests;
#[cfg(test)]
mod tests;
