//! Fields that are taken as they are written. An expression in one of them would stay as it is, and be found out minutes later in a Pod.

use std::collections::BTreeMap;

use dcanary_crds::{Image, PodTemplate, Stage, Step};
use dcanary_expr::mentions;

use super::Context;

/// Tells of an expression in a text that is no template.
pub(super) fn text(context: &mut Context<'_>, path: impl Into<String>, text: &str) {
    if let Some(instead) = expression(text) {
        context.tell(path, instead);
    }
}

/// What is wrong with a text that is no template and holds an expression, and what to write.
pub(crate) fn expression(text: &str) -> Option<String> {
    let advice = match mentions(text).next()?.reference {
        Ok(reference) => format!(", or use \"${}\" in a `run` step", reference.variable()),
        Err(_) => String::new(),
    };
    Some(format!(
        "expressions are not replaced here: write the value itself{advice}"
    ))
}

fn optional(context: &mut Context<'_>, path: &str, fields: &[(&str, Option<&String>)]) {
    for (name, value) in fields {
        if let Some(value) = value {
            text(context, format!("{path}.{name}"), value);
        }
    }
}

fn list(context: &mut Context<'_>, path: &str, values: &[String]) {
    for (i, value) in values.iter().enumerate() {
        text(context, format!("{path}[{i}]"), value);
    }
}

fn map(context: &mut Context<'_>, path: &str, values: &BTreeMap<String, String>) {
    for (name, value) in values {
        text(context, format!("{path}.{name}"), value);
    }
}

/// Of the definition itself, its stages apart.
pub(super) fn definition(context: &mut Context<'_>, root: &str) {
    let definition = context.definition;
    if let Some(source) = &definition.source {
        for (name, value) in [
            ("repo", Some(&source.repo)),
            ("ref", source.reference.as_ref()),
            ("credentials", source.credentials.as_ref()),
        ] {
            if value.is_some_and(|value| expression(value).is_some()) {
                let advice = if name == "credentials" {
                    "write the name of the Secret"
                } else {
                    "write the value itself, or name it in the `checkout` of a step, where they are"
                };
                context.tell(
                    format!("{root}.source.{name}"),
                    format!("expressions are not replaced here: {advice}"),
                );
            }
        }
    }
    for (i, param) in definition.params.iter().enumerate() {
        if param
            .default
            .as_deref()
            .is_some_and(|value| expression(value).is_some())
        {
            context.tell(
                format!("{root}.params[{i}].default"),
                "expressions are not replaced here: write the value itself, or put the values together in `env`, where they are",
            );
        }
    }
    list(
        context,
        &format!("{root}.imagePullSecrets"),
        &definition.image_pull_secrets,
    );
}

/// Of a stage, its image, variables and steps apart.
pub(super) fn stage(context: &mut Context<'_>, path: &str, stage: &Stage) {
    let fields = [
        ("executor", stage.executor.as_ref()),
        ("environment", stage.environment.as_ref()),
    ];
    optional(context, path, &fields);
    for (i, secret) in stage.secrets.iter().enumerate() {
        text(context, format!("{path}.secrets[{i}].name"), &secret.name);
    }
    if let Some(template) = &stage.pod_template {
        pod_template(context, &format!("{path}.podTemplate"), template);
    }
}

fn pod_template(context: &mut Context<'_>, path: &str, template: &PodTemplate) {
    map(context, &format!("{path}.labels"), &template.labels);
    map(context, &format!("{path}.annotations"), &template.annotations);
    map(context, &format!("{path}.nodeSelector"), &template.node_selector);
    let fields = [
        ("runtimeClassName", template.runtime_class_name.as_ref()),
        ("priorityClassName", template.priority_class_name.as_ref()),
    ];
    optional(context, path, &fields);
}

/// Of a step, its script, condition and variables apart.
pub(super) fn step(context: &mut Context<'_>, path: &str, step: &Step) {
    let fields = [
        ("name", step.name.as_ref()),
        ("workingDir", step.working_dir.as_ref()),
    ];
    optional(context, path, &fields);
    list(context, &format!("{path}.shell"), &step.shell);
    if let Some(checkout) = &step.checkout {
        let fields = [
            ("path", checkout.path.as_ref()),
            ("credentials", checkout.credentials.as_ref()),
        ];
        optional(context, &format!("{path}.checkout"), &fields);
    }
    if let Some(artifact) = &step.artifact {
        let place = format!("{path}.artifact");
        optional(context, &place, &[("name", artifact.name.as_ref())]);
        list(context, &format!("{place}.paths"), &artifact.paths);
    }
    if let Some(download) = &step.download_artifact {
        let fields = [
            ("name", Some(&download.name)),
            ("stage", download.stage.as_ref()),
            ("path", download.path.as_ref()),
        ];
        optional(context, &format!("{path}.downloadArtifact"), &fields);
    }
    if let Some(image) = &step.image {
        self::image(context, &format!("{path}.image"), image);
    }
}

/// Of an image, what is no template.
fn image(context: &mut Context<'_>, path: &str, image: &Image) {
    let fields = [
        ("name", image.name.as_ref()),
        ("user", image.user.as_ref()),
        ("workingDir", image.working_dir.as_ref()),
    ];
    optional(context, path, &fields);
    list(context, &format!("{path}.entrypoint"), &image.entrypoint);
    list(context, &format!("{path}.cmd"), &image.cmd);
    for (i, file) in image.files.iter().enumerate() {
        let fields = [("from", Some(&file.from)), ("to", Some(&file.to))];
        optional(context, &format!("{path}.files[{i}]"), &fields);
    }
}
