//! Puts the parts together and runs them until told to stop.

use std::{sync::Arc, sync::OnceLock, time::Duration};

use anyhow::{Context as _, Result, ensure};
use dcanary_core::Settings;
use dcanary_crds::{ClusterExecutor, Executor, Pipeline, PipelineRun};
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    core::DeserializeGuard,
    runtime::{
        Controller,
        controller::{Config as ControllerConfig, Error as ControllerError},
        events::{Recorder as Events, Reporter},
        reflector::ObjectRef,
        watcher,
    },
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};
use tokio_stream::wrappers::{UnboundedReceiverStream, WatchStream};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    authority,
    backoff::Failures,
    cache::{self, Cache, Fed, Found, cache, fed},
    config::Config,
    context::{Context, Gone, Stores},
    delivery,
    environment::{self, Environments, watch::Feeds},
    health, ledger, measure,
    memory::Memory,
    metrics::Metrics,
    orphans, pipeline, pod_key, pods,
    reports::{self, Acknowledgements, ServerClient, Wanted},
    run,
    tasks::Tasks,
    unreadable,
};

/// Reconciles at once.
const WORKERS: u16 = 32;

/// Runs the operator until `stop`.
///
/// # Errors
/// When something that it cannot do without is missing, or ends.
pub async fn run(config: Config, stop: CancellationToken) -> Result<()> {
    let client = Client::try_default().await.context("no way to the API server")?;
    let metrics = Metrics::new();
    let (ready, readiness) = watch::channel(false);
    let listener = TcpListener::bind(config.metrics_listen)
        .await
        .context("listen for health and metrics")?;
    let mut tasks = Tasks::default();
    tasks.start(
        "health",
        health::serve(listener, metrics.clone(), readiness, stop.clone()),
    );
    let work = prepare(&client, config, metrics);
    let (ctx, woken, caches) = tasks.guard(&stop, work).await?;
    let Caches {
        runs,
        pipelines,
        executors,
        cluster_executors,
        delivery,
        found,
        told,
    } = caches;

    tasks.start_quiet("unreadable objects", unreadable::follow(ctx.clone(), told, found));
    // runs that wait for one of these are looked at again
    let waking = || {
        let ctx = ctx.clone();
        move || ctx.wake_waiting()
    };
    let wake = waking();
    tasks.start_quiet("executors", drain(executors.1.inspect(move |_| wake())));
    let wake = waking();
    tasks.start_quiet(
        "cluster executors",
        drain(cluster_executors.1.inspect(move |_| wake())),
    );
    let wake = waking();
    tasks.start_quiet(
        "pipelines",
        pipeline::follow(
            ctx.clone(),
            pipelines.0.store,
            pipelines.1.inspect(move |_| wake()),
            stop.clone(),
        ),
    );
    follow_authority(&mut tasks, &ctx, &stop);
    let environments_listed = delivery.environments_listed();
    let promotions_listed = delivery.promotions_listed();
    let watched = environment::watch::start(&ctx, delivery, &mut tasks);
    let (pods_listed, pods_ready) = watch::channel(false);
    tasks.start_quiet(
        "pods",
        pods::follow(ctx.clone(), Api::<Pod>::all(client.clone()), pods_listed),
    );

    // a run is decided on only when the caches that it looks at are filled
    let listed = [
        pipelines.0.listed,
        executors.0.listed,
        cluster_executors.0.listed,
        pods_ready,
        promotions_listed,
    ];
    if !tasks.guard(&stop, wait_for_caches(listed, &stop)).await? {
        return Ok(());
    }
    let store = runs.0.store.clone();
    after_first_list(&mut tasks, &ctx, &runs.0, &stop);
    if ctx.settings.ledger {
        let all = [runs.0.listed.clone(), environments_listed];
        let ledger = ledger::start(ctx.clone(), store.clone(), stop.clone());
        tasks.start_quiet("ledger", async move {
            // what is not in a cache yet is not taken for gone
            let filled = futures::future::join_all(all.map(cache::filled)).await;
            if filled.into_iter().all(|filled| filled) {
                ledger.await;
            }
        });
    } else {
        info!("no ledger is configured: runs are not recorded");
    }
    let changes = settings_changes(&ctx);
    let controller = Controller::for_stream(runs.1, store)
        .with_config(ControllerConfig::default().concurrency(WORKERS))
        .reconcile_on(UnboundedReceiverStream::new(woken))
        .reconcile_all_on(changes)
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(run::reconcile, run::error_policy, ctx.clone())
        .for_each(|result| async move {
            match result {
                Ok(_) | Err(ControllerError::ObjectNotFound(_) | ControllerError::ReconcilerFailed(..)) => {}
                Err(error) => complain(&error),
            }
        });
    let environments = environment::run::run(ctx.clone(), watched, stop.clone());
    ready.send_replace(true);
    info!(version = env!("CARGO_PKG_VERSION"), "serving");
    let running = async {
        let runs = async {
            controller.await;
            ensure!(stop.is_cancelled(), "the watch on runs ended");
            Ok(())
        };
        let ended = tokio::try_join!(runs, environments);
        ledger::keep(&ctx).await;
        ended.map(drop)
    };
    tasks.guard(&stop, running).await
}

