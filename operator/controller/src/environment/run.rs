//! The controller of Environments.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt;
use kube::runtime::{
    Controller,
    controller::{Config as ControllerConfig, Error as ControllerError},
};
use tokio_stream::wrappers::{UnboundedReceiverStream, WatchStream};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{error_policy, reconcile, secrets::IdentityKey, watch::Watched};
use crate::{backoff, cache, context::Context, ledger::chain};

/// Reconciles at once.
const WORKERS: u16 = 32;
/// The caches are filled in this time, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(120);

/// Reconciles Environments until told to stop.
///
/// # Errors
/// When the caches are not filled, or the watch on Environments ends.
pub async fn run(ctx: Arc<Context>, watched: Watched, stop: CancellationToken) -> Result<()> {
    let prepared = async {
        let filled = futures::future::join_all(watched.listed.into_iter().map(cache::filled));
        let filled = tokio::time::timeout(PATIENCE, filled).await.context(
            "the caches of Environments were not filled in two minutes: are the CRDs installed, and may the operator list what they watch?",
        )?;
        ensure!(
            filled.into_iter().all(|filled| filled),
            "a watch ended before its first list"
        );
        identity_key(&ctx).await;
        Ok(())
    };
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        prepared = prepared => prepared?,
    }
    let store = ctx.environments.stores.environments.clone();
    let woken = ctx
        .environments
        .woken()
        .context("there is a controller of Environments already")?;
    let ledger = WatchStream::from_changes(ctx.ledger_waiting.subscribe()).map(drop);
    info!("reconciling Environments");
    Controller::for_stream(watched.environments, store)
        .with_config(ControllerConfig::default().concurrency(WORKERS))
        .reconcile_on(UnboundedReceiverStream::new(woken))
        .reconcile_all_on(ledger)
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(reconcile, error_policy, ctx)
        .for_each(|result| async move {
            match result {
                Ok(_) | Err(ControllerError::ObjectNotFound(_) | ControllerError::ReconcilerFailed(..)) => {}
                Err(error) => warn!(
                    error = &error as &dyn std::error::Error,
                    "a watch broke off; it goes on by itself"
                ),
            }
        })
        .await;
    ensure!(stop.is_cancelled(), "the watch on Environments ended");
    Ok(())
}

/// Reads or makes the key for digests of Secrets, again and again until it works.
async fn identity_key(ctx: &Context) {
    let mut failures = 0;
    loop {
        match IdentityKey::load(&ctx.client, &ctx.config).await {
            Ok(key) => {
                // nobody else sets it
                let _ = ctx.environments.identity_key.set(key);
                return;
            }
            Err(error) => {
                let pause = backoff::pause(failures);
                failures = failures.saturating_add(1);
                warn!(
                    error = chain(&error),
                    ?pause,
                    "the key for digests of Secrets cannot be had; will try again"
                );
                tokio::time::sleep(pause).await;
            }
        }
    }
}
