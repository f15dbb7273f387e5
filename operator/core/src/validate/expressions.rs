//! Expressions: whether what they name is there, and upstream.

use dcanary_expr::{Condition, Mistyped, Reference, Template, Uses, condition::FUNCTIONS, mentions};

use super::{Context, variables};

/// So many names of steps are told.
const LISTED: usize = 8;
/// Roots that a condition may name.
const ROOTS: [&str; 4] = ["params", "stages", "source", "run"];

pub(super) fn template(context: &mut Context<'_>, path: &str, text: &str, index: usize) {
    let template = match Template::parse(text) {
        Ok(template) => template,
        Err(error) => return context.tell(path, error.to_string()),
    };
    let most = context.limits.expression_bytes;
    if template
        .references()
        .any(|reference| reference.to_string().len() > most)
    {
        return context.tell(path, format!("an expression is longer than {most} bytes"));
    }
    // what could not be read as a reference would stay as it is, and nobody see it
    for found in mentions(text) {
        if let Err(instead) = found.reference {
            context.tell(path, format!("`{found}` is no reference: {instead}"));
        }
    }
    for reference in template.references() {
        match reference {
            Reference::Param(name) => param_exists(context, path, name),
            Reference::Result { stage, .. } => {
                stage_is_upstream(context, path, stage, index);
                variables::reference(context, path, reference);
            }
            Reference::Source(_) | Reference::Run(_) => {}
        }
    }
}

/// Checks a condition of a stage, or of a step: that one sees the outcomes of the `earlier` steps of its stage.
pub(super) fn condition(
    context: &mut Context<'_>,
    path: &str,
    text: &str,
    index: usize,
    earlier: Option<&[String]>,
) {
    let most = context.limits.expression_bytes;
    if text.len() > most {
        let message = format!(
            "the expression has {} bytes; at most {most} are allowed",
            text.len()
        );
        return context.tell(path, message);
    }
    let condition = match Condition::parse(text) {
        Ok(condition) => condition,
        Err(error) => return context.tell(path, error.to_string()),
    };
    if let Some(mistyped) = condition.mistyped() {
        let message = told(context, mistyped);
        context.tell(path, message);
    }
    // outside of quotes it is no CEL
    if let Some(found) = mentions(text).next() {
        let name = found.text;
        context.tell(
            path,
            format!("`{found}` is not replaced in the text of a condition: write {name} without quotes and `$( )`, and join texts with `+`"),
        );
    }
    let uses: Uses = condition.uses();
    for name in &uses.params {
        param_exists(context, path, name);
    }
    let roots: Vec<&str> = ROOTS.into_iter().chain(earlier.map(|_| "steps")).collect();
    for stage in &uses.stages {
        if !is_cut_short(context, stage, &uses, &roots) {
            stage_is_upstream(context, path, stage, index);
        }
    }
    for (owner, name) in &uses.members {
        let known: &[&str] = match owner.as_str() {
            "source" => &["repo", "ref", "commit"],
            "run" => &["name", "namespace", "uid"],
            _ => &["outcome", "results"],
        };
        if !known.contains(&name.as_str()) {
            let hint = context.hint(name, known.iter().copied());
            context.tell(
                path,
                format!("`{owner}` has no `{name}`; it has {}{hint}", known.join(", ")),
            );
        }
    }
    for function in uses
        .functions
        .iter()
        .filter(|name| !FUNCTIONS.contains(&name.as_str()))
    {
        let hint = context.hint(function, FUNCTIONS);
        context.tell(path, format!("there is no function `{function}`{hint}"));
    }
    for step in earlier
        .iter()
        .flat_map(|earlier| uses.steps.iter().filter(|step| !earlier.contains(step)))
    {
        let longer = earlier
            .into_iter()
            .flatten()
            .find(|name| name.starts_with(&format!("{step}-")));
        let hint = match longer {
            Some(name) => format!("; for a name with `-` write steps[\"{name}\"]"),
            None => context.hint(step, earlier.into_iter().flatten().map(String::as_str)),
        };
        let there: Vec<&str> = earlier.into_iter().flatten().map(String::as_str).collect();
        let hint = if hint.is_empty() && (1..=LISTED).contains(&there.len()) {
            format!("; before it there are `{}`", there.join("`, `"))
        } else {
            hint
        };
        context.tell(path, format!("no step before this one is named `{step}`{hint}"));
    }
    for root in uses.roots.iter().filter(|root| !roots.contains(&root.as_str())) {
        // `stages.unit-test` is read as a subtraction
        let minus = context
            .definition
            .stages
            .iter()
            .find(|stage| stage.name.split('-').skip(1).any(|part| part == root))
            .map(|stage| format!("; for a name with `-` write stages[\"{}\"]", stage.name));
        let call = FUNCTIONS
            .contains(&root.as_str())
            .then(|| format!("; `{root}()` is a function"));
        let hint = minus
            .or(call)
            .unwrap_or_else(|| context.hint(root, roots.iter().copied()));
        context.tell(
            path,
            format!(
                "there is no variable `{root}`; there are {}{hint}",
                roots.join(", ")
            ),
        );
    }
}

