//! Puts the parts together and runs them until told to stop.

use std::{sync::Arc, sync::OnceLock, time::Duration};

use anyhow::{Context as _, Result};
use dcanary_core::Settings;
use dcanary_crds::{ClusterExecutor, Executor, Pipeline, PipelineRun};
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Resource,
    runtime::{
        Controller, WatchStreamExt,
        controller::{Config as ControllerConfig, Error as ControllerError},
        events::{Recorder as Events, Reporter},
        reflector::{self, ObjectRef, Store},
        watcher::{self, watcher},
    },
};
use serde::de::DeserializeOwned;
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc, watch},
    task::JoinSet,
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    config::Config,
    context::{Context, Stores},
    delivery, health, ledger,
    memory::Memory,
    metrics::Metrics,
    pipeline, pods,
    reports::{self, Acknowledgements, ServerClient},
    run,
};

/// Reconciles at once.
const WORKERS: u16 = 32;
/// How often memory of runs that are gone is dropped.
const SWEEP: Duration = Duration::from_secs(60);

/// Runs the operator until `stop`.
///
/// # Errors
/// When something that it cannot do without is missing.
pub async fn run(config: Config, stop: CancellationToken) -> Result<()> {
    let client = Client::try_default().await.context("no way to the API server")?;
    let metrics = Metrics::new();
    let (ready, readiness) = watch::channel(false);
    let listener = TcpListener::bind(config.metrics_listen)
        .await
        .context("listen for health and metrics")?;
    let mut tasks = JoinSet::new();
    tasks.spawn(health::serve(listener, metrics.clone(), readiness, stop.clone()));

    let authority = std::fs::read(&config.server_ca_file).with_context(|| {
        format!(
            "read the server's certificate authority {}",
            config.server_ca_file.display()
        )
    })?;
    let server = ServerClient::new(
        &config.server_url,
        &authority,
        config.server_ca_file.clone(),
        config.server_token_file.clone(),
    )?;
    let settings = Settings {
        project: config.project.clone(),
        runner_image: config.runner_image.clone(),
        delivery: delivery::decide(&client, &config).await?,
        server_url: config.server_url.clone(),
        server_ca: String::from_utf8(authority).context("the server's certificate authority is no PEM")?,
        runner_pull_policy: Some(config.runner_pull_policy.clone()).filter(|policy| !policy.is_empty()),
        ..Settings::default()
    };

    let (pipelines, pipeline_stream) = cache::<Pipeline>(Api::all(client.clone()));
    let (executors, executor_stream) = cache::<Executor>(Api::all(client.clone()));
    let (cluster_executors, cluster_executor_stream) = cache::<ClusterExecutor>(Api::all(client.clone()));
    let (wake, woken) = mpsc::unbounded_channel::<ObjectRef<PipelineRun>>();
    let reporter = Reporter {
        controller: "dcanary-operator".into(),
        instance: std::env::var("HOSTNAME").ok(),
    };
    let ctx = Arc::new(Context {
        events: Events::new(client.clone(), reporter),
        settings: Arc::new(settings),
        stores: Stores {
            pipelines,
            executors,
            cluster_executors,
        },
        memory: Memory::default(),
        wake,
        server,
        acknowledgements: Acknowledgements::default(),
        server_away: watch::Sender::new(None),
        recorder: OnceLock::new(),
        ledger_waiting: watch::Sender::new(None),
        left_behind: Notify::new(),
        metrics,
        client: client.clone(),
        config,
    });

    // runs that wait for one of these are looked at again
    let waking = |ctx: &Arc<Context>| {
        let ctx = ctx.clone();
        move || ctx.wake_waiting()
    };
    let wake = waking(&ctx);
    tasks.spawn(drain(executor_stream.inspect(move |_| wake())));
    let wake = waking(&ctx);
    tasks.spawn(drain(cluster_executor_stream.inspect(move |_| wake())));
    let wake = waking(&ctx);
    let pipeline_stream = pipeline_stream.inspect(move |_| wake());
    let (pods_listed, pods_ready) = watch::channel(false);
    tasks.spawn({
        let (ctx, api) = (ctx.clone(), Api::<Pod>::all(client.clone()));
        async move {
            pods::follow(ctx, api, pods_listed).await;
            Ok(())
        }
    });
    tasks.spawn({
        let (ctx, stop) = (ctx.clone(), stop.clone());
        async move {
            pipeline::follow(ctx, pipeline_stream, stop).await;
            Ok(())
        }
    });

    // a run is decided on only when the caches that it looks at are filled
    wait_for_caches(&ctx, pods_ready, &stop).await?;
    let changes = settings_changes(&ctx);
    let (runs_listed, runs_ready) = watch::channel(false);
    let (store, runs) = listed_cache(Api::<PipelineRun>::all(client), runs_listed);
    let controller = Controller::for_stream(runs, store.clone())
        .with_config(ControllerConfig::default().concurrency(WORKERS))
        .reconcile_on(UnboundedReceiverStream::new(woken))
        .reconcile_all_on(changes)
        .graceful_shutdown_on(stop.clone().cancelled_owned());
    tasks.spawn({
        let (ctx, store, stop, mut listed) = (ctx.clone(), store.clone(), stop.clone(), runs_ready.clone());
        async move {
            // reports of runs that the cache does not know yet would be taken for reports of runs that are gone
            if listed.wait_for(|listed| *listed).await.is_ok() {
                reports::follow(ctx, store, stop).await;
            }
            Ok(())
        }
    });
    tasks.spawn({
        let (ctx, store, stop) = (ctx.clone(), store.clone(), stop.clone());
        async move {
            ledger::start(ctx, store, stop).await;
            Ok(())
        }
    });
    tasks.spawn(sweep(ctx.clone(), store, runs_ready));
    ready.send_replace(true);
    info!(version = env!("CARGO_PKG_VERSION"), "serving");
    controller
        .run(run::reconcile, run::error_policy, ctx)
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
    tasks.abort_all();
    Ok(())
}

