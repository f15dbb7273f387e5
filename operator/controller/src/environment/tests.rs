//! One reconcile from the caches to the API server and back.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use dcanary_crds::{Environment, labels};
use dcanary_rollout::{Key, Kind};
use kube::runtime::controller::Action;
use serde_json::{Value, json};

use super::{observe::observe, reconcile, secrets::IdentityKey};
use crate::testing::{Answer, ApiServer, config, context, environment, holding};

#[tokio::test]
async fn a_conflict_at_the_status_write_acts_on_nothing() {
    let api = ApiServer::start(|_| Answer::error(409, "Conflict", "newer"));
    let ctx = context(api.client());
    let action = reconcile(Arc::new(environment("env-1")), ctx.clone())
        .await
        .unwrap();
    assert_eq!(action, Action::requeue(super::SOON));
    let puts = api.all("PUT");
    assert_eq!(puts.len(), 1);
    assert!(puts[0].path.ends_with("/environments/prod/status"));
    assert_eq!(puts[0].json()["metadata"]["resourceVersion"], "1");
    for method in ["POST", "PATCH", "DELETE"] {
        assert!(api.all(method).is_empty(), "{method}");
    }
    assert_eq!(ctx.metrics.conflicts.get(), 1);
}

#[tokio::test]
async fn an_environment_that_is_gone_at_the_status_write_is_left_alone_and_forgotten() {
    let api = ApiServer::start(|_| Answer::error(404, "NotFound", "gone"));
    let ctx = context(api.client());
    let action = reconcile(Arc::new(environment("env-1")), ctx.clone())
        .await
        .unwrap();
    assert_eq!(action, Action::await_change());
    assert!(api.all("POST").is_empty());
    assert!(!ctx.environments.memory.knows("env-1"));
}

#[tokio::test]
async fn another_failure_of_the_status_write_is_an_error_and_acts_on_nothing() {
    let api = ApiServer::start(|_| Answer::error(500, "InternalError", "no"));
    let error = reconcile(Arc::new(environment("env-1")), context(api.client()))
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "persist");
    assert!(api.all("POST").is_empty());
}

#[tokio::test]
async fn our_own_write_counts_until_the_cache_has_it_and_an_equal_status_is_not_written() {
    let mut cached = environment("env-1");
    cached.metadata.finalizers = None;
    let api = ApiServer::start(holding(&cached));
    let ctx = context(api.client());
    for _ in 0..3 {
        reconcile(Arc::new(cached.clone()), ctx.clone()).await.unwrap();
    }
    let patches = api.all("PATCH");
    assert_eq!(patches.len(), 1, "held once, although the cache does not know");
    assert_eq!(
        patches[0].json()["metadata"]["finalizers"],
        json!([labels::ENVIRONMENT_FINALIZER])
    );
    let statuses = api.all("PUT");
    let statuses: Vec<Value> = statuses
        .iter()
        .filter(|put| put.path.ends_with("/status"))
        .map(|put| put.json()["status"].clone())
        .collect();
    assert!(!statuses.is_empty());
    for pair in statuses.windows(2) {
        assert_ne!(pair[0], pair[1]);
    }
    assert_eq!(ctx.metrics.conflicts.get(), 0);
}

#[tokio::test]
async fn a_status_that_stays_is_put_before_objects_are_written_so_that_a_stale_one_meets_a_conflict() {
    let environment = environment("env-1");
    let api = ApiServer::start(|_| Answer::error(409, "Conflict", "newer"));
    let ctx = context(api.client());
    let plan = |effects| dcanary_rollout::Plan {
        status: environment.status.clone().unwrap_or_default(),
        effects,
        events: Vec::new(),
        wake: dcanary_core::Wake::OnChange,
    };
    let mut same = environment.clone();
    same.status = Some(plan(Vec::new()).status);
    let none = super::persist::persist(&ctx, &same, &plan(Vec::new()))
        .await
        .unwrap();
    assert!(
        none.is_none() && api.all("PUT").is_empty(),
        "nothing is done on it"
    );
    let delete = dcanary_rollout::Effect::Delete {
        key: Key::new(Kind::Deployment, "web-1"),
        uid: "uid".to_owned(),
        version: Some("5".to_owned()),
        actor: dcanary_rollout::Actor::Environment,
    };
    let answer = super::persist::persist(&ctx, &same, &plan(vec![delete]))
        .await
        .unwrap();
    assert!(matches!(answer, Some(crate::swap::Swapped::Outdated)));
    assert_eq!(api.all("PUT")[0].json()["metadata"]["resourceVersion"], "1");
}

#[tokio::test]
async fn an_environment_that_goes_and_is_released_is_not_looked_at_again() {
    let api = ApiServer::start(|request| Answer::ok(&request.json()));
    let mut going = environment("env-1");
    going.metadata.finalizers = Some(vec!["somebody/else".to_owned()]);
    going.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    let action = reconcile(Arc::new(going), context(api.client())).await.unwrap();
    assert_eq!(action, Action::await_change());
    assert!(api.all("PUT").is_empty());
}

/// An Environment that names two ConfigMaps, two Secrets and a Deployment that exists.
fn naming() -> Environment {
    let mut environment = environment("env-1");
    environment.spec.workload = serde_json::from_value(json!({
        "ref": {"name": "old"}, "configMaps": ["there", "missing"], "secrets": ["s-there", "s-missing"],
    }))
    .unwrap();
    environment
}