/// Whether it is what is left of a name with `-`, which is told of the part behind that.
fn is_cut_short(context: &Context<'_>, name: &str, uses: &Uses, known: &[&str]) -> bool {
    let longer = |stage: &str| {
        let rest = stage.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        rest.is_some_and(|rest| {
            rest.split('-')
                .any(|part| uses.roots.contains(part) && !known.contains(&part))
        })
    };
    context.definition.stages.iter().any(|stage| longer(&stage.name))
}

fn told(context: &Context<'_>, mistyped: Mistyped) -> String {
    match mistyped {
        Mistyped::NotBoolean {
            written: Some(written),
            kind,
        } => {
            let value = match written.as_str() {
                outcome if outcome.ends_with(".outcome") => "succeeded",
                given if given.starts_with("params.") || given.contains(".results") => "true",
                _ => "…",
            };
            format!("`{written}` is {kind}, not true or false: write `{written} == \"{value}\"`")
        }
        Mistyped::NotBoolean { written: None, kind } => {
            format!("a condition is true or false, and this gives {kind}: compare it with a value")
        }
        Mistyped::NoOutcome { word, outcomes } => {
            let words: Vec<&str> = outcomes.iter().copied().filter(|word| !word.is_empty()).collect();
            let hint = context.hint(&word, words.iter().copied());
            format!("`{word}` is no outcome; there are {}{hint}", words.join(", "))
        }
        Mistyped::NoText { written, with } => {
            let number = if with.parse::<f64>().is_ok() {
                format!(", or int({written}) where numbers are compared")
            } else {
                String::new()
            };
            format!("`{written}` is text and never the same as {with}: write \"{with}\"{number}")
        }
    }
}

fn param_exists(context: &mut Context<'_>, path: &str, name: &str) {
    let names: Vec<&str> = context
        .definition
        .params
        .iter()
        .map(|param| param.name.as_str())
        .collect();
    if !names.contains(&name) {
        let hint = context.hint(name, names);
        context.tell(path, format!("there is no parameter `{name}`{hint}"));
    }
}

/// Whether a stage exists and has ended when the stage at `index` starts; tells what is wrong otherwise.
pub(super) fn stage_is_upstream(context: &mut Context<'_>, path: &str, name: &str, index: usize) -> bool {
    if context
        .upstream
        .get(index)
        .is_some_and(|upstream| upstream.contains(name))
    {
        return true;
    }
    let names: Vec<&str> = context
        .definition
        .stages
        .iter()
        .map(|stage| stage.name.as_str())
        .collect();
    if names.contains(&name) {
        context.tell(
            path,
            format!("stage `{name}` is not upstream of this one: add it to `dependsOn`"),
        );
    } else if context.definition.finally.iter().any(|stage| stage.name == name) {
        context.tell(
            path,
            format!("`{name}` is a `finally` stage, nothing can use what it makes"),
        );
    } else {
        let hint = context.hint(name, names);
        context.tell(path, format!("there is no stage `{name}`{hint}"));
    }
    false
}
