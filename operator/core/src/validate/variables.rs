//! Variables of results: each name stands for one result, or nobody knows which stage's word a script takes.
//!
//! `RESULT_a_b_c` is result `b_c` of stage `a` and result `c` of stage `a-b`, because a variable has no `-`.

use std::collections::BTreeSet;

use dcanary_crds::Stage;
use dcanary_expr::Reference;

use super::Context;

/// Two references whose values would be in the same variable.
pub(super) fn reference(context: &mut Context<'_>, path: &str, reference: &Reference) {
    let variable = reference.variable();
    match context.variables.get(&variable) {
        Some((other, place)) if other != reference => {
            let message = format!(
                "`$({reference})` and `$({other})` at {place} have the same variable {variable}: rename one of the stages or results"
            );
            context.tell(path, message);
        }
        Some(_) => {}
        None => {
            context
                .variables
                .insert(variable, (reference.clone(), path.to_owned()));
        }
    }
}

/// Variables in a script that may be results of more than one stage, and for who wants advice those that are probably not set.
pub(super) fn script(context: &mut Context<'_>, path: &str, script: &str, index: usize) {
    let mut seen = BTreeSet::new();
    for (at, _) in script.match_indices("RESULT_") {
        let before = script[..at].chars().next_back();
        if context.is_full() || before.is_some_and(is_part) {
            continue;
        }
        let end = script[at..]
            .find(|c| !is_part(c))
            .map_or(script.len(), |len| at + len);
        let name = &script[at..end];
        if seen.insert(name) {
            ambiguous(context, path, name, index);
            if context.is_advising {
                unset(context, path, script, name, index);
            }
        }
    }
    if context.is_advising {
        params(context, path, script);
    }
}

/// A variable that is read only, and would be a result of a stage that is there but does not end before this one: it is not set.
fn unset(context: &mut Context<'_>, path: &str, script: &str, name: &str, index: usize) {
    let text = name.trim_start_matches("RESULT_");
    let of = |stage: &&Stage| {
        let rest = text.strip_prefix(stage.name.replace('-', "_").as_str());
        rest.and_then(|rest| rest.strip_prefix('_'))
            .is_some_and(|result| !result.is_empty())
    };
    let all = || {
        context
            .definition
            .stages
            .iter()
            .chain(&context.definition.finally)
    };
    let found: Vec<&Stage> = all().filter(of).collect();
    let upstream = context.upstream.get(index);
    let is_set = |stage: &&Stage| upstream.is_some_and(|upstream| upstream.contains(stage.name.as_str()));
    let Some(stage) = found.first().filter(|_| !found.iter().any(is_set)) else {
        return;
    };
    if !is_only_read(script, name) {
        return;
    }
    let own = all().nth(index).is_some_and(|own| own.name == stage.name);
    let advice = if own {
        "a stage has its results after it has ended; use a variable of the shell".to_owned()
    } else {
        format!(
            "stage `{}` is not upstream of this one: add it to `dependsOn`",
            stage.name
        )
    };
    context.advise(path, format!("`${name}` is not set: {advice}"));
}

/// Variables in a script that are a misspelt parameter, and would not be set. Only what can be nothing else is told: near a parameter's name,
/// and read everywhere, nowhere set, and in no comment or text that the shell leaves alone.
fn params(context: &mut Context<'_>, path: &str, script: &str) {
    let known: Vec<String> = context
        .definition
        .params
        .iter()
        .map(|param| variable(&param.name))
        .collect();
    let mut seen = BTreeSet::new();
    for (at, _) in script.match_indices("PARAM_") {
        if context.is_full() || script[..at].chars().next_back().is_some_and(is_part) {
            continue;
        }
        let name = word(script, at);
        if known.iter().any(|known| known == name) || !seen.insert(name) {
            continue;
        }
        let hint = context.hint(name, known.iter().map(String::as_str));
        if !hint.is_empty() && is_only_read(script, name) {
            context.advise(
                path,
                format!("there is no parameter for `${name}`, which is not set{hint}"),
            );
        }
    }
}

/// The name of a variable that begins there.
fn word(script: &str, at: usize) -> &str {
    let end = script[at..]
        .find(|c| !is_part(c))
        .map_or(script.len(), |len| at + len);
    &script[at..end]
}

/// Whether a name occurs as `$NAME` or `${NAME}` alone, and always where the shell replaces it.
fn is_only_read(script: &str, name: &str) -> bool {
    script.match_indices(name).all(|(at, _)| {
        if script[..at].chars().next_back().is_some_and(is_part) || word(script, at) != name {
            return true;
        }
        let line = script[..at].rsplit('\n').next().unwrap_or_default();
        let after = &script[at + name.len()..];
        let before = match line.strip_suffix("${") {
            Some(before) if after.starts_with('}') => before,
            Some(_) => return false,
            None => match line.strip_suffix('$') {
                Some(before) => before,
                None => return false,
            },
        };
        let quoted = before.matches('\'').count() % 2 == 1;
        let escaped = before.ends_with(['\\', '$']);
        !quoted && !escaped && !before.contains('#')
    })
}

/// The variable of a parameter.
fn variable(param: &str) -> String {
    Reference::Param(param.to_owned()).variable()
}

fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn ambiguous(context: &mut Context<'_>, path: &str, name: &str, index: usize) {
    let text = name.trim_start_matches("RESULT_");
    let upstream = context.upstream.get(index);
    let stages = context.definition.stages.iter().enumerate();
    let found: Vec<String> = stages
        .filter(|(_, stage)| upstream.is_some_and(|upstream| upstream.contains(stage.name.as_str())))
        .filter_map(|(i, stage)| {
            let result = text
                .strip_prefix(stage.name.replace('-', "_").as_str())?
                .strip_prefix('_')?;
            (!result.is_empty()).then(|| {
                format!(
                    "result `{result}` of stage `{}` ({}.stages[{i}])",
                    stage.name, context.root
                )
            })
        })
        .take(4)
        .collect();
    if found.len() > 1 {
        context.tell(
            path,
            format!(
                "`{name}` may be {}: rename a stage, or take the value from `env` with $(stages.STAGE.results.NAME)",
                found.join(" or ")
            ),
        );
    }
}
