//! Slow clients end by themselves and hold up nobody.

use std::time::{Duration, Instant};

use reqwest::{Body, Method};
use tokio_stream::wrappers::ReceiverStream;

use crate::support::{Options, TestServer, refused};

type Pieces = tokio::sync::mpsc::Sender<Result<Vec<u8>, std::io::Error>>;

fn stalling(first: &[u8]) -> (Pieces, Body) {
    let (to, pieces) = tokio::sync::mpsc::channel(4);
    to.try_send(Ok(first.to_vec())).unwrap();
    (to, Body::wrap_stream(ReceiverStream::new(pieces)))
}

#[tokio::test]
async fn slow_clients_time_out_and_others_go_on_meanwhile() {
    let mut options = Options::default();
    options.limits.body_timeout = Duration::from_secs(2);
    options.limits.upload_idle = Duration::from_secs(2);
    let server = TestServer::with(options).await;
    let (slow, quick) = (server.runner("uid-1").await, server.runner("uid-2").await);
    let (_frames_stay_open, frames) = stalling(b"{\"first\": 1, ");
    let (_upload_stays_open, upload) = stalling(&[1; 5_000]);
    let frames = tokio::spawn(slow.request(Method::POST, "frames").body(frames).send());
    let upload = tokio::spawn(
        slow.request(Method::PUT, "uploads/dist?offset=0")
            .body(upload)
            .send(),
    );
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(tokio::net::TcpStream::connect(server.address).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let started = Instant::now();
    for n in 0..10 {
        quick.lines(n + 1, 1).await;
    }
    slow.lines(1, 1).await;
    assert!(
        !frames.is_finished() && !upload.is_finished(),
        "done in {:?}",
        started.elapsed()
    );
    assert_eq!(
        refused(frames.await.unwrap().unwrap()).await,
        (408, "slow".into())
    );
    assert_eq!(
        refused(upload.await.unwrap().unwrap()).await,
        (408, "slow".into())
    );
    assert_eq!(slow.offset("dist").await, 5_000, "what arrived is kept");
}

#[tokio::test]
async fn one_attempt_cannot_hold_many_requests_with_a_body() {
    let server = TestServer::start().await;
    let mut held = Vec::new();
    let mut runners = Vec::new();
    for (uid, rest) in [
        ("uid-1", "frames"),
        ("uid-2", "final"),
        ("uid-3", "uploads/dist/complete"),
    ] {
        let runner = server.runner(uid).await;
        for _ in 0..4 {
            let (stays_open, body) = stalling(b"{");
            held.push((
                stays_open,
                tokio::spawn(runner.request(Method::POST, rest).body(body).send()),
            ));
        }
        runners.push((runner, rest));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    for (runner, rest) in runners {
        let more = runner
            .request(Method::POST, rest)
            .body("{}")
            .send()
            .await
            .unwrap();
        assert_eq!(refused(more).await, (503, "busy".into()), "{rest}");
    }
    let other = server.runner("uid-4").await;
    other.lines(1, 1).await;
}
