//! Pipelines: validate, digest, `Ready` or `Stalled`.
//!
//! A Pipeline is looked at when it changes; nothing else about it ever changes. One that cannot be used never stops the others.

mod status;

use std::{sync::Arc, time::Duration};

use dcanary_crds::Pipeline;
use futures::{Stream, StreamExt};
use kube::{
    Api, Resource, ResourceExt,
    api::PostParams,
    runtime::{
        events::{Event, EventType},
        watcher,
    },
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{context::Context, metrics::Reason};

/// Statuses written at once.
const WORKERS: usize = 8;
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Follows the Pipelines until cancelled.
pub async fn follow(
    ctx: Arc<Context>,
    stream: impl Stream<Item = Result<Pipeline, watcher::Error>> + Send + 'static,
    stop: CancellationToken,
) {
    let work = stream.for_each_concurrent(WORKERS, |event| {
        let ctx = ctx.clone();
        async move {
            match event {
                Ok(pipeline) => reconcile(&ctx, pipeline).await,
                Err(error) => {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "the watch on Pipelines broke off; it goes on by itself"
                    );
                }
            }
        }
    });
    tokio::select! { () = stop.cancelled() => {}, () = work => {} }
}

async fn reconcile(ctx: &Context, mut pipeline: Pipeline) {
    if pipeline.meta().deletion_timestamp.is_some() {
        return;
    }
    let api: Api<Pipeline> = Api::namespaced(ctx.client.clone(), &pipeline.namespace().unwrap_or_default());
    let mut pause = Duration::from_millis(200);
    loop {
        let desired = status::of(&pipeline, jiff::Timestamp::now());
        if pipeline.status.as_ref() == Some(&desired) {
            return;
        }
        pipeline.status = Some(desired);
        match api
            .replace_status(&pipeline.name_any(), &PostParams::default(), &pipeline)
            .await
        {
            Ok(written) => return tell(ctx, &written).await,
            // a newer version is on its way through the watch
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => return,
            Err(error) => {
                ctx.metrics
                    .errors
                    .get_or_create(&Reason {
                        kind: "Pipeline",
                        reason: "persist",
                    })
                    .inc();
                warn!(
                    pipeline = pipeline.name_any(),
                    error = &error as &dyn std::error::Error,
                    ?pause,
                    "the status could not be written; will try again"
                );
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(MAX_PAUSE);
            }
        }
        pipeline.status = None;
    }
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
