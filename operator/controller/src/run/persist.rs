//! Writes the status under the `resourceVersion` that was decided on.

use dcanary_core::Plan;
use dcanary_crds::PipelineRun;
use kube::{Api, ResourceExt};
use thiserror::Error;

use crate::{
    context::Context,
    failpoint::Side,
    run::status_boundary,
    swap::{self, Swapped},
};

/// The status could not be written.
#[derive(Debug, Error)]
#[error("write the status of {run}")]
pub struct PersistError {
    run: String,
    #[source]
    source: Box<kube::Error>,
}

/// Writes the status of the plan, unless it is equal and the plan needs no fence: then there is `None`.
///
/// # Errors
/// When the API server gives another answer than success, conflict or not found.
pub async fn persist(
    ctx: &Context,
    run: &PipelineRun,
    plan: &Plan,
) -> Result<Option<Swapped<PipelineRun>>, PersistError> {
    if !plan.fence && run.status.as_ref() == Some(&plan.status) {
        return Ok(None);
    }
    let name = run.name_any();
    let api: Api<PipelineRun> = Api::namespaced(ctx.client.clone(), &run.namespace().unwrap_or_default());
    let mut desired = run.clone();
    desired.status = Some(plan.status.clone());
    status_boundary(Side::Before);
    let answer = swap::status(&api, desired).await;
    status_boundary(Side::After);
    let answer = answer.map_err(|source| PersistError { run: name, source })?;
    ctx.memory
        .with(&run.uid().unwrap_or_default(), |memory| match &answer {
            Swapped::Written(written) => {
                memory.written = Some(written.clone());
                memory.failures = 0;
            }
            Swapped::Outdated => memory.written = None,
            Swapped::Gone => {}
        });
    Ok(Some(answer))
}
