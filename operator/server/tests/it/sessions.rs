//! Trading a token, what a session opens, closing it.

use std::sync::atomic::Ordering;

use dcanary_server::auth::PodFacts;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Runner, TestServer, line, refused, report};

#[tokio::test]
async fn the_first_trade_opens_a_session_and_the_same_key_again_is_harmless() {
    let server = TestServer::start().await;
    let runner = server.runner("uid-1").await;
    runner.lines(1, 3).await;
    let again: Value = runner.trade().await.json().await.unwrap();
    assert_eq!(
        again,
        json!({"protocol": {"min": 1, "max": 1}, "attempt": "uid-1", "acked": 3})
    );
}

#[tokio::test]
async fn a_second_trade_with_another_key_is_refused_and_told_in_the_final_report() {
    let server = TestServer::start().await;
    let runner = server.runner("uid-1").await;
    let other = "ab".repeat(32);
    assert_eq!(
        refused(runner.trade_with(&other).await).await,
        (409, "second-trade".into())
    );
    assert_eq!(
        runner.finish(&report(0)).await.status(),
        StatusCode::OK,
        "the first session still works"
    );
    let reports = server.http().reports(0).await.reports;
    assert!(reports[0].second_trade && reports[0].report.as_ref().unwrap().second_trade);
}

#[tokio::test]
async fn a_second_trade_after_the_final_report_gets_an_entry_of_its_own_once() {
    let server = TestServer::start().await;
    let runner = server.runner("uid-1").await;
    runner.finish(&report(0)).await;
    for _ in 0..3 {
        let other = "cd".repeat(32);
        assert_eq!(
            refused(runner.trade_with(&other).await).await,
            (409, "second-trade".into())
        );
    }
    let reports = server.http().reports(0).await.reports;
    assert_eq!(reports.len(), 2);
    assert!(!reports[0].second_trade);
    assert!(reports[1].second_trade && reports[1].report.is_none());
    assert_eq!(reports[1].attempt, "uid-1");
}

#[tokio::test]
async fn a_revoked_session_is_gone_also_when_it_was_not_opened_yet() {
    let server = TestServer::start().await;
    let runner = server.runner("uid-1").await;
    server
        .cluster
        .add_pod("builds", "pod-uid-2", "uid-2", "run-1", "build", 2);
    let late = Runner::new(server.http(), "builds", "uid-2");
    for attempt in ["uid-1", "uid-2"] {
        let revoked = server
            .http()
            .post("/v1/session/revoke", "operator", &json!({"attempt": attempt}))
            .await;
        assert_eq!(revoked.status(), StatusCode::NO_CONTENT);
    }
    assert_eq!(
        refused(runner.frames(1, vec![line(1)]).await).await,
        (410, "session-revoked".into())
    );
    assert_eq!(
        refused(runner.finish(&report(0)).await).await,
        (410, "session-revoked".into())
    );
    assert_eq!(
        refused(runner.trade().await).await,
        (410, "session-revoked".into())
    );
    assert_eq!(refused(late.trade().await).await, (410, "session-revoked".into()));
}

#[tokio::test]
async fn only_a_pod_bound_token_of_our_audience_opens_a_session() {
    let server = TestServer::start().await;
    server
        .cluster
        .add_pod("builds", "pod-uid-1", "uid-1", "run-1", "build", 1);
    let mut runner = Runner::new(server.http(), "builds", "uid-1");
    runner.token = "reader/alice/builds".into();
    assert_eq!(
        refused(runner.trade().await).await,
        (401, "unauthenticated".into()),
        "wrong audience"
    );
    runner.token = "nonsense".into();
    assert_eq!(
        refused(runner.trade().await).await,
        (401, "unauthenticated".into())
    );
    runner.token = "other/builds/default".into();
    assert_eq!(
        refused(runner.trade().await).await,
        (403, "not-a-pod".into()),
        "not bound to a Pod"
    );
    runner.token = "pod/builds/pod-uid-1/uid-of-an-older-pod".into();
    assert_eq!(
        refused(runner.trade().await).await,
        (403, "not-a-pod".into()),
        "the Pod was replaced"
    );
}

