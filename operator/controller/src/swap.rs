//! Compare-and-swap of one object: a write counts only for the version that was decided on.

use std::fmt::Debug;

use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

/// What became of a write.
pub enum Swapped<K> {
    /// Written; this is the object now.
    Written(K),
    /// The object is newer than what was decided on.
    Outdated,
    /// The object is gone.
    Gone,
}

impl<K> Swapped<K> {
    fn of(answer: Result<K, kube::Error>) -> Result<Self, Box<kube::Error>> {
        match answer {
            Ok(written) => Ok(Self::Written(written)),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Self::Outdated),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Self::Gone),
            Err(source) => Err(Box::new(source)),
        }
    }
}

/// Replaces the status of an object under its version.
///
/// # Errors
/// When the API server gives another answer than success, conflict or not found.
pub async fn status<K>(api: &Api<K>, mut desired: K) -> Result<Swapped<K>, Box<kube::Error>>
where
    K: Resource + Clone + Debug + DeserializeOwned + Serialize,
{
    desired.meta_mut().managed_fields = None;
    let name = desired.name_any();
    Swapped::of(api.replace_status(&name, &PostParams::default(), &desired).await)
}

/// Adds a finalizer to an object, or takes it off. Under its version: somebody else's finalizers are never lost.
///
/// # Errors
/// When the API server gives another answer than success, conflict or not found.
pub async fn finalizer<K>(
    api: &Api<K>,
    object: &K,
    finalizer: &str,
    held: bool,
) -> Result<Swapped<K>, Box<kube::Error>>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let others = object.finalizers().iter().map(String::as_str);
    let mut finalizers: Vec<&str> = others.filter(|name| *name != finalizer).collect();
    if held {
        finalizers.push(finalizer);
    }
    self::finalizers(api, object, &finalizers).await
}

/// Sets the finalizers of an object, under its version.
///
/// # Errors
/// When the API server gives another answer than success, conflict or not found.
pub async fn finalizers<K>(
    api: &Api<K>,
    object: &K,
    finalizers: &[impl Serialize],
) -> Result<Swapped<K>, Box<kube::Error>>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": object.resource_version()}});
    let name = object.name_any();
    let patched = api
        .patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
        .await;
    Swapped::of(patched)
}
