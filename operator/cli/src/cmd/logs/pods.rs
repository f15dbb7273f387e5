//! The kubelet's own copy of the logs, where the server cannot be reached.

use std::collections::BTreeMap;

use dcanary_crds::{PipelineRun, labels};
use futures::{AsyncBufReadExt as _, StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, LogParams},
};

use crate::{
    args::LogsArgs,
    cluster::{Cluster, causes},
    exit::Failure,
    output::{Style, note, print},
    render::{
        ending,
        logs::{self, Line},
    },
};

/// Prints the logs of the Pods that are there. `look` is the command that shows the run.
///
/// # Errors
/// When there are none, or one cannot be read.
pub async fn show(
    cluster: &Cluster,
    run: &PipelineRun,
    args: &LogsArgs,
    look: &str,
    style: Style,
) -> Result<(), Failure> {
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
        return Err(Failure::cannot_tell(none(run, args, look)));
    }
    let waiting = super::said(run, args, ending::waiting);
    for (_, line) in &waiting {
        note(line);
    }
    let label = |pod: &Pod, key: &str| pod.labels().get(key).cloned().unwrap_or_default();
    let mut items = found.items;
    // the kubelet has no log of what waits
    items.retain(|pod| has_begun(pod) || waiting.iter().all(|(name, _)| *name != pod.name_any()));
    if items.is_empty() {
        return Err(Failure::cannot_tell("there is no log yet"));
    }
    items.sort_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
    let streams = items.into_iter().map(|pod| {
        let (stage, attempt) = (label(&pod, labels::STAGE), label(&pod, labels::ATTEMPT));
        let name = pod.name_any();
        let pods = pods.clone();
        let params = LogParams {
            follow: args.follow,
            ..LogParams::default()
        };
        async move {
            let opened = pods.log_stream(&name, &params).await;
            (stage, attempt, name, opened)
        }
    });
    // Followed logs are mixed as they come; ended ones are printed Pod by Pod.
    let at_once = if args.follow { 64 } else { 1 };
    let mut lines = stream::iter(streams)
        .buffered(at_once)
        .map(|(stage, attempt, name, opened)| match opened {
            Ok(reader) => reader
                .lines()
                .map_ok(move |line| Line::plain(&stage, &attempt, line))
                .map_err(move |source| format!("{name}: {source}"))
                .boxed(),
            Err(source) => stream::once(async move { Err(format!("{name}: {}", causes(&source))) }).boxed(),
        })
        .flatten_unordered(Some(at_once));
    let mut tones = BTreeMap::new();
    let mut unread = 0;
    while let Some(line) = lines.next().await {
        match line {
            Ok(line) => print(&logs::line(&line, &mut tones, style)),
            Err(reason) => {
                unread += 1;
                note(&format!("the log of Pod {reason}"));
            }
        }
    }
    if unread == 0 {
        return Ok(());
    }
    Err(Failure::cannot_tell(format!(
        "this is not the whole log: {unread} {} could not be read",
        if unread == 1 { "Pod" } else { "Pods" }
    )))
}

/// Whether a container of a Pod has begun, as the kubelet says; the run's status may be older. Pure.
fn has_begun(pod: &Pod) -> bool {
    let statuses = pod.status.iter().flat_map(|status| &status.container_statuses);
    let mut states = statuses.flatten().filter_map(|status| status.state.as_ref());
    states.any(|state| state.running.is_some() || state.terminated.is_some())
}

/// What it means that there are no Pods: pure.
pub(super) fn none(run: &PipelineRun, args: &LogsArgs, look: &str) -> String {
    let (name, stages) = (&args.name, run.status.iter().flat_map(|status| &status.stages));
    let had = stages
        .filter(|stage| args.stage.as_ref().is_none_or(|wanted| *wanted == stage.name))
        .any(|stage| stage.attempts.iter().any(|attempt| !attempt.pod.is_empty()));
    let what = match &args.stage {
        Some(stage) => format!("stage {stage} of run {name}"),
        None => format!("run {name}"),
    };
    if had {
        format!("{what} has no Pods any more")
    } else {
        format!("{what} has had no Pod, so there is no log; see `{look}`")
    }
}
