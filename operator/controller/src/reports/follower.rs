//! Follows the server's list and hands each report to its run.

use std::{sync::Arc, time::Duration};

use dcanary_core::observed::SeenReport;
use dcanary_crds::PipelineRun;
use dcanary_protocol::report::ReportEntry;
use jiff::Timestamp;
use kube::{ResourceExt, runtime::reflector::ObjectRef, runtime::reflector::Store};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::context::Context;

const MIN_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Follows until cancelled. A server that is away is asked again and again; everything not acknowledged comes again.
pub async fn follow(ctx: Arc<Context>, runs: Store<PipelineRun>, stop: CancellationToken) {
    let acknowledge = tokio::spawn(acknowledge(ctx.clone(), stop.clone()));
    let mut after = 0;
    let mut pause = MIN_PAUSE;
    loop {
        let answer = tokio::select! {
            () = stop.cancelled() => break,
            answer = ctx.server.reports(after) => answer,
        };
        match answer {
            Ok(reports) => {
                back(&ctx);
                pause = MIN_PAUSE;
                for entry in reports.reports {
                    take(&ctx, &runs, entry);
                }
                after = reports.next.max(after);
            }
            Err(error) => {
                away(&ctx, &error);
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(MAX_PAUSE);
            }
        }
    }
    acknowledge.abort();
}

/// Gives a report to its run, or acknowledges it at once when that run is gone.
fn take(ctx: &Context, runs: &Store<PipelineRun>, entry: ReportEntry) {
    let (uid, cursor) = (entry.run_uid.clone(), entry.cursor);
    ctx.acknowledgements.received(cursor);
    let object = ObjectRef::<PipelineRun>::new(&entry.run).within(&entry.namespace);
    let known = runs
        .get(&object)
        .is_some_and(|run| run.uid().as_deref() == Some(uid.as_str()));
    if !known {
        ctx.acknowledgements.done(&[cursor]);
        return;
    }
    ctx.memory.with(&uid, |memory| {
        memory.object.get_or_insert_with(|| object.clone());
        if memory.reports.iter().all(|seen| seen.entry.cursor != cursor) {
            memory.reports.push(SeenReport {
                entry,
                received: Timestamp::now(),
            });
        }
    });
    // the receiver lives as long as the controller
    let _ = ctx.wake.send(object);
}

fn away(ctx: &Context, error: &crate::reports::ServerError) {
    let began = ctx.server_away.send_if_modified(|since| {
        let began = since.is_none();
        since.get_or_insert_with(Timestamp::now);
        began
    });
    if began {
        warn!(
            error = error as &dyn std::error::Error,
            "the server is away; runs go on with what the kubelet tells"
        );
    }
}

fn back(ctx: &Context) {
    let came = ctx.server_away.send_if_modified(|since| since.take().is_some());
    if came {
        info!("the server answers");
    }
}

async fn acknowledge(ctx: Arc<Context>, stop: CancellationToken) {
    let mut safe = ctx.acknowledgements.safe();
    while safe.changed().await.is_ok() {
        let cursor = *safe.borrow_and_update();
        let mut pause = MIN_PAUSE;
        while let Err(error) = ctx.server.acknowledge(cursor).await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                cursor,
                "acknowledging later"
            );
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }
}
