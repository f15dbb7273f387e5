//! Carries out effects, in order, after the status is persisted. Every effect may be repeated.

mod deployments;
pub mod pods;
#[cfg(test)]
mod tests;

use dcanary_core::Effect;
use dcanary_crds::{PipelineRun, labels};
use kube::{Api, ResourceExt};
use thiserror::Error;

use crate::{
    context::Context,
    failpoint::{self, Boundary, Side},
    journal::seal::{self, SealError},
    metrics::Reason,
    reports::ServerError,
    swap::{self, Swapped},
};

/// An effect could not be carried out; the run is tried again.
#[derive(Debug, Error)]
pub enum ActError {
    /// The finalizer of the run.
    #[error("change the finalizer of run {run}")]
    Finalizer {
        /// The run.
        run: String,
        /// What happened.
        #[source]
        source: Box<kube::Error>,
    },
    /// A Pod.
    #[error("{verb} Pod {pod}")]
    Pod {
        /// `delete`, `release`.
        verb: &'static str,
        /// The Pod.
        pod: String,
        /// What happened.
        #[source]
        source: Box<kube::Error>,
    },
    /// A ConfigMap with sealed records.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The server.
    #[error("revoke the session of attempt {attempt}")]
    Revoke {
        /// The attempt.
        attempt: String,
        /// What happened.
        #[source]
        source: ServerError,
    },
}

impl ActError {
    /// One word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Finalizer { .. } => "finalizer",
            Self::Pod { .. } => "pod",
            Self::Seal(_) => "seal",
            Self::Revoke { .. } => "revoke",
        }
    }
}

/// Whether the answer to an effect is something that the next decision looks at, without a watch telling it.
pub fn changes_what_is_seen(effect: &Effect) -> bool {
    match effect {
        Effect::HoldRun
        | Effect::CreatePod(_)
        | Effect::Deploy(_)
        | Effect::SealOutbox(_)
        | Effect::AckReports { .. } => true,
        Effect::DeletePod(_)
        | Effect::ReleasePod(_)
        | Effect::RevokeSession { .. }
        | Effect::DropSealed { .. }
        | Effect::ReleaseRun => false,
    }
}

/// How far the effects of a plan came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acted {
    /// All are carried out.
    All,
    /// The run is newer than what was decided on; it is decided again.
    Outdated,
}

/// Carries out effects, all of them: one that fails holds up no other. Pods of one plan are created at once, and sessions are revoked at
/// once, because a server that is away lets each of them wait.
///
/// # Errors
/// The first failure, when one has to be repeated later.
pub async fn act(ctx: &Context, run: &PipelineRun, effects: &[Effect]) -> Result<Acted, ActError> {
    let (creations, mut rest): (Vec<_>, Vec<_>) = effects
        .iter()
        .partition(|effect| matches!(effect, Effect::CreatePod(_)));
    // the last one: the finalizer of the run goes only when nothing is left to do
    let release = rest.extract_if(.., |effect| matches!(effect, Effect::ReleaseRun));
    let release: Vec<_> = release.collect();
    let revocations: Vec<_> = rest
        .extract_if(.., |effect| matches!(effect, Effect::RevokeSession { .. }))
        .collect();
    let mut all = Tally::default();
    at_once(ctx, run, &creations, &mut all).await;
    for effect in rest {
        all.add(guarded(ctx, run, effect).await);
    }
    at_once(ctx, run, &revocations, &mut all).await;
    if all.failed.is_none() && !all.outdated {
        for effect in release {
            all.add(guarded(ctx, run, effect).await);
        }
    }
    match all.failed {
        Some(error) => Err(error),
        None if all.outdated => Ok(Acted::Outdated),
        None => Ok(Acted::All),
    }
}

/// What became of several effects.
#[derive(Default)]
struct Tally {
    failed: Option<ActError>,
    outdated: bool,
}

impl Tally {
    fn add(&mut self, answer: Result<Acted, ActError>) {
        match answer {
            Ok(Acted::All) => {}
            Ok(Acted::Outdated) => self.outdated = true,
            Err(error) => {
                self.failed.get_or_insert(error);
            }
        }
    }
}

async fn at_once(ctx: &Context, run: &PipelineRun, effects: &[&Effect], all: &mut Tally) {
    let answers = effects.iter().map(|effect| guarded(ctx, run, effect));
    for answer in futures::future::join_all(answers).await {
        all.add(answer);
    }
}

/// One effect, counted, with its failpoints.
async fn guarded(ctx: &Context, run: &PipelineRun, effect: &Effect) -> Result<Acted, ActError> {
    let boundary = Boundary::of(effect);
    ctx.metrics
        .effects
        .get_or_create(&Reason {
            kind: "PipelineRun",
            reason: boundary.name(),
        })
        .inc();
    failpoint::hit(Side::Before, boundary);
    let answer = one(ctx, run, effect).await;
    failpoint::hit(Side::After, boundary);
    answer
}

async fn one(ctx: &Context, run: &PipelineRun, effect: &Effect) -> Result<Acted, ActError> {
    let namespace = run.namespace().unwrap_or_default();
    match effect {
        Effect::HoldRun => return finalizer(ctx, run, true).await,
        Effect::ReleaseRun => return finalizer(ctx, run, false).await,
        Effect::CreatePod(create) => pods::create(ctx, run, create).await,
        Effect::Deploy(deploy) => deployments::deploy(ctx, run, deploy).await,
        Effect::DeletePod(pod) => pods::delete(ctx, &namespace, pod).await?,
        Effect::ReleasePod(pod) => pods::release(ctx, &namespace, pod).await?,
        Effect::RevokeSession { attempt } => {
            let answer = ctx.server.revoke(attempt).await;
            answer.map_err(|source| ActError::Revoke {
                attempt: attempt.clone(),
                source,
            })?;
        }
        Effect::SealOutbox(seal) => seal::seal(ctx, run, seal).await?,
        Effect::DropSealed { config_map } => seal::drop_sealed(ctx, config_map).await?,
        Effect::AckReports { cursors } => {
            let uid = run.uid().unwrap_or_default();
            ctx.memory.with(&uid, |memory| memory.settle(cursors));
            ctx.acknowledgements.done(cursors);
        }
    }
    Ok(Acted::All)
}

async fn finalizer(ctx: &Context, run: &PipelineRun, hold: bool) -> Result<Acted, ActError> {
    let name = run.name_any();
    let uid = run.uid().unwrap_or_default();
    let api: Api<PipelineRun> = Api::namespaced(ctx.client.clone(), &run.namespace().unwrap_or_default());
    match swap::finalizer(&api, run, labels::RECORDED, hold).await {
        Ok(Swapped::Written(written)) => {
            if hold {
                ctx.memory.with(&uid, |memory| memory.written = Some(written));
            } else {
                // the run has ended and its status is final: reports that came meanwhile are of no concern
                ctx.acknowledgements.done(&ctx.memory.forget(&uid));
            }
            Ok(Acted::All)
        }
        Ok(Swapped::Gone) => Ok(Acted::All),
        Ok(Swapped::Outdated) => {
            ctx.memory.with(&uid, |memory| memory.written = None);
            Ok(Acted::Outdated)
        }
        Err(source) => Err(ActError::Finalizer { run: name, source }),
    }
}