/// Objects that cannot be parsed, in and out.
type FoundSender = mpsc::UnboundedSender<Found>;
type FoundReceiver = mpsc::UnboundedReceiver<Found>;

struct Caches {
    runs: Fed<PipelineRun>,
    pipelines: Fed<Pipeline>,
    executors: Fed<Executor>,
    cluster_executors: Fed<ClusterExecutor>,
    delivery: Feeds,
    found: FoundReceiver,
    told: FoundSender,
}

type Woken = mpsc::UnboundedReceiver<ObjectRef<PipelineRun>>;

/// What every part shares, and the caches, which nobody fills yet.
async fn prepare(client: &Client, config: Config, metrics: Metrics) -> Result<(Arc<Context>, Woken, Caches)> {
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
        ledger: config.ledger_url.is_some(),
        runner_image: config.runner_image.clone(),
        delivery: delivery::decide(client, &config).await?,
        server_url: config.server_url.clone(),
        server_ca: String::from_utf8(authority).context("the server's certificate authority is no PEM")?,
        pod_key: pod_key::load(client, &config).await?,
        runner_pull_policy: Some(config.runner_pull_policy.clone()).filter(|policy| !policy.is_empty()),
        limits: config.limits(),
        ..Settings::default()
    };
    let (told, found) = mpsc::unbounded_channel();
    let gone = Gone::default();
    let (of_runs, of_environments) = (gone.clone(), gone.clone());
    let caches = Caches {
        runs: fed(cache(
            Api::<DeserializeGuard<PipelineRun>>::all(client.clone()),
            told.clone(),
            move || of_runs.run(),
        )),
        pipelines: fed(cache(Api::all(client.clone()), told.clone(), || {})),
        executors: fed(cache(Api::all(client.clone()), told.clone(), || {})),
        cluster_executors: fed(cache(Api::all(client.clone()), told.clone(), || {})),
        delivery: Feeds::new(client, &told, move || of_environments.environment()),
        found,
        told,
    };
    let (wake, woken) = mpsc::unbounded_channel::<ObjectRef<PipelineRun>>();
    let reporter = Reporter {
        controller: "dcanary-operator".into(),
        instance: std::env::var("HOSTNAME").ok(),
    };
    let ctx = Arc::new(Context {
        events: Events::new(client.clone(), reporter),
        settings: Arc::new(settings),
        stores: Stores {
            pipelines: caches.pipelines.0.store.clone(),
            executors: caches.executors.0.store.clone(),
            cluster_executors: caches.cluster_executors.0.store.clone(),
        },
        memory: Memory::default(),
        wake,
        server,
        acknowledgements: Acknowledgements::default(),
        // nothing of the server's list has been read yet: what is missing may be there
        server_away: watch::Sender::new(Some(Timestamp::now())),
        reports_as_of: watch::Sender::new(None),
        store_full: watch::Sender::new(None),
        wanted: Wanted::default(),
        orphaned: gone.orphaned,
        unreadable_runs: caches.runs.0.unreadable.clone(),
        pipeline_failures: Failures::default(),
        recorder: OnceLock::new(),
        ledger_waiting: watch::Sender::new(None),
        left_behind: gone.left_behind,
        environments: environments(client, &config, &caches.delivery)?,
        metrics,
        client: client.clone(),
        config,
    });
    Ok((ctx, woken, caches))
}

