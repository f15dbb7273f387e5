//! Logs, lists and artifacts for people.

use std::time::Duration;

use futures::{StreamExt, stream::FuturesUnordered};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Options, TestServer, line, refused, report};

const LOGS: &str = "/v1/namespaces/builds/runs/run-1/logs";

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn logs_are_served_stage_by_stage_and_attempt_by_attempt() {
    let server = TestServer::start().await;
    let first = server.runner_of("builds", "uid-1", "run-1", "build", 1).await;
    let test = server.runner_of("builds", "uid-2", "run-1", "test", 1).await;
    let second = server.runner_of("builds", "uid-3", "run-1", "build", 2).await;
    second.lines(1, 2).await;
    first.lines(1, 1).await;
    test.lines(1, 1).await;
    let all = lines(
        &server
            .http()
            .get(LOGS, "reader/a/builds")
            .await
            .text()
            .await
            .unwrap(),
    );
    let order: Vec<_> = all
        .iter()
        .map(|l| (l["stage"].as_str().unwrap(), l["attempt"].as_u64().unwrap()))
        .collect();
    let build: Vec<_> = order
        .iter()
        .filter(|(stage, _)| *stage == "build")
        .map(|(_, n)| *n)
        .collect();
    assert_eq!(build, [1, 2, 2]);
    assert_eq!(
        all.iter().find(|l| l["stage"] == "test").unwrap(),
        &json!({"stage": "test", "attempt": 1, "step": 0, "stream": "stdout",
            "time": "2026-01-01T00:00:00.000000000Z", "line": "line 1"})
    );
    let one = server
        .http()
        .get(&format!("{LOGS}?stage=test"), "reader/a/builds")
        .await
        .text()
        .await
        .unwrap();
    assert_eq!(lines(&one).len(), 1);
    let unknown = server
        .http()
        .get("/v1/namespaces/builds/runs/run-9/logs", "reader/a/builds")
        .await;
    assert_eq!(refused(unknown).await, (404, "not-found".into()));
}

#[tokio::test]
async fn following_a_run_shows_lines_as_they_come_over_attempts_and_ends_with_the_run() {
    let server = TestServer::start().await;
    let http = server.http();
    let answer = http.get(&format!("{LOGS}?follow=true"), "reader/a/builds").await;
    assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
    let mut stream = answer.bytes_stream();
    let mut next = async |marker: &str| {
        let mut seen = String::new();
        while !seen.contains(marker) {
            let piece = tokio::time::timeout(Duration::from_secs(10), stream.next())
                .await
                .unwrap();
            seen.push_str(std::str::from_utf8(&piece.unwrap().unwrap()).unwrap());
        }
    };
    let one = server.runner("uid-1").await;
    one.lines(1, 1).await;
    next("line 1\"").await;
    one.lines(2, 1).await;
    next("line 2\"").await;
    one.finish(&report(2)).await;
    let two = server.runner_of("builds", "uid-2", "run-1", "build", 2).await;
    two.lines(1, 7).await;
    next("line 7\"").await;
    two.lines(8, 1).await;
    server.cluster.finished.lock().unwrap().insert("run-1".into());
    next("line 8\"").await;
    let end = tokio::time::timeout(Duration::from_secs(10), stream.next())
        .await
        .unwrap();
    assert!(end.is_none(), "ends after the last line");
}

