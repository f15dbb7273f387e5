//! `logs NAME [STAGE] [-f]`
//!
//! The server has the logs of every attempt, also when its Pod is gone. Where it cannot be reached, the kubelet's own
//! copy is shown instead, and said so.

use std::collections::BTreeMap;

use dcanary_crds::{PipelineRun, labels};
use futures::{AsyncBufReadExt as _, StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{ListParams, LogParams},
};

use crate::{
    args::{Global, LogsArgs},
    cluster::Cluster,
    exit::{Exit, Failure},
    output::{Style, note, print},
    render::logs::{self, Line},
    server,
};

/// Prints the logs.
pub async fn run(global: &Global, args: &LogsArgs) -> Result<Exit, Failure> {
    global.form("dcanary logs", &[])?;
    let cluster = Cluster::connect(global).await?;
    let run = cluster.run(&args.name).await?;
    let stages: Vec<String> = run
        .status
        .iter()
        .flat_map(|status| &status.stages)
        .map(|stage| stage.name.clone())
        .collect();
    if let Some(stage) = args
        .stage
        .as_ref()
        .filter(|stage| !stages.is_empty() && !stages.contains(stage))
    {
        let near = dcanary_core::problem::suggestion(stage, stages.iter().map(String::as_str));
        return Err(Failure::usage(format!(
            "run {} has no stage `{stage}`{near}; it has {}",
            args.name,
            stages.join(", ")
        )));
    }
    let style = Style::detect(global);
    match from_server(&cluster, &run, args, style).await {
        Ok(()) => Ok(Exit::Succeeded),
        Err(failure) => {
            note(&format!(
                "the server's logs cannot be had ({failure}); showing those of the Pods that still exist"
            ));
            from_pods(&cluster, &run, args, style).await
        }
    }
}

async fn from_server(
    cluster: &Cluster,
    run: &PipelineRun,
    args: &LogsArgs,
    style: Style,
) -> Result<(), Failure> {
    let uid = run.metadata.uid.clone().unwrap_or_default();
    let mut query = String::new();
    if let Some(stage) = &args.stage {
        query.push_str(&format!("stage={}&", server::escaped(stage)));
    }
    query.push_str(&format!("follow={}", args.follow));
    let path = format!("/v1/namespaces/{}/runs/{uid}/logs?{query}", cluster.namespace);
    let mut lines = server::lines(cluster, &path).await?;
    let mut tones = BTreeMap::new();
    let mut printed = false;
    while let Some(line) = lines.next().await {
        match line {
            Ok(bytes) => {
                printed = true;
                match serde_json::from_slice::<Line>(&bytes) {
                    Ok(line) => print(&logs::line(&line, &mut tones, style)),
                    Err(source) => note(&format!("the server sent a line that is none: {source}")),
                }
            }
            // Printing the Pods' logs after half of the server's would show lines twice.
            Err(failure) if printed => {
                note(&format!("the log ends here: {failure}"));
                return Ok(());
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

async fn from_pods(
    cluster: &Cluster,
    run: &PipelineRun,
    args: &LogsArgs,
    style: Style,
) -> Result<Exit, Failure> {
    let uid = run.metadata.uid.clone().unwrap_or_default();
    let mut selector = format!("{}={uid}", labels::RUN_UID);
    if let Some(stage) = &args.stage {
        selector.push_str(&format!(",{}={stage}", labels::STAGE));
    }
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let found = pods
        .list(&ListParams::default().labels(&selector))
        .await
        .map_err(|source| cluster.explain(&source, "the list of Pods"))?;
    if found.items.is_empty() {
        return Err(Failure::cannot_tell(format!(
            "run {} has no Pods any more",
            args.name
        )));
    }
    let label = |pod: &Pod, key: &str| {
        pod.metadata
            .labels
            .as_ref()
            .and_then(|all| all.get(key).cloned())
            .unwrap_or_default()
    };
    let mut items = found.items;
    items.sort_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
    let streams = items.into_iter().map(|pod| {
        let (stage, attempt) = (label(&pod, labels::STAGE), label(&pod, labels::ATTEMPT));
        let name = pod.metadata.name.clone().unwrap_or_default();
        let pods = pods.clone();
        let params = LogParams {
            follow: args.follow,
            ..LogParams::default()
        };
        async move { (stage, attempt, pods.log_stream(&name, &params).await) }
    });
    // Followed logs are mixed as they come; ended ones are printed Pod by Pod.
    let at_once = if args.follow { 64 } else { 1 };
    let mut lines = stream::iter(streams)
        .buffered(at_once)
        .map(|(stage, attempt, opened)| match opened {
            Ok(reader) => reader
                .lines()
                .map_ok(move |line| Line::plain(&stage, &attempt, line))
                .map_err(|source| source.to_string())
                .boxed(),
            Err(source) => stream::once(async move { Err(source.to_string()) }).boxed(),
        })
        .flatten_unordered(Some(at_once));
    let mut tones = BTreeMap::new();
    while let Some(line) = lines.next().await {
        match line {
            Ok(line) => print(&logs::line(&line, &mut tones, style)),
            Err(reason) => note(&format!("a log cannot be read: {reason}")),
        }
    }
    Ok(Exit::Succeeded)
}
