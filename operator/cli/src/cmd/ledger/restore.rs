//! `ledger restore`: the embedded node goes on from a backup.
//!
//! The order is what matters. The operator rests first and comes back last, so that the first thing that is recorded is that the node
//! was restored; in between the node rests, because two cannot have one folder. Whatever fails, and whoever interrupts it, both are started
//! again. Where even that is prevented, the operator's Deployment has an annotation with its replicas, and the command is repeated.

use std::{
    io::{IsTerminal, stdin},
    path::Path,
    time::Duration,
};

use k8s_openapi::api::core::v1::Pod;
use kube::api::{AttachParams, PostParams};
use tokio::{
    fs::File,
    io::AsyncWriteExt,
    signal::unix::{Signal, SignalKind, signal},
};

use super::{
    backup::text,
    installation::Installation,
    parts::{Names, replicas_of_operator, restore_pod},
    standing,
};
use crate::{
    args::{Global, RestoreArgs},
    cluster::{Cluster, causes},
    cmd::ask::confirmed,
    exit::{Exit, Failure},
    output::note,
};

/// Runs `ledger restore`.
pub async fn run(global: &Global, args: &RestoreArgs) -> Result<Exit, Failure> {
    global.form("dcanary ledger restore", &[])?;
    let backup = File::open(&args.file)
        .await
        .map_err(|source| Failure::usage(format!("cannot read {}: {source}", args.file.display())))?;
    let cluster = Cluster::connect(global).await?;
    let names = Names::of_service(&cluster.node_service().await?)?;
    let parts = Installation::of(&cluster, names);
    let replicas = replicas_of_operator(&parts.operator().await?);
    let ledger = parts.ledger().await?;
    let pod = restore_pod(&ledger, &parts.names, args.incarnation).map_err(|what| {
        Failure::failed(format!(
            "StatefulSet {} is not the chart's: {what}",
            parts.names.ledger
        ))
    })?;
    if !args.yes {
        note(&format!(
            "the ledger of namespace {} forgets what was recorded after the backup; whoever saw it is told (LedgerForked). Its present \
             data is kept on its volume",
            cluster.operator_namespace
        ));
        if !confirmed(
            "Restore it?",
            "restore",
            stdin().is_terminal(),
            &mut stdin().lock(),
        )? {
            return Err(Failure::failed("nothing was restored").with(Exit::Cancelled));
        }
    }
    let mut stop = Interrupt::listen()?;
    parts.keep_replicas(Some(replicas)).await?;
    let restored = stop.or(restore(&parts, &pod, backup, &args.file)).await;
    note(restored.as_ref().map_or(
        "starting node and operator again; an interruption ends the waiting for them",
        |said| said.trim(),
    ));
    // whatever became of it, the installation goes on
    let back = bring_back(&parts, replicas, standing::allowed(&ledger), &mut stop).await;
    restored?;
    back?;
    note("the node serves again, and the operator records it first");
    Ok(Exit::Succeeded)
}

/// Starts the node, then the operator. An interruption ends the waiting for a part, never what is asked for.
async fn bring_back(
    parts: &Installation,
    replicas: i32,
    allowed: Option<Duration>,
    stop: &mut Interrupt,
) -> Result<(), Failure> {
    // it has the volume
    let removed = stop.or(parts.remove_restore_pod()).await;
    let node = match parts.scale_node(1).await {
        Ok(()) => stop.or(parts.node_serves(allowed)).await,
        asked => asked,
    };
    let operator = match parts.scale_operator(replicas).await {
        Ok(()) => {
            let kept = parts.keep_replicas(None).await;
            stop.or(parts.operator_has(replicas)).await.and(kept)
        }
        asked => asked,
    };
    removed.and(node).and(operator)
}

async fn restore(parts: &Installation, pod: &Pod, backup: File, path: &Path) -> Result<String, Failure> {
    parts.scale_operator(0).await?;
    parts.operator_has(0).await?;
    parts.stop_node().await?;
    // what an interrupted one has left
    parts.remove_restore_pod().await?;
    parts
        .pods
        .create(&PostParams::default(), pod)
        .await
        .map_err(|source| {
            Failure::cannot_tell(format!(
                "cannot make Pod {}: {}",
                parts.names.restore,
                causes(&source)
            ))
        })?;
    feed(parts, backup, path).await
}

/// Hands the backup to the Pod; what it says.
async fn feed(parts: &Installation, mut backup: File, path: &Path) -> Result<String, Failure> {
    let name = &parts.names.restore;
    let cannot = |what: String| Failure::cannot_tell(format!("nothing is restored: {what}"));
    let runs = |pod: Option<&Pod>| phase(pod).is_some_and(|phase| phase != "Pending");
    parts.until_pod(name, runs, "starts").await?;
    let params = AttachParams::default().stdin(true).stdout(false).stderr(true);
    let mut process = parts
        .pods
        .attach(name, &params)
        .await
        .map_err(|source| cannot(causes(&source)))?;
    let broken = || cannot("the connection has no such stream".to_owned());
    let mut input = process.stdin().ok_or_else(broken)?;
    let said = tokio::spawn(text(process.stderr().ok_or_else(broken)?));
    let copied = tokio::io::copy(&mut backup, &mut input).await;
    // the end of the backup, which the node waits for
    let closed = input.shutdown().await;
    drop(input);
    let ended = |pod: Option<&Pod>| matches!(phase(pod), Some("Succeeded" | "Failed"));
    let pod = parts.until_pod(name, ended, "ends").await?;
    let said = said.await.unwrap_or_default();
    if phase(pod.as_ref()) != Some("Succeeded") {
        return Err(cannot(said.trim().to_owned()));
    }
    copied.map_err(|source| cannot(format!("{}: {source}", path.display())))?;
    closed.map_err(|source| cannot(source.to_string()))?;
    Ok(said)
}

fn phase(pod: Option<&Pod>) -> Option<&str> {
    pod?.status.as_ref()?.phase.as_deref()
}

/// What asks the command to end: Ctrl-C, a terminal that goes away, `kill`.
struct Interrupt {
    signals: [Signal; 3],
}

impl Interrupt {
    fn listen() -> Result<Self, Failure> {
        let on = |kind| {
            signal(kind)
                .map_err(|source| Failure::cannot_tell(format!("cannot listen for interruptions: {source}")))
        };
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::hangup(),
            SignalKind::terminate(),
        ];
        let [interrupt, hangup, terminate] = kinds.map(on);
        Ok(Self {
            signals: [interrupt?, hangup?, terminate?],
        })
    }

    /// What becomes of it, unless it is interrupted.
    async fn or<T>(&mut self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let [interrupt, hangup, terminate] = &mut self.signals;
        tokio::select! {
            done = work => return done,
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
            _ = terminate.recv() => {}
        }
        Err(Failure::cannot_tell(
            "interrupted; `dcanary ledger status -o wide` shows by the incarnation whether the node goes on from the backup",
        ))
    }
}