#[tokio::test]
async fn following_a_stage_ends_when_its_newest_attempt_succeeded() {
    let server = TestServer::start().await;
    let one = server.runner("uid-1").await;
    let mut failed = report(1);
    failed["outcome"] = json!("failed");
    one.lines(1, 1).await;
    one.finish(&failed).await;
    let http = server.http();
    let following = tokio::spawn(async move {
        http.get(&format!("{LOGS}?stage=build&follow=true"), "reader/a/builds")
            .await
            .text()
            .await
            .unwrap()
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let two = server.runner_of("builds", "uid-2", "run-1", "build", 2).await;
    two.lines(1, 2).await;
    two.finish(&report(2)).await;
    let text = tokio::time::timeout(Duration::from_secs(10), following)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(lines(&text).len(), 3);
}

#[tokio::test]
async fn following_a_stage_whose_attempt_failed_ends_when_no_other_one_comes() {
    let server = TestServer::start().await;
    let one = server.runner("uid-1").await;
    let mut failed = report(0);
    failed["outcome"] = json!("failed");
    one.finish(&failed).await;
    let follow = server.http();
    let path = format!("{LOGS}?stage=build&follow=true");
    let answer = follow.get(&path, "reader/a/builds");
    let text = tokio::time::timeout(Duration::from_secs(15), async {
        answer.await.text().await.unwrap()
    });
    assert_eq!(text.await.unwrap(), "");
}

#[tokio::test]
async fn following_what_never_had_an_attempt_ends_with_the_run_when_its_name_is_given() {
    let server = TestServer::start().await;
    server.runner("uid-1").await.lines(1, 1).await;
    server.cluster.runs.lock().unwrap().insert("run-2".into());
    let http = server.http();
    let follow = async |path: &str| {
        let answer = http.get(path, "reader/a/builds").await;
        lines(&answer.text().await.unwrap()).len()
    };
    let (skipped, whole) = (
        format!("{LOGS}?stage=skipped&run=run-1-name&follow=true"),
        format!("{LOGS}?run=run-1-name&follow=true"),
    );
    let empty = "/v1/namespaces/builds/runs/run-2/logs?run=run-2-name&follow=true";
    let mut all: FuturesUnordered<_> = [&skipped, empty, &whole].into_iter().map(follow).collect();
    let early = tokio::time::timeout(Duration::from_millis(1_500), all.next()).await;
    assert!(early.is_err(), "they are followed while the runs go on");
    for run in ["run-1", "run-2"] {
        server.cluster.finished.lock().unwrap().insert(run.into());
    }
    let ended = tokio::time::timeout(Duration::from_secs(10), all.collect::<Vec<_>>()).await;
    let mut ended = ended.unwrap();
    ended.sort_unstable();
    assert_eq!(ended, [0, 0, 1]);
}

#[tokio::test]
async fn a_long_log_is_served_with_its_middle_marked() {
    let mut options = Options::default();
    options.limits.log_bytes = 64 * 1_024;
    let server = TestServer::with(options.clone()).await;
    let runner = server.runner("uid-1").await;
    for batch in 0..20 {
        runner.lines(batch * 100 + 1, 100).await;
    }
    let check = |text: String| {
        let all = lines(&text);
        assert!(text.len() < 100_000, "{}", text.len());
        assert_eq!(all[0]["line"], "line 1");
        assert_eq!(all.last().unwrap()["line"], "line 2000");
        let marker = all
            .iter()
            .position(|l| l["line"].as_str().unwrap().starts_with("[dcanary: "))
            .unwrap();
        let number = |at: usize| {
            all[at]["line"]
                .as_str()
                .unwrap()
                .rsplit(' ')
                .next()
                .unwrap()
                .parse::<u64>()
                .unwrap()
        };
        let dropped = number(marker + 1) - number(marker - 1) - 1;
        assert!(
            all[marker]["line"]
                .as_str()
                .unwrap()
                .contains(&format!(" {dropped} lines")),
            "{}",
            all[marker]
        );
        assert_eq!(all.len() as u64, 2_000 - dropped + 1);
    };
    check(
        server
            .http()
            .get(LOGS, "reader/a/builds")
            .await
            .text()
            .await
            .unwrap(),
    );
    let server = server.restart(options).await;
    check(
        server
            .http()
            .get(LOGS, "reader/a/builds")
            .await
            .text()
            .await
            .unwrap(),
    );
}

#[tokio::test]
async fn very_long_lines_are_served_whole() {
    let server = TestServer::start().await;
    let runner = server.runner("uid-1").await;
    let mut long = line(1);
    long["line"] = json!("x".repeat(900_000));
    runner.frames(1, vec![long.clone()]).await;
    runner.frames(2, vec![line(2)]).await;
    let all = lines(
        &server
            .http()
            .get(LOGS, "reader/a/builds")
            .await
            .text()
            .await
            .unwrap(),
    );
    assert_eq!(all[0]["line"], long["line"]);
    assert_eq!(all[1]["line"], "line 2");
}

#[tokio::test]
async fn attempts_list_steps_results_and_artifacts() {
    let server = TestServer::start().await;
    let runner = server.runner("uid-1").await;
    let digest = runner.store("dist", b"content").await;
    runner
        .frames(1, vec![
            json!({"kind": "stepStarted", "step": 0, "name": "compile", "time": "t1"}),
            json!({"kind": "stepFinished", "step": 0, "name": "compile", "time": "t2", "outcome": "failed",
                "exitCode": 2}),
            json!({"kind": "result", "name": "version", "value": "1.2"}),
        ])
        .await;
    let path = "/v1/namespaces/builds/runs/run-1/attempts";
    let list: Value = server
        .http()
        .get(path, "reader/a/builds")
        .await
        .json()
        .await
        .unwrap();
    let attempt = &list["attempts"][0];
    assert_eq!(
        attempt["steps"],
        json!([{"name": "compile", "startedAt": "t1", "finishedAt": "t2",
        "outcome": "failed", "exitCode": 2}])
    );
    assert_eq!(attempt["artifacts"][0]["digest"], digest);
    assert_eq!(attempt["results"][0]["value"], "1.2");
    assert_eq!(
        (&attempt["stage"], &attempt["number"]),
        (&json!("build"), &json!(1))
    );
    assert!(!list.to_string().contains(&runner.key), "no keys");
}

#[tokio::test]
async fn artifacts_are_served_with_name_and_ranges() {
    let server = TestServer::start().await;
    let runner = server.runner("uid-1").await;
    let digest = runner.store("dist", b"0123456789").await;
    let path = format!("/v1/namespaces/builds/artifacts/{digest}");
    let http = server.http();
    let whole = http.get(&path, "reader/a/builds").await;
    assert_eq!(
        whole.headers()["content-disposition"],
        "attachment; filename=\"out.txt\"; filename*=UTF-8''out.txt"
    );
    assert_eq!(whole.headers()["content-type"], "text/plain");
    assert_eq!(whole.headers()["x-content-type-options"], "nosniff");
    assert_eq!(whole.text().await.unwrap(), "0123456789");
    let part = async |range: &str| {
        let request = http
            .request(Method::GET, &path, "Bearer reader/a/builds")
            .header("range", range);
        request.send().await.unwrap()
    };
    let middle = part("bytes=2-4").await;
    assert_eq!(middle.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(middle.headers()["content-range"], "bytes 2-4/10");
    assert_eq!(middle.text().await.unwrap(), "234");
    assert_eq!(part("bytes=-3").await.text().await.unwrap(), "789");
    let beyond = part("bytes=10-").await;
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(beyond.headers()["content-range"], "bytes */10");
}

#[tokio::test]
async fn readers_see_only_namespaces_that_they_may_read() {
    let server = TestServer::start().await;
    let runner = server.runner("uid-1").await;
    let digest = runner.store("dist", b"content").await;
    let http = server.http();
    for path in [
        LOGS.to_owned(),
        "/v1/namespaces/builds/runs/run-1/attempts".to_owned(),
        format!("/v1/namespaces/builds/artifacts/{digest}"),
    ] {
        assert_eq!(
            refused(http.get(&path, "reader/mallory/other").await).await,
            (403, "forbidden".into())
        );
        assert_eq!(
            refused(http.get(&path, "nobody").await).await,
            (401, "unauthenticated".into())
        );
        let bare = http.request(Method::GET, &path, "").send().await.unwrap();
        assert_eq!(refused(bare).await, (401, "unauthenticated".into()));
        assert_eq!(http.get(&path, "reader/a/builds").await.status(), StatusCode::OK);
    }
    let cross = http
        .get(
            &format!("/v1/namespaces/other/artifacts/{digest}"),
            "reader/mallory/other",
        )
        .await;
    assert_eq!(
        refused(cross).await,
        (404, "not-found".into()),
        "a digest alone opens nothing"
    );
    let logs = http
        .get("/v1/namespaces/other/runs/run-1/attempts", "reader/mallory/other")
        .await;
    assert_eq!(logs.json::<Value>().await.unwrap()["attempts"], json!([]));
}

#[tokio::test]
async fn answers_about_readers_are_kept_for_a_short_time_only() {
    let mut options = Options::default();
    options.settings.reader_cache = Duration::from_millis(300);
    let server = TestServer::with(options).await;
    let runner = server.runner("uid-1").await;
    runner.lines(1, 1).await;
    let accesses = || server.cluster.accesses.load(std::sync::atomic::Ordering::Relaxed);
    let http = server.http();
    for _ in 0..5 {
        http.get(LOGS, "reader/a/builds").await;
    }
    let few = accesses();
    assert!(few <= 2, "{few}");
    tokio::time::sleep(Duration::from_millis(350)).await;
    http.get(LOGS, "reader/a/builds").await;
    assert!(accesses() > few);
}