#[tokio::test]
async fn when_the_api_server_is_down_a_trade_is_answered_with_503() {
    let server = TestServer::start().await;
    server
        .cluster
        .add_pod("builds", "pod-uid-1", "uid-1", "run-1", "build", 1);
    server.cluster.down.store(true, Ordering::Relaxed);
    let runner = Runner::new(server.http(), "builds", "uid-1");
    let answer = runner.trade().await;
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(refused(answer).await, (503, "api-server".into()));
}

#[tokio::test]
async fn a_key_opens_only_its_own_attempt() {
    let server = TestServer::start().await;
    let one = server.runner("uid-1").await;
    let mut other = server.runner_of("builds", "uid-2", "run-1", "test", 1).await;
    let path = "/v1/attempts/uid-2/frames";
    let body = json!({"first": 1, "frames": [line(1)]});
    let foreign = server
        .http()
        .request(Method::POST, path, &one.session())
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(refused(foreign).await, (403, "forbidden".into()));
    other.key = "00".repeat(32);
    assert_eq!(
        refused(other.frames(1, vec![line(1)]).await).await,
        (401, "no-session".into())
    );
    let bare = server
        .http()
        .request(Method::POST, path, "")
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(refused(bare).await, (401, "unauthenticated".into()));
}

/// Labels and owners are what whoever makes a Pod writes into it.
#[tokio::test]
async fn a_pod_of_a_run_that_is_not_there_or_over_gets_no_session() {
    let server = TestServer::start().await;
    let add = |uid: &str, run: &str| {
        server
            .cluster
            .add_pod("builds", &format!("pod-{uid}"), uid, run, "build", 1);
        Runner::new(server.http(), "builds", uid)
    };
    let invented = add("uid-1", "00000000-0000-0000-0000-000000000000");
    server.cluster.runs.lock().unwrap().clear();
    assert_eq!(refused(invented.trade().await).await, (403, "no-run".into()));
    let late = add("uid-2", "run-2");
    server.cluster.finished.lock().unwrap().insert("run-2".into());
    assert_eq!(refused(late.trade().await).await, (403, "no-run".into()));
    // The UID of a run, and the name of another one.
    let misnamed = add("uid-3", "run-3");
    let named = |name: &str| {
        let mut pods = server.cluster.pods.lock().unwrap();
        let pod = pods.get_mut(&("builds".into(), "pod-uid-3".into())).unwrap();
        name.clone_into(&mut pod.owner_run.as_mut().unwrap().name);
    };
    named("run-2-name");
    assert_eq!(refused(misnamed.trade().await).await, (403, "no-run".into()));
    named("run-3-name");
    assert_eq!(misnamed.trade().await.status(), StatusCode::OK);
    // A session that is open outlives its run: the last lines are taken.
    server.cluster.finished.lock().unwrap().insert("run-3".into());
    assert_eq!(misnamed.trade().await.status(), StatusCode::OK);
}

#[tokio::test]
async fn attempts_that_the_runs_status_does_not_name_are_not_shown() {
    let server = TestServer::start().await;
    let real = server.runner("uid-1").await;
    real.lines(1, 1).await;
    server.cluster.unnamed.lock().unwrap().insert("forged".into());
    let forged = server.runner_of("builds", "forged", "run-1", "build", 2).await;
    let lies = json!({"kind": "log", "step": 0, "stream": "stdout", "time": "t", "line": "lies"});
    assert_eq!(forged.frames(1, vec![lies]).await.status(), StatusCode::OK);
    let get = async |rest: &str| {
        let path = format!("/v1/namespaces/builds/runs/run-1/{rest}");
        let answer = server.http().get(&path, "reader/a/builds").await;
        answer.text().await.unwrap()
    };
    for rest in ["logs", "attempts"] {
        let shown = get(rest).await;
        assert!(!shown.contains("lies") && !shown.contains("forged"), "{shown}");
    }
    assert!(get("logs").await.contains("line 1"));
    assert!(get("attempts").await.contains("uid-1"));
    // Of a run that follows its end, those that were named later are there, and nothing else.
    let late = server.runner_of("builds", "uid-2", "run-1", "test", 1).await;
    late.lines(1, 2).await;
    server.cluster.finished.lock().unwrap().insert("run-1".into());
    let followed = get("logs?follow=true").await;
    assert!(
        followed.contains("line 2") && !followed.contains("lies"),
        "{followed}"
    );
}

