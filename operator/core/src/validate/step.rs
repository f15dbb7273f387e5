//! One step.

use dcanary_crds::{Stage, Step};
use dcanary_expr::mentions_in_script;
use dcanary_protocol::names::is_item;

use super::{Context, expressions, images, literal, names, paths, stage, variables};
use crate::{limits::bytes, plan::stored};

pub(super) fn check(
    context: &mut Context<'_>,
    path: &str,
    step: &Step,
    index: usize,
    finally: bool,
    earlier: &[String],
) {
    let given = [
        step.run.is_some(),
        step.checkout.is_some(),
        step.artifact.is_some(),
        step.download_artifact.is_some(),
        step.image.is_some(),
    ];
    if given.iter().filter(|given| **given).count() != 1 {
        context.tell(
            path,
            "give exactly one of run, checkout, artifact, downloadArtifact and image",
        );
    }
    if let Some(script) = &step.run {
        check_script(context, &format!("{path}.run"), script, index);
    }
    if let Some(condition) = &step.condition {
        expressions::condition(context, &format!("{path}.if"), condition, index, Some(earlier));
    }
    if step.timeout.is_some_and(|timeout| timeout.as_secs() == 0) {
        context.tell(format!("{path}.timeout"), "must be longer than 0s");
    }
    literal::step(context, path, step);
    paths::step(context, path, step);
    stage::env(context, &format!("{path}.env"), &step.env, index);
    if let Some(checkout) = &step.checkout {
        if let Some(repo) = &checkout.repo {
            context.check_repository(format!("{path}.checkout.repo"), repo);
            if checkout.credentials.is_some() {
                context.check_host(format!("{path}.checkout.credentials"), repo);
            }
        }
        if let Some(reference) = &checkout.reference {
            context.check_revision(format!("{path}.checkout.ref"), reference);
        }
        if let Some(secret) = &checkout.credentials {
            names::secret(context, format!("{path}.checkout.credentials"), secret);
        }
        for (name, value) in [("repo", &checkout.repo), ("ref", &checkout.reference)] {
            if let Some(value) = value {
                expressions::template(context, &format!("{path}.checkout.{name}"), value, index);
            }
        }
    }
    let named = [
        (
            "artifact",
            step.artifact.as_ref().and_then(|artifact| artifact.name.as_ref()),
        ),
        ("image", step.image.as_ref().and_then(|image| image.name.as_ref())),
    ];
    for (kind, name) in named.into_iter().filter_map(|(kind, name)| Some((kind, name?))) {
        if !is_item(name) {
            let rule = "use letters, digits, `.`, `_` and `-`, a letter or digit first, at most 128";
            context.tell(
                format!("{path}.{kind}.name"),
                format!("`{name}` is no name: {rule}"),
            );
        }
    }
    if let Some(image) = &step.image {
        let place = format!("{path}.image");
        expressions::template(context, &format!("{place}.push"), &image.push, index);
        images::pushed(context, format!("{place}.push"), &image.push);
        let last = image.push.rsplit('/').next().unwrap_or_default();
        if image.name.is_none()
            && last
                .split([':', '@'])
                .next()
                .is_some_and(|last| last.contains("$("))
        {
            context.tell(format!("{place}.push"), "the last part of the repository is an expression, so it is no name of the image: give `name`");
        }
        if let Some(base) = &image.base {
            expressions::template(context, &format!("{place}.base"), base, index);
            images::base(context, format!("{place}.base"), base);
        }
        for (list, values) in [("env", &image.env), ("labels", &image.labels)] {
            for (name, value) in values {
                expressions::template(context, &format!("{place}.{list}.{name}"), value, index);
            }
        }
    }
    if let Some(download) = &step.download_artifact {
        let place = format!("{path}.downloadArtifact");
        check_download(
            context,
            &place,
            &download.name,
            download.stage.as_deref(),
            index,
            finally,
        );
    }
}

