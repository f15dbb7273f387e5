//! The server of build Pods, the operator and readers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use dcanary_server::auth::kubernetes::Kubernetes;
use dcanary_server::config::Config;
use dcanary_server::core::Core;
use dcanary_server::http::gate::Gate;
use dcanary_server::http::tls::Tls;
use dcanary_server::http::{router, serve};
use dcanary_server::metrics::Metrics;
use dcanary_server::store::Store;
use dcanary_server::store::volume::Volume;
use dcanary_server::sweep::{self, Rhythm};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    tracing_subscriber::fmt()
        .json()
        .with_env_filter(tracing_subscriber::EnvFilter::new(&config.log))
        .with_writer(std::io::stderr)
        .init();
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        tracing::debug!("a cryptography provider was installed before");
    }
    let metrics = Metrics::default();
    let stopping = CancellationToken::new();
    let gate = Arc::new(Gate::new(stopping.clone()));
    let tls = Arc::new(Tls::load(config.tls()).context("load the certificate")?);
    let listener = TcpListener::bind(config.listen).await.context("listen")?;
    let plain = TcpListener::bind(config.metrics_listen)
        .await
        .context("listen for metrics")?;
    tokio::spawn(Arc::clone(&tls).watch());
    tokio::spawn(serve::metrics(plain, metrics.clone(), Arc::clone(&gate)));
    stop_on_signal(stopping.clone())?;
    let serving = tokio::spawn(serve::protocol(
        listener,
        tls,
        Arc::clone(&gate),
        config.serving(),
        metrics.clone(),
    ));
    let opened = tokio::select! {
        opened = open(&config, metrics, stopping.clone()) => opened?,
        () = stopping.cancelled() => None,
    };
    let Some(core) = opened else {
        tracing::info!("stopped before it served");
        return Ok(());
    };
    gate.open(router(Arc::clone(&core)));
    tracing::info!(address = %config.listen, "serving");
    let every = Duration::from_secs(config.sweep_minutes * 60);
    tokio::spawn(sweep::watch(Arc::clone(&core), Rhythm::every(every)));
    tokio::select! {
        ended = serving => ended.context("serve")?,
        () = broken(&core) => anyhow::bail!("the volume failed; a restart recovers what was acknowledged"),
    }
    let store = Arc::clone(&core.store);
    tokio::task::spawn_blocking(move || store.commits.close())
        .await
        .context("close the store")?;
    tracing::info!("stopped");
    Ok(())
}

/// `None` when the server was told to stop before it had the volume.
async fn open(
    config: &Config,
    metrics: Metrics,
    stopping: CancellationToken,
) -> anyhow::Result<Option<Arc<Core>>> {
    let found = kube::Config::infer().await.context("find the API server")?;
    let cluster = Kubernetes::new(found).context("find the API server")?;
    let config = config.clone();
    // The one before may still be ending; what is running in a blocking thread keeps the program from ending.
    let volume = Volume::wait(&config.data, &stopping).await;
    let Some(volume) = volume.context("open the volume")? else {
        return Ok(None);
    };
    let core = tokio::task::spawn_blocking(move || -> anyhow::Result<Core> {
        let registries = config
            .registries()
            .context("read certificate authorities of registries")?;
        let store = Store::open(
            Arc::new(volume),
            config.commits(),
            config.reserve(),
            metrics.store.clone(),
        )?;
        let (limits, settings) = (config.limits(), config.settings());
        let core = Core::new(
            Arc::new(store),
            Arc::new(cluster),
            registries,
            limits,
            settings,
            metrics,
        )
        .context("read the volume")?;
        Ok(Core { stopping, ..core })
    });
    Ok(Some(Arc::new(core.await.context("open the volume")??)))
}

fn stop_on_signal(stopping: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        stopping.cancel();
    });
    Ok(())
}

async fn broken(core: &Core) {
    while !core.store.commits.is_broken() {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
