//! One stage.

use std::collections::BTreeSet;

use dcanary_crds::{EnvVar, Stage};

use super::{Context, deployment, expressions, images, limits, literal, names, paths, resources, step};
use crate::plan::stored;

/// Prefixes of variables that the operator sets.
const RESERVED: [&str; 3] = ["DCANARY_", "PARAM_", "RESULT_"];

pub(super) fn check(context: &mut Context<'_>, path: &str, stage: &Stage, index: usize, finally: bool) {
    let (deploys, limits) = (stage.environment.is_some(), context.limits);
    if deploys {
        deployment::check(context, path, stage, index, finally);
    }
    match (&stage.image, &stage.executor) {
        (Some(_), Some(_)) => context.tell(path, "give `image` or `executor`, not both"),
        (None, None) if deploys => {}
        (None, None) => context.tell(path, "give `image` or `executor`"),
        (Some(image), None) if image.contains("$(") => {
            context.tell(
                format!("{path}.image"),
                "expressions are not replaced here; write the image as it is, or use an executor",
            );
        }
        (Some(image), None) => images::pulled(context, format!("{path}.image"), image),
        _ => {}
    }
    if stage.steps.is_empty() && !deploys || stage.steps.len() > limits.steps {
        context.tell(
            format!("{path}.steps"),
            format!(
                "there are {} steps; 1 to {} are allowed",
                stage.steps.len(),
                limits.steps
            ),
        );
    }
    if let Some(retries) = &stage.retries
        && usize::try_from(retries.count).map_or(true, |count| count > limits.retries)
    {
        let most = match limits.retries {
            0 => "0".to_owned(),
            most => format!("0 to {most}"),
        };
        context.tell(format!("{path}.retries.count"), format!("must be {most}"));
    }
    for (name, value) in [
        ("timeout", stage.timeout),
        ("pendingTimeout", stage.pending_timeout),
    ] {
        if value.is_some_and(|value| value.as_secs() == 0) {
            context.tell(format!("{path}.{name}"), "must be longer than 0s");
        }
    }
    if let Some(when) = &stage.when {
        expressions::condition(context, &format!("{path}.when"), when, index, None);
    }
    env(context, &format!("{path}.env"), &stage.env, index);
    literal::stage(context, path, stage);
    if let Some(template) = &stage.pod_template {
        names::pod_template(context, &format!("{path}.podTemplate"), template);
    }
    let mut mounted = BTreeSet::new();
    for (i, secret) in stage.secrets.iter().enumerate() {
        names::secret(context, format!("{path}.secrets[{i}].name"), &secret.name);
        if !mounted.insert(&secret.name) {
            context.tell(
                format!("{path}.secrets[{i}]"),
                format!("Secret `{}` is named twice", secret.name),
            );
        }
    }
    if let Some(resources) = &stage.resources {
        resources::check(context, &format!("{path}.resources"), resources);
    }
    paths::checkouts(context, path, stage);
    let mut earlier: Vec<String> = Vec::new();
    let mut artifacts = BTreeSet::new();
    let mut secrets = stage.env.iter().filter_map(secret).collect::<Vec<_>>();
    for (i, one) in stage.steps.iter().enumerate() {
        let place = format!("{path}.steps[{i}]");
        step::check(context, &place, one, index, finally, &earlier);
        let name = step::name(one, i);
        if earlier.contains(&name) {
            context.tell(
                format!("{place}.name"),
                format!("step `{name}` is already defined in this stage"),
            );
        }
        earlier.push(name);
        if let Some(artifact) = stored(one)
            && !artifacts.insert(artifact.clone())
        {
            context.tell(place.clone(), format!("artifact `{artifact}` is already stored by an earlier step of this stage: give it another `name`"));
        }
        // a Secret becomes a variable of the container, so all steps of the stage see it
        for (j, (name, key)) in one
            .env
            .iter()
            .enumerate()
            .filter_map(|(j, var)| Some((j, secret(var)?)))
        {
            if secrets.iter().any(|(other, from)| *other == name && *from != key) {
                context.tell(
                    format!("{place}.env[{j}]"),
                    format!("`{name}` comes from another Secret elsewhere in this stage: use another name"),
                );
            }
            secrets.push((name, key));
        }
    }
}

fn secret(var: &EnvVar) -> Option<(&str, &dcanary_crds::SecretKey)> {
    Some((var.name.as_str(), var.secret.as_ref()?))
}

pub(super) fn env(context: &mut Context<'_>, path: &str, list: &[EnvVar], index: usize) {
    let most = context.limits.env;
    if list.len() > most {
        context.tell(
            path,
            format!("there are {} variables, at most {most} are allowed", list.len()),
        );
    }
    let mut names = BTreeSet::new();
    for (i, var) in list.iter().enumerate() {
        let place = format!("{path}[{i}]");
        if !limits::is_variable(&var.name) {
            context.tell(
                format!("{place}.name"),
                format!("`{}` is no name of a variable", var.name),
            );
        }
        if RESERVED.iter().any(|prefix| var.name.starts_with(prefix)) {
            context.tell(
                format!("{place}.name"),
                format!(
                    "`{}` is set by DCanary: names must not begin with {}",
                    var.name,
                    RESERVED.join(", ")
                ),
            );
        }
        if !names.insert(&var.name) {
            context.tell(format!("{place}.name"), format!("`{}` is set twice", var.name));
        }
        if var.value.is_some() == var.secret.is_some() {
            context.tell(&place, "give exactly one of `value` and `secret`");
        }
        if let Some(value) = &var.value {
            expressions::template(context, &format!("{place}.value"), value, index);
            if value.contains('\0') {
                context.tell(
                    format!("{place}.value"),
                    "the value has a NUL character, which no variable can hold",
                );
            }
        }
        if let Some(secret) = &var.secret {
            literal::text(context, format!("{place}.secret.name"), &secret.name);
            literal::text(context, format!("{place}.secret.key"), &secret.key);
            names::secret(context, format!("{place}.secret.name"), &secret.name);
            names::key(context, format!("{place}.secret.key"), &secret.key);
        }
    }
}
