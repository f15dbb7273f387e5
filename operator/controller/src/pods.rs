//! The watch on build Pods. Only what decisions look at is kept, not the Pods.

use std::{collections::BTreeMap, sync::Arc};

use dcanary_core::SeenPod;
use dcanary_crds::labels;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use tokio::sync::watch;
use tracing::warn;

use crate::context::Context;

type Seen = BTreeMap<(String, String), String>;

/// Follows the Pods of a scope for ever. `ready` turns true after the first list.
pub async fn follow(ctx: Arc<Context>, api: Api<Pod>, ready: watch::Sender<bool>) {
    let config = watcher::Config::default().labels(labels::RUN_UID);
    let mut events = watcher(api, config).default_backoff().boxed();
    let mut known: Seen = BTreeMap::new();
    let mut listed: Seen = BTreeMap::new();
    loop {
        match events.try_next().await {
            Ok(Some(Event::Init)) => listed.clear(),
            Ok(Some(Event::InitApply(pod))) => {
                if let Some((run, name, uid)) = seen(&ctx, &pod) {
                    listed.insert((run, name), uid);
                }
            }
            Ok(Some(Event::InitDone)) => {
                for ((run, name), uid) in &known {
                    if listed.get(&(run.clone(), name.clone())) != Some(uid) {
                        gone(&ctx, run, name, uid);
                    }
                }
                known = std::mem::take(&mut listed);
                ready.send_replace(true);
            }
            Ok(Some(Event::Apply(pod))) => {
                if let Some((run, name, uid)) = seen(&ctx, &pod) {
                    known.insert((run, name), uid);
                }
            }
            Ok(Some(Event::Delete(pod))) => {
                if let (Some(run), Some(uid)) = (pod.labels().get(labels::RUN_UID), pod.uid()) {
                    known.remove(&(run.clone(), pod.name_any()));
                    gone(&ctx, run, &pod.name_any(), &uid);
                }
            }
            Ok(None) => return,
            Err(error) => warn!(
                error = &error as &dyn std::error::Error,
                "the watch on Pods broke off; it goes on by itself"
            ),
        }
    }
}

fn seen(ctx: &Context, pod: &Pod) -> Option<(String, String, String)> {
    let run = pod.labels().get(labels::RUN_UID)?.clone();
    let view = SeenPod::of(pod)?;
    let entry = (run, view.name.clone(), view.uid.clone());
    ctx.memory.pod_seen(&entry.0, view);
    ctx.wake(&entry.0);
    Some(entry)
}

fn gone(ctx: &Context, run: &str, name: &str, uid: &str) {
    ctx.memory.pod_gone(run, name, uid);
    ctx.wake(run);
}
