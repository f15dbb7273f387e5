//! Uploads: offsets, digests, limits, inputs of later stages.

use std::time::Duration;

use dcanary_server::digest::Digest;
use dcanary_server::sweep::{Ages, sweep};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Options, Runner, TestServer, after, completion, refused, report};

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect()
}

#[tokio::test]
async fn an_upload_in_pieces_ends_with_the_digest_of_what_is_stored() {
    let server = TestServer::start().await;
    let runner = server.runner("uid-1").await;
    let bytes = content(3_000_000);
    assert_eq!(runner.offset("dist").await, 0);
    assert_eq!(
        runner.put("dist", 0, bytes[..1_000_000].to_vec()).await.status(),
        StatusCode::OK
    );
    assert_eq!(runner.offset("dist").await, 1_000_000);
    let wrong = runner.put("dist", 10, vec![1]).await;
    assert_eq!(wrong.headers()["upload-offset"], "1000000");
    assert_eq!(refused(wrong).await, (409, "offset".into()));
    let early = runner.complete("dist", &completion(&bytes)).await;
    assert_eq!(refused(early).await, (409, "offset".into()));
    assert_eq!(
        runner
            .put("dist", 1_000_000, bytes[1_000_000..].to_vec())
            .await
            .status(),
        StatusCode::OK
    );
    let stored: Value = runner
        .complete("dist", &completion(&bytes))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(
        stored,
        json!({"digest": Digest::of(&bytes).to_string(), "size": 3_000_000})
    );
    let again: Value = runner
        .complete("dist", &completion(&bytes))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(again, stored, "repeated");
    assert_eq!(
        refused(runner.put("dist", 0, vec![1]).await).await,
        (409, "complete".into())
    );
    assert_eq!(
        refused(runner.complete("dist", &completion(b"x")).await).await,
        (409, "complete".into())
    );
}

#[tokio::test]
async fn an_upload_with_another_digest_than_the_runner_says_is_dropped() {
    let server = TestServer::start().await;
    let runner = server.runner("uid-1").await;
    runner.put("dist", 0, b"changed on the way".to_vec()).await;
    let body = json!({"kind": "file", "size": 18, "digest": Digest::of(b"as it was sent").to_string(),
        "mediaType": "text/plain"});
    assert_eq!(
        refused(runner.complete("dist", &body).await).await,
        (409, "digest-mismatch".into())
    );
    assert_eq!(runner.offset("dist").await, 0);
    runner.store("dist", b"as it was sent").await;
}

