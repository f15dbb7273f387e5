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

/// Run, namespace and name of the Pod.
type Key = (String, String, String);
/// UIDs of Pods.
type Seen = BTreeMap<Key, String>;

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
                listed.extend(note(&ctx, &pod));
            }
            Ok(Some(Event::InitDone)) => {
                for (key, uid) in &known {
                    if listed.get(key) != Some(uid) {
                        gone(&ctx, key, uid);
                    }
                }
                known = std::mem::take(&mut listed);
                ready.send_replace(true);
            }
            Ok(Some(Event::Apply(pod))) => {
                known.extend(note(&ctx, &pod));
            }
            Ok(Some(Event::Delete(pod))) => {
                if let (Some(key), Some(uid)) = (key(&pod), pod.uid()) {
                    known.remove(&key);
                    gone(&ctx, &key, &uid);
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

fn key(pod: &Pod) -> Option<Key> {
    let run = pod.labels().get(labels::RUN_UID)?.clone();
    Some((run, pod.namespace().unwrap_or_default(), pod.name_any()))
}

/// Notes a Pod and wakes its run.
pub(crate) fn note(ctx: &Context, pod: &Pod) -> Option<(Key, String)> {
    let key = key(pod)?;
    let view = SeenPod::of(pod)?;
    let uid = view.uid.clone();
    ctx.memory.pod_seen(&key.0, &key.1, view);
    ctx.wake(&key.0);
    Some((key, uid))
}

fn gone(ctx: &Context, (run, namespace, name): &Key, uid: &str) {
    ctx.memory.pod_gone(run, namespace, name, uid);
    ctx.wake(run);
}
