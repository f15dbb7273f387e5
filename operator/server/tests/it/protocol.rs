//! Session, stream, final report, list of reports.

use std::sync::atomic::Ordering;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Options, Runner, TestServer, line, refused, report};

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

#[tokio::test]
async fn forged_labels_make_an_attempt_of_its_own_that_belongs_to_no_run() {
    let server = TestServer::start().await;
    let real = server.runner("uid-1").await;
    real.lines(1, 1).await;
    server
        .cluster
        .add_pod("builds", "pod-forged", "forged", "run-1", "build", 1);
    server
        .cluster
        .pods
        .lock()
        .unwrap()
        .get_mut(&("builds".into(), "pod-forged".into()))
        .unwrap()
        .owner_run = None;
    let forged = Runner::new(server.http(), "builds", "forged");
    assert_eq!(forged.trade().await.status(), StatusCode::OK);
    forged
        .frames(
            1,
            vec![json!({"kind": "log", "step": 0, "stream": "stdout", "time": "t", "line": "lies"})],
        )
        .await;
    assert_eq!(forged.finish(&report(1)).await.status(), StatusCode::OK);
    let reports = server.http().reports(0).await.reports;
    assert_eq!(
        (reports[0].attempt.as_str(), reports[0].run_uid.as_str()),
        ("forged", "")
    );
    let logs = server
        .http()
        .get("/v1/namespaces/builds/runs/run-1/logs", "reader/a/builds")
        .await;
    let logs = logs.text().await.unwrap();
    assert!(logs.contains("line 1") && !logs.contains("lies"));
}

#[tokio::test]
async fn repeated_frames_are_ignored_and_gaps_are_refused_with_the_place_to_go_on() {
    let server = TestServer::start().await;
    let runner = server.runner("uid-1").await;
    assert_eq!(runner.lines(1, 5).await, 5);
    assert_eq!(runner.lines(1, 5).await, 5);
    assert_eq!(runner.lines(4, 4).await, 7);
    let gap = runner.frames(9, vec![line(9)]).await;
    assert_eq!(gap.status(), StatusCode::CONFLICT);
    let gap: Value = gap.json().await.unwrap();
    assert_eq!(
        (gap["type"].as_str(), gap["acked"].as_u64()),
        (Some("urn:dcanary:gap"), Some(7))
    );
    assert_eq!(
        refused(runner.frames(0, vec![line(0)]).await).await,
        (422, "bad-frame".into())
    );
    assert_eq!(runner.lines(8, 0).await, 7, "an empty request only asks");
}

#[tokio::test]
async fn a_final_report_must_name_what_is_stored_and_counts_once() {
    let server = TestServer::start().await;
    let runner = server.runner("uid-1").await;
    let digest = runner.store("dist", b"content").await;
    let value = "v".repeat(5_000);
    runner
        .frames(1, vec![
            json!({"kind": "stepStarted", "step": 0, "name": "compile", "time": "t1"}),
            json!({"kind": "result", "name": "big", "value": value}),
            json!({"kind": "stepFinished", "step": 0, "name": "compile", "time": "t2", "outcome": "succeeded"}),
        ])
        .await;
    let big = dcanary_server::digest::Digest::of(value.as_bytes()).to_string();
    let mut full = report(3);
    full["results"] = json!([{"name": "big", "digest": big, "size": 5000}]);
    full["artifacts"] = json!([{"name": "dist", "digest": digest, "size": 7, "kind": "file"}]);
    let mut wrong = full.clone();
    wrong["frames"] = json!(4);
    wrong["artifacts"][0]["size"] = json!(8);
    wrong["results"][0]["name"] = json!("other");
    let answer = runner.finish(&wrong).await;
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["type"], "urn:dcanary:incomplete");
    for missing in ["frames: 4", "result \"other\"", "artifact \"dist\""] {
        assert!(problem["detail"].as_str().unwrap().contains(missing), "{problem}");
    }
    let first: Value = runner.finish(&full).await.json().await.unwrap();
    let again: Value = runner.finish(&full).await.json().await.unwrap();
    assert_eq!(first, again);
    let mut other = full.clone();
    other["outcome"] = json!("failed");
    assert_eq!(refused(runner.finish(&other).await).await, (409, "final".into()));
    assert_eq!(
        refused(runner.frames(4, vec![line(4)]).await).await,
        (409, "final".into())
    );
    assert_eq!(runner.lines(1, 3).await, 3, "a late repeat is harmless");
    assert_eq!(
        refused(runner.put("late", 0, vec![1]).await).await,
        (409, "final".into())
    );
    assert_eq!(server.http().reports(0).await.reports.len(), 1);
}

