//! Runs: observe → decide → persist → act → report.
//!
//! ```text
//! cache, memory ─▶ observe ─▶ core::next ─▶ persist ─▶ act ─▶ report
//!                                             │ 409: observe and decide again, act on nothing
//! ```

pub mod act;
pub mod observe;
pub mod persist;
pub mod report;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration, time::Instant};

use dcanary_core::{Effect, Wake, next};
use dcanary_crds::{PipelineRun, labels};
use jiff::Timestamp;
use kube::{ResourceExt, runtime::controller::Action};
use thiserror::Error;
use tracing::{Instrument, debug, info_span};

use crate::{backoff, context::Context, failpoint, journal, metrics::Reason, swap::Swapped};

/// Safety net: a run that nothing wakes is looked at after this time.
const RESYNC: Duration = Duration::from_secs(300);
/// Pause until the cache has what somebody else wrote.
const SOON: Duration = Duration::from_millis(50);
/// Most steps in one go, so that one run cannot keep a worker.
const STEPS: usize = 16;

/// Why a reconcile failed. The run is tried again with growing pauses.
#[derive(Debug, Error)]
pub enum RunError {
    /// The status could not be written.
    #[error(transparent)]
    Persist(#[from] persist::PersistError),
    /// An effect could not be carried out.
    #[error(transparent)]
    Act(#[from] act::ActError),
}

impl RunError {
    /// One word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Persist(_) => "persist",
            Self::Act(error) => error.reason(),
        }
    }
}

/// Reconciles one run.
///
/// # Errors
/// When the API server or the server refuses something that has to be tried again.
pub async fn reconcile(cached: Arc<PipelineRun>, ctx: Arc<Context>) -> Result<Action, RunError> {
    let span = info_span!(
        "reconcile",
        k8s.namespace.name = cached.namespace().unwrap_or_default(),
        cicd.pipeline.run.id = cached.uid().unwrap_or_default(),
        run = cached.name_any(),
    );
    let started = Instant::now();
    let result = steps(&cached, &ctx).instrument(span).await;
    if result.is_ok() {
        ctx.memory.went_well(&cached.uid().unwrap_or_default());
    }
    ctx.metrics.reconcile.observe(started.elapsed().as_secs_f64());
    result
}

async fn steps(cached: &PipelineRun, ctx: &Context) -> Result<Action, RunError> {
    for _ in 0..STEPS {
        let run = ctx.memory.freshest(cached);
        let now = Timestamp::now();
        let seen = observe::observe(ctx, &run, now);
        let ended_before = report::ended(&run).is_some();
        let plan = next(&run, &seen, now);
        let run = match persist::persist(ctx, &run, &plan).await? {
            Some(Swapped::Written(written)) => written,
            None => run,
            Some(Swapped::Outdated) => {
                ctx.metrics.conflicts.inc();
                debug!("the status changed meanwhile; deciding again when the cache has it");
                // the newer object is on its way to the cache and wakes the run; a short requeue covers the case that it came already
                return Ok(Action::requeue(SOON));
            }
            Some(Swapped::Gone) => return Ok(Action::await_change()),
        };
        journal::hand_over(ctx, &run);
        let released = plan
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::ReleaseRun));
        let acted = act::act(ctx, &run, &plan.effects).await;
        // the status has it, so people are told whatever became of the effects
        report::report(ctx, ended_before, &run, &plan).await;
        if acted? == act::Acted::Outdated {
            return Ok(Action::requeue(SOON));
        }
        if released {
            return Ok(Action::await_change());
        }
        if plan.effects.is_empty() && plan.wake == Wake::OnChange && is_over(&run) {
            return Ok(Action::await_change());
        }
        if plan.effects.is_empty() || !plan.effects.iter().any(act::changes_what_is_seen) {
            return Ok(wait(plan.wake, now));
        }
    }
    Ok(Action::requeue(Duration::from_millis(10)))
}

/// Whether nothing will ever be done for a run again, unless somebody changes it.
fn is_over(run: &PipelineRun) -> bool {
    let ended = run
        .status
        .as_ref()
        .is_some_and(|status| status.finished_at.is_some());
    ended && !run.finalizers().iter().any(|name| name == labels::RECORDED)
}

fn wait(wake: Wake, now: Timestamp) -> Action {
    match wake {
        Wake::OnChange => Action::requeue(RESYNC),
        Wake::At(at) => {
            let pause = Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO);
            Action::requeue(pause.clamp(Duration::from_millis(1), RESYNC))
        }
    }
}

/// Back-off after an error: growing with each failure of the same run, with jitter, reset by success.
pub fn error_policy(run: Arc<PipelineRun>, error: &RunError, ctx: Arc<Context>) -> Action {
    ctx.metrics
        .errors
        .get_or_create(&Reason {
            kind: "PipelineRun",
            reason: error.reason(),
        })
        .inc();
    let uid = run.uid().unwrap_or_default();
    let failures = ctx.memory.with(&uid, |memory| {
        memory.failures = memory.failures.saturating_add(1);
        memory.failures
    });
    let pause = backoff::pause(failures - 1);
    tracing::warn!(
        run = run.name_any(),
        error = error as &dyn std::error::Error,
        ?pause,
        "will try again"
    );
    Action::requeue(pause)
}

/// Boundary of the status write, for tests that kill the operator.
pub(crate) fn status_boundary(side: failpoint::Side) {
    failpoint::hit(side, failpoint::Boundary::WriteStatus);
}
