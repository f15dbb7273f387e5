//! A closed session is closed for what was let in before as well.

use std::sync::Arc;
use std::time::Duration;

use dcanary_server::attempts::Attempt;
use dcanary_server::attempts::registry::Found;
use dcanary_server::images::Registries;
use dcanary_server::{finish, frames, session, uploads};
use reqwest::{Body, Method, StatusCode};
use serde_json::{Value, json};
use tokio_stream::wrappers::ReceiverStream;

use crate::images::options;
use crate::layouts::{body_of, image, tar};
use crate::scripted_registry::ScriptedRegistry;
use crate::support::{Http, Runner, TestServer, completion, line, refused, report};

async fn revoke(http: &Http, attempt: &str) {
    let body = json!({"attempt": attempt});
    let answer = http.post("/v1/session/revoke", "operator", &body).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
}

fn gone() -> (u16, String) {
    (410, "session-revoked".into())
}

async fn found(server: &TestServer, uid: &str) -> Arc<Attempt> {
    match server.core.attempts.find(&uid.parse().unwrap()).await.unwrap() {
        Found::Attempt(attempt) => attempt,
        _ => panic!("{uid} is known"),
    }
}

fn of<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

#[tokio::test]
async fn requests_that_were_let_in_before_a_revocation_change_nothing_after_it() {
    let server = TestServer::start().await;
    let runner = server.runner("uid-1").await;
    runner.lines(1, 2).await;
    runner.put("dist", 0, b"content".to_vec()).await;
    let shown = format!("uid-1:{}", runner.key);
    let core = &server.core;
    let let_in = session::open(core, &shown, &"uid-1".parse().unwrap())
        .await
        .unwrap();
    revoke(&server.http(), "uid-1").await;
    let request = of(json!({"first": 3, "frames": [line(3)]}));
    let frames = frames::take(core, &let_in, request).await.unwrap_err();
    assert_eq!(frames.reason(), (410, "session-revoked"));
    let last = finish::take(core, &let_in, of(report(2))).await.unwrap_err();
    assert_eq!(last.reason(), (410, "session-revoked"));
    let name = "dist".parse().unwrap();
    let mut bytes = futures::stream::iter([Ok::<_, std::io::Error>(bytes::Bytes::from("more"))]);
    let append = uploads::append(core, &let_in, &name, 7, &mut bytes).await;
    assert_eq!(append.unwrap_err().reason(), (410, "session-revoked"));
    let complete = uploads::complete(core, &let_in, &name, of(completion(b"content"))).await;
    assert_eq!(complete.unwrap_err().reason(), (410, "session-revoked"));
    let state = let_in.state.lock().await;
    assert!(state.record.end.is_none() && state.record.artifacts.is_empty());
    assert_eq!(state.acked(), 2);
    assert!(server.http().reports(0).await.reports.is_empty());
}

#[tokio::test]
async fn a_final_report_whose_body_arrives_after_the_revocation_does_not_count() {
    let server = TestServer::start().await;
    let runner = server.runner("uid-1").await;
    let attempt = found(&server, "uid-1").await;
    let held = Arc::strong_count(&attempt);
    let text = report(0).to_string();
    let (first, rest) = text.split_at(10);
    let (to, pieces) = tokio::sync::mpsc::channel::<Result<String, std::io::Error>>(2);
    to.send(Ok(first.to_owned())).await.unwrap();
    let body = Body::wrap_stream(ReceiverStream::new(pieces));
    let last = tokio::spawn(runner.request(Method::POST, "final").body(body).send());
    // The request holds the attempt once it was let in.
    while Arc::strong_count(&attempt) == held {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    revoke(&server.http(), "uid-1").await;
    to.send(Ok(rest.to_owned())).await.unwrap();
    drop(to);
    assert_eq!(refused(last.await.unwrap().unwrap()).await, gone());
    assert!(server.http().reports(0).await.reports.is_empty());
}

#[tokio::test]
async fn a_stalled_upload_ends_with_the_revocation_and_leaves_nothing() {
    let server = TestServer::start().await;
    let runner = server.runner("uid-1").await;
    let (to, pieces) = tokio::sync::mpsc::channel::<Result<Vec<u8>, std::io::Error>>(1);
    to.send(Ok(vec![1; 1_000])).await.unwrap();
    let body = Body::wrap_stream(ReceiverStream::new(pieces));
    let put = runner.request(Method::PUT, "uploads/dist?offset=0").body(body);
    let stalled = tokio::spawn(put.send());
    while runner.offset("dist").await < 1_000 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    revoke(&server.http(), "uid-1").await;
    assert_eq!(refused(stalled.await.unwrap().unwrap()).await, gone());
    drop(to);
    let attempt = found(&server, "uid-1").await;
    assert!(attempt.state.lock().await.record.artifacts.is_empty());
    assert!(!server.dir.join("data/uploads/uid-1").exists());
}

/// An image of `uid-1` that is complete but for its push, and the request that pushes it.
async fn pushing(registry: &ScriptedRegistry) -> (TestServer, tokio::task::JoinHandle<reqwest::Response>) {
    let registries = Registries {
        insecure: vec![registry.host.clone()],
        ..Registries::default()
    };
    let server = TestServer::with(options(registries)).await;
    let runner: Runner = server.runner("uid-1").await;
    let bytes = tar(&image(&[b"a layer"], &json!({}), None));
    let body = body_of(&bytes, &format!("{}/team/app:1", registry.host));
    assert_eq!(runner.put("app", 0, bytes).await.status(), StatusCode::OK);
    let complete = tokio::spawn(async move { runner.complete("app", &body).await });
    (server, complete)
}

#[tokio::test]
async fn an_image_that_is_being_pushed_is_not_tagged_after_the_revocation() {
    let registry = ScriptedRegistry::holding(Method::HEAD, "/blobs/").await;
    let (server, complete) = pushing(&registry).await;
    registry.arrived().await;
    revoke(&server.http(), "uid-1").await;
    for _ in 0..10 {
        registry.go_on();
    }
    assert_eq!(refused(complete.await.unwrap()).await, gone());
    assert_eq!(registry.seen(&Method::PUT), Vec::<String>::new());
}

#[tokio::test]
async fn an_image_that_a_registry_keeps_waiting_is_given_up_with_the_revocation() {
    let registry = ScriptedRegistry::holding(Method::HEAD, "/blobs/").await;
    let (server, complete) = pushing(&registry).await;
    registry.arrived().await;
    revoke(&server.http(), "uid-1").await;
    let answer = tokio::time::timeout(Duration::from_secs(20), complete).await;
    assert_eq!(refused(answer.unwrap().unwrap()).await, gone());
}

#[tokio::test]
async fn a_revocation_is_answered_after_a_tag_that_was_being_written() {
    let registry = ScriptedRegistry::holding(Method::PUT, "/manifests/").await;
    let (server, complete) = pushing(&registry).await;
    registry.arrived().await;
    let http = server.http();
    let mut revoking = tokio::spawn(async move { revoke(&http, "uid-1").await });
    let early = tokio::time::timeout(Duration::from_millis(300), &mut revoking).await;
    assert!(early.is_err(), "the registry may still take the tag");
    registry.go_on();
    revoking.await.unwrap();
    assert_eq!(registry.seen(&Method::PUT).len(), 1);
    drop(complete.await.unwrap());
}