#[tokio::test]
async fn a_value_that_contradicts_its_digest_is_refused() {
    let server = TestServer::start().await;
    let runner = server.runner("uid-1").await;
    runner
        .frames(1, vec![json!({"kind": "result", "name": "r", "value": "true"})])
        .await;
    let digest = dcanary_server::digest::Digest::of(b"true").to_string();
    let mut lie = report(1);
    lie["results"] = json!([{"name": "r", "value": "lie", "digest": digest, "size": 4}]);
    assert_eq!(
        refused(runner.finish(&lie).await).await,
        (422, "bad-report".into())
    );
}

#[tokio::test]
async fn reports_wait_are_repeated_until_acknowledged_and_belong_to_the_operator() {
    let server = TestServer::start().await;
    let http = server.http();
    assert_eq!(
        refused(http.get("/v1/reports", "other/ops/stranger").await).await,
        (403, "forbidden".into())
    );
    assert_eq!(
        refused(http.get("/v1/reports", "reader/a/builds").await).await,
        (401, "unauthenticated".into())
    );
    let ack = http
        .post("/v1/reports/ack", "other/ops/stranger", &json!({"cursor": 1}))
        .await;
    assert_eq!(refused(ack).await, (403, "forbidden".into()));
    let waiting = {
        let http = http.clone();
        tokio::spawn(async move { http.get("/v1/reports?after=0&wait=20", "operator").await })
    };
    let (one, two) = (
        server.runner("uid-1").await,
        server.runner_of("builds", "uid-2", "run-2", "build", 1).await,
    );
    one.finish(&report(0)).await;
    let page: Value = waiting.await.unwrap().json().await.unwrap();
    assert_eq!(page["reports"][0]["attempt"], "uid-1");
    assert_eq!(page["reports"][0]["pod"], "pod-uid-1");
    assert_eq!(page["reports"][0]["run"], "run-1-name");
    let first = page["next"].as_u64().unwrap();
    two.finish(&report(0)).await;
    assert_eq!(http.reports(0).await.reports.len(), 2);
    assert_eq!(http.reports(first).await.reports.len(), 1);
    http.post("/v1/reports/ack", "operator", &json!({"cursor": first}))
        .await;
    let rest = http.reports(0).await;
    assert_eq!(rest.reports.len(), 1);
    assert_eq!(rest.reports[0].attempt, "uid-2");
}

#[tokio::test]
async fn a_restart_keeps_frames_sessions_reports_and_acknowledgements() {
    let server = TestServer::start().await;
    let (one, two) = (server.runner("uid-1").await, server.runner("uid-2").await);
    one.lines(1, 10).await;
    two.lines(1, 4).await;
    one.finish(&report(10)).await;
    two.finish(&report(4)).await;
    let before = server.http().reports(0).await;
    let first = before.reports[0].cursor;
    server
        .http()
        .post("/v1/reports/ack", "operator", &json!({"cursor": first}))
        .await;
    let three = server.runner("uid-3").await;
    three.lines(1, 2).await;
    let server = server.restart(Options::default()).await;
    let http = server.http();
    let after = http.reports(0).await;
    assert_eq!(after.reports, before.reports[1..]);
    let three = Runner {
        http: http.clone(),
        ..three
    };
    assert_eq!(three.lines(3, 1).await, 3, "the session goes on");
    three.finish(&report(3)).await;
    let newest = http.reports(after.next).await.reports[0].cursor;
    assert!(newest > before.next, "cursors grow");
    http.post("/v1/reports/ack", "operator", &json!({"cursor": newest}))
        .await;
    let server = server.restart(Options::default()).await;
    assert!(server.http().reports(0).await.reports.is_empty());
    let four = server.runner("uid-4").await;
    four.finish(&report(0)).await;
    assert!(
        server.http().reports(0).await.reports[0].cursor > newest,
        "never used again"
    );
}

