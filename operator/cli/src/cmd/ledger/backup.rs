//! `ledger backup`: the data of the embedded node, copied while it works.

use std::{
    io::{self, Write},
    path::Path,
};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{AttachParams, AttachedProcess},
};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::parts::{CONTAINER, DATA, NODE, Names};
use crate::{
    args::Global,
    cluster::{Cluster, causes},
    exit::{Exit, Failure},
    output::note,
    whole_file::{Readers, WholeFile},
};

/// Read at once.
const PIECE: usize = 64 * 1024;
/// Most of what the node says that is shown.
const MAX_SAID: u64 = 4_096;

/// Runs `ledger backup`.
pub async fn run(global: &Global) -> Result<Exit, Failure> {
    let cluster = Cluster::connect(global).await?;
    let names = Names::of_service(&cluster.node_service().await?)?;
    let pod = cluster.backend(&names.ledger).await?.pod;
    let file = global.output.as_deref().filter(|name| *name != "-");
    match file.map(Path::new) {
        None => {
            copy(&cluster, &pod, io::stdout().lock()).await?;
        }
        Some(path) => {
            let cannot =
                |source: io::Error| Failure::usage(format!("cannot write {}: {source}", path.display()));
            // A half-written backup never stands under the name that was asked for, and a whole one shows what only controllers may read on
            // the network.
            let mut output = WholeFile::create(path, Readers::Owner).map_err(cannot)?;
            let said = copy(&cluster, &pod, &mut output).await?;
            output.finish().map_err(cannot)?;
            note(&format!("{} in {}", said.trim(), path.display()));
        }
    }
    note(&format!(
        "the node's keys are not in it: keep a copy of Secret {} too, where nobody else can read it",
        names.keys
    ));
    Ok(Exit::Succeeded)
}

/// Writes what the node hands out; what it says about it.
async fn copy(cluster: &Cluster, pod: &str, mut output: impl Write) -> Result<String, Failure> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.operator_namespace);
    let cannot = |what: String| Failure::cannot_tell(format!("no backup from Pod {pod}: {what}"));
    let params = AttachParams::default()
        .container(CONTAINER)
        .stdin(false)
        .stdout(true)
        .stderr(true);
    let mut process = pods
        .exec(pod, [NODE, "backup", "--data", DATA], &params)
        .await
        .map_err(|source| cannot(causes(&source)))?;
    let broken = || cannot("the connection has no such stream".to_owned());
    let mut data = process.stdout().ok_or_else(broken)?;
    let said = process.stderr().ok_or_else(broken)?;
    let said = tokio::spawn(text(said));
    let mut piece = vec![0; PIECE];
    loop {
        let read = data
            .read(&mut piece)
            .await
            .map_err(|source| cannot(source.to_string()))?;
        let Some(piece) = piece.get(..read).filter(|piece| !piece.is_empty()) else {
            break;
        };
        output
            .write_all(piece)
            .map_err(|source| Failure::usage(format!("cannot write the backup: {source}")))?;
    }
    output
        .flush()
        .map_err(|source| Failure::usage(format!("cannot write the backup: {source}")))?;
    let said = said.await.unwrap_or_default();
    ended(process)
        .await
        .map_err(|why| cannot(format!("{why}: {}", said.trim())))?;
    Ok(said)
}

/// What a process says, as far as anybody reads it.
pub(super) async fn text(stream: impl AsyncRead + Unpin) -> String {
    let mut bytes = Vec::new();
    // a connection that breaks has said all that it will
    let _ = stream.take(MAX_SAID).read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Waits for the end of a process in a Pod; why it failed.
async fn ended(mut process: AttachedProcess) -> Result<(), String> {
    let status = process.take_status().ok_or("its end is not told")?;
    match status.await {
        Some(status) if status.status.as_deref() == Some("Success") => Ok(()),
        Some(status) => Err(status.message.unwrap_or_else(|| "it failed".to_owned())),
        None => Err("the connection broke".to_owned()),
    }
}
