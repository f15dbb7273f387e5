//! A stage with an `environment`.

use std::collections::BTreeMap;

use dcanary_crds::Stage;

use super::{Context, graph};
use crate::{plan::image_name, release};

/// What goes for every stage with an `environment`, besides its name, needs, condition and time.
pub(super) fn check(context: &mut Context<'_>, path: &str, stage: &Stage, index: usize, finally: bool) {
    if !stage.steps.is_empty() {
        context.tell(
            format!("{path}.environment"),
            "a stage with an `environment` brings the images of earlier stages into it and has no steps yet: move `steps` into a stage of their own",
        );
    }
    let of_pods = [
        ("image", stage.image.is_some()),
        ("executor", stage.executor.is_some()),
        ("pendingTimeout", stage.pending_timeout.is_some()),
        ("env", !stage.env.is_empty()),
        ("secrets", !stage.secrets.is_empty()),
        ("resources", stage.resources.is_some()),
        ("podTemplate", stage.pod_template.is_some()),
    ];
    for (name, _) in of_pods
        .into_iter()
        .filter(|(_, given)| *given && stage.steps.is_empty())
    {
        context.tell(
            format!("{path}.{name}"),
            format!("a stage with an `environment` runs no Pod: remove `{name}`"),
        );
    }
    if finally {
        return context.tell(
            format!("{path}.environment"),
            "a `finally` stage runs also when the run has failed: deploy in one of `stages`",
        );
    }
    images(context, path, index);
}

/// Which images it brings is known before anything runs.
fn images(context: &mut Context<'_>, path: &str, index: usize) {
    let stages = &context.definition.stages;
    let needs = graph::needs(context.definition);
    let builds = |i: usize| stages[i].steps.iter().any(|step| step.image.is_some());
    let deploys = |i: usize| stages[i].environment.is_some();
    let from = release::sources(index, |i| needs[i].as_slice(), builds, deploys);
    let mut makers: BTreeMap<String, &str> = BTreeMap::new();
    let mut twice = Vec::new();
    for stage in from.iter().map(|i| &stages[*i]) {
        for name in stage
            .steps
            .iter()
            .filter_map(|step| step.image.as_ref())
            .map(image_name)
        {
            if let Some(other) = makers
                .insert(name.clone(), &stage.name)
                .filter(|other| *other != stage.name)
            {
                twice.push(format!(
                    "stages `{other}` and `{}` both build an image `{name}`: give one of them another `name`",
                    stage.name
                ));
            }
        }
    }
    let place = format!("{path}.environment");
    if makers.is_empty() {
        context.tell(
            place,
            "no stage before this one builds an image: add an `image` step to a stage that it depends on",
        );
    } else {
        for message in twice {
            context.tell(&place, message);
        }
    }
}
