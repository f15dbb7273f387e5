//! The ledger of this installation: its keys, the canister, where people find it, the operator's checkpoint.
//!
//! ```text
//! Secret <installation>-ledger-keys    made once; the node mounts it and signs with it
//! Secret <installation>-operator-key   made once; the operator's principal
//!   └─▶ install (embedded only) ─▶ ConfigMap dcanary-ledger ─▶ recorder
//! ```
//! The root key is derived from the Secret that the operator made. It is never fetched from the network.

mod away;
mod checkpoints;
mod creators;
mod fork;
pub(crate) mod keys;
mod publish;

use std::{str::FromStr, sync::Arc, time::Duration};

use dcanary_core::observed::Waiting;
use dcanary_crds::PipelineRun;
use dcanary_ledger::{
    IcLedger, IcLedgerConfig, LedgerError, Recorder, RecorderOptions, Transport,
    setup::{FIRST_CANISTER, Grant, Setup, install},
};
use ic_agent::{Identity, export::Principal};
use jiff::Timestamp;
use kube::runtime::reflector::Store;
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{config::Config, context::Context, journal};

/// Longest wait for the checkpoint at the end: the kubelet gives 30 seconds for everything.
const LAST_WORD: Duration = Duration::from_secs(3);

/// Why the ledger is not set up.
#[derive(Debug, Error)]
pub enum SetupError {
    /// Keys.
    #[error(transparent)]
    Keys(#[from] keys::KeysError),
    /// The shipped canister cannot be read.
    #[error("the shipped canister {path} cannot be read")]
    Wasm {
        /// The file.
        path: String,
        /// What is wrong.
        #[source]
        source: std::io::Error,
    },
    /// A flag.
    #[error("{flag} is not usable: {reason}")]
    Flag {
        /// The flag.
        flag: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The network or the canister.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ConfigMaps for people, the CLI and the node.
    #[error("publish where the ledger is and who set it up")]
    Publish(#[source] Box<kube::Error>),
}

impl SetupError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Keys(_) => "LedgerKeys",
            Self::Wasm { .. } | Self::Flag { .. } => "LedgerConfiguration",
            Self::Ledger(error) => error.reason(),
            Self::Publish(_) => "LedgerPublish",
        }
    }
}

