//! What is left of runs that are gone: Pods that carry our finalizer, and reports that nobody will write down.
//!
//! A run goes without us when somebody takes its finalizer off, or when it was deleted before this process began. The cache alone never
//! proves that: it may be behind. A list from the API server does.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use dcanary_core::PodRef;
use dcanary_crds::{Condition, ConditionStatus, ConditionType, PipelineRun};
use jiff::{SignedDuration, Timestamp};
use kube::{Api, ResourceExt, api::ListParams, runtime::reflector::Store};
use tracing::{info, warn};

use crate::{
    context::Context,
    memory::Left,
    run::act::{ActError, pods},
};

/// Safety net: how often it is looked at when nothing tells.
const SWEEP: Duration = Duration::from_secs(60);
/// Deletions come in crowds: one look for all of them.
const CROWD: Duration = Duration::from_millis(200);
/// The server keeps everything from the first report on that is not acknowledged. After this time one that its run cannot take (its
/// status cannot be followed or read) holds up the others no longer.
const PATIENCE: SignedDuration = SignedDuration::from_hours(1);
/// Reasons of `Stalled` under which a run takes no reports.
const STUCK: [&str; 3] = ["DefinitionUnreadable", "StatusUnreadable", "InternalError"];

/// Looks when a run goes, when a report comes whose run is not in the cache, and now and then.
pub async fn follow(ctx: Arc<Context>, runs: Store<PipelineRun>) {
    let mut ticks = tokio::time::interval(SWEEP);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = ctx.orphaned.notified() => tokio::time::sleep(CROWD).await,
        }
        sweep(&ctx, &runs).await;
    }
}

/// One look.
pub async fn sweep(ctx: &Context, runs: &Store<PipelineRun>) {
    let cached = runs.state();
    let mut live: HashSet<(String, String)> = cached
        .iter()
        .filter_map(|run| Some((run.namespace()?, run.uid()?)))
        .collect();
    let unreadable = ctx.unreadable_runs.all();
    live.extend(unreadable.iter().cloned());
    let uids: HashSet<&str> = live.iter().map(|(_, uid)| uid.as_str()).collect();
    ctx.memory.retain(|uid| uids.contains(uid));
    let stuck = cached
        .iter()
        .filter(|run| is_stuck(run))
        .filter_map(|run| run.uid());
    give_up(ctx, stuck.chain(unreadable.into_iter().map(|(_, uid)| uid)));
    let mut left: BTreeMap<String, Vec<(String, Vec<Left>)>> = BTreeMap::new();
    for ((namespace, uid), things) in ctx
        .memory
        .left(|namespace, uid| live.contains(&(namespace.to_owned(), uid.to_owned())))
    {
        left.entry(namespace).or_default().push((uid, things));
    }
    for (namespace, of_runs) in left {
        let there = match there(ctx, &namespace).await {
            Ok(there) => there,
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    namespace, "runs cannot be listed now; will look again"
                );
                continue;
            }
        };
        for (uid, things) in of_runs {
            if there.contains(&uid) {
                continue;
            }
            for thing in things {
                if let Err(error) = settle(ctx, &namespace, &uid, &thing).await {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        namespace, "what a deleted run left behind is looked at again"
                    );
                }
            }
        }
    }
}

/// UIDs of the runs of a namespace, from the API server itself.
async fn there(ctx: &Context, namespace: &str) -> Result<BTreeSet<String>, kube::Error> {
    let api: Api<PipelineRun> = Api::namespaced(ctx.client.clone(), namespace);
    let runs = api.list_metadata(&ListParams::default()).await?;
    Ok(runs.items.iter().filter_map(ResourceExt::uid).collect())
}

async fn settle(ctx: &Context, namespace: &str, run: &str, thing: &Left) -> Result<(), ActError> {
    match thing {
        Left::Report { cursor } => {
            ctx.memory.with(run, |memory| memory.settle(&[*cursor]));
            ctx.acknowledgements.done(&[*cursor]);
            Ok(())
        }
        Left::Pod {
            name,
            uid,
            ours,
            deleting,
        } => {
            let pod = PodRef {
                name: name.clone(),
                uid: uid.clone(),
            };
            info!(namespace, pod = name, "its run is gone");
            // a Pod that somebody else made is none of ours to delete
            if *ours && !deleting {
                pods::delete(ctx, namespace, &pod).await?;
            }
            pods::release(ctx, namespace, &pod).await
        }
    }
}

fn is_stuck(run: &PipelineRun) -> bool {
    let stuck = |condition: &Condition| {
        condition.kind == ConditionType::Stalled
            && condition.status == ConditionStatus::True
            && STUCK.contains(&condition.reason.as_str())
    };
    run.status
        .as_ref()
        .is_some_and(|status| status.conditions.iter().any(stuck))
}

