//! Writes the status under the `resourceVersion` that was decided on.

use dcanary_crds::Environment;
use dcanary_rollout::Plan;
use kube::{Api, ResourceExt};
use thiserror::Error;

use crate::{
    context::Context,
    failpoint::{self, EnvironmentBoundary, Side},
    swap::{self, Swapped},
};

/// The status could not be written.
#[derive(Debug, Error)]
#[error("write the status of Environment {environment}")]
pub struct PersistError {
    environment: String,
    #[source]
    source: Box<kube::Error>,
}

/// Writes the status of the plan, unless it is equal and nothing is done on it: then there is `None`.
///
/// Before objects are written or deleted it is written also where it is equal. The API server stores no equal one, but it refuses one that was
/// decided on an older version: another operator may have decided meanwhile, and what is to be deleted may be what it has brought back.
///
/// # Errors
/// When the API server gives another answer than success, conflict or not found.
pub async fn persist(
    ctx: &Context,
    environment: &Environment,
    plan: &Plan,
) -> Result<Option<Swapped<Environment>>, PersistError> {
    if environment.status.as_ref() == Some(&plan.status) && !plan.is_fenced() {
        return Ok(None);
    }
    let uid = environment.uid().unwrap_or_default();
    let name = environment.name_any();
    let namespace = environment.namespace().unwrap_or_default();
    let api: Api<Environment> = Api::namespaced(ctx.client.clone(), &namespace);
    let mut desired = environment.clone();
    desired.status = Some(plan.status.clone());
    failpoint::hit(Side::Before, EnvironmentBoundary::WriteEnvironmentStatus);
    let answer = swap::status(&api, desired).await;
    failpoint::hit(Side::After, EnvironmentBoundary::WriteEnvironmentStatus);
    let answer = answer.map_err(|source| PersistError {
        environment: format!("{namespace}/{name}"),
        source,
    })?;
    let memory = &ctx.environments.memory;
    match &answer {
        Swapped::Written(written) => memory.with(&uid, |memory| {
            memory.settle(&plan.status);
            memory.written = Some(written.clone());
            memory.failures = 0;
        }),
        Swapped::Outdated => memory.with(&uid, |memory| memory.written = None),
        Swapped::Gone => {
            memory.forget(&uid);
        }
    }
    Ok(Some(answer))
}
