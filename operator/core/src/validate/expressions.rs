//! Expressions: whether what they name is there, and upstream.

use dcanary_expr::{Condition, Reference, Template, condition::Uses};

use super::{Context, variables};

/// Roots that a condition may name.
const ROOTS: [&str; 4] = ["params", "stages", "source", "run"];

pub(super) fn template(context: &mut Context<'_>, path: &str, text: &str, index: usize) {
    let template = match Template::parse(text) {
        Ok(template) => template,
        Err(error) => return context.tell(path, error.to_string()),
    };
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

pub(super) fn condition(context: &mut Context<'_>, path: &str, text: &str, index: usize, of_step: bool) {
    let uses: Uses = match Condition::parse(text) {
        Ok(condition) => condition.uses(),
        Err(error) => return context.tell(path, error.to_string()),
    };
    for name in &uses.params {
        param_exists(context, path, name);
    }
    for stage in &uses.stages {
        stage_is_upstream(context, path, stage, index);
    }
    for root in uses
        .roots
        .iter()
        .filter(|root| !ROOTS.contains(&root.as_str()) && (!of_step || *root != "steps"))
    {
        // `stages.unit-test` is read as a subtraction
        let minus = context
            .definition
            .stages
            .iter()
            .find(|stage| stage.name.split('-').skip(1).any(|part| part == root))
            .map(|stage| format!("; for a name with `-` write stages[\"{}\"]", stage.name));
        let hint = minus.unwrap_or_else(|| context.hint(root, ROOTS));
        context.tell(
            path,
            format!(
                "there is no variable `{root}`; there are {}{hint}",
                ROOTS.join(", ")
            ),
        );
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
