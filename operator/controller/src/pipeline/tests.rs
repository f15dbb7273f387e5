//! Pipelines against an API server that refuses some of them.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use dcanary_crds::Pipeline;
use futures::StreamExt;
use kube::runtime::{WatchStreamExt, reflector, watcher};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{WORKERS, error_policy, follow, reconcile};
use crate::testing::{Answer, ApiServer, context};

fn pipeline(name: &str) -> Pipeline {
    serde_json::from_value(json!({
        "apiVersion": "dcanary.dev/v1alpha1", "kind": "Pipeline",
        "metadata": {"name": name, "namespace": "team", "uid": name, "generation": 1, "resourceVersion": "1"},
        "spec": {"stages": [{"name": "a", "image": "busybox", "steps": [{"run": "true"}]}]},
    }))
    .unwrap()
}

#[tokio::test]
async fn pipelines_whose_status_is_refused_for_ever_hold_up_no_other_and_are_tried_again() {
    let api = ApiServer::start(|request| {
        if request.path.contains("/bad-") {
            Answer::error(500, "InternalError", "refused")
        } else {
            Answer::ok(&request.json())
        }
    });
    let bad = usize::from(WORKERS) * 2;
    let names: Vec<String> = (0..bad)
        .map(|n| format!("bad-{n}"))
        .chain(["good".to_owned()])
        .collect();
    let events: Vec<_> = std::iter::once(watcher::Event::Init)
        .chain(names.iter().map(|name| watcher::Event::InitApply(pipeline(name))))
        .chain([watcher::Event::InitDone])
        .map(Ok)
        .collect();
    let (store, writer) = reflector::store();
    let stream = futures::stream::iter(events)
        .chain(futures::stream::pending())
        .reflect(writer)
        .touched_objects();
    let stop = CancellationToken::new();
    let following = tokio::spawn(follow(context(api.client()), store.clone(), stream, stop.clone()));
    let good = async {
        let mut n = 1;
        let mut asked = BTreeSet::new();
        loop {
            let put = api.nth("PUT", n).await;
            let again = !asked.insert(put.path.clone());
            if again && asked.iter().any(|path| path.contains("/good/")) {
                return;
            }
            n += 1;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), good).await.unwrap();
    assert_eq!(store.len(), names.len(), "the cache of all of them goes on");
    stop.cancel();
    following.await.unwrap();
}

#[tokio::test]
async fn a_conflict_is_no_failure_and_a_refusal_is_one_with_growing_pauses() {
    let conflict = context(ApiServer::start(|_| Answer::error(409, "Conflict", "newer")).client());
    assert!(reconcile(Arc::new(pipeline("p")), conflict).await.is_ok());
    let refusal = context(ApiServer::start(|_| Answer::error(403, "Forbidden", "no")).client());
    let object = Arc::new(pipeline("p"));
    let error = reconcile(object.clone(), refusal.clone()).await.unwrap_err();
    let first = error_policy(object.clone(), &error, refusal.clone());
    for _ in 0..4 {
        error_policy(object.clone(), &error, refusal.clone());
    }
    assert_ne!(first, error_policy(object, &error, refusal));
}
