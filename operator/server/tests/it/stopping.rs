//! Starting, stopping, changing the certificate.

use std::time::Duration;

use axum::body::Body;
use dcanary_server::http::gate::Gate;
use dcanary_server::http::tls::{Tls, TlsFiles};
use dcanary_server::store::volume::Volume;
use futures::StreamExt;
use reqwest::{Method, StatusCode};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::support::{Options, Runner, TestServer, certificate, completion, provider, refused};

#[tokio::test]
async fn until_the_volume_is_recovered_requests_are_told_to_wait() {
    let gate = Gate::new(CancellationToken::new());
    let ask = async |path: &str| {
        let request = axum::http::Request::builder()
            .uri(path)
            .body(Body::empty())
            .unwrap();
        let answer = gate.answer(request).await;
        let retry = answer.headers().contains_key("retry-after");
        let body = axum::body::to_bytes(answer.into_body(), 1_000).await.unwrap();
        (String::from_utf8(body.to_vec()).unwrap(), retry)
    };
    let (problem, retry) = ask("/v1/reports").await;
    assert!(problem.contains("urn:dcanary:starting") && retry, "{problem}");
    assert_eq!(ask("/healthz").await.0, "ok");
    assert_eq!(ask("/readyz").await.0, "starting");
}

#[tokio::test]
async fn a_stopping_server_finishes_what_is_under_way_and_tells_others() {
    let server = TestServer::start().await;
    let runner = server.runner("uid-1").await;
    runner.lines(1, 3).await;
    let (to, pieces) = tokio::sync::mpsc::channel::<Result<Vec<u8>, std::io::Error>>(1);
    to.send(Ok(vec![1; 1_000])).await.unwrap();
    let body = reqwest::Body::wrap_stream(ReceiverStream::new(pieces));
    let upload = tokio::spawn(
        runner
            .request(Method::PUT, "uploads/dist?offset=0")
            .body(body)
            .send(),
    );
    let follow = server
        .http()
        .get(
            "/v1/namespaces/builds/runs/run-1/logs?follow=true",
            "reader/a/builds",
        )
        .await;
    let mut follow = follow.bytes_stream();
    assert!(follow.next().await.unwrap().is_ok());
    let waiting = server.http();
    let reports = tokio::spawn(async move {
        waiting
            .get("/v1/reports?after=0&wait=30", "operator")
            .await
            .status()
    });
    while runner.offset("dist").await < 1_000 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.core.stopping.cancel();
    assert!(
        follow.next().await.is_none_or(|piece| piece.is_err()),
        "breaks off"
    );
    assert_eq!(reports.await.unwrap(), StatusCode::OK);
    let late = Runner {
        http: server.http(),
        ..runner.clone()
    }
    .frames(4, vec![])
    .await;
    assert!(late.headers().contains_key("retry-after"));
    assert_eq!(refused(late).await, (503, "stopping".into()));
    to.send(Ok(vec![2; 1_000])).await.unwrap();
    drop(to);
    assert_eq!(upload.await.unwrap().unwrap().status(), StatusCode::OK);
    let server = server.restart(Options::default()).await;
    assert!(
        !server.dir.join("data/wal").read_dir().unwrap().any(|_| true),
        "everything is in its files"
    );
    let runner = Runner {
        http: server.http(),
        ..runner
    };
    let whole = [vec![1; 1_000], vec![2; 1_000]].concat();
    assert_eq!(
        runner.complete("dist", &completion(&whole)).await.status(),
        StatusCode::OK
    );
    assert_eq!(runner.lines(4, 1).await, 4);
}

#[test]
fn a_changed_certificate_is_taken_and_a_broken_one_is_not() {
    provider();
    let dir = tempfile::tempdir().unwrap();
    let tls = Tls::load(certificate(dir.path())).unwrap();
    assert!(!tls.reload().unwrap());
    let first = tls.config();
    std::fs::write(dir.path().join("tls.crt"), "half of a file").unwrap();
    assert!(tls.reload().is_err());
    assert!(std::sync::Arc::ptr_eq(&first, &tls.config()));
    let other = tempfile::tempdir().unwrap();
    let TlsFiles { certificate, key } = certificate(other.path());
    std::fs::copy(certificate, dir.path().join("tls.crt")).unwrap();
    assert!(tls.reload().is_err(), "a certificate without its key");
    std::fs::copy(key, dir.path().join("tls.key")).unwrap();
    assert!(tls.reload().unwrap());
    assert!(!std::sync::Arc::ptr_eq(&first, &tls.config()));
}

#[test]
fn a_volume_has_one_server_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let one = dcanary_server::store::volume::Volume::open(dir.path()).unwrap();
    let two = dcanary_server::store::volume::Volume::open(dir.path());
    assert_eq!(two.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    drop(one);
    assert!(dcanary_server::store::volume::Volume::open(dir.path()).is_ok());
}

#[tokio::test]
async fn waiting_for_a_held_volume_ends_with_the_volume_or_with_the_order_to_stop() {
    let dir = tempfile::tempdir().unwrap();
    let stopping = CancellationToken::new();
    let first = Volume::wait(dir.path(), &stopping).await.unwrap().unwrap();
    let (path, token) = (dir.path().to_owned(), stopping.clone());
    let second = tokio::spawn(async move { Volume::wait(&path, &token).await.unwrap().is_some() });
    let (path, token) = (dir.path().to_owned(), CancellationToken::new());
    let told = token.clone();
    let third = tokio::spawn(async move { Volume::wait(&path, &told).await.unwrap().is_some() });
    token.cancel();
    let third = tokio::time::timeout(Duration::from_secs(10), third).await;
    assert!(!third.unwrap().unwrap(), "stopped");
    assert!(!second.is_finished());
    drop(first);
    let second = tokio::time::timeout(Duration::from_secs(10), second).await;
    assert!(second.unwrap().unwrap(), "has it");
}
