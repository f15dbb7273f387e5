//! Carries out effects, in order, after the status is persisted. Every effect may be repeated.

mod pods;
pub mod seal;

use dcanary_core::Effect;
use dcanary_crds::{PipelineRun, labels};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;
use thiserror::Error;

use crate::{
    context::Context,
    failpoint::{self, Boundary, Side},
    metrics::Reason,
    reports::ServerError,
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
    #[error("{verb} ConfigMap {config_map} with sealed records")]
    Seal {
        /// `create`, `read`, `delete`.
        verb: &'static str,
        /// The ConfigMap.
        config_map: String,
        /// What happened.
        #[source]
        source: Box<kube::Error>,
    },
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
            Self::Seal { .. } => "seal",
            Self::Revoke { .. } => "revoke",
        }
    }
}

/// Whether the answer to an effect is something that the next decision looks at, without a watch telling it.
pub fn changes_what_is_seen(effect: &Effect) -> bool {
    match effect {
        Effect::HoldRun | Effect::CreatePod(_) | Effect::SealOutbox(_) | Effect::AckReports { .. } => true,
        Effect::DeletePod(_)
        | Effect::ReleasePod(_)
        | Effect::RevokeSession { .. }
        | Effect::DropSealed { .. }
        | Effect::ReleaseRun => false,
    }
}

/// Carries out effects. Pods of one plan are created at once.
///
/// # Errors
/// When one has to be repeated later.
pub async fn act(ctx: &Context, run: &PipelineRun, effects: &[Effect]) -> Result<(), ActError> {
    let creations = effects.iter().filter_map(|effect| match effect {
        Effect::CreatePod(create) => Some(async {
            failpoint::hit(Side::Before, Boundary::of(effect));
            pods::create(ctx, run, create).await;
            failpoint::hit(Side::After, Boundary::of(effect));
        }),
        _ => None,
    });
    futures::future::join_all(creations).await;
    for effect in effects {
        let boundary = Boundary::of(effect);
        ctx.metrics
            .effects
            .get_or_create(&Reason {
                kind: "PipelineRun",
                reason: boundary.name(),
            })
            .inc();
        if matches!(effect, Effect::CreatePod(_)) {
            continue;
        }
        failpoint::hit(Side::Before, boundary);
        one(ctx, run, effect).await?;
        failpoint::hit(Side::After, boundary);
    }
    Ok(())
}

async fn one(ctx: &Context, run: &PipelineRun, effect: &Effect) -> Result<(), ActError> {
    match effect {
        Effect::HoldRun => finalizer(ctx, run, true).await,
        Effect::ReleaseRun => finalizer(ctx, run, false).await,
        Effect::CreatePod(_) => Ok(()),
        Effect::DeletePod(pod) => pods::delete(ctx, run, pod).await,
        Effect::ReleasePod(pod) => pods::release(ctx, run, pod).await,
        Effect::RevokeSession { attempt } => match ctx.server.revoke(attempt).await {
            Ok(()) => Ok(()),
            Err(source) => Err(ActError::Revoke {
                attempt: attempt.clone(),
                source,
            }),
        },
        Effect::SealOutbox(seal) => seal::seal(ctx, run, seal).await,
        Effect::DropSealed { config_map } => seal::drop_sealed(ctx, config_map).await,
        Effect::AckReports { cursors } => {
            let uid = run.uid().unwrap_or_default();
            ctx.memory.with(&uid, |memory| {
                memory
                    .reports
                    .retain(|seen| !cursors.contains(&seen.entry.cursor));
            });
            ctx.acknowledgements.done(cursors);
            Ok(())
        }
    }
}

async fn finalizer(ctx: &Context, run: &PipelineRun, hold: bool) -> Result<(), ActError> {
    let name = run.name_any();
    let uid = run.uid().unwrap_or_default();
    let api: Api<PipelineRun> = Api::namespaced(ctx.client.clone(), &run.namespace().unwrap_or_default());
    let mut finalizers: Vec<String> = run
        .finalizers()
        .iter()
        .filter(|name| *name != labels::RECORDED)
        .cloned()
        .collect();
    if hold {
        finalizers.push(labels::RECORDED.to_owned());
    }
    // the version makes it a compare-and-swap: somebody else's finalizers are never lost
    let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": run.resource_version()}});
    match api
        .patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
    {
        Ok(written) => {
            if hold {
                ctx.memory.with(&uid, |memory| memory.written = Some(written));
            } else {
                ctx.memory.forget(&uid);
                let journal = run.status.as_ref().and_then(|status| status.journal.as_ref());
                if journal.is_some_and(|journal| !journal.sealed.is_empty()) {
                    ctx.left_behind.notify_one();
                }
            }
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(source) => Err(ActError::Finalizer {
            run: name,
            source: Box::new(source),
        }),
    }
}
