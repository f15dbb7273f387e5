//! Final reports and the operator's list of them.

use std::path::PathBuf;

use dcanary_protocol::report::Reports;
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

#[tokio::test]
async fn an_answer_that_is_given_early_has_the_reports_that_are_there() {
    let (server, cursors) = reported(&["uid-1"]).await;
    let (there, away) = (file(&server, cursors[0]), server.dir.join("away"));
    std::fs::rename(&there, &away).unwrap();
    nix::unistd::mkfifo(&there, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let http = server.http();
    let answer = tokio::spawn(async move { http.reports(0).await });
    // Opened when the server has begun to read, which ends no sooner than this is closed.
    let path = there.clone();
    let open = move || std::fs::OpenOptions::new().write(true).open(path).unwrap();
    let held = tokio::task::spawn_blocking(open).await.unwrap();
    std::fs::rename(&away, &there).unwrap();
    server.core.stopping.cancel();
    assert_eq!(attempts(&answer.await.unwrap()), ["uid-1"]);
    drop(held);
}

/// The attempts of some answer.
fn attempts(page: &Reports) -> Vec<&str> {
    page.reports.iter().map(|entry| entry.attempt.as_str()).collect()
}

/// A server with the final reports of some attempts, and their cursors.
async fn reported(attempts: &[&str]) -> (TestServer, Vec<u64>) {
    let server = TestServer::start().await;
    for attempt in attempts {
        server.runner(attempt).await.finish(&report(0)).await;
    }
    let page = server.http().reports(0).await;
    assert_eq!(page.reports.len(), attempts.len());
    let cursors = page.reports.iter().map(|entry| entry.cursor).collect();
    (server, cursors)
}

fn file(server: &TestServer, cursor: u64) -> PathBuf {
    server.dir.join(format!("data/reports/{cursor:020}.json"))
}

#[tokio::test]
async fn a_stored_report_that_cannot_be_decoded_is_left_out_and_the_others_are_served() {
    let (server, cursors) = reported(&["uid-1", "uid-2", "uid-3", "uid-4"]).await;
    let http = server.http();
    std::fs::write(file(&server, cursors[1]), b"{half").unwrap();
    let page = http.reports(0).await;
    assert_eq!(attempts(&page), ["uid-1", "uid-3", "uid-4"]);
    assert_eq!(page.next, cursors[3]);
    std::fs::copy(file(&server, cursors[0]), file(&server, cursors[3])).unwrap();
    let page = http.reports(cursors[1]).await;
    assert_eq!(attempts(&page), ["uid-3"], "another's is none either");
    assert_eq!(page.next, cursors[3], "it is not asked for again");
    let page = http.reports(cursors[2]).await;
    assert_eq!((page.reports.len(), page.next), (0, cursors[3]));
    let metrics = server.core.metrics.text().unwrap();
    assert!(
        metrics.contains("dcanary_server_reports_unreadable_total 3"),
        "{metrics}"
    );
    http.post("/v1/reports/ack", "operator", &json!({"cursor": cursors[2]}))
        .await;
    assert!(!file(&server, cursors[1]).exists());
    server.runner("uid-5").await.finish(&report(0)).await;
    assert_eq!(attempts(&http.reports(0).await), ["uid-5"]);
}

#[tokio::test]
async fn more_reports_that_cannot_be_decoded_than_an_answer_has_hide_none_behind_them() {
    let (server, cursors) = reported(&["uid-1"]).await;
    let (dir, cluster, _temp) = server.stop().await;
    for cursor in 1..=250 {
        std::fs::write(dir.join(format!("data/reports/{cursor:020}.json")), b"").unwrap();
    }
    let server = TestServer::at(&dir, cluster, Options::default()).await;
    let page = server.http().reports(0).await;
    assert_eq!((attempts(&page), page.next), (vec!["uid-1"], cursors[0]));
}

#[tokio::test]
async fn a_report_that_cannot_be_read_now_is_waited_for_and_not_passed_over() {
    let (server, cursors) = reported(&["uid-1", "uid-2", "uid-3"]).await;
    let http = server.http();
    // Reading a directory is an error of the volume.
    let (there, away) = (file(&server, cursors[1]), server.dir.join("away"));
    std::fs::rename(&there, &away).unwrap();
    std::fs::create_dir(&there).unwrap();
    let page = http.reports(0).await;
    assert_eq!((attempts(&page), page.next), (vec!["uid-1"], cursors[0]));
    let behind = http
        .get(&format!("/v1/reports?after={}", page.next), "operator")
        .await;
    assert_eq!(refused(behind).await, (503, "store-failed".into()));
    std::fs::remove_dir(&there).unwrap();
    std::fs::rename(&away, &there).unwrap();
    let page = http.reports(page.next).await;
    assert_eq!(attempts(&page), ["uid-2", "uid-3"]);
}