fn give_up(ctx: &Context, runs: impl Iterator<Item = String>) {
    let before = Timestamp::now() - PATIENCE;
    for uid in runs {
        let cursors = ctx.memory.reports_before(&uid, before);
        if cursors.is_empty() {
            continue;
        }
        warn!(
            run = uid,
            reports = cursors.len(),
            "reports of a run that cannot take them are given up"
        );
        ctx.memory.with(&uid, |memory| memory.settle(&cursors));
        ctx.acknowledgements.done(&cursors);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use kube::runtime::{reflector, watcher};
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        pods,
        testing::{Answer, ApiServer, context, entry, held_pod, run},
    };

    fn runs_there(uids: &[&str]) -> Value {
        let items: Vec<Value> = uids
            .iter()
            .map(|uid| json!({"metadata": {"name": uid, "namespace": "team", "uid": uid}}))
            .collect();
        json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": {}, "items": items})
    }

    fn api(there: Value) -> ApiServer {
        ApiServer::start(move |request| match request.method.as_str() {
            "GET" => Answer::ok(&there),
            _ => Answer::ok(&json!({"metadata": {"name": "p"}})),
        })
    }

    #[tokio::test]
    async fn a_held_pod_whose_run_is_gone_is_deleted_and_released() {
        let api = api(runs_there(&["other"]));
        let ctx = context(api.client());
        pods::note(&ctx, &held_pod("team", "p", "pod-1", "gone"));
        sweep(&ctx, &reflector::store().0).await;
        let deletions = api.all("DELETE");
        assert_eq!(deletions.len(), 1);
        assert_eq!(deletions[0].json()["preconditions"]["uid"], "pod-1");
        let patches = api.all("PATCH");
        assert_eq!(patches.len(), 1);
        assert_eq!(patches[0].json()["metadata"]["uid"], "pod-1");
    }

    #[tokio::test]
    async fn nothing_of_a_run_that_the_api_server_still_has_is_touched_however_far_behind_the_cache_is() {
        let api = api(runs_there(&["there"]));
        let ctx = context(api.client());
        pods::note(&ctx, &held_pod("team", "p", "pod-1", "there"));
        sweep(&ctx, &reflector::store().0).await;
        assert_eq!(api.all("GET").len(), 1, "it was looked up");
        assert!(api.all("DELETE").is_empty() && api.all("PATCH").is_empty());
    }

    #[tokio::test]
    async fn a_pod_that_only_copied_our_marks_is_released_and_never_deleted() {
        let api = api(runs_there(&[]));
        let ctx = context(api.client());
        let mut pod = held_pod("team", "p", "pod-1", "gone");
        pod.metadata.owner_references = None;
        pods::note(&ctx, &pod);
        sweep(&ctx, &reflector::store().0).await;
        assert!(api.all("DELETE").is_empty());
        assert_eq!(api.all("PATCH").len(), 1);
    }

    #[tokio::test]
    async fn a_report_is_acknowledged_only_when_a_list_proves_that_its_run_is_gone() {
        for (there, expected) in [(runs_there(&["run-1"]), 4), (runs_there(&[]), 5)] {
            let api = api(there);
            let ctx = context(api.client());
            let (store, _) = reflector::store();
            crate::reports::take(&ctx, &store, entry(5, "run-1"));
            ctx.acknowledgements.done(&[4]);
            assert_eq!(*ctx.acknowledgements.safe().borrow(), 4);
            sweep(&ctx, &store).await;
            assert_eq!(*ctx.acknowledgements.safe().borrow(), expected);
        }
    }

    #[tokio::test]
    async fn reports_of_a_run_that_cannot_take_them_hold_up_the_others_for_an_hour_only() {
        let api = api(runs_there(&[]));
        let ctx = context(api.client());
        let (store, mut writer) = reflector::store();
        let mut stuck = run("run-1");
        stuck.status = Some(
            serde_json::from_value(json!({"conditions": [{
                "type": "Stalled", "status": "True", "reason": "StatusUnreadable", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }]}))
            .unwrap(),
        );
        writer.apply_watcher_event(&watcher::Event::Apply(stuck));
        crate::reports::take(&ctx, &store, entry(5, "run-1"));
        sweep(&ctx, &store).await;
        assert_eq!(*ctx.acknowledgements.safe().borrow(), 0);
        ctx.memory.with("run-1", |memory| {
            memory.reports[0].received -= PATIENCE;
        });
        sweep(&ctx, &store).await;
        assert_eq!(*ctx.acknowledgements.safe().borrow(), 5);
    }
}
