//! Follows the server's list and hands each report to its run.
//!
//! ```text
//!            ┌── entries ──▶ memory of the run ─▶ wake; run not in the cache ─▶ orphans
//! wait=0 ────┤
//!   ▲        └── empty ────▶ `reports_as_of` = time of the request; the server is not away
//!   └─ asked for ── wait=30 ◀──┘
//! ```
//! Only an empty answer proves that nothing is left at the server, and it proves it for the time of its request.

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
/// Longest wait of one long poll.
const WAIT: Duration = Duration::from_secs(30);

/// Follows until cancelled. A server that is away is asked again and again; everything not acknowledged comes again.
pub async fn follow(ctx: Arc<Context>, runs: Store<PipelineRun>, stop: CancellationToken) {
    tokio::select! {
        () = acknowledge(&ctx, &stop) => {}
        () = read(&ctx, &runs, &stop) => {}
    }
}

async fn read(ctx: &Context, runs: &Store<PipelineRun>, stop: &CancellationToken) {
    let mut after = 0;
    let mut pause = MIN_PAUSE;
    let mut drained = false;
    loop {
        let asking = ctx.wanted.take();
        let wait = if drained && asking.is_empty() {
            WAIT
        } else {
            Duration::ZERO
        };
        let asked = Timestamp::now();
        let answer = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            // a long poll says nothing until it returns, so somebody who needs to know now does not wait for it
            () = ctx.wanted.asked(), if !wait.is_zero() => continue,
            answer = ctx.server.reports(after, wait) => answer,
        };
        match answer {
            Ok(reports) => {
                pause = MIN_PAUSE;
                drained = reports.reports.is_empty();
                after = reports.next.max(after);
                space(ctx, reports.store_full_since.as_deref());
                for entry in reports.reports {
                    take(ctx, runs, entry);
                }
                if drained {
                    fresh(ctx, asked);
                    for uid in asking {
                        ctx.wake(&uid);
                    }
                } else {
                    ctx.wanted.put_back(asking);
                }
            }
            Err(error) => {
                drained = false;
                ctx.wanted.put_back(asking);
                away(ctx, &error);
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(MAX_PAUSE);
            }
        }
    }
}

/// Gives a report to its run. One whose run the cache does not have is kept too: the cache may be behind, and only a list from the API
/// server proves that the run is gone.
pub(crate) fn take(ctx: &Context, runs: &Store<PipelineRun>, entry: ReportEntry) {
    let uid = entry.run_uid.clone();
    ctx.acknowledgements.received(entry.cursor);
    let object = ObjectRef::<PipelineRun>::new(&entry.run).within(&entry.namespace);
    let known = runs
        .get(&object)
        .is_some_and(|run| run.uid().as_deref() == Some(uid.as_str()));
    ctx.memory.with(&uid, |memory| {
        if known {
            memory.object.get_or_insert_with(|| object.clone());
        }
        memory.reported(SeenReport {
            entry,
            received: Timestamp::now(),
        });
    });
    if known {
        // the receiver lives as long as the controller
        let _ = ctx.wake.send(object);
    } else {
        ctx.orphaned.notify_one();
    }
}

/// Every report that the server had at this time is in memory.
fn fresh(ctx: &Context, asked: Timestamp) {
    ctx.reports_as_of.send_replace(Some(asked));
    let came = ctx.server_away.send_if_modified(|since| since.take().is_some());
    if came {
        info!("the server answers");
    }
}

/// What the server says about its store.
fn space(ctx: &Context, full_since: Option<&str>) {
    // a time that cannot be read still says that it is full
    let full = full_since.map(|since| since.parse().unwrap_or_else(|_| Timestamp::now()));
    ctx.store_full.send_if_modified(|known| {
        let changed = known.is_some() != full.is_some();
        if changed {
            *known = full;
        }
        changed
    });
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

async fn acknowledge(ctx: &Context, stop: &CancellationToken) {
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
