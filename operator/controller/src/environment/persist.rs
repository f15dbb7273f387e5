//! Writes the status under the `resourceVersion` that was decided on.

use dcanary_crds::Environment;
use dcanary_rollout::Plan;
use kube::{Api, ResourceExt, api::PostParams};
use thiserror::Error;

use crate::{
    context::Context,
    failpoint::{self, EnvironmentBoundary, Side},
};

/// The status could not be written.
#[derive(Debug, Error)]
#[error("write the status of Environment {environment}")]
pub struct PersistError {
    environment: String,
    #[source]
    source: Box<kube::Error>,
}

/// What became of a status write.
pub enum Persisted {
    /// Written; this is the object now.
    Written(Box<Environment>),
    /// Nothing to write.
    Unchanged,
    /// The object is newer than what was decided on.
    Outdated,
    /// The Environment is gone.
    Gone,
}

/// Writes the status of the plan, unless it is equal.
///
/// # Errors
/// When the API server gives another answer than success, conflict or not found.
pub async fn persist(
    ctx: &Context,
    environment: &Environment,
    plan: &Plan,
) -> Result<Persisted, PersistError> {
    if environment.status.as_ref() == Some(&plan.status) {
        return Ok(Persisted::Unchanged);
    }
    let uid = environment.uid().unwrap_or_default();
    let name = environment.name_any();
    let namespace = environment.namespace().unwrap_or_default();
    let api: Api<Environment> = Api::namespaced(ctx.client.clone(), &namespace);
    let mut desired = environment.clone();
    desired.status = Some(plan.status.clone());
    desired.metadata.managed_fields = None;
    failpoint::hit(Side::Before, EnvironmentBoundary::WriteEnvironmentStatus);
    let answer = api.replace_status(&name, &PostParams::default(), &desired).await;
    failpoint::hit(Side::After, EnvironmentBoundary::WriteEnvironmentStatus);
    let memory = &ctx.environments.memory;
    match answer {
        Ok(written) => {
            memory.with(&uid, |memory| {
                memory.settle(&plan.status);
                memory.written = Some(written.clone());
                memory.failures = 0;
            });
            Ok(Persisted::Written(Box::new(written)))
        }
        Err(kube::Error::Api(status)) if status.code == 409 => {
            memory.with(&uid, |memory| memory.written = None);
            Ok(Persisted::Outdated)
        }
        Err(kube::Error::Api(status)) if status.code == 404 => {
            memory.forget(&uid);
            Ok(Persisted::Gone)
        }
        Err(source) => Err(PersistError {
            environment: format!("{namespace}/{name}"),
            source: Box::new(source),
        }),
    }
}
