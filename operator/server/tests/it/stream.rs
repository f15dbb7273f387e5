//! The numbered stream of an attempt.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Options, Runner, TestServer, line, refused};

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
