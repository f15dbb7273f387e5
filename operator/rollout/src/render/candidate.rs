//! A release and an Environment make a candidate.

use std::collections::BTreeMap;

use dcanary_crds::{Environment, Release};

use super::{
    Candidate, RenderError, config,
    identity::{self, Parts},
    images, metadata, names, object, selectors, source, uses_in_place,
};
use crate::seen::Seen;

/// Digest of all that makes up a release besides its images: Pod template, tracked ConfigMaps, digests of tracked Secrets.
///
/// # Errors
/// What is missing or cannot be read: that is no change.
pub fn configuration(env: &Environment, seen: &Seen) -> Result<String, RenderError> {
    let source = source::of(env, seen)?;
    let contents = config::tracked(env, seen)?;
    Ok(identity::identity(Parts {
        images: &BTreeMap::new(),
        kind: source.kind,
        template: &source.template,
        config_maps: &config::digests(&contents),
        secrets: &config::secrets(env, seen)?,
    }))
}

/// What a release is in this Environment.
///
/// # Errors
/// See [`RenderError`]: what has to be waited for, and what is refused.
pub fn candidate(env: &Environment, release: &Release, seen: &Seen) -> Result<Candidate, RenderError> {
    let source = source::of(env, seen)?;
    let mut template = source.template;
    images::place(&mut template, &release.spec.images, &source.place)?;
    let contents = config::tracked(env, seen)?;
    let identity = identity::identity(Parts {
        images: &release.spec.images,
        kind: source.kind,
        template: &template,
        config_maps: &config::digests(&contents),
        secrets: &config::secrets(env, seen)?,
    });
    let workload = if uses_in_place(env) {
        metadata::name(env).to_owned()
    } else {
        names::release_name(env, &identity)
    };

    let copies = config::renames(env, &identity, seen);
    config::rename(&mut template, &copies);
    let ours = metadata::of_workload(env, &workload);
    object::at(&mut template, "metadata", |metadata| {
        // the identity on the Pods: it tells Pods of one release from those of another where they share a workload, and it makes a
        // change of nothing but a Secret a change of the template
        metadata::put_on(metadata, &ours, Some(&identity));
    });
    let adopted = env.spec.workload.reference.as_ref();
    if let Some(selector) = source.selector
        // in place in the adopted Deployment itself its selector stays as it is
        && adopted.is_none_or(|adopted| adopted.name != workload)
    {
        selectors::part(&mut template, &selector, env);
    }
    Ok(Candidate {
        release: release.metadata.name.clone().unwrap_or_default(),
        namespace: release.metadata.namespace.clone().unwrap_or_default(),
        images: release.spec.images.clone(),
        source: release.spec.source.clone(),
        config: config::copy(env, contents, &workload, &identity, &copies),
        kind: source.kind,
        labels: source.labels,
        spec: source.spec,
        template,
        identity,
        workload,
    })
}