#[tokio::test]
async fn bodies_results_and_names_beyond_the_limits_are_refused_by_name() {
    let mut options = Options::default();
    options.limits.result_bytes = 2_000;
    options.limits.run_result_bytes = 3_000;
    options.limits.frames_bytes = 5_000;
    let server = TestServer::with(options).await;
    let runner = server.runner("uid-1").await;
    let result = |name: &str, size: usize| json!({"kind": "result", "name": name, "value": "x".repeat(size)});
    let large = runner.frames(1, vec![result("a", 2_001)]).await;
    let text = large.text().await.unwrap();
    assert!(
        text.contains("--max-result-bytes") && text.contains("2000"),
        "{text}"
    );
    assert_eq!(
        runner.frames(1, vec![result("a", 2_000)]).await.status(),
        StatusCode::OK
    );
    assert_eq!(
        runner.frames(2, vec![result("a", 1_900)]).await.status(),
        StatusCode::OK,
        "replaced, not added"
    );
    let sum = runner
        .frames(3, vec![result("b", 1_500)])
        .await
        .text()
        .await
        .unwrap();
    assert!(sum.contains("--max-run-result-bytes"), "{sum}");
    let retry = server.runner_of("builds", "uid-2", "run-1", "build", 2).await;
    assert_eq!(
        retry.frames(1, vec![result("a", 2_000)]).await.status(),
        StatusCode::OK,
        "a retry counts anew"
    );
    let test = server.runner_of("builds", "uid-3", "run-1", "test", 1).await;
    assert_eq!(
        refused(test.frames(1, vec![result("a", 1_500)]).await).await,
        (413, "too-large".into())
    );
    let many = (3..100).map(line).collect();
    assert_eq!(
        refused(runner.frames(3, many).await).await,
        (413, "too-large".into())
    );
    let huge = runner.frames(3, vec![result("c", 1 << 20)]).await;
    assert_eq!(refused(huge).await, (413, "too-large".into()));
    for name in ["../../etc", "a/b", ".", ""] {
        assert_eq!(
            refused(runner.frames(3, vec![result(name, 1)]).await).await,
            (422, "bad-frame".into())
        );
    }
    assert_eq!(runner.lines(3, 1).await, 3, "nothing refused was counted");
}

#[tokio::test]
async fn two_sessions_do_not_touch_each_other() {
    let server = TestServer::start().await;
    let (one, two) = (server.runner("uid-1").await, server.runner("uid-2").await);
    let work = async |runner: &Runner, lines: u64| {
        for n in 0..lines {
            assert_eq!(runner.lines(n + 1, 1).await, n + 1);
        }
    };
    tokio::join!(work(&one, 30), work(&two, 20));
    let acked = |answer: Value| answer["acked"].as_u64().unwrap();
    assert_eq!(acked(one.trade().await.json().await.unwrap()), 30);
    assert_eq!(acked(two.trade().await.json().await.unwrap()), 20);
}

#[tokio::test]
async fn frames_of_many_attempts_share_syncs() {
    let server = TestServer::start().await;
    let mut runners = Vec::new();
    for n in 0..40 {
        runners.push(server.runner(&format!("uid-{n}")).await);
    }
    let store = &server.core.metrics.store;
    let (commits, changes) = (store.commits(), store.changes());
    let all = runners.iter().map(|runner| async move {
        for n in 0..20 {
            runner.lines(n + 1, 1).await;
        }
    });
    futures::future::join_all(all).await;
    let (commits, changes) = (store.commits() - commits, store.changes() - changes);
    println!("{changes} changes in {commits} commits");
    assert_eq!(changes, 800);
    assert!(commits < changes, "{changes} changes in {commits} commits");
}
