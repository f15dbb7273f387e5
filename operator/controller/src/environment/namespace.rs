//! Whether the namespace of an Environment goes with it. Then nothing is given back or taken away: it all goes, and so do the rights to do it.

use dcanary_crds::Environment;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt};
use tracing::warn;

use crate::context::Context;

/// Reads it where that counts: only of an Environment that is being deleted, until it is known. What cannot be read is not being deleted; a
/// write that is refused tells of it too.
pub async fn look(ctx: &Context, environment: &Environment) {
    let uid = environment.uid().unwrap_or_default();
    let memory = &ctx.environments.memory;
    let known = memory.with(&uid, |memory| memory.terminating);
    if environment.metadata.deletion_timestamp.is_none() || known {
        return;
    }
    let name = environment.namespace().unwrap_or_default();
    let api: Api<Namespace> = Api::all(ctx.client.clone());
    match api.get_metadata(&name).await {
        Ok(namespace) if namespace.metadata.deletion_timestamp.is_some() => {
            memory.with(&uid, |memory| memory.terminating = true);
        }
        Ok(_) => {}
        Err(error) => warn!(
            namespace = name,
            error = &error as &dyn std::error::Error,
            "it cannot be read whether the namespace is being deleted"
        ),
    }
}
