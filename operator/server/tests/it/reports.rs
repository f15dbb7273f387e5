//! Final reports and the operator's list of them.

use serde_json::{Value, json};

use crate::support::{Options, Runner, TestServer, line, refused, report};

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