async fn wait_for_caches(
    ctx: &Context,
    mut pods: watch::Receiver<bool>,
    stop: &CancellationToken,
) -> Result<()> {
    let filled = async {
        ctx.stores.pipelines.wait_until_ready().await?;
        ctx.stores.executors.wait_until_ready().await?;
        ctx.stores.cluster_executors.wait_until_ready().await?;
        pods.wait_for(|ready| *ready)
            .await
            .context("the watch on Pods ended")?;
        anyhow::Ok(())
    };
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        result = filled => result,
        () = tokio::time::sleep(Duration::from_secs(120)) => {
            anyhow::bail!("the caches were not filled in two minutes: are the CRDs installed, and may the operator list them?")
        }
    }
}

/// A cache and the stream that fills it.
fn cache<K>(
    api: Api<K>,
) -> (
    Store<K>,
    impl Stream<Item = Result<K, watcher::Error>> + Send + 'static,
)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    let (reader, writer) = reflector::store();
    let stream = watcher(api, watcher::Config::default())
        .default_backoff()
        .modify(|object| object.meta_mut().managed_fields = None)
        .reflect(writer)
        .touched_objects();
    (reader, stream)
}

/// A cache that tells when it holds the first list. `Store::wait_until_ready` wakes only one waiter (kube 5.0), and the controller is one.
fn listed_cache<K>(
    api: Api<K>,
    listed: watch::Sender<bool>,
) -> (
    Store<K>,
    impl Stream<Item = Result<K, watcher::Error>> + Send + 'static,
)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    let (reader, writer) = reflector::store();
    let stream = watcher(api, watcher::Config::default())
        .default_backoff()
        .modify(|object| object.meta_mut().managed_fields = None)
        .reflect(writer)
        .inspect(move |event| {
            if matches!(event, Ok(watcher::Event::InitDone)) {
                listed.send_replace(true);
            }
        })
        .touched_objects();
    (reader, stream)
}

async fn drain<K>(stream: impl Stream<Item = Result<K, watcher::Error>> + Send) -> std::io::Result<()> {
    stream
        .for_each(|result| async {
            if let Err(error) = result {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "a watch broke off; it goes on by itself"
                );
            }
        })
        .await;
    Ok(())
}

/// Everything is looked at again when the server goes or comes, or the ledger becomes ready.
fn settings_changes(ctx: &Arc<Context>) -> impl Stream<Item = ()> + Send + 'static {
    let server = tokio_stream::wrappers::WatchStream::from_changes(ctx.server_away.subscribe()).map(drop);
    let ledger = tokio_stream::wrappers::WatchStream::from_changes(ctx.ledger_waiting.subscribe()).map(drop);
    futures::stream::select(server, ledger)
}

async fn sweep(
    ctx: Arc<Context>,
    store: Store<PipelineRun>,
    mut listed: watch::Receiver<bool>,
) -> std::io::Result<()> {
    if listed.wait_for(|listed| *listed).await.is_err() {
        error!("the watch on runs ended");
        return Ok(());
    }
    let mut ticks = tokio::time::interval(SWEEP);
    loop {
        ticks.tick().await;
        let live: std::collections::HashSet<String> = store
            .state()
            .iter()
            .filter_map(|run| run.metadata.uid.clone())
            .collect();
        ctx.memory.retain(|uid| live.contains(uid));
    }
}
