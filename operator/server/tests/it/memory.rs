//! Memory stays flat: a large artifact and many attempts at once. Prints figures.

use std::time::Instant;

use reqwest::{Method, StatusCode};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::killed::{ChildServer, PODS};
use crate::support::{Runner, line};

/// A field of a process, in MiB.
pub fn memory(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1_024
}

/// MiB of the artifact; `DCANARY_TEST_ARTIFACT_MIB=2048` measures the promise in full.
fn artifact_mib() -> u64 {
    std::env::var("DCANARY_TEST_ARTIFACT_MIB")
        .ok()
        .and_then(|mib| mib.parse().ok())
        .unwrap_or(256)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_artifact_and_two_hundred_attempts_need_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let server = ChildServer::start(folder.path());
    let pid = server.child.id();
    let http = server.http(folder.path());
    let idle = memory(pid, "VmRSS");

    let large = Runner::new(http.clone(), "builds", "uid-249");
    assert_eq!(large.trade().await.status(), StatusCode::OK);
    let (mib, piece) = (artifact_mib(), bytes::Bytes::from(vec![0x5a; 1 << 20]));
    let mut hasher = Sha256::new();
    for _ in 0..mib {
        hasher.update(&piece);
    }
    let digest = format!("sha256:{}", hex::encode(hasher.finalize()));
    let started = Instant::now();
    let sent = piece.clone();
    let pieces = futures::stream::iter((0..mib).map(move |_| Ok::<_, std::io::Error>(sent.clone())));
    let client = reqwest::Client::builder();
    drop(client);
    let put = large
        .request(Method::PUT, "uploads/large?offset=0")
        .timeout(std::time::Duration::from_secs(550));
    let answer = put.body(reqwest::Body::wrap_stream(pieces)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let body = json!({"kind": "file", "size": mib << 20, "digest": digest, "mediaType": "text/plain"});
    assert_eq!(large.complete("large", &body).await.status(), StatusCode::OK);
    let upload_seconds = started.elapsed().as_secs_f64();
    let after_upload = memory(pid, "VmHWM");

    let started = Instant::now();
    let attempts = (0..200.min(PODS)).map(|n| {
        let runner = Runner::new(http.clone(), "builds", &format!("uid-{n}"));
        async move {
            assert_eq!(runner.trade().await.status(), StatusCode::OK);
            for first in [1, 51, 101, 151] {
                let frames = (first..first + 50).map(|n| {
                    let mut frame = line(n);
                    frame["line"] = json!("x".repeat(200));
                    frame
                });
                assert_eq!(
                    runner.frames(first, frames.collect()).await.status(),
                    StatusCode::OK
                );
            }
        }
    });
    futures::future::join_all(attempts).await;
    let frames_seconds = started.elapsed().as_secs_f64();
    let peak = memory(pid, "VmHWM");
    println!(
        "memory: idle {idle} MiB; peak with an artifact of {mib} MiB {after_upload} MiB ({upload_seconds:.1} s); \
         peak with 200 attempts at once {peak} MiB (40000 frames in {frames_seconds:.1} s)"
    );
    assert!(after_upload < idle + 64, "{after_upload} MiB after {idle} MiB");
    assert!(peak < idle + 160, "{peak} MiB after {idle} MiB");
}
