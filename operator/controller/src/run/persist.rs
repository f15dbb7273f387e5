//! Writes the status under the `resourceVersion` that was decided on.

use dcanary_core::Plan;
use dcanary_crds::PipelineRun;
use kube::{Api, ResourceExt, api::PostParams};
use thiserror::Error;

use crate::{context::Context, failpoint::Side, run::status_boundary};

/// The status could not be written.
#[derive(Debug, Error)]
#[error("write the status of {run}")]
pub struct PersistError {
    run: String,
    #[source]
    source: Box<kube::Error>,
}

/// What became of a status write.
pub enum Persisted {
    /// Written; this is the object now.
    Written(PipelineRun),
    /// Nothing to write.
    Unchanged,
    /// The object is newer than what was decided on.
    Outdated,
    /// The run is gone.
    Gone,
}

/// Writes the status of the plan, unless it is equal and the plan needs no fence.
///
/// # Errors
/// When the API server gives another answer than success, conflict or not found.
pub async fn persist(ctx: &Context, run: &PipelineRun, plan: &Plan) -> Result<Persisted, PersistError> {
    if !plan.fence && run.status.as_ref() == Some(&plan.status) {
        return Ok(Persisted::Unchanged);
    }
    let name = run.name_any();
    let api: Api<PipelineRun> = Api::namespaced(ctx.client.clone(), &run.namespace().unwrap_or_default());
    let mut desired = run.clone();
    desired.status = Some(plan.status.clone());
    desired.metadata.managed_fields = None;
    status_boundary(Side::Before);
    let answer = api.replace_status(&name, &PostParams::default(), &desired).await;
    status_boundary(Side::After);
    match answer {
        Ok(written) => {
            ctx.memory.with(&run.uid().unwrap_or_default(), |memory| {
                memory.written = Some(written.clone());
                memory.failures = 0;
            });
            Ok(Persisted::Written(written))
        }
        Err(kube::Error::Api(status)) if status.code == 409 => {
            ctx.memory
                .with(&run.uid().unwrap_or_default(), |memory| memory.written = None);
            Ok(Persisted::Outdated)
        }
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Persisted::Gone),
        Err(source) => Err(PersistError {
            run: name,
            source: Box::new(source),
        }),
    }
}
