//! Pipelines: validate, digest, `Ready` or `Stalled`.
//!
//! A Pipeline is looked at when it changes; nothing else about it ever changes. One that cannot be used never stops the others.

mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use dcanary_crds::Pipeline;
use futures::{Stream, StreamExt};
use kube::{
    Api, Resource, ResourceExt,
    runtime::{
        Controller,
        controller::{Action, Config as ControllerConfig, Error as ControllerError},
        events::{Event, EventType},
        reflector::Store,
        watcher,
    },
};
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    context::Context,
    metrics::Reason,
    swap::{self, Swapped},
};

/// Statuses written at once.
const WORKERS: u16 = 8;

/// The status could not be written; it is tried again with growing pauses, and the others go on.
#[derive(Debug, Error)]
#[error("write the status of Pipeline {pipeline}")]
pub struct PipelineError {
    pipeline: String,
    #[source]
    source: Box<kube::Error>,
}

/// Follows the Pipelines until cancelled.
pub async fn follow(
    ctx: Arc<Context>,
    store: Store<Pipeline>,
    stream: impl Stream<Item = Result<Pipeline, watcher::Error>> + Send + 'static,
    stop: CancellationToken,
) {
    Controller::for_stream(stream, store)
        .with_config(ControllerConfig::default().concurrency(WORKERS))
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(reconcile, error_policy, ctx)
        .for_each(|result| async move {
            match result {
                Ok(_) | Err(ControllerError::ObjectNotFound(_) | ControllerError::ReconcilerFailed(..)) => {}
                Err(error) => warn!(
                    error = &error as &dyn std::error::Error,
                    "the watch on Pipelines broke off; it goes on by itself"
                ),
            }
        })
        .await;
}

async fn reconcile(cached: Arc<Pipeline>, ctx: Arc<Context>) -> Result<Action, PipelineError> {
    let uid = cached.uid().unwrap_or_default();
    if cached.meta().deletion_timestamp.is_some() {
        ctx.pipeline_failures.forget(&uid);
        return Ok(Action::await_change());
    }
    let desired = status::of(&cached, &ctx.settings.limits, jiff::Timestamp::now());
    if cached.status.as_ref() == Some(&desired) {
        ctx.pipeline_failures.forget(&uid);
        return Ok(Action::await_change());
    }
    let api: Api<Pipeline> = Api::namespaced(ctx.client.clone(), &cached.namespace().unwrap_or_default());
    let mut pipeline = (*cached).clone();
    pipeline.status = Some(desired);
    let name = pipeline.name_any();
    match swap::status(&api, pipeline).await {
        Ok(Swapped::Written(written)) => tell(&ctx, &written).await,
        // a newer version is on its way through the watch
        Ok(Swapped::Outdated | Swapped::Gone) => {}
        Err(source) => {
            return Err(PipelineError {
                pipeline: format!("{}/{}", cached.namespace().unwrap_or_default(), name),
                source,
            });
        }
    }
    ctx.pipeline_failures.forget(&uid);
    Ok(Action::await_change())
}

fn error_policy(pipeline: Arc<Pipeline>, error: &PipelineError, ctx: Arc<Context>) -> Action {
    ctx.metrics
        .errors
        .get_or_create(&Reason {
            kind: "Pipeline",
            reason: "persist",
        })
        .inc();
    let pause = ctx.pipeline_failures.failed(&pipeline.uid().unwrap_or_default());
    warn!(error = error as &dyn std::error::Error, ?pause, "will try again");
    Action::requeue(pause)
}

async fn tell(ctx: &Context, pipeline: &Pipeline) {
    let Some(stalled) = status::stalled(pipeline) else {
        info!(pipeline = pipeline.name_any(), "ready");
        return;
    };
    let event = Event {
        type_: EventType::Warning,
        reason: stalled.reason.clone(),
        note: Some(stalled.message.chars().take(1000).collect()),
        action: "Validate".into(),
        secondary: None,
    };
    if let Err(error) = ctx.events.publish(&event, &pipeline.object_ref(&())).await {
        warn!(
            error = &error as &dyn std::error::Error,
            "the Event could not be published"
        );
    }
}