#[tokio::test]
async fn a_follower_sees_an_attempt_as_soon_as_the_status_names_it() {
    let server = TestServer::start().await;
    server.cluster.unnamed.lock().unwrap().insert("uid-1".into());
    let runner = server.runner("uid-1").await;
    runner.lines(1, 1).await;
    let http = server.http();
    let mut follower = http
        .get(
            "/v1/namespaces/builds/runs/run-1/logs?follow=true",
            "reader/a/builds",
        )
        .await;
    let early = tokio::time::timeout(std::time::Duration::from_millis(300), follower.chunk()).await;
    assert!(early.is_err(), "{early:?}");
    server.cluster.unnamed.lock().unwrap().clear();
    let line = tokio::time::timeout(std::time::Duration::from_secs(10), follower.chunk()).await;
    let line = line.unwrap().unwrap().unwrap();
    assert!(String::from_utf8_lossy(&line).contains("line 1"), "{line:?}");
}

#[tokio::test]
async fn the_log_of_an_attempt_under_way_does_not_wait_until_the_status_names_its_pod() {
    let server = TestServer::start().await;
    server.cluster.unnamed.lock().unwrap().insert("uid-1".into());
    let place = ("build".to_owned(), 1);
    server.cluster.under_way.lock().unwrap().insert(place);
    let runner = server.runner("uid-1").await;
    runner.lines(1, 1).await;
    let path = "/v1/namespaces/builds/runs/run-1/logs";
    let shown = server.http().get(path, "reader/a/builds").await;
    assert!(shown.text().await.unwrap().contains("line 1"));
}

/// Nobody would sweep what such Pods store: their number is without limit.
#[tokio::test]
async fn a_pod_that_belongs_to_no_run_gets_no_session_also_with_the_labels_of_one() {
    let server = TestServer::start().await;
    let real = server.runner("uid-1").await;
    real.lines(1, 1).await;
    server
        .cluster
        .add_pod("builds", "pod-forged", "forged", "run-1", "build", 1);
    let key = ("builds".to_owned(), "pod-forged".to_owned());
    let whole = server.cluster.pods.lock().unwrap()[&key].clone();
    let is = |facts: PodFacts| {
        let mut pods = server.cluster.pods.lock().unwrap();
        pods.insert(key.clone(), facts);
    };
    let forged = Runner::new(server.http(), "builds", "forged");
    is(PodFacts {
        owner_run: None,
        ..whole.clone()
    });
    let told = forged.trade().await.text().await.unwrap();
    assert!(
        told.contains("no-run") && told.contains("belongs to no PipelineRun"),
        "{told}"
    );
    is(PodFacts {
        run_uid: Some("another".to_owned()),
        ..whole.clone()
    });
    assert_eq!(refused(forged.trade().await).await, (403, "no-run".into()));
    is(PodFacts {
        stage: None,
        ..whole.clone()
    });
    assert_eq!(refused(forged.trade().await).await, (403, "no-run".into()));
    let lies = json!({"kind": "log", "step": 0, "stream": "stdout", "time": "t", "line": "lies"});
    assert_eq!(
        refused(forged.frames(1, vec![lies]).await).await,
        (401, "no-session".into())
    );
    assert!(!server.dir.join("data/attempts/forged.json").exists());
    assert!(!server.dir.join("data/runs/builds/-").exists());
    is(whole);
    assert_eq!(
        forged.trade().await.status(),
        StatusCode::OK,
        "it was not used up"
    );
}
