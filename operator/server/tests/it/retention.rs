//! What is kept and what goes.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dcanary_server::digest::Digest;
use dcanary_server::sweep::{Ages, Swept, sweep};
use reqwest::StatusCode;

use crate::support::{Options, TestServer, after, completion, refused, report};

const NOW: Ages = Ages {
    content: Duration::ZERO,
    uploads: Duration::ZERO,
    evidence: Duration::from_secs(3600),
};

const RETENTION: Duration = Duration::from_secs(3600);

async fn swept(server: &TestServer, now: SystemTime) -> Swept {
    sweep(&server.core, NOW, now).await.unwrap()
}

async fn served(server: &TestServer, namespace: &str, content: &[u8]) -> StatusCode {
    let path = format!("/v1/namespaces/{namespace}/artifacts/{}", Digest::of(content));
    server
        .http()
        .get(&path, &format!("reader/a/{namespace}"))
        .await
        .status()
}

#[tokio::test]
async fn data_outlives_the_run_for_the_retention_and_then_goes() {
    let mut options = Options::default();
    options.settings.retention = RETENTION;
    let server = TestServer::with(options).await;
    let gone = server.runner("uid-1").await;
    gone.store("own", b"own content").await;
    gone.store("shared", b"shared content").await;
    gone.lines(1, 1).await;
    gone.finish(&report(1)).await;
    let alive = server.runner_of("builds", "uid-2", "run-2", "build", 1).await;
    alive.store("shared", b"shared content").await;
    assert_eq!(swept(&server, SystemTime::now()).await, Swept::default());
    server.cluster.runs.lock().unwrap().remove("run-1");
    assert_eq!(
        swept(&server, SystemTime::now()).await,
        Swept::default(),
        "kept, though the run is gone"
    );
    assert_eq!(served(&server, "builds", b"own content").await, StatusCode::OK);
    let gone_now = swept(&server, after(RETENTION)).await;
    assert_eq!((gone_now.runs, gone_now.blobs), (1, 1));
    assert_eq!(
        served(&server, "builds", b"shared content").await,
        StatusCode::OK,
        "another run refers to it"
    );
    let logs = server
        .http()
        .get("/v1/namespaces/builds/runs/run-1/logs", "reader/a/builds")
        .await;
    assert_eq!(refused(logs).await, (404, "not-found".into()));
    assert_eq!(
        refused(gone.trade().await).await,
        (410, "session-revoked".into()),
        "never a second first trade"
    );
    assert_eq!(alive.lines(1, 1).await, 1);
}

#[tokio::test]
async fn a_run_that_comes_back_into_the_list_is_kept() {
    let mut options = Options::default();
    options.settings.retention = RETENTION;
    let server = TestServer::with(options).await;
    server.runner("uid-1").await.store("own", b"own content").await;
    server.cluster.runs.lock().unwrap().remove("run-1");
    swept(&server, SystemTime::now()).await;
    server.cluster.runs.lock().unwrap().insert("run-1".into());
    assert_eq!(swept(&server, after(RETENTION)).await, Swept::default());
    server.cluster.runs.lock().unwrap().remove("run-1");
    assert_eq!(
        swept(&server, after(RETENTION)).await,
        Swept::default(),
        "counted anew"
    );
}

#[tokio::test]
async fn content_without_a_reference_goes_and_young_content_stays() {
    let server = TestServer::start().await;
    let blobs = &server.core.store.blobs;
    let (digest, pin) = blobs
        .put(bytes::Bytes::from_static(b"not referred to"))
        .await
        .unwrap();
    assert_eq!(swept(&server, SystemTime::now()).await.blobs, 0, "pinned");
    drop(pin);
    assert_eq!(
        sweep(&server.core, Ages::default(), SystemTime::now())
            .await
            .unwrap()
            .blobs,
        0,
        "young"
    );
    assert_eq!(swept(&server, SystemTime::now()).await.blobs, 1);
    assert_eq!(blobs.size(&digest).await.unwrap(), None);
}

#[tokio::test]
async fn uploads_that_were_given_up_go_when_the_attempt_is_over() {
    let server = TestServer::start().await;
    let (one, two) = (server.runner("uid-1").await, server.runner("uid-2").await);
    one.put("dist", 0, vec![1; 100]).await;
    two.put("dist", 0, vec![1; 100]).await;
    two.finish(&report(0)).await;
    assert_eq!(two.offset("dist").await, 0);
    swept(&server, SystemTime::now()).await;
    assert_eq!(one.offset("dist").await, 100, "still at work");
}