fn check_script(context: &mut Context<'_>, path: &str, script: &str, index: usize) {
    let most = context.limits.script_bytes;
    if script.len() > most {
        return context.tell(path, format!("the script is longer than {}", bytes(most)));
    }
    variables::script(context, path, script, index);
    // `$(id)` is the shell's; what is ours must come in as a variable, never as text of the program
    let (mut is_told, mut is_advised) = (false, !context.is_advising);
    for found in mentions_in_script(script) {
        let (line, column) = place(script, found.at);
        let place = format!("line {line}, column {column}");
        match &found.reference {
            Ok(reference) if !is_told => {
                is_told = true;
                let variable = reference.variable();
                context.tell(path, format!("{place}: `{found}` is not replaced in scripts, because its value could run as a command; write \"${variable}\" instead"));
            }
            // in another language, or in a text for one, it may be anything
            Err(instead) if !is_advised => {
                is_advised = true;
                let variables = variables_like(found.text);
                context.advise(path, format!("{place}: `{found}` is no reference, and a shell would look for a program of that name: {instead}{variables}; a program that is really called so is `$(command NAME)`"));
            }
            _ => {}
        }
        if is_told && is_advised {
            break;
        }
    }
    // no shell knows it, and a template of JavaScript may have it
    if context.is_advising
        && let Some(at) = script.find("${{")
    {
        let (line, column) = place(script, at);
        context.advise(path, format!("line {line}, column {column}: `${{{{` is not replaced in scripts: parameters, results and what is known of the run are variables (\"$PARAM_NAME\", \"$RESULT_STAGE_NAME\", \"$DCANARY_RUN\")"));
    }
}

/// The variables that hold in a script what somebody may have meant.
fn variables_like(text: &str) -> &'static str {
    match text.split('.').next() {
        Some("params" | "param" | "inputs") => ", in a script \"$PARAM_NAME\"",
        Some("stages" | "stage" | "results" | "tasks") => ", in a script \"$RESULT_STAGE_NAME\"",
        Some("source") => ", in a script \"$DCANARY_REPO\", \"$DCANARY_REF\" or \"$DCANARY_COMMIT\"",
        Some("run" | "context") => {
            ", in a script \"$DCANARY_RUN\", \"$DCANARY_RUN_NAMESPACE\" or \"$DCANARY_RUN_UID\""
        }
        _ => "",
    }
}

/// Line and column, from 1, of a place in a script.
fn place(script: &str, at: usize) -> (usize, usize) {
    let start = script[..at].rfind('\n').map_or(0, |newline| newline + 1);
    (
        script[..at].matches('\n').count() + 1,
        script[start..at].chars().count() + 1,
    )
}

fn check_download(
    context: &mut Context<'_>,
    path: &str,
    artifact: &str,
    from: Option<&str>,
    index: usize,
    finally: bool,
) {
    if let Some(from) = from {
        if !expressions::stage_is_upstream(context, &format!("{path}.stage"), from, index) {
            return;
        }
        let stage = context.definition.stages.iter().find(|stage| stage.name == from);
        let names: Vec<String> = stage.into_iter().flat_map(artifacts).collect();
        if !names.iter().any(|name| name == artifact) {
            let hint = context.hint(artifact, names.iter().map(String::as_str));
            context.tell(
                format!("{path}.name"),
                format!("stage `{from}` stores no artifact `{artifact}`{hint}"),
            );
        }
        return;
    }
    match makers(context, artifact, index).as_slice() {
        [_] => {}
        [] => {
            let which = if finally {
                "no stage"
            } else {
                "no stage that this one depends on"
            };
            let names: Vec<String> = upstream(context, index).flat_map(artifacts).collect();
            let hint = context.hint(artifact, names.iter().map(String::as_str));
            context.tell(
                format!("{path}.name"),
                format!("{which} stores an artifact `{artifact}`{hint}"),
            );
        }
        several => context.tell(
            format!("{path}.stage"),
            format!(
                "several stages store an artifact `{artifact}`: name one of {}",
                several.join(", ")
            ),
        ),
    }
}

/// Stages upstream that store an artifact of this name.
fn makers(context: &Context<'_>, artifact: &str, index: usize) -> Vec<String> {
    upstream(context, index)
        .filter(|stage| artifacts(stage).any(|name| name == artifact))
        .map(|stage| stage.name.clone())
        .collect()
}

fn upstream<'c>(context: &'c Context<'_>, index: usize) -> impl Iterator<Item = &'c Stage> {
    let names = context.upstream.get(index);
    let stages = context.definition.stages.iter();
    stages.filter(move |stage| names.is_some_and(|names| names.contains(stage.name.as_str())))
}

/// Names of the artifacts that a stage stores.
fn artifacts(stage: &Stage) -> impl Iterator<Item = String> {
    stage.steps.iter().filter_map(stored)
}

/// Name of a step: its own, or its kind and number.
pub(super) fn name(step: &Step, index: usize) -> String {
    crate::plan::step_name(step, index)
}
