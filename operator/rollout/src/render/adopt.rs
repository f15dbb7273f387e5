//! Workloads that exist: taken over, and given back.

use dcanary_crds::{DeployedRelease, Environment, labels};
use serde_json::Value;

use super::{
    RenderError,
    claim::claimed,
    config, deployment,
    identity::{self, Parts},
    images, in_place, metadata, object, selectors, source,
};
use crate::{
    plan::{Actor, Write},
    seen::{Key, Kind, Seen},
};

/// The Deployment that `workload.ref` names, as the first stable release; `None` when none is named.
pub fn adopted(env: &Environment, seen: &Seen) -> Option<Result<DeployedRelease, RenderError>> {
    let reference = env.spec.workload.reference.as_ref()?;
    Some(first(env, &reference.name, seen))
}

fn first(env: &Environment, name: &str, seen: &Seen) -> Result<DeployedRelease, RenderError> {
    let source = source::of(env, seen)?;
    let contents = config::tracked(env, seen)?;
    let images = images::of(&source.template);
    let identity = identity::identity(Parts {
        images: &images,
        kind: source.kind,
        template: &source.template,
        config_maps: &config::digests(&contents),
        secrets: &config::secrets(env, seen)?,
    });
    Ok(DeployedRelease {
        release: String::new(),
        namespace: String::new(),
        identity,
        workload: name.to_owned(),
        images,
        ..DeployedRelease::default()
    })
}

/// Our labels on the adopted Deployment itself, so that no other Environment takes it; not on its Pods, which go on. `None` when they are
/// there, and when there is none or it is not ours to take.
pub fn claim(env: &Environment, seen: &Seen) -> Option<Write> {
    let reference = env.spec.workload.reference.as_ref()?;
    let live = source::live(env, reference, seen).ok()?;
    let ours = metadata::of_environment(env);
    if object::has_labels(live, &ours) {
        return None;
    }
    let mut object = live.clone();
    object::at(&mut object, "metadata", |metadata| {
        metadata::put_on(metadata, &ours, None);
    });
    Some(write(&reference.name, object))
}

/// The adopted Deployment holds a release of ours already, in place.
pub(super) fn is_replaced(live: &Value) -> bool {
    object::annotation(live, labels::IDENTITY).is_some()
}

/// Gives the adopted Deployment the stable release's Pod template and its replicas, and takes our marks off. Names of ConfigMaps are the
/// user's again, so their present content counts. Nothing when it is so already, and nothing when there is no such Deployment.
pub fn give_back(env: &Environment, stable: &DeployedRelease, seen: &Seen) -> Vec<Write> {
    let given = || {
        let reference = env.spec.workload.reference.as_ref()?;
        let live = source::live(env, reference, seen).ok()?;
        let object = given_back(env, live, stable, seen);
        (object != *live).then(|| write(&reference.name, object))
    };
    given().into_iter().collect()
}

fn given_back(env: &Environment, live: &Value, stable: &DeployedRelease, seen: &Seen) -> Value {
    let mut object = live.clone();
    let template = template_of(env, live, stable, seen);
    let adopted = env.status.as_ref().and_then(|status| status.adopted_replicas);
    let replicas = env.spec.replicas.or(adopted).unwrap_or(1);
    // our name for the application goes with our identity; without that the label is the user's
    let off = if is_replaced(live) {
        metadata::take_off
    } else {
        metadata::take_marks_off
    };
    object::at(&mut object, "metadata", off);
    object::at(&mut object, "spec", |spec| {
        // equal but for what the API server adds: it stays as it is, and its Pods with it
        if !spec
            .get("template")
            .is_some_and(|live| object::covers(live, &template))
        {
            spec.insert("template".to_owned(), template);
        }
        if deployment::wanted(live) != replicas {
            spec.insert("replicas".to_owned(), replicas.into());
        }
    });
    object
}

/// The stable release's template as the adopted Deployment can have it.
fn template_of(env: &Environment, live: &Value, stable: &DeployedRelease, seen: &Seen) -> Value {
    let own = live.pointer("/spec/template").cloned().unwrap_or_default();
    let selector = object::texts(live, "/spec/selector/matchLabels");
    let from = in_place::find(&stable.workload, seen)
        .filter(|(_, workload)| claimed(env, workload).is_ok())
        .and_then(|(_, workload)| workload.pointer("/spec/template").cloned());
    let is_own = stable.workload == object::text(live, "/metadata/name").unwrap_or_default();
    let mut template = from.unwrap_or_else(|| own.clone());
    config::rename(&mut template, &config::original_names(env, &stable.identity));
    object::at(&mut template, "metadata", metadata::take_off);
    if is_own {
        // what it selects its Pods by stays on them, also where we would write it ourselves
        object::at(&mut template, "metadata", |metadata| {
            metadata::put_on(metadata, &selector, None);
        });
    } else {
        let mut labels = object::texts(&own, "/metadata/labels");
        labels.extend(object::texts(&template, "/metadata/labels"));
        object::at(&mut template, "metadata", |metadata| {
            metadata::put_on(metadata, &labels, None);
        });
        selectors::join(&mut template, &selector);
    }
    template
}

fn write(name: &str, object: Value) -> Write {
    Write {
        key: Key::new(Kind::Deployment, name),
        object: object::with_kind(object, Kind::Deployment),
        actor: Actor::Environment,
    }
}
