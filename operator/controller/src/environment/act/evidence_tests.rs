#![allow(clippy::unwrap_used)]
use dcanary_rollout::Effect;
use jiff::Timestamp;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::*;
use crate::{
    environment::act::{
        Acted, act,
        tests::{create, taken},
    },
    testing::{ApiServer, context_with, environment, server},
};

const LONG: Duration = Duration::from_secs(20);

fn evidence() -> Effect {
    Effect::StoreEvidence {
        digest: "sha256:1".to_owned(),
        document: "{}".to_owned(),
    }
}

/// A server that takes connections, and the context of an operator that knows it.
async fn desk() -> (Arc<Context>, TcpListener, ApiServer) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = ApiServer::start(taken);
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (ctx, _) = context_with(api.client(), server(&base));
    ctx.environments.memory.freshest(&environment("env-1"));
    (ctx, listener, api)
}

async fn accepted(listener: &TcpListener) -> TcpStream {
    timeout(LONG, listener.accept()).await.unwrap().unwrap().0
}

#[tokio::test]
async fn a_server_that_does_not_answer_holds_up_no_other_effect_and_is_asked_once() {
    let (ctx, listener, api) = desk().await;
    let effects = [evidence(), create("a"), evidence(), Effect::ReleaseEnvironment];
    let began = std::time::Instant::now();
    let environment = environment("env-1");
    let done = act(&ctx, &environment, &effects, Timestamp::now());
    // the limit of the upload itself is longer
    let done = timeout(Duration::from_secs(5), done).await.unwrap().unwrap();
    assert_eq!(done, Acted::Changed);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(api.all("POST").len(), 1);
    assert!(
        api.all("PATCH").is_empty(),
        "the Environment stays until it is stored"
    );
    let _first = accepted(&listener).await;
    let second = timeout(Duration::from_millis(200), listener.accept()).await;
    assert!(second.is_err(), "it is on its way already");
}

#[tokio::test]
async fn evidence_that_is_stored_is_known_and_wakes_the_environment() {
    let (ctx, listener, _api) = desk().await;
    let mut woken = ctx.environments.woken().unwrap();
    let environment = environment("env-1");
    store(&ctx, &environment, "sha256:1", "{}");
    let mut connection = accepted(&listener).await;
    let mut head = [0; 4096];
    let read = timeout(LONG, connection.read(&mut head)).await.unwrap().unwrap();
    assert!(head[..read].starts_with(b"PUT /v1/evidence/sha256:1?namespace=team"));
    let known = |ctx: &Context| {
        ctx.environments
            .memory
            .with("env-1", |memory| memory.has("sha256:1"))
    };
    assert!(!known(&ctx), "it is not there yet");
    connection
        .write_all(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n")
        .await
        .unwrap();
    let name = timeout(LONG, woken.recv()).await.unwrap().unwrap().name;
    assert_eq!(name, "prod");
    assert!(known(&ctx));
}
