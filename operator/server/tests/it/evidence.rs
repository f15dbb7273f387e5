//! Evidence of analyses: stored by the operator, read by who may get environments, kept for its own time.

use std::time::{Duration, SystemTime};

use dcanary_server::digest::Digest;
use dcanary_server::evidence::BYTES;
use dcanary_server::sweep::{Ages, sweep};
use reqwest::{Method, Response, StatusCode};

use crate::support::{Options, TestServer, bearer, refused};

const DOCUMENT: &[u8] = b"{\"verdict\":\"Passed\"}";

fn path(document: &[u8], namespace: &str) -> String {
    format!("/v1/evidence/{}?namespace={namespace}", Digest::of(document))
}

async fn put(server: &TestServer, path: &str, token: &str, document: &[u8]) -> Response {
    server
        .http()
        .request(Method::PUT, path, &bearer(token))
        .body(document.to_vec())
        .send()
        .await
        .unwrap()
}

async fn get(server: &TestServer, namespace: &str, token: &str) -> Response {
    server.http().get(&path(DOCUMENT, namespace), token).await
}

#[tokio::test]
async fn what_the_operator_stored_is_read_byte_for_byte_and_storing_it_again_changes_nothing() {
    let server = TestServer::start().await;
    for _ in 0..2 {
        let stored = put(&server, &path(DOCUMENT, "shop"), "operator", DOCUMENT).await;
        assert_eq!(stored.status(), StatusCode::NO_CONTENT);
    }
    let read = get(&server, "shop", "reader/a/shop").await;
    assert_eq!(read.status(), StatusCode::OK);
    assert_eq!(read.headers()["content-type"], "application/json");
    assert_eq!(read.headers()["x-content-type-options"], "nosniff");
    assert_eq!(read.bytes().await.unwrap(), DOCUMENT);
}

#[tokio::test]
async fn only_the_operator_stores_and_only_what_the_digest_says() {
    let server = TestServer::start().await;
    let at = path(DOCUMENT, "shop");
    for (token, expected) in [
        ("reader/a/shop", (401, "unauthenticated")),
        ("other/shop/default", (403, "forbidden")),
        ("nobody", (401, "unauthenticated")),
    ] {
        let (status, reason) = refused(put(&server, &at, token, DOCUMENT).await).await;
        assert_eq!((status, reason.as_str()), expected, "{token}");
    }
    let other = put(&server, &at, "operator", b"{\"verdict\":\"Failed\"}").await;
    assert_eq!(refused(other).await, (409, "digest-mismatch".into()));
    let no_digest = put(
        &server,
        "/v1/evidence/sha256:1?namespace=shop",
        "operator",
        DOCUMENT,
    );
    assert_eq!(refused(no_digest.await).await, (400, "bad-digest".into()));
    let outside = put(&server, &path(DOCUMENT, "..%2Fx"), "operator", DOCUMENT).await;
    assert_eq!(refused(outside).await, (400, "bad-name".into()));
    let large = vec![b' '; BYTES + 1];
    let large = put(&server, &path(&large, "shop"), "operator", &large).await;
    assert_eq!(refused(large).await, (413, "too-large".into()));
    let read = get(&server, "shop", "reader/a/shop").await;
    assert_eq!(
        refused(read).await,
        (404, "not-found".into()),
        "nothing of it counts"
    );
}

#[tokio::test]
async fn readers_need_the_right_to_get_environments_in_the_namespace_that_it_was_stored_for() {
    let server = TestServer::start().await;
    put(&server, &path(DOCUMENT, "shop"), "operator", DOCUMENT).await;
    let of = async |namespace: &str, token: &str| get(&server, namespace, token).await;
    assert_eq!(
        of("shop", "reader/a/shop/environments").await.status(),
        StatusCode::OK
    );
    let runs_only = refused(of("shop", "reader/a/shop/pipelineruns").await).await;
    assert_eq!(runs_only, (403, "forbidden".into()));
    let elsewhere = refused(of("shop", "reader/a/other").await).await;
    assert_eq!(elsewhere, (403, "forbidden".into()));
    let bare = refused(of("shop", "nobody").await).await;
    assert_eq!(bare, (401, "unauthenticated".into()));
    let cross = refused(of("other", "reader/a/other").await).await;
    assert_eq!(cross, (404, "not-found".into()), "a digest alone opens nothing");
}

#[tokio::test]
async fn evidence_outlives_every_run_and_goes_when_it_is_too_old() {
    let server = TestServer::start().await;
    put(&server, &path(DOCUMENT, "shop"), "operator", DOCUMENT).await;
    let ages = |evidence| Ages {
        content: Duration::ZERO,
        uploads: Duration::ZERO,
        evidence,
    };
    let now = SystemTime::now();
    let swept = sweep(&server.core, ages(Duration::from_secs(3600)), now)
        .await
        .unwrap();
    assert_eq!((swept.blobs, swept.grants), (0, 0), "no run refers to it");
    assert_eq!(
        get(&server, "shop", "reader/a/shop").await.status(),
        StatusCode::OK
    );
    let swept = sweep(&server.core, ages(Duration::ZERO), now).await.unwrap();
    assert_eq!((swept.blobs, swept.grants), (1, 1));
    let gone = get(&server, "shop", "reader/a/shop").await;
    assert_eq!(refused(gone).await, (404, "not-found".into()));
}

#[tokio::test]
async fn evidence_survives_a_restart() {
    let server = TestServer::start().await;
    put(&server, &path(DOCUMENT, "shop"), "operator", DOCUMENT).await;
    let server = server.restart(Options::default()).await;
    assert_eq!(
        get(&server, "shop", "reader/a/shop").await.status(),
        StatusCode::OK
    );
}
