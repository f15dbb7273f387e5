//! Names of stages, what they depend on, cycles.

use std::collections::{BTreeMap, BTreeSet};

use dcanary_crds::PipelineDefinition;

use super::{Context, all};
use crate::dag;

/// For each stage the indexes of the stages it depends on; unknown names are left out.
pub fn needs(definition: &PipelineDefinition) -> Vec<Vec<usize>> {
    let index: BTreeMap<&str, usize> = definition
        .stages
        .iter()
        .enumerate()
        .rev()
        .map(|(i, stage)| (stage.name.as_str(), i))
        .collect();
    let of = |names: &[String]| {
        let known: BTreeSet<usize> = names
            .iter()
            .filter_map(|name| index.get(name.as_str()).copied())
            .collect();
        known.into_iter().collect()
    };
    definition
        .stages
        .iter()
        .map(|stage| of(&stage.depends_on))
        .collect()
}

pub(super) fn check(context: &mut Context<'_>, root: &str) {
    let definition = context.definition;
    let stages: Vec<&str> = definition
        .stages
        .iter()
        .map(|stage| stage.name.as_str())
        .collect();
    let known: BTreeSet<&str> = stages.iter().copied().collect();
    let finally: BTreeSet<&str> = definition
        .finally
        .iter()
        .map(|stage| stage.name.as_str())
        .collect();
    let mut seen: BTreeMap<&str, String> = BTreeMap::new();
    for (path, stage, is_finally) in all(definition, root) {
        let name = stage.name.as_str();
        if !is_name(name) {
            context.tell(
                format!("{path}.name"),
                format!("`{name}` is no stage name: use 1 to 63 of a-z, 0-9 and `-`, not `-` at the ends"),
            );
        }
        if let Some(first) = seen.insert(name, path.clone()) {
            context.tell(
                format!("{path}.name"),
                format!("stage `{name}` is already defined at {first}"),
            );
            seen.insert(name, first);
        }
        if is_finally && !stage.depends_on.is_empty() {
            context.tell(
                format!("{path}.dependsOn"),
                "a `finally` stage runs after all others and depends on none: remove it",
            );
            continue;
        }
        let mut named = BTreeSet::new();
        for (i, need) in stage.depends_on.iter().enumerate() {
            if context.is_full() {
                break;
            }
            let place = format!("{path}.dependsOn[{i}]");
            if !named.insert(need) {
                context.tell(place, format!("`{need}` is named twice"));
            } else if finally.contains(need.as_str()) {
                context.tell(
                    place,
                    format!("`{need}` is a `finally` stage, no stage can depend on it"),
                );
            } else if !known.contains(need.as_str()) {
                let hint = context.hint(need, stages.iter().copied());
                context.tell(place, format!("there is no stage `{need}`{hint}"));
            }
        }
    }
    let needs = needs(definition);
    match dag::order(&needs) {
        Ok(order) => context.upstream = upstream(definition, &needs, &order),
        Err(dag::Cycle(path)) => {
            let names: Vec<&str> = path.iter().map(|i| stages[*i]).collect();
            let first = path.first().copied().unwrap_or_default();
            context.tell(
                format!("{root}.stages[{first}].dependsOn"),
                format!("stages depend on each other in a circle: {}", names.join(" → ")),
            );
            // what is upstream of what has no answer; each stage sees all others so that no second error follows from the first
            let all: BTreeSet<&str> = stages.iter().copied().collect();
            context.upstream = vec![all; stages.len() + finally.len()];
        }
    }
}

fn upstream<'a>(
    definition: &'a PipelineDefinition,
    needs: &[Vec<usize>],
    order: &[usize],
) -> Vec<BTreeSet<&'a str>> {
    let place: BTreeMap<usize, usize> = order.iter().enumerate().map(|(at, node)| (*node, at)).collect();
    let sorted: Vec<Vec<usize>> = order
        .iter()
        .map(|node| needs[*node].iter().map(|need| place[need]).collect())
        .collect();
    let ancestors = dag::ancestors(&sorted);
    let name = |at: &usize| definition.stages[order[*at]].name.as_str();
    let mut upstream: Vec<BTreeSet<&str>> = (0..needs.len())
        .map(|node| ancestors[place[&node]].iter().map(name).collect())
        .collect();
    let all: BTreeSet<&str> = definition
        .stages
        .iter()
        .map(|stage| stage.name.as_str())
        .collect();
    upstream.extend(definition.finally.iter().map(|_| all.clone()));
    upstream
}

fn is_name(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    text.len() <= 63
        && edge(text.chars().next())
        && edge(text.chars().next_back())
        && text.chars().all(|c| c == '-' || edge(Some(c)))
}