#[tokio::test]
async fn an_attempt_that_cannot_be_read_stops_no_sweep_and_keeps_what_it_may_refer_to() {
    let mut options = Options::default();
    options.settings.retention = RETENTION;
    let server = TestServer::with(options).await;
    let broken = server.runner("uid-1").await;
    broken.store("dist", b"of the broken attempt").await;
    broken.finish(&report(0)).await;
    let gone = server.runner_of("other", "uid-2", "run-2", "build", 1).await;
    gone.store("dist", b"of a run that is gone").await;
    gone.finish(&report(0)).await;
    let record = server.dir.join("data/runs/builds/run-1/uid-1/attempt.json");
    std::fs::write(&record, b"{half").unwrap();
    let blobs = &server.core.store.blobs;
    drop(blobs.put(bytes::Bytes::from_static(b"unneeded")).await.unwrap());
    server.cluster.runs.lock().unwrap().remove("run-2");
    let first = swept(&server, SystemTime::now()).await;
    assert_eq!((first.blobs, first.unreadable), (1, 1));
    let second = swept(&server, after(RETENTION)).await;
    assert_eq!((second.runs, second.blobs, second.unreadable), (1, 1, 1));
    assert_eq!(
        served(&server, "builds", b"of the broken attempt").await,
        StatusCode::OK
    );
    server.cluster.runs.lock().unwrap().remove("run-1");
    swept(&server, SystemTime::now()).await;
    let third = swept(&server, after(RETENTION)).await;
    assert_eq!((third.runs, third.blobs, third.unreadable), (1, 1, 0));
}

#[tokio::test]
async fn what_was_let_in_before_a_run_was_removed_does_not_bring_it_back() {
    let mut options = Options::default();
    options.settings.retention = Duration::ZERO;
    let server = TestServer::with(options).await;
    let runner = server.runner("uid-1").await;
    runner.lines(1, 1).await;
    let shown = format!("uid-1:{}", runner.key);
    let let_in = dcanary_server::session::open(&server.core, &shown, &"uid-1".parse().unwrap())
        .await
        .unwrap();
    server.cluster.runs.lock().unwrap().remove("run-1");
    assert_eq!(swept(&server, after(Duration::from_secs(1))).await.runs, 1);
    let request =
        serde_json::from_value(serde_json::json!({"first": 2, "frames": [crate::support::line(2)]}));
    let late = dcanary_server::frames::take(&server.core, &let_in, request.unwrap()).await;
    assert_eq!(late.unwrap_err().reason(), (410, "session-revoked"));
    assert!(!server.dir.join("data/runs/builds/run-1").exists());
}

fn aged(path: &Path, age: Duration) {
    let file = std::fs::File::options().write(true).open(path);
    file.unwrap().set_modified(SystemTime::now() - age).unwrap();
}

#[tokio::test]
async fn content_whose_last_bytes_came_long_before_its_end_is_young_when_it_gets_its_name() {
    let server = TestServer::start().await;
    let runner = server.runner("uid-1").await;
    let content = b"sent when the store was about to be full";
    let stored = runner.put("dist", 0, content.to_vec()).await;
    assert_eq!(stored.status(), StatusCode::OK);
    aged(&server.dir.join("data/uploads/uid-1/dist"), RETENTION * 2);
    let answer = runner.complete("dist", &completion(content)).await;
    assert_eq!(answer.status(), StatusCode::OK);
    // As a sweep would, that had read which content is referred to before this was.
    let before = SystemTime::now() - RETENTION;
    let deleted = server.core.store.blobs.delete(&Digest::of(content), before).await;
    assert!(!deleted.unwrap());
    assert_eq!(served(&server, "builds", content).await, StatusCode::OK);
}

#[tokio::test]
async fn content_that_is_kept_is_as_if_it_had_been_put_again() {
    let server = TestServer::start().await;
    let blobs = &server.core.store.blobs;
    let (digest, pin) = blobs.put(bytes::Bytes::from_static(b"old")).await.unwrap();
    drop(pin);
    let hex = digest.hex();
    aged(
        &server.dir.join(format!("data/blobs/{}/{hex}", &hex[..2])),
        RETENTION * 2,
    );
    let pin = blobs.keep(&digest).await.unwrap().unwrap();
    assert!(!blobs.delete(&digest, after(RETENTION)).await.unwrap(), "pinned");
    drop(pin);
    let before = SystemTime::now() - RETENTION;
    assert!(!blobs.delete(&digest, before).await.unwrap(), "young");
    assert!(blobs.delete(&digest, after(RETENTION)).await.unwrap());
    assert!(blobs.keep(&digest).await.unwrap().is_none(), "gone");
}

#[tokio::test]
async fn what_a_namespace_is_granted_anew_while_a_sweep_takes_it_back_stays() {
    let mut options = Options::default();
    options.settings.retention = Duration::ZERO;
    let server = TestServer::with(options).await;
    let content = b"built by two runs to the same bytes";
    let first = server.runner("uid-1").await;
    first.store("dist", content).await;
    first.finish(&report(0)).await;
    server.cluster.runs.lock().unwrap().remove("run-1");
    assert_eq!(swept(&server, after(Duration::from_secs(1))).await.runs, 1);
    let grant = format!("data/grants/builds/{}.json", Digest::of(content).hex());
    aged(&server.dir.join(grant), RETENTION);
    let other = server.runner_of("builds", "uid-2", "run-2", "build", 1).await;
    let list = server.blobs.stop_list();
    let core = Arc::clone(&server.core);
    let sweeping = tokio::spawn(async move { sweep(&core, Ages::default(), SystemTime::now()).await });
    list.asked.await.unwrap();
    other.store("dist", content).await;
    list.go_on.send(()).unwrap();
    assert_eq!(sweeping.await.unwrap().unwrap().grants, 0);
    assert_eq!(served(&server, "builds", content).await, StatusCode::OK);
}
