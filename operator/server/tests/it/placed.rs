//! What has its digest takes no more bytes, and what is served under a digest has it: between the record of an upload and its move a
//! server may be killed, and a volume may fail.

use std::path::PathBuf;

use dcanary_server::attempts::registry::Found;
use dcanary_server::digest::Digest;
use dcanary_server::uploads;
use reqwest::StatusCode;

use crate::layouts::body_of;
use crate::support::{Options, Runner, TestServer, completion, refused};

const CONTENT: &[u8] = b"a release that another namespace will build as well";

fn blob(server: &TestServer) -> PathBuf {
    let hex = Digest::of(CONTENT).hex();
    server.dir.join("data/blobs").join(&hex[..2]).join(hex)
}

fn upload(server: &TestServer) -> PathBuf {
    server.dir.join("data/uploads/uid-1/dist")
}

/// A server that has recorded the digest of `dist` and could not move it, as it would be after a kill in between.
async fn placed() -> (TestServer, Runner) {
    let server = TestServer::start().await;
    let runner = server.runner("uid-1").await;
    assert_eq!(
        runner.put("dist", 0, CONTENT.to_vec()).await.status(),
        StatusCode::OK
    );
    place(&server, &runner).await;
    (server, runner)
}

async fn place(server: &TestServer, runner: &Runner) {
    let here = blob(server);
    let folder = here.parent().unwrap();
    std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
    std::fs::write(folder, b"in the way").unwrap();
    let answer = runner.complete("dist", &completion(CONTENT)).await;
    assert_eq!(refused(answer).await, (503, "store-failed".into()));
    std::fs::remove_file(folder).unwrap();
    assert!(upload(server).exists());
}

async fn served(server: &TestServer, namespace: &str) -> Vec<u8> {
    let path = format!("/v1/namespaces/{namespace}/artifacts/{}", Digest::of(CONTENT));
    let answer = server.http().get(&path, &format!("reader/a/{namespace}")).await;
    answer.bytes().await.unwrap().to_vec()
}

#[tokio::test]
async fn what_has_its_digest_takes_no_more_bytes_before_and_after_a_restart() {
    let (server, runner) = placed().await;
    let at = CONTENT.len() as u64;
    let more = runner.put("dist", at, b"more".to_vec()).await;
    assert_eq!(refused(more).await, (409, "complete".into()));
    let server = server.restart(Options::default()).await;
    let runner = Runner {
        http: server.http(),
        ..runner
    };
    let more = runner.put("dist", at, b"more".to_vec()).await;
    assert_eq!(refused(more).await, (409, "complete".into()));
    let answer = runner.complete("dist", &completion(CONTENT)).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(served(&server, "builds").await, CONTENT);
}

#[tokio::test]
async fn a_connection_that_was_there_before_the_digest_adds_nothing_either() {
    let server = TestServer::start().await;
    let runner = server.runner("uid-1").await;
    let Ok(Found::Attempt(attempt)) = server.core.attempts.find(&"uid-1".parse().unwrap()).await else {
        panic!("the attempt is there");
    };
    let (to, pieces) = tokio::sync::mpsc::channel::<Result<bytes::Bytes, std::io::Error>>(1);
    let stalled = {
        let core = server.core.clone();
        tokio::spawn(async move {
            let mut pieces = tokio_stream::wrappers::ReceiverStream::new(pieces);
            uploads::append(&core, &attempt, &"dist".parse().unwrap(), 0, &mut pieces).await
        })
    };
    to.send(Ok(bytes::Bytes::from_static(CONTENT))).await.unwrap();
    server.blobs.added(CONTENT.len()).await;
    place(&server, &runner).await;
    to.send(Ok(bytes::Bytes::from_static(b"more"))).await.unwrap();
    drop(to);
    assert_eq!(stalled.await.unwrap().unwrap_err().reason(), (409, "complete"));
    assert_eq!(std::fs::read(upload(&server)).unwrap(), CONTENT);
}

/// Servers before this one let bytes be added to what had its digest.
#[tokio::test]
async fn what_was_changed_after_its_digest_is_dropped_and_sent_again() {
    let (server, runner) = placed().await;
    let mut changed = CONTENT.to_vec();
    changed.extend_from_slice(b", and more");
    std::fs::write(upload(&server), changed).unwrap();
    let server = server.restart(Options::default()).await;
    let runner = Runner {
        http: server.http(),
        ..runner
    };
    let answer = runner.complete("dist", &completion(CONTENT)).await;
    assert_eq!(refused(answer).await, (409, "digest-mismatch".into()));
    assert!(!blob(&server).exists());
    assert_eq!(runner.offset("dist").await, 0);
    runner.store("dist", CONTENT).await;
    assert_eq!(served(&server, "builds").await, CONTENT);
}

#[tokio::test]
async fn a_copy_of_another_length_gives_way_to_the_right_one_for_everybody() {
    let server = TestServer::start().await;
    let evil = server.runner("uid-1").await;
    evil.store("dist", CONTENT).await;
    let mut longer = CONTENT.to_vec();
    longer.extend_from_slice(b", and more");
    std::fs::write(blob(&server), longer).unwrap();
    let victim = server.runner_of("victim", "uid-2", "run-2", "build", 1).await;
    victim.store("release", CONTENT).await;
    assert_eq!(served(&server, "victim").await, CONTENT);
    assert_eq!(served(&server, "builds").await, CONTENT);
}

#[tokio::test]
async fn an_image_that_was_refused_can_be_sent_anew_with_other_content() {
    let server = TestServer::start().await;
    let runner = server.runner("uid-1").await;
    let bad = b"no layout at all".to_vec();
    let mut body = body_of(&bad, "");
    body.as_object_mut().unwrap().remove("reference");
    assert_eq!(runner.put("dist", 0, bad).await.status(), StatusCode::OK);
    let answer = runner.complete("dist", &body).await;
    assert_eq!(refused(answer).await, (422, "bad-image".into()));
    let server = server.restart(Options::default()).await;
    let runner = Runner {
        http: server.http(),
        ..runner
    };
    assert_eq!(runner.offset("dist").await, 0);
    runner.store("dist", CONTENT).await;
    assert_eq!(served(&server, "builds").await, CONTENT);
}