#[tokio::test]
async fn an_empty_artifact_is_an_artifact() {
    let server = TestServer::start().await;
    let runner = server.runner("uid-1").await;
    let stored = runner.complete("empty", &completion(b"")).await;
    assert_eq!(stored.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_restart_between_pieces_goes_on_at_the_offset() {
    let server = TestServer::start().await;
    let runner = server.runner("uid-1").await;
    let bytes = content(500_000);
    runner.put("dist", 0, bytes[..200_000].to_vec()).await;
    let server = server.restart(Options::default()).await;
    let runner = Runner {
        http: server.http(),
        ..runner
    };
    assert_eq!(runner.offset("dist").await, 200_000);
    runner.put("dist", 200_000, bytes[200_000..].to_vec()).await;
    assert_eq!(
        runner.complete("dist", &completion(&bytes)).await.status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_namespace_that_has_its_share_is_told_so_and_another_goes_on() {
    let mut options = Options::default();
    options.limits.namespace_bytes = 1_000;
    let server = TestServer::with(options.clone()).await;
    let runner = server.runner("uid-1").await;
    runner.store("a", &content(600)).await;
    let full = runner.put("b", 0, vec![1; 401]).await;
    assert_eq!(full.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let text = full.text().await.unwrap();
    for part in ["too-large", "namespace builds", "1000", "--max-namespace-bytes"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(runner.offset("b").await, 0, "nothing of it was kept");
    let other = server.runner_of("elsewhere", "uid-2", "run-2", "build", 1).await;
    other.store("a", &content(1_000)).await;
    // what was dropped does not count
    runner.put("c", 0, vec![1; 400]).await;
    let wrong = runner.complete("c", &completion(&[2; 400])).await;
    assert_eq!(refused(wrong).await, (409, "digest-mismatch".into()));
    assert_eq!(runner.put("c", 0, vec![1; 300]).await.status(), StatusCode::OK);
    // a start counts what is there: content, and an upload on its way
    let server = server.restart(options).await;
    let runner = Runner {
        http: server.http(),
        ..runner
    };
    assert_eq!(
        runner.put("d", 0, vec![1; 101]).await.status(),
        StatusCode::PAYLOAD_TOO_LARGE
    );
    runner.store("d", &[1; 100]).await;
}

#[tokio::test]
async fn the_share_of_a_namespace_is_counted_anew_when_runs_are_swept() {
    let mut options = Options::default();
    options.limits.namespace_bytes = 1_000;
    options.settings.retention = Duration::ZERO;
    let server = TestServer::with(options).await;
    let gone = server.runner("uid-1").await;
    gone.store("a", &content(700)).await;
    gone.finish(&report(0)).await;
    let alive = server.runner_of("builds", "uid-2", "run-2", "build", 1).await;
    let refused_now = alive.put("b", 0, vec![1; 700]).await;
    assert_eq!(refused_now.status(), StatusCode::PAYLOAD_TOO_LARGE);
    server.cluster.runs.lock().unwrap().remove("run-1");
    let ages = Ages {
        content: Duration::ZERO,
        uploads: Duration::ZERO,
        evidence: Duration::from_secs(3600),
    };
    let later = after(Duration::from_secs(1));
    assert_eq!(sweep(&server.core, ages, later).await.unwrap().runs, 1);
    alive.store("b", &[1; 400]).await;
    let same = server.runner_of("builds", "uid-3", "run-2", "test", 1).await;
    same.store("b", &[1; 400]).await;
    let much = same.put("c", 0, vec![2; 600]).await;
    assert_eq!(
        much.status(),
        StatusCode::PAYLOAD_TOO_LARGE,
        "the same content counts twice until then"
    );
    sweep(&server.core, ages, later).await.unwrap();
    same.store("c", &[2; 600]).await;
    let over = same.put("d", 0, vec![3]).await;
    assert_eq!(
        over.status(),
        StatusCode::PAYLOAD_TOO_LARGE,
        "the count begins from what is there"
    );
}

#[tokio::test]
async fn artifacts_beyond_the_limits_are_refused_by_name() {
    let mut options = Options::default();
    options.limits.artifact_bytes = 1_000;
    options.limits.artifacts = 2;
    let server = TestServer::with(options).await;
    let runner = server.runner("uid-1").await;
    let large = runner.put("a", 0, content(100_000)).await;
    let text = large.text().await.unwrap();
    assert!(
        text.contains("--max-artifact-bytes") && text.contains("1000"),
        "{text}"
    );
    runner.store("a", b"1").await;
    runner.store("b", b"2").await;
    let third = runner.put("c", 0, vec![3]).await.text().await.unwrap();
    assert!(third.contains("--max-artifacts"), "{third}");
}

#[tokio::test]
async fn what_is_said_of_an_artifact_is_short_for_it_is_kept_in_memory() {
    let server = TestServer::start().await;
    let runner = server.runner("uid-1").await;
    let content = content(10);
    runner.put("dist", 0, content.clone()).await;
    for field in ["mediaType", "fileName", "reference"] {
        let mut long = completion(&content);
        long[field] = json!("x".repeat((4 << 10) + 1));
        let answer = runner.complete("dist", &long).await;
        assert_eq!(refused(answer).await, (422, "bad-report".into()), "{field}");
    }
    let mut longest = completion(&content);
    longest["fileName"] = json!("x".repeat(4 << 10));
    assert_eq!(runner.complete("dist", &longest).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn names_that_leave_their_directory_are_refused() {
    let server = TestServer::start().await;
    let runner = server.runner("uid-1").await;
    for name in ["..%2F..%2Fx", ".hidden", "a%00b", "a%2Fb", "%2Fetc%2Fpasswd"] {
        let answer = runner.put(name, 0, vec![1]).await;
        assert_eq!(refused(answer).await, (400, "bad-name".into()), "{name}");
    }
    let http = server.http();
    for path in ["/v1/attempts/..%2F..%2Fx/frames", "/v1/attempts/%2e%2e/frames"] {
        let answer = http
            .request(Method::POST, path, &runner.session())
            .json(&json!({}))
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_client_error(), "{path}");
    }
    for path in [
        "/v1/namespaces/..%2Fbuilds/runs/run-1/logs",
        "/v1/namespaces/builds/runs/..%2F..%2F/attempts",
    ] {
        assert_eq!(
            refused(http.get(path, "reader/a/builds").await).await,
            (400, "bad-name".into()),
            "{path}"
        );
    }
}

#[tokio::test]
async fn later_stages_of_the_same_run_get_what_earlier_ones_stored_and_nobody_else_does() {
    let server = TestServer::start().await;
    let build = server.runner("uid-1").await;
    let artifact = build.store("dist", b"the artifact").await;
    let value = "v".repeat(100_000);
    build
        .frames(
            1,
            vec![json!({"kind": "result", "name": "large", "value": value})],
        )
        .await;
    build
        .frames(
            2,
            vec![json!({"kind": "result", "name": "small", "value": "tiny"})],
        )
        .await;
    let test = server.runner_of("builds", "uid-2", "run-1", "test", 1).await;
    let input = async |runner: &Runner, digest: &str| {
        runner
            .request(Method::GET, &format!("inputs/{digest}"))
            .send()
            .await
            .unwrap()
    };
    assert_eq!(
        input(&test, &artifact).await.bytes().await.unwrap(),
        b"the artifact"[..]
    );
    let large = Digest::of(value.as_bytes()).to_string();
    assert_eq!(input(&test, &large).await.text().await.unwrap(), value);
    assert_eq!(
        input(&test, &Digest::of(b"tiny").to_string())
            .await
            .text()
            .await
            .unwrap(),
        "tiny"
    );
    let other = server.runner_of("builds", "uid-3", "run-2", "test", 1).await;
    assert_eq!(
        refused(input(&other, &artifact).await).await,
        (404, "not-found".into())
    );
    assert_eq!(
        refused(input(&test, "sha256:zz").await).await,
        (400, "bad-digest".into())
    );
}

#[tokio::test]
async fn a_digest_cannot_be_claimed_without_its_bytes() {
    let server = TestServer::start().await;
    let owner = server.runner_of("secret", "uid-1", "run-1", "build", 1).await;
    owner.store("dist", b"not yours").await;
    let thief = server.runner_of("builds", "uid-2", "run-2", "build", 1).await;
    let claim = thief.complete("dist", &completion(b"not yours")).await;
    assert_eq!(refused(claim).await, (409, "offset".into()));
    assert_eq!(thief.finish(&report(0)).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_new_connection_takes_over_an_upload_from_a_stalled_one() {
    let server = TestServer::start().await;
    let runner = server.runner("uid-1").await;
    let (to, pieces) = tokio::sync::mpsc::channel::<Result<Vec<u8>, std::io::Error>>(1);
    to.send(Ok(vec![1; 1_000])).await.unwrap();
    let stalled = {
        let runner = runner.clone();
        let body = reqwest::Body::wrap_stream(tokio_stream::wrappers::ReceiverStream::new(pieces));
        tokio::spawn(async move {
            runner
                .request(Method::PUT, "uploads/dist?offset=0")
                .body(body)
                .send()
                .await
        })
    };
    while runner.offset("dist").await < 1_000 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(
        runner.put("dist", 1_000, vec![2; 500]).await.status(),
        StatusCode::OK
    );
    to.send(Ok(vec![3; 10])).await.unwrap();
    drop(to);
    assert_eq!(
        refused(stalled.await.unwrap().unwrap()).await,
        (409, "offset".into())
    );
    let whole = [vec![1; 1_000], vec![2; 500]].concat();
    assert_eq!(
        runner.complete("dist", &completion(&whole)).await.status(),
        StatusCode::OK
    );
}

/// Servers before this one opened sessions for Pods of no run.
#[tokio::test]
async fn an_attempt_of_no_run_that_an_older_server_let_in_stores_no_artifacts() {
    let server = TestServer::start().await;
    let runner = server.runner("uid-1").await;
    let (dir, cluster, _temp) = server.stop().await;
    let data = dir.join("data");
    let pointer = json!({"at": {"namespace": "builds", "run": null}});
    std::fs::write(data.join("attempts/uid-1.json"), pointer.to_string()).unwrap();
    let here = data.join("runs/builds/-/uid-1");
    std::fs::create_dir_all(data.join("runs/builds/-")).unwrap();
    std::fs::rename(data.join("runs/builds/run-1/uid-1"), &here).unwrap();
    let file = here.join("attempt.json");
    let mut record: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    record["run"] = Value::Null;
    std::fs::write(&file, record.to_string()).unwrap();
    let server = TestServer::at(&dir, cluster, Options::default()).await;
    let runner = Runner {
        http: server.http(),
        ..runner
    };
    let put = runner.put("dist", 0, b"content".to_vec()).await;
    let text = put.text().await.unwrap();
    assert!(text.contains("no-run") && text.contains("PipelineRun"), "{text}");
    assert_eq!(
        refused(runner.complete("dist", &completion(b"content")).await).await,
        (403, "no-run".into())
    );
    assert!(!server.dir.join("data/uploads/uid-1").exists());
}
