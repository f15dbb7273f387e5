//! How often the API server is asked whose token it is.

use std::sync::atomic::Ordering;

use reqwest::StatusCode;
use serde_json::json;

use crate::support::{TestServer, jwt};

const LOGS: &str = "/v1/namespaces/builds/runs/run-1/logs";

fn asked(server: &TestServer) -> u32 {
    server.cluster.reviews.load(Ordering::Relaxed)
}

#[tokio::test]
async fn what_cannot_be_a_token_of_this_server_is_refused_without_a_review() {
    let server = TestServer::start().await;
    let http = server.http();
    for token in [
        "nonsense".to_owned(),
        "operator".repeat(100),
        jwt(&json!({"aud": ["https://kubernetes.default.svc"], "sub": "operator"})),
        jwt(&json!({"sub": "operator"})),
        jwt(&json!({"aud": ["dcanary-server"], "sub": "operator", "exp": 1_000_000})),
    ] {
        let trade = http
            .post(
                "/v1/session",
                &token,
                &json!({"protocol": 1, "key": "00".repeat(32)}),
            )
            .await;
        assert_eq!(trade.status(), StatusCode::UNAUTHORIZED, "{token}");
        let reports = http.get("/v1/reports?after=0", &token).await;
        assert_eq!(reports.status(), StatusCode::UNAUTHORIZED, "{token}");
    }
    assert_eq!(asked(&server), 0);
    let good = jwt(&json!({"aud": ["dcanary-server"], "sub": "operator", "exp": 99_999_999_999_u64}));
    assert_eq!(
        http.get("/v1/reports?after=0", &good).await.status(),
        StatusCode::OK
    );
    assert_eq!(asked(&server), 1);
}

#[tokio::test]
async fn a_reader_costs_one_review_and_so_does_whoever_only_looks_like_one() {
    let server = TestServer::start().await;
    let http = server.http();
    let runner = server.runner("uid-1").await;
    runner.lines(1, 1).await;
    let before = asked(&server);
    for _ in 0..3 {
        let read = http.get(LOGS, "reader/a/builds").await;
        assert_eq!(read.status(), StatusCode::OK);
    }
    assert_eq!(asked(&server), before + 1);
    let forged = jwt(&json!({"aud": ["dcanary-server"], "sub": "nobody"}));
    for token in [forged.as_str(), "nobody"] {
        for _ in 0..3 {
            let read = http.get(LOGS, token).await;
            assert_eq!(read.status(), StatusCode::UNAUTHORIZED);
        }
    }
    assert_eq!(asked(&server), before + 3, "what is nobody's is kept too");
    let expired = jwt(&json!({"aud": ["anywhere"], "sub": "reader/a/builds", "exp": 1_000_000}));
    assert_eq!(http.get(LOGS, &expired).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(asked(&server), before + 3);
}
