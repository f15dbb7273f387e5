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
/// Where Pods are kept, by their UID: their labels change, their UID does not.
type Seen = BTreeMap<String, Key>;

/// Follows the Pods of a scope for ever. `ready` turns true after the first list.
pub async fn follow(ctx: Arc<Context>, api: Api<Pod>, ready: watch::Sender<bool>) {
    let config = watcher::Config::default().labels(labels::RUN_UID);
    let mut events = watcher(api, config).default_backoff().boxed();
    let mut pods = Followed::default();
    loop {
        match events.try_next().await {
            Ok(Some(event)) => {
                if pods.take(&ctx, event) {
                    ready.send_replace(true);
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

/// The Pods that were noted.
#[derive(Default)]
struct Followed {
    known: Seen,
    /// Of a list that is not complete yet.
    listed: Seen,
}

impl Followed {
    /// Takes an event over; whether a list is complete with it.
    fn take(&mut self, ctx: &Context, event: Event<Pod>) -> bool {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(pod) => self.listed.extend(note(ctx, &pod)),
            Event::InitDone => {
                for (uid, key) in &self.known {
                    if self.listed.get(uid) != Some(key) {
                        gone(ctx, key, uid);
                    }
                }
                self.known = std::mem::take(&mut self.listed);
                return true;
            }
            Event::Apply(pod) => {
                if let Some((uid, key)) = note(ctx, &pod) {
                    let old = self.known.insert(uid.clone(), key.clone());
                    moved(ctx, old, &key, &uid);
                }
            }
            Event::Delete(pod) => {
                if let (Some(key), Some(uid)) = (key(&pod), pod.uid()) {
                    let old = self.known.remove(&uid);
                    moved(ctx, old, &key, &uid);
                    gone(ctx, &key, &uid);
                }
            }
        }
        false
    }
}

/// Whoever may patch Pods may change the label: the run that the Pod named before waits for it no more.
fn moved(ctx: &Context, old: Option<Key>, key: &Key, uid: &str) {
    if let Some(old) = old
        && old != *key
    {
        gone(ctx, &old, uid);
    }
}

fn key(pod: &Pod) -> Option<Key> {
    let run = pod.labels().get(labels::RUN_UID)?.clone();
    Some((run, pod.namespace().unwrap_or_default(), pod.name_any()))
}

/// Notes a Pod and wakes its run.
pub(crate) fn note(ctx: &Context, pod: &Pod) -> Option<(String, Key)> {
    let key = key(pod)?;
    let view = SeenPod::of(pod)?;
    let uid = view.uid.clone();
    ctx.memory.pod_seen(&key.0, &key.1, view);
    ctx.wake(&key.0);
    Some((uid, key))
}

fn gone(ctx: &Context, (run, namespace, name): &Key, uid: &str) {
    ctx.memory.pod_gone(run, namespace, name, uid);
    ctx.wake(run);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{self, Answer, ApiServer, held_pod};

    fn labelled(run: &str) -> Pod {
        let mut pod = held_pod("team", "p", "pod-1", "run-1");
        pod.labels_mut()
            .insert(labels::RUN_UID.to_owned(), run.to_owned());
        pod
    }

    #[tokio::test]
    async fn a_pod_whose_label_is_changed_is_no_longer_kept_for_the_run_that_it_named_before() {
        let api = ApiServer::start(|_| Answer::ok(&json!({})));
        let ctx = testing::context(api.client());
        let held = |run: &str| ctx.memory.with(run, |memory| memory.pods.len());
        let mut pods = Followed::default();
        pods.take(&ctx, Event::Apply(labelled("run-1")));
        assert_eq!((held("run-1"), held("x")), (1, 0));
        pods.take(&ctx, Event::Apply(labelled("x")));
        assert_eq!((held("run-1"), held("x")), (0, 1));
        // between two events it may have been changed and deleted
        pods.take(&ctx, Event::Delete(labelled("y")));
        assert_eq!((held("run-1"), held("x"), held("y")), (0, 0, 0));
    }

    #[tokio::test]
    async fn a_new_list_drops_pods_that_are_gone_or_have_another_label() {
        let api = ApiServer::start(|_| Answer::ok(&json!({})));
        let ctx = testing::context(api.client());
        let held = |run: &str| ctx.memory.with(run, |memory| memory.pods.len());
        let mut pods = Followed::default();
        assert!(!pods.take(&ctx, Event::Apply(labelled("run-1"))));
        assert!(!pods.take(&ctx, Event::Apply(held_pod("team", "q", "pod-2", "run-1"))));
        assert_eq!(held("run-1"), 2);
        assert!(!pods.take(&ctx, Event::Init));
        assert!(!pods.take(&ctx, Event::InitApply(labelled("x"))));
        assert!(pods.take(&ctx, Event::InitDone));
        assert_eq!((held("run-1"), held("x")), (0, 1));
    }
}