fn named_in(query: &str) -> String {
    let (_, rest) = query.split_once("metadata.name%3D").unwrap();
    rest.split('&').next().unwrap().to_owned()
}

#[tokio::test]
async fn what_cannot_be_read_is_not_taken_for_missing_and_what_is_missing_not_for_unreadable() {
    let api = ApiServer::start(|request| {
        let list = |items: Value| Answer::ok(&json!({"metadata": {}, "items": items}));
        match (request.path.rsplit('/').next().unwrap(), request.query.as_str()) {
            ("configmaps", query) if named_in(query) == "there" => {
                list(json!([{"metadata": {"name": "there", "namespace": "team"}, "data": {"a": "1"}}]))
            }
            ("configmaps", _) => list(json!([])),
            ("deployments", _) => Answer::error(500, "InternalError", "etcd is away"),
            ("s-there", _) => {
                Answer::ok(&json!({"metadata": {"name": "s-there"}, "data": {"token": "c2VjcmV0"}}))
            }
            ("s-missing", _) => Answer::error(404, "NotFound", "no"),
            ("dcanary-identity-key", _) => Answer::ok(&json!({
                "metadata": {}, "data": {"key": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="},
            })),
            other => unreachable!("{other:?}"),
        }
    });
    let ctx = context(api.client());
    let key = IdentityKey::load(&api.client(), &config()).await.unwrap();
    assert!(ctx.environments.identity_key.set(key).is_ok());
    let observed = observe(&ctx, &naming()).await.unwrap();
    let seen = observed.seen;
    let configured = Key::new(Kind::ConfigMap, "there");
    assert_eq!(seen.objects.keys().collect::<Vec<_>>(), [&configured]);
    assert_eq!(seen.objects[&configured]["data"]["a"], "1");
    assert_eq!(seen.objects[&configured]["kind"], "ConfigMap");
    let deployment = Key::new(Kind::Deployment, "old");
    assert_eq!(seen.unreadable.keys().collect::<Vec<_>>(), [&deployment]);
    assert!(seen.unreadable[&deployment].contains("etcd is away"));
    assert_eq!(seen.secrets.len(), 1);
    let digest = &seen.secrets["s-there"];
    assert!(
        digest.starts_with("hmac-sha256:") && !digest.contains("secret"),
        "{digest}"
    );
    let reads = api.all("GET").len();
    observe(&ctx, &naming()).await.unwrap();
    assert_eq!(api.all("GET").len(), reads, "not again a moment later");
    let again = observed.again.unwrap();
    assert!(again <= std::time::Duration::from_secs(60), "{again:?}");
    for secret in api
        .all("GET")
        .iter()
        .filter(|get| get.path.contains("/secrets/s-"))
    {
        assert_eq!(
            secret.headers["impersonate-user"],
            "system:serviceaccount:team:deployer"
        );
    }
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_for_a_while_keeps_its_digest() {
    let mut reads = 0;
    let api = ApiServer::start(move |request| {
        if !request.path.ends_with("/secrets/s") {
            return Answer::ok(&json!({
                "metadata": {}, "data": {"key": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="},
            }));
        }
        reads += 1;
        match reads {
            1 => Answer::ok(&json!({"metadata": {"name": "s"}, "data": {}})),
            2 => Answer::error(403, "Forbidden", "no"),
            _ => Answer::error(404, "NotFound", "no"),
        }
    });
    let ctx = context(api.client());
    let key = IdentityKey::load(&api.client(), &config()).await.unwrap();
    assert!(ctx.environments.identity_key.set(key).is_ok());
    let mut environment = environment("env-1");
    environment.spec.workload.secrets = vec!["s".to_owned()];
    let mut digests = Vec::new();
    for _ in 0..3 {
        digests.push(
            observe(&ctx, &environment)
                .await
                .unwrap()
                .seen
                .secrets
                .get("s")
                .cloned(),
        );
        ctx.environments.memory.with("env-1", |memory| {
            // time passes
            for read in memory.secrets.values_mut() {
                read.at = read.at.checked_sub(std::time::Duration::from_secs(5)).unwrap();
            }
        });
    }
    assert!(digests[0].is_some());
    assert_eq!(digests[0], digests[1], "forbidden says nothing about the content");
    assert_eq!(digests[2], None, "it is gone");
}

#[tokio::test]
async fn of_an_environment_that_goes_it_is_read_whether_its_namespace_goes_too() {
    let going = || {
        let mut going = environment("env-1");
        going.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        going
    };
    let answers: [(fn() -> Answer, bool); 3] = [
        (
            || {
                Answer::ok(
                    &json!({"metadata": {"name": "team", "deletionTimestamp": "2026-01-01T00:00:00Z"}}),
                )
            },
            true,
        ),
        (|| Answer::ok(&json!({"metadata": {"name": "team"}})), false),
        (|| Answer::error(403, "Forbidden", "no"), false),
    ];
    for (namespace, expected) in answers {
        let api = ApiServer::start(move |_| namespace());
        let ctx = context(api.client());
        assert!(
            !observe(&ctx, &environment("env-1"))
                .await
                .unwrap()
                .seen
                .namespace_terminating
        );
        assert!(api.all("GET").is_empty(), "of another it is not asked");
        for _ in 0..2 {
            assert_eq!(
                observe(&ctx, &going()).await.unwrap().seen.namespace_terminating,
                expected
            );
        }
        let reads = api.all("GET");
        assert_eq!(reads[0].path, "/api/v1/namespaces/team");
        assert_eq!(reads.len(), if expected { 1 } else { 2 });
    }
}
