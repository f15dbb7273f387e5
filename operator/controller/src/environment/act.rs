//! Carries out effects, in order, after the status is persisted. Every effect may be repeated.

pub mod answer;
pub mod evidence;
#[cfg(test)]
mod more_tests;
pub mod routes;
pub mod samples;
#[cfg(test)]
mod tests;
pub mod write;

use std::{collections::BTreeSet, sync::Arc};

use dcanary_crds::{Environment, labels};
use dcanary_rollout::{Effect, Key};
use jiff::Timestamp;
use kube::{Api, ResourceExt};
use thiserror::Error;

use super::promotions;
use crate::{
    context::Context,
    failpoint::{self, EnvironmentBoundary, Side},
    journal::seal::{self, SealError},
    metrics::Reason,
    swap::{self, Swapped},
};

/// An effect could not be carried out; the Environment is tried again. A write that is refused is no error: the next decision sees it.
#[derive(Debug, Error)]
pub enum ActError {
    /// The finalizer of the Environment.
    #[error("change the finalizer of Environment {environment}")]
    Finalizer {
        /// The Environment.
        environment: String,
        /// What happened.
        #[source]
        source: Box<kube::Error>,
    },
    /// The status of a Promotion.
    #[error("write the status of Promotion {promotion}")]
    Promotion {
        /// The Promotion.
        promotion: String,
        /// What happened.
        #[source]
        source: Box<kube::Error>,
    },
    /// A ConfigMap with sealed records.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl ActError {
    /// One word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Finalizer { .. } => "finalizer",
            Self::Promotion { .. } => "promotion",
            Self::Seal(_) => "seal",
        }
    }
}

/// What came of effects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Acted {
    /// Nothing that the next decision would look at without a watch telling it.
    Done,
    /// Something that the next decision looks at: it can be made now.
    Changed,
    /// Something is newer than what was decided on: it is observed again.
    Outdated,
}

/// Carries out effects, all of them: one that fails or is refused holds up no other. Only when an object turned out to be newer than what was
/// decided on, no further object is written or deleted: what else was decided may be as old.
///
/// # Errors
/// The first failure, when one has to be repeated later.
pub async fn act(
    ctx: &Arc<Context>,
    environment: &Environment,
    effects: &[Effect],
    decided: Timestamp,
) -> Result<Acted, ActError> {
    let mut acted = Acted::Done;
    let mut failed = None;
    let mut asked = BTreeSet::new();
    // the last one: the finalizer goes only when nothing is left to do
    let (release, rest): (Vec<_>, Vec<_>) = effects
        .iter()
        .partition(|effect| matches!(effect, Effect::ReleaseEnvironment));
    for effect in rest {
        asked.extend(key(effect).cloned());
        if acted == Acted::Outdated && key(effect).is_some() {
            continue;
        }
        match guarded(ctx, environment, effect).await {
            Ok(answer) => acted = acted.max(answer),
            Err(error) => {
                failed.get_or_insert(error);
            }
        }
    }
    // evidence that is not stored yet is known to the status alone
    let stores = effects
        .iter()
        .any(|effect| matches!(effect, Effect::StoreEvidence { .. }));
    if failed.is_none() && !stores && acted < Acted::Outdated {
        for effect in release {
            acted = acted.max(guarded(ctx, environment, effect).await?);
        }
    }
    let uid = environment.uid().unwrap_or_default();
    let over = ctx
        .environments
        .memory
        .if_known(&uid, |memory| memory.refusals.tidy(&asked, decided));
    if over == Some(true) {
        acted = acted.max(Acted::Changed);
    }
    failed.map_or(Ok(acted), Err)
}

/// The object that an effect writes or deletes.
fn key(effect: &Effect) -> Option<&Key> {
    match effect {
        Effect::Write(write) => Some(&write.key),
        Effect::Delete { key, .. } => Some(key),
        Effect::HoldEnvironment
        | Effect::WritePromotion { .. }
        | Effect::Measure(_)
        | Effect::Verify(_)
        | Effect::StoreEvidence { .. }
        | Effect::SealOutbox(_)
        | Effect::DropSealed { .. }
        | Effect::ReleaseEnvironment => None,
    }
}

/// One effect, counted, with its failpoints.
async fn guarded(ctx: &Arc<Context>, environment: &Environment, effect: &Effect) -> Result<Acted, ActError> {
    let boundary = EnvironmentBoundary::of(effect);
    ctx.metrics
        .effects
        .get_or_create(&Reason {
            kind: "Environment",
            reason: boundary.name(),
        })
        .inc();
    failpoint::hit(Side::Before, boundary);
    let answer = one(ctx, environment, effect).await;
    // evidence is stored beside this, and says so itself
    if boundary != EnvironmentBoundary::StoreEvidence {
        failpoint::hit(Side::After, boundary);
    }
    answer
}

async fn one(ctx: &Arc<Context>, environment: &Environment, effect: &Effect) -> Result<Acted, ActError> {
    match effect {
        Effect::HoldEnvironment => finalizer(ctx, environment, true).await,
        Effect::ReleaseEnvironment => finalizer(ctx, environment, false).await,
        Effect::Write(write) => Ok(write::write(ctx, environment, write).await),
        Effect::Delete {
            key,
            uid,
            version,
            actor,
        } => {
            let which = write::Which {
                key,
                uid,
                version: version.as_deref(),
            };
            Ok(write::delete(ctx, environment, which, *actor).await)
        }
        Effect::WritePromotion {
            namespace,
            name,
            uid,
            status,
        } => {
            let which = promotions::Which { namespace, name, uid };
            promotions::write(ctx, environment, which, status).await
        }
        Effect::Measure(measure) => {
            samples::take(ctx, environment, measure);
            Ok(Acted::Done)
        }
        Effect::Verify(verify) => {
            routes::verify(ctx, environment, verify);
            Ok(Acted::Done)
        }
        Effect::StoreEvidence { digest, document } => {
            evidence::store(ctx, environment, digest, document);
            Ok(Acted::Done)
        }
        Effect::SealOutbox(outbox) => {
            seal::seal(ctx, environment, outbox).await?;
            Ok(Acted::Changed)
        }
        Effect::DropSealed { config_map } => {
            seal::drop_sealed(ctx, config_map).await?;
            Ok(Acted::Done)
        }
    }
}

async fn finalizer(ctx: &Context, environment: &Environment, hold: bool) -> Result<Acted, ActError> {
    let name = environment.name_any();
    let uid = environment.uid().unwrap_or_default();
    let namespace = environment.namespace().unwrap_or_default();
    let api: Api<Environment> = Api::namespaced(ctx.client.clone(), &namespace);
    let memory = &ctx.environments.memory;
    match swap::finalizer(&api, environment, labels::ENVIRONMENT_FINALIZER, hold).await {
        Ok(Swapped::Written(written)) if hold => {
            memory.with(&uid, |memory| memory.written = Some(written));
            Ok(Acted::Changed)
        }
        Ok(Swapped::Written(_)) => {
            memory.forget(&uid);
            Ok(Acted::Done)
        }
        Ok(Swapped::Gone) => Ok(Acted::Done),
        Ok(Swapped::Outdated) => {
            memory.with(&uid, |memory| memory.written = None);
            Ok(Acted::Outdated)
        }
        Err(source) => Err(ActError::Finalizer {
            environment: format!("{namespace}/{name}"),
            source,
        }),
    }
}
