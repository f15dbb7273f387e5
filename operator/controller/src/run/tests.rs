//! One reconcile from the cache to the API server and back.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use dcanary_core::{Settings, next, observed::Observed};
use dcanary_crds::{PipelineRun, labels};
use jiff::Timestamp;
use kube::runtime::controller::Action;
use serde_json::json;

use super::{persist, reconcile};
use crate::{
    swap::Swapped,
    testing::{Answer, ApiServer, context, context_without_ledger, holding, run},
};

fn held(uid: &str) -> PipelineRun {
    let mut run = run(uid);
    run.metadata.finalizers = Some(vec![labels::RECORDED.into()]);
    run
}

#[tokio::test]
async fn a_conflict_at_the_status_write_acts_on_nothing() {
    let api = ApiServer::start(|_| Answer::error(409, "Conflict", "newer"));
    let ctx = context(api.client());
    let action = reconcile(Arc::new(held("run-1")), ctx.clone()).await.unwrap();
    assert_eq!(action, Action::requeue(super::SOON));
    let puts = api.all("PUT");
    assert_eq!(puts.len(), 1);
    assert!(puts[0].path.ends_with("/pipelineruns/run-1/status"));
    assert_eq!(puts[0].json()["metadata"]["resourceVersion"], "1");
    for method in ["POST", "PATCH", "DELETE"] {
        assert!(api.all(method).is_empty(), "{method}");
    }
    assert_eq!(ctx.metrics.conflicts.get(), 1);
}

#[tokio::test]
async fn a_status_is_written_before_its_pod_is_created_and_the_answer_counts_until_the_cache_has_it() {
    let cached = held("run-1");
    let api = ApiServer::start(holding(&cached));
    let ctx = context(api.client());
    ctx.server_away.send_replace(None);
    reconcile(Arc::new(cached.clone()), ctx.clone()).await.unwrap();
    let puts = api.all("PUT");
    let created: Vec<_> = api
        .all("POST")
        .into_iter()
        .filter(|post| post.path.ends_with("/pods"))
        .collect();
    assert_eq!(created.len(), 1);
    let attempt = &puts[0].json()["status"]["stages"][0]["attempts"][0];
    assert_eq!(attempt["pod"], created[0].json()["metadata"]["name"]);
    let version = |run: &PipelineRun| run.metadata.resource_version.clone().unwrap_or_default();
    assert_ne!(
        version(&ctx.memory.freshest(&cached)),
        "1",
        "the cache is behind our own write"
    );
    let mut newer = cached;
    newer.metadata.resource_version = Some("100".into());
    assert_eq!(version(&ctx.memory.freshest(&newer)), "100");
}

#[tokio::test]
async fn a_run_that_is_gone_at_the_status_write_is_left_alone() {
    let api = ApiServer::start(|_| Answer::error(404, "NotFound", "gone"));
    let action = reconcile(Arc::new(held("run-1")), context(api.client()))
        .await
        .unwrap();
    assert_eq!(action, Action::await_change());
    assert!(api.all("POST").is_empty());
}

#[tokio::test]
async fn another_failure_of_the_status_write_is_an_error_and_acts_on_nothing() {
    let api = ApiServer::start(|_| Answer::error(500, "InternalError", "no"));
    let error = reconcile(Arc::new(held("run-1")), context(api.client()))
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "persist");
    assert!(api.all("POST").is_empty());
}

/// A run that cannot be resolved ends with its first status write.
fn wrong() -> PipelineRun {
    let mut run = run("run-1");
    run.spec = serde_json::from_value(json!({"pipelineSpec": {"stages": [
        {"name": "a", "dependsOn": ["b"], "image": "busybox", "steps": [{"run": "true"}]},
        {"name": "b", "dependsOn": ["a"], "image": "busybox", "steps": [{"run": "true"}]},
    ]}}))
    .unwrap();
    run.metadata.finalizers = Some(vec![labels::RECORDED.into()]);
    run
}

fn ended_runs(ctx: &crate::context::Context) -> String {
    let text = ctx.metrics.text();
    let lines = text
        .lines()
        .filter(|line| line.starts_with("dcanary_runs_total{"));
    lines
        .map(|line| line.rsplit(' ').next().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn an_end_is_counted_once_however_far_behind_the_cache_is() {
    let cached = Arc::new(wrong());
    let api = ApiServer::start(holding(&*cached));
    let ctx = context(api.client());
    for _ in 0..4 {
        reconcile(cached.clone(), ctx.clone()).await.unwrap();
    }
    assert!(
        !api.all("PATCH").is_empty(),
        "it was released, and the cache does not know"
    );
    assert_eq!(ended_runs(&ctx), "1");
}

#[tokio::test]
async fn people_are_told_of_what_is_persisted_although_an_effect_failed() {
    let mut skipped = held("run-1");
    skipped.spec = serde_json::from_value(json!({"pipelineSpec": {"stages": [
        {"name": "a", "when": "false", "image": "busybox", "steps": [{"run": "true"}]},
    ]}}))
    .unwrap();
    let mut there = holding(&skipped);
    let api = ApiServer::start(move |request| match request.method.as_str() {
        "PATCH" => Answer::error(500, "InternalError", "no"),
        _ => there(request),
    });
    let ctx = context_without_ledger(api.client());
    ctx.server_away.send_replace(None);
    let error = reconcile(Arc::new(skipped), ctx).await.unwrap_err();
    assert_eq!(error.reason(), "finalizer");
    let told = api.all("POST");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].json()["regarding"]["name"], "run-1");
}

#[tokio::test]
async fn a_run_that_ended_and_is_released_is_not_looked_at_again() {
    let api = ApiServer::start(|request| Answer::ok(&request.json()));
    let ctx = context(api.client());
    let mut run = wrong();
    let plan = next(&run, &Observed::default(), Timestamp::now());
    let Some(Swapped::Written(written)) = persist::persist(&ctx, &run, &plan).await.unwrap() else {
        unreachable!()
    };
    assert!(written.status.as_ref().unwrap().finished_at.is_some());
    run.status = written.status;
    run.metadata.finalizers = None;
    let action = reconcile(Arc::new(run), ctx).await.unwrap();
    assert_eq!(action, Action::await_change());
}

#[test]
fn without_a_ledger_a_run_has_no_journal_whatever_its_definition_says() {
    let run = held("run-1");
    let journal = |ledger: bool| {
        let settings = Settings {
            ledger,
            ..Settings::default()
        };
        let seen = Observed {
            settings: Arc::new(settings),
            ..Observed::default()
        };
        let plan = next(&run, &seen, Timestamp::now());
        assert!(plan.status.started_at.is_some());
        plan.status.journal.is_some()
    };
    assert!(journal(true));
    assert!(!journal(false));
}
