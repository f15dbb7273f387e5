//! Environments: observe → decide → persist → act → report.
//!
//! ```text
//! caches, reads by name, memory ─▶ observe ─▶ rollout::next ─▶ persist ─▶ act ─▶ report
//!                                                                │ 409: observe and decide again, act on nothing
//! ```
//! What is written for an Environment is written as its own service account: the operator lends nobody its rights.

pub mod accounts;
pub mod act;
pub mod gateways;
pub mod index;
pub mod kinds;
pub mod memory;
pub mod missing;
#[cfg(test)]
mod missing_tests;
pub mod namespace;
pub mod nowhere;
pub mod objects;
pub mod observe;
pub mod persist;
pub mod places;
pub mod policies;
pub mod promotions;
pub mod refusals;
pub mod report;
pub mod routes;
pub mod run;
pub mod secrets;
pub mod state;
#[cfg(test)]
mod tests;
pub mod watch;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use dcanary_core::Wake;
use dcanary_crds::{Environment, labels};
use dcanary_rollout::{Effect, named, next};
use jiff::Timestamp;
use kube::{ResourceExt, runtime::controller::Action};
use thiserror::Error;
use tracing::{Instrument, debug, info_span};

use crate::{backoff, context::Context, journal, metrics::Reason, swap::Swapped};
pub use state::{Environments, Stores};

/// Safety net: an Environment that nothing wakes is looked at after this time.
const RESYNC: Duration = Duration::from_secs(300);
/// Pause until the cache has what somebody else wrote.
const SOON: Duration = Duration::from_millis(50);
/// Most steps in one go, so that one Environment cannot keep a worker.
const STEPS: usize = 16;
/// Pause after so many steps.
const BREATH: Duration = Duration::from_millis(100);

/// Why a reconcile failed. The Environment is tried again with growing pauses.
#[derive(Debug, Error)]
pub enum EnvironmentError {
    /// Something that the status names could not be looked for.
    #[error(transparent)]
    Missing(#[from] missing::MissingError),
    /// The status could not be written.
    #[error(transparent)]
    Persist(#[from] persist::PersistError),
    /// An effect could not be carried out.
    #[error(transparent)]
    Act(#[from] act::ActError),
}

impl EnvironmentError {
    /// One word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing(_) => "observe",
            Self::Persist(_) => "persist",
            Self::Act(error) => error.reason(),
        }
    }
}

/// Reconciles one Environment.
///
/// # Errors
/// When the API server or the server refuses something that has to be tried again.
pub async fn reconcile(cached: Arc<Environment>, ctx: Arc<Context>) -> Result<Action, EnvironmentError> {
    let span = info_span!(
        "reconcile",
        k8s.namespace.name = cached.namespace().unwrap_or_default(),
        environment = cached.name_any(),
        uid = cached.uid().unwrap_or_default(),
    );
    let started = Instant::now();
    let result = steps(&cached, &ctx).instrument(span).await;
    if result.is_ok() {
        ctx.environments
            .memory
            .went_well(&cached.uid().unwrap_or_default());
    }
    ctx.metrics.reconcile.observe(started.elapsed().as_secs_f64());
    result
}

async fn steps(cached: &Environment, ctx: &Arc<Context>) -> Result<Action, EnvironmentError> {
    for _ in 0..STEPS {
        let environment = ctx.environments.memory.freshest(cached);
        if is_over(&environment) {
            return Ok(Action::await_change());
        }
        let observed = observe::observe(ctx, &environment).await?;
        let now = Timestamp::now();
        let before = environment.status.as_ref().and_then(report::outcome);
        let plan = next(&environment, &observed.seen, now);
        let begun = named::begun(&environment, &plan.status);
        if missing::has_ended(ctx, &environment, begun).await? {
            debug!("the cache is behind: a promotion has ended already; deciding again");
            return Ok(Action::requeue(SOON));
        }
        let environment = match persist::persist(ctx, &environment, &plan).await? {
            Some(Swapped::Written(written)) => written,
            None => environment,
            Some(Swapped::Outdated) => {
                ctx.metrics.conflicts.inc();
                debug!("the status changed meanwhile; deciding again when the cache has it");
                // the newer object is on its way to the cache and wakes us; a short requeue covers the case that it came already
                return Ok(Action::requeue(SOON));
            }
            Some(Swapped::Gone) => return Ok(Action::await_change()),
        };
        journal::hand_over(ctx, &environment);
        let released = plan
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::ReleaseEnvironment));
        let acted = act::act(ctx, &environment, &plan.effects, now).await;
        // the status has it, so people are told whatever became of the effects
        report::report(ctx, before.as_ref(), &environment, &plan).await;
        let acted = acted.inspect_err(|_| {
            // what failed holds up nothing else: the decision is made anew when it was to be
            let pause = pause(ctx, &environment, plan.wake, observed.again, now);
            let due = Instant::now() + pause;
            let uid = environment.uid().unwrap_or_default();
            ctx.environments
                .memory
                .if_known(&uid, |memory| memory.due = Some(due));
        })?;
        match acted {
            act::Acted::Outdated => return Ok(Action::requeue(SOON)),
            act::Acted::Changed => {}
            act::Acted::Done if released => return Ok(Action::await_change()),
            act::Acted::Done => {
                let pause = pause(ctx, &environment, plan.wake, observed.again, now);
                return Ok(Action::requeue(pause));
            }
        }
    }
    Ok(Action::requeue(BREATH))
}

/// Whether nothing will ever be done for an Environment again: it is being deleted, and we let it go.
fn is_over(environment: &Environment) -> bool {
    let held = environment
        .finalizers()
        .iter()
        .any(|name| name == labels::ENVIRONMENT_FINALIZER);
    environment.metadata.deletion_timestamp.is_some() && !held
}

/// Until the earliest of: what the decision asked for, what is read by name, and writes that are tried again.
fn pause(
    ctx: &Context,
    environment: &Environment,
    wake: Wake,
    again: Option<Duration>,
    now: Timestamp,
) -> Duration {
    let uid = environment.uid().unwrap_or_default();
    let retry = ctx
        .environments
        .memory
        .if_known(&uid, |memory| memory.refusals.next())
        .flatten();
    let planned = match wake {
        Wake::OnChange => None,
        Wake::At(at) => Some(at),
    };
    let until = |at: Timestamp| Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO);
    let pause = [planned.map(until), retry.map(until), again]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(RESYNC);
    pause.clamp(Duration::from_millis(10), RESYNC)
}

/// Back-off after an error: growing with each failure of the same Environment, with jitter, reset by success. It is never longer than until the
/// time at which the last decision wanted to be made again: a server that is away delays no rollback.
pub fn error_policy(environment: Arc<Environment>, error: &EnvironmentError, ctx: Arc<Context>) -> Action {
    ctx.metrics
        .errors
        .get_or_create(&Reason {
            kind: "Environment",
            reason: error.reason(),
        })
        .inc();
    let uid = environment.uid().unwrap_or_default();
    let (failures, due) = ctx.environments.memory.with(&uid, |memory| {
        memory.failures = memory.failures.saturating_add(1);
        (memory.failures, memory.due.take())
    });
    let mut pause = backoff::pause(failures - 1);
    if let Some(due) = due {
        let until = due.saturating_duration_since(Instant::now());
        pause = pause.min(until.max(backoff::pause(0)));
    }
    tracing::warn!(
        environment = environment.name_any(),
        error = error as &dyn std::error::Error,
        ?pause,
        "will try again"
    );
    Action::requeue(pause)
}