/// Sets the ledger up, again and again until it works, then starts the recorder. The caches of runs and Environments are filled.
pub async fn start(ctx: Arc<Context>, runs: Store<PipelineRun>, stop: CancellationToken) {
    let Some(url) = ctx.config.ledger_url.clone() else {
        info!("no ledger is configured: runs are not recorded");
        return;
    };
    let since = Timestamp::now();
    wait(&ctx, since, "LedgerStarting", "the ledger is being set up");
    let mut pause = Duration::from_millis(250);
    let ledger = loop {
        match set_up(&ctx, &url).await {
            Ok(ledger) => break ledger,
            Err(error) => {
                let text = chain(&error);
                warn!(error = text, "the ledger is not set up yet");
                wait(&ctx, since, error.reason(), &text);
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(Duration::from_secs(5));
    };
    let (recorder, outcomes) = Recorder::start(Arc::new(ledger), RecorderOptions::default());
    let reachability = recorder.reachability();
    if ctx.recorder.set(recorder).is_err() {
        return;
    }
    ctx.ledger_waiting.send_replace(None);
    // outboxes that were filled before this moment
    for run in runs.state() {
        journal::hand_over(&ctx, &ctx.memory.freshest(&run));
    }
    for environment in ctx.environments.stores.environments.state() {
        journal::hand_over(&ctx, &ctx.environments.memory.freshest(&environment));
    }
    tokio::join!(
        journal::follow(ctx.clone(), runs, outcomes),
        away::follow(ctx.clone(), reachability.clone()),
        fork::follow(ctx.clone(), reachability),
    );
}

/// At the end of the operator: writes down the last head that it saw, so that the next one notices if the ledger was put back meanwhile.
pub async fn keep(ctx: &Context) {
    let Some(recorder) = ctx.recorder.get() else {
        return;
    };
    match tokio::time::timeout(LAST_WORD, recorder.keep()).await {
        Ok(Ok(())) => info!("the checkpoint of the ledger is written down"),
        Ok(Err(failure)) => warn!(
            error = chain(&failure),
            "the checkpoint of the ledger could not be written down"
        ),
        Err(_) => warn!("the checkpoint of the ledger could not be written down in time"),
    }
}

fn wait(ctx: &Context, since: Timestamp, reason: &str, message: &str) {
    ctx.ledger_waiting.send_replace(Some(Waiting {
        since,
        reason: reason.into(),
        message: message.into(),
    }));
}

/// An error with all of its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

async fn set_up(ctx: &Context, url: &str) -> Result<IcLedger, SetupError> {
    if ctx.config.ledger_embedded {
        keys::none_lost(&ctx.client, &ctx.config, url).await?;
    }
    let identity: Arc<dyn Identity> = Arc::new(keys::operator(&ctx.client, &ctx.config).await?);
    let (root_key, ledger) = if ctx.config.ledger_embedded {
        let root_key = keys::embedded_root_key(&ctx.client, &ctx.config).await?;
        embedded(ctx, url, &root_key, identity.clone()).await?;
        (root_key, FIRST_CANISTER)
    } else {
        external(&ctx.config)?
    };
    publish::publish(ctx, url, &root_key, ledger)
        .await
        .map_err(|source| SetupError::Publish(Box::new(source)))?;
    let checkpoints = Arc::new(checkpoints::ConfigMapCheckpoints::new(
        ctx.client.clone(),
        &ctx.config,
        &root_key,
    ));
    let config = IcLedgerConfig::new(url, root_key, ledger, identity, checkpoints);
    Ok(IcLedger::connect(owned(&ctx.config, config))?)
}

/// Who may change the ledger's code: the operator itself on its embedded node, and never it on a network of others.
fn owned(config: &Config, ledger: IcLedgerConfig) -> IcLedgerConfig {
    if config.ledger_embedded {
        ledger
    } else {
        ledger.of_others()
    }
}

async fn embedded(
    ctx: &Context,
    url: &str,
    root_key: &[u8],
    owner: Arc<dyn Identity>,
) -> Result<(), SetupError> {
    let path = ctx.config.canisters.join("orchestrator.wasm");
    let wasm = tokio::fs::read(&path).await.map_err(|source| SetupError::Wasm {
        path: path.display().to_string(),
        source,
    })?;
    let principal = dcanary_ledger::key::principal_of(owner.as_ref()).map_err(keys::KeysError::Operator)?;
    creators::name(ctx, principal)
        .await
        .map_err(|source| SetupError::Publish(Box::new(source)))?;
    install(Setup {
        transport: Transport::new(url),
        root_key: root_key.to_vec(),
        owner,
        wasm,
        ledger: FIRST_CANISTER,
        upgrade: true,
        grants: std::iter::once(&ctx.config.project)
            .chain(&ctx.config.projects)
            .map(|project| Grant {
                principal,
                project: project.clone(),
                domain: ctx.config.domain.clone(),
            })
            .collect(),
    })
    .await?;
    Ok(())
}

fn external(config: &Config) -> Result<(Vec<u8>, Principal), SetupError> {
    let flag = |flag, reason: String| SetupError::Flag { flag, reason };
    let text = config.ledger_root_key.as_deref().unwrap_or_default();
    let root_key = hex::decode(text).map_err(|error| flag("--ledger-root-key", error.to_string()))?;
    let canister = config.ledger_canister.as_deref().unwrap_or_default();
    let ledger =
        Principal::from_str(canister).map_err(|error| flag("--ledger-canister", error.to_string()))?;
    Ok((root_key, ledger))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use dcanary_ledger::MemoryLedger;
    use tokio::time::Instant;

    use super::*;
    use crate::testing::{Answer, ApiServer, config, context};

    #[test]
    fn only_on_its_embedded_node_may_the_operator_control_the_ledger() {
        let identity =
            Arc::new(dcanary_ledger::key::parse(&dcanary_ledger::key::generate().unwrap(), "x").unwrap());
        let wanted = |embedded: bool| {
            let config = Config {
                ledger_embedded: embedded,
                ..config()
            };
            let ledger = IcLedgerConfig::new(
                "http://127.0.0.1:9",
                keys::test_root_key(),
                FIRST_CANISTER,
                identity.clone(),
                Arc::new(dcanary_ledger::MemoryCheckpoints::default()),
            );
            owned(&config, ledger).disown_every
        };
        assert_eq!(wanted(true), None);
        assert!(wanted(false).is_some_and(|every| every <= Duration::from_secs(60)));
    }

    async fn end_with(ledger: Arc<MemoryLedger>) {
        let api = ApiServer::start(|_| Answer::error(500, "InternalError", "not asked"));
        let ctx = context(api.client());
        let (recorder, _outcomes) = Recorder::start(ledger, RecorderOptions::default());
        assert!(ctx.recorder.set(recorder).is_ok());
        keep(&ctx).await;
    }

    #[tokio::test]
    async fn at_the_end_the_last_head_is_written_down() {
        let ledger = Arc::new(MemoryLedger::new());
        end_with(ledger.clone()).await;
        assert_eq!(ledger.keeps(), 1);
    }

    #[tokio::test]
    async fn a_store_of_checkpoints_that_hangs_delays_the_end_by_seconds_only() {
        let ledger = Arc::new(MemoryLedger::new());
        ledger.hang_at_the_end();
        let start = Instant::now();
        end_with(ledger.clone()).await;
        assert_eq!(ledger.keeps(), 1);
        assert!(start.elapsed() < LAST_WORD * 2, "{:?}", start.elapsed());
    }
}
