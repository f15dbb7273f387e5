//! Counts and sizes of the whole definition. The schema refuses most of this at the API server, in words that are less to the point, and a run that holds its definition since an earlier version was never held against it.

use std::collections::BTreeSet;

use dcanary_crds::{PipelineRunSpec, Timeouts};
use dcanary_types::{graph, limits::MAX_GRAPH_BYTES};

use super::{Context, all};
use crate::{limits::bytes, problem::Problem};

pub(super) fn check(context: &mut Context<'_>, root: &str) {
    let (definition, limits) = (context.definition, context.limits);
    let count = definition.stages.len() + definition.finally.len();
    if definition.stages.is_empty() {
        context.tell(format!("{root}.stages"), "there is no stage");
    }
    if count > limits.stages {
        context.tell(
            format!("{root}.stages"),
            format!("there are {count} stages, at most {} are allowed", limits.stages),
        );
    }
    if definition.params.len() > limits.params {
        context.tell(
            format!("{root}.params"),
            format!(
                "there are {} parameters, at most {} are allowed",
                definition.params.len(),
                limits.params
            ),
        );
    }
    let mut names = BTreeSet::new();
    for (i, param) in definition.params.iter().enumerate() {
        let path = format!("{root}.params[{i}]");
        if !is_variable(&param.name) || param.name.len() > 63 {
            context.tell(
                format!("{path}.name"),
                format!(
                    "`{}` is no parameter name: use 1 to 63 letters, digits and `_`, no digit first",
                    param.name
                ),
            );
        }
        if !names.insert(&param.name) {
            context.tell(
                format!("{path}.name"),
                format!("parameter `{}` is defined twice", param.name),
            );
        }
        if param
            .default
            .as_ref()
            .is_some_and(|value| value.len() > limits.param_bytes)
        {
            context.tell(
                format!("{path}.default"),
                format!("the value is longer than {}", bytes(limits.param_bytes)),
            );
        }
    }
    if definition.parallelism.is_some_and(|limit| limit < 1) {
        context.tell(format!("{root}.parallelism"), "must be at least 1");
    }
    if let Some(timeouts) = &definition.timeouts {
        for problem in self::timeouts(&format!("{root}.timeouts"), timeouts) {
            context.tell(problem.path, problem.message);
        }
    }
    let longest = graph_bytes(context);
    if longest > MAX_GRAPH_BYTES {
        context.tell(
            format!("{root}.stages"),
            format!("names and `dependsOn` of all stages take {longest} bytes in the journal, at most {MAX_GRAPH_BYTES} are allowed: use shorter names or fewer dependencies"),
        );
    }
}

/// What is wrong with the timeouts at a path.
fn timeouts(path: &str, timeouts: &Timeouts) -> Vec<Problem> {
    [
        ("pending", timeouts.pending),
        ("run", timeouts.run),
        ("finally", timeouts.finally),
    ]
    .into_iter()
    .filter(|(_, value)| value.is_some_and(|value| value.as_secs() == 0))
    .map(|(name, _)| Problem::new(format!("{path}.{name}"), "must be longer than 0s"))
    .collect()
}

/// What is wrong with the timeouts of a run, which go before those of its Pipeline.
pub fn timeouts_of_run(spec: &PipelineRunSpec) -> Vec<Problem> {
    let own = spec.timeouts.as_ref();
    own.map(|own| timeouts("spec.timeouts", own)).unwrap_or_default()
}

/// Length of the graph document; it does not depend on the order of the stages by more than a few bytes, so each need counts as the longest index.
fn graph_bytes(context: &Context<'_>) -> usize {
    let index_bytes = if context.definition.stages.len() > 256 {
        3
    } else {
        2
    };
    let stages = all(context.definition, "").map(|(_, stage, _)| {
        // array head, name with head, needs with head, attempts, flags, gates
        1 + 2 + stage.name.len() + 3 + stage.depends_on.len() * index_bytes + 2 + 1 + 1
    });
    let empty = graph::GraphDoc::new(Vec::new()).map_or(0, |graph| graph.encode().len());
    empty + 3 + stages.sum::<usize>()
}

/// Whether it can be the name of an environment variable.
pub(super) fn is_variable(name: &str) -> bool {
    name.chars()
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