/// What the reconcilers of Environments share.
fn environments(client: &Client, config: &Config, feeds: &Feeds) -> Result<Environments> {
    let settings = dcanary_rollout::Settings {
        project: config.project.clone(),
        ledger: config.ledger_url.is_some(),
    };
    Ok(Environments::new(
        client.clone(),
        settings,
        feeds.stores(),
        feeds.unreadable(),
        feeds.gone(),
        sources(config).context("make a client for metrics")?,
    ))
}

/// Asks sources of metrics. Without authorities on this machine only sources without TLS can be asked, which is no reason not to start.
fn sources(config: &Config) -> reqwest::Result<measure::Sources> {
    let guard = measure::guard(config.analysis_allow_link_local);
    let http = measure::builder(guard).build().or_else(|error| {
        warn!(
            error = &error as &dyn std::error::Error,
            "no certificate authorities are known here: metrics are read without TLS only"
        );
        measure::builder(guard).tls_certs_only([]).build()
    })?;
    Ok(measure::Sources { http, guard })
}

/// Looks at the authority that the client and build Pods are made with.
fn follow_authority(tasks: &mut Tasks, ctx: &Context, stop: &CancellationToken) {
    let (file, known) = (&ctx.config.server_ca_file, &ctx.settings.server_ca);
    let looking = authority::follow(file.clone(), known.clone(), authority::LOOK_EVERY, stop.clone());
    tasks.start_quiet("server authority", looking);
}

/// What takes a run that is not in the cache for one that is gone begins when the cache has the first list.
fn after_first_list(
    tasks: &mut Tasks,
    ctx: &Arc<Context>,
    runs: &Cache<PipelineRun>,
    stop: &CancellationToken,
) {
    let (store, listed) = (runs.store.clone(), runs.listed.clone());
    let (own, stop) = (ctx.clone(), stop.clone());
    tasks.start_quiet("reports", async move {
        if cache::filled(listed).await {
            reports::follow(own, store, stop).await;
        }
    });
    let (store, listed, own) = (runs.store.clone(), runs.listed.clone(), ctx.clone());
    tasks.start_quiet("orphans", async move {
        if cache::filled(listed).await {
            orphans::follow(own, store).await;
        }
    });
}

/// `false`: told to stop before.
async fn wait_for_caches(
    listed: impl IntoIterator<Item = watch::Receiver<bool>>,
    stop: &CancellationToken,
) -> Result<bool> {
    let filled = futures::future::join_all(listed.into_iter().map(cache::filled));
    tokio::select! {
        () = stop.cancelled() => Ok(false),
        filled = filled => {
            ensure!(filled.into_iter().all(|filled| filled), "a watch ended before its first list");
            Ok(true)
        }
        () = tokio::time::sleep(Duration::from_secs(120)) => {
            anyhow::bail!("the caches were not filled in two minutes: are the CRDs installed, and may the operator list them?")
        }
    }
}

async fn drain<K>(stream: impl Stream<Item = Result<K, watcher::Error>> + Send) {
    stream
        .for_each(|result| async {
            if let Err(error) = result {
                complain(&error);
            }
        })
        .await;
}

fn complain(error: &(dyn std::error::Error + 'static)) {
    warn!(error, "a watch broke off; it goes on by itself");
}

/// Everything is looked at again when the server goes or comes or has space again, or the ledger becomes ready.
fn settings_changes(ctx: &Arc<Context>) -> impl Stream<Item = ()> + Send + 'static {
    let server = WatchStream::from_changes(ctx.server_away.subscribe()).map(drop);
    let space = WatchStream::from_changes(ctx.store_full.subscribe()).map(drop);
    let ledger = WatchStream::from_changes(ctx.ledger_waiting.subscribe()).map(drop);
    futures::stream::select(futures::stream::select(server, space), ledger)
}
