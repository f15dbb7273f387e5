//! A volume that really is full: a small tmpfs. Needs root.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dcanary_server::store::space::Reserve;
use dcanary_server::sweep::{self, Ages, Rhythm, sweep};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Options, Runner, TestServer, after, completion, line, refused, report};

const NOW: Ages = Ages {
    content: Duration::ZERO,
    uploads: Duration::ZERO,
    evidence: Duration::from_secs(3600),
};

struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new(megabytes: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "dcanary-test"])
            .arg(dir.path())
            .status()
            .unwrap();
        assert!(mounted.success(), "this test needs root to mount a tmpfs");
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all space but some.
    fn fill(&self, leave: u64) {
        let free = fs4::available_space(self.path()).unwrap();
        let ballast = vec![0_u8; usize::try_from(free.saturating_sub(leave)).unwrap()];
        std::fs::write(self.path().join("ballast"), ballast).unwrap();
    }

    fn empty(&self) {
        std::fs::remove_file(self.path().join("ballast")).unwrap();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.path()).status());
    }
}

async fn server(volume: &Mounted, reserve: u64) -> TestServer {
    let options = Options {
        reserve: Reserve::Bytes(reserve),
        ..Options::default()
    };
    TestServer::at(volume.path(), Arc::default(), options).await
}

async fn pause() {
    // A measurement of free space counts for a moment.
    tokio::time::sleep(Duration::from_millis(150)).await;
}

#[tokio::test]
async fn below_the_reserve_runs_still_end_and_work_goes_on_when_space_returns() {
    let volume = Mounted::new(24);
    let server = server(&volume, 8 << 20).await;
    let (one, two) = (server.runner("uid-1").await, server.runner("uid-2").await);
    one.lines(1, 5).await;
    two.lines(1, 5).await;
    volume.fill(4 << 20);
    pause().await;
    let answer = one.frames(6, vec![line(6)]).await;
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(refused(answer).await, (503, "store-full".into()));
    assert_eq!(
        refused(one.put("dist", 0, vec![7; 1_000_000]).await).await,
        (503, "store-full".into())
    );
    assert_eq!(
        two.finish(&report(5)).await.status(),
        StatusCode::OK,
        "a final report fits into the reserve"
    );
    server.runner("uid-3").await;
    assert_eq!(server.http().reports(0).await.reports.len(), 1);
    volume.empty();
    pause().await;
    assert_eq!(one.lines(6, 1).await, 6);
    let at = one.offset("dist").await;
    let bytes = vec![7; 1_000_000];
    assert_eq!(
        one.put("dist", at, bytes[usize::try_from(at).unwrap()..].to_vec())
            .await
            .status(),
        StatusCode::OK
    );
    assert_eq!(
        one.complete("dist", &completion(&bytes)).await.status(),
        StatusCode::OK
    );
    assert_eq!(one.finish(&report(6)).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn without_any_space_nothing_is_acknowledged_and_nothing_is_lost() {
    let volume = Mounted::new(24);
    let server = server(&volume, 0).await;
    let runner = server.runner("uid-1").await;
    runner.lines(1, 5).await;
    volume.fill(0);
    pause().await;
    for _ in 0..3 {
        assert_eq!(
            refused(runner.frames(6, vec![line(6)]).await).await,
            (503, "store-full".into())
        );
        assert_eq!(
            refused(runner.finish(&report(5)).await).await,
            (503, "store-full".into())
        );
        assert_eq!(
            refused(runner.put("dist", 0, vec![1; 100_000]).await).await,
            (503, "store-full".into())
        );
    }
    volume.empty();
    pause().await;
    assert_eq!(runner.lines(6, 1).await, 6);
    let server = server.restart(Options::default()).await;
    let runner = Runner {
        http: server.http(),
        ..runner
    };
    assert_eq!(
        runner.finish(&report(6)).await.status(),
        StatusCode::OK,
        "six frames are there"
    );
}

#[tokio::test]
async fn an_upload_that_fills_the_volume_is_refused_and_goes_on_later() {
    let volume = Mounted::new(24);
    let server = server(&volume, 0).await;
    let runner = server.runner("uid-1").await;
    volume.fill(6 << 20);
    let bytes: Vec<u8> = (0..12_000_000_u32)
        .map(|n| u8::try_from(n % 251).unwrap())
        .collect();
    assert_eq!(
        refused(runner.put("dist", 0, bytes.clone()).await).await,
        (503, "store-full".into())
    );
    let at = runner.offset("dist").await;
    assert!(at > 0 && at < 7 << 20, "{at}");
    volume.empty();
    pause().await;
    let rest = bytes[usize::try_from(at).unwrap()..].to_vec();
    assert_eq!(runner.put("dist", at, rest).await.status(), StatusCode::OK);
    assert_eq!(
        runner.complete("dist", &completion(&bytes)).await.status(),
        StatusCode::OK
    );
}

async fn reports(server: &TestServer, wait: u32) -> Value {
    let path = format!("/v1/reports?after=0&wait={wait}");
    server.http().get(&path, "operator").await.json().await.unwrap()
}

#[tokio::test]
async fn the_operator_is_told_at_once_since_when_the_store_is_full_and_when_it_no_longer_is() {
    let volume = Mounted::new(24);
    let server = Arc::new(server(&volume, 8 << 20).await);
    let runner = server.runner("uid-1").await;
    assert_eq!(reports(&server, 0).await["storeFullSince"], Value::Null);
    let asked = std::time::Instant::now();
    let asking = Arc::clone(&server);
    let waiting = tokio::spawn(async move { reports(&asking, 30).await });
    // It shall be waiting already.
    tokio::time::sleep(Duration::from_millis(300)).await;
    volume.fill(4 << 20);
    pause().await;
    let answer = runner.frames(1, vec![line(1)]).await;
    assert_eq!(refused(answer).await, (503, "store-full".into()));
    let told = waiting.await.unwrap();
    let since = told["storeFullSince"].as_str().unwrap();
    let since: k8s_openapi::jiff::Timestamp = since.parse().unwrap();
    let ago = k8s_openapi::jiff::Timestamp::now().as_second() - since.as_second();
    assert!((0..20).contains(&ago), "{told}");
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    pause().await;
    let later = reports(&server, 0).await;
    assert_eq!(later["storeFullSince"], told["storeFullSince"]);
    let metrics = server.core.metrics.text().unwrap();
    assert!(metrics.contains("dcanary_server_store_full 1"), "{metrics}");
    volume.empty();
    pause().await;
    assert_eq!(reports(&server, 0).await["storeFullSince"], Value::Null);
    let metrics = server.core.metrics.text().unwrap();
    assert!(metrics.contains("dcanary_server_store_full 0"), "{metrics}");
}

#[tokio::test]
async fn a_write_that_finds_no_space_counts_as_full_also_with_room_for_the_reserve() {
    let volume = Mounted::new(24);
    let server = server(&volume, 0).await;
    let runner = server.runner("uid-1").await;
    volume.fill(0);
    pause().await;
    let answer = runner.frames(1, vec![line(1)]).await;
    assert_eq!(refused(answer).await, (503, "store-full".into()));
    assert!(reports(&server, 0).await["storeFullSince"].is_string());
    volume.empty();
    pause().await;
    runner.lines(1, 1).await;
    assert_eq!(reports(&server, 0).await["storeFullSince"], Value::Null);
}

#[tokio::test]
async fn an_acknowledgement_that_finds_no_space_is_refused_each_time_and_the_reports_stay_until_one_is_written()
 {
    let volume = Mounted::new(24);
    let server = server(&volume, 0).await;
    let runner = server.runner("uid-1").await;
    runner.finish(&report(0)).await;
    let http = server.http();
    let cursor = http.reports(0).await.reports[0].cursor;
    volume.fill(256 << 10);
    pause().await;
    let acknowledgement = json!({"cursor": cursor});
    for _ in 0..2 {
        let answer = http.post("/v1/reports/ack", "operator", &acknowledgement).await;
        assert_eq!(refused(answer).await, (503, "store-full".into()));
        assert_eq!(http.reports(0).await.reports.len(), 1);
    }
    volume.empty();
    pause().await;
    let answer = http.post("/v1/reports/ack", "operator", &acknowledgement).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    assert!(http.reports(0).await.reports.is_empty());
    let server = server.restart(Options::default()).await;
    assert!(server.http().reports(0).await.reports.is_empty());
}

/// A server that keeps nothing of runs that are gone, with 4 MiB of such a run, and a runner of another one.
async fn with_a_run_that_is_gone(volume: &Mounted) -> (TestServer, Runner) {
    let mut options = Options {
        reserve: Reserve::Bytes(0),
        ..Options::default()
    };
    options.settings.retention = Duration::ZERO;
    let server = TestServer::at(volume.path(), Arc::default(), options).await;
    let gone = server.runner("uid-1").await;
    gone.store("dist", &vec![7; 4 << 20]).await;
    gone.finish(&report(0)).await;
    let alive = server.runner_of("builds", "uid-2", "run-2", "build", 1).await;
    server.cluster.runs.lock().unwrap().remove("run-1");
    (server, alive)
}

#[tokio::test]
async fn removals_are_committed_where_nothing_else_is() {
    let volume = Mounted::new(24);
    let (server, alive) = with_a_run_that_is_gone(&volume).await;
    volume.fill(256 << 10);
    pause().await;
    let answer = alive.frames(1, vec![line(1)]).await;
    assert_eq!(refused(answer).await, (503, "store-full".into()));
    let swept = sweep(&server.core, NOW, after(Duration::from_secs(1)))
        .await
        .unwrap();
    assert_eq!((swept.runs, swept.blobs), (1, 1));
    pause().await;
    alive.lines(1, 1).await;
    let old = Runner::new(server.http(), "builds", "uid-1");
    assert_eq!(
        refused(old.trade().await).await,
        (410, "session-revoked".into()),
        "never a second first trade"
    );
}

#[tokio::test]
async fn a_volume_without_any_space_is_cleaned_beginning_with_content_that_nobody_needs() {
    let volume = Mounted::new(24);
    let (server, alive) = with_a_run_that_is_gone(&volume).await;
    let unneeded = Bytes::from(vec![9; 2 << 20]);
    drop(server.core.store.blobs.put(unneeded).await.unwrap());
    volume.fill(0);
    pause().await;
    let answer = alive.frames(1, vec![line(1)]).await;
    assert_eq!(refused(answer).await, (503, "store-full".into()));
    let swept = sweep(&server.core, NOW, after(Duration::from_secs(1)))
        .await
        .unwrap();
    assert_eq!((swept.runs, swept.blobs), (1, 2));
    pause().await;
    alive.lines(1, 1).await;
}

#[tokio::test]
async fn a_store_that_becomes_full_is_swept_without_waiting_for_the_next_sweep() {
    let volume = Mounted::new(24);
    let server = server(&volume, 8 << 20).await;
    let runner = server.runner("uid-1").await;
    let unneeded = Bytes::from(vec![9; 8 << 20]);
    let (digest, pin) = server.core.store.blobs.put(unneeded).await.unwrap();
    let rhythm = Rhythm {
        every: Duration::from_secs(3_600),
        full: Duration::from_millis(50),
        ages: NOW,
    };
    let sweeps = tokio::spawn(sweep::watch(Arc::clone(&server.core), rhythm));
    // The first sweep finds the content pinned.
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(pin);
    volume.fill(4 << 20);
    pause().await;
    let answer = runner.frames(1, vec![line(1)]).await;
    assert_eq!(refused(answer).await, (503, "store-full".into()));
    let swept = async {
        while server.core.store.blobs.size(&digest).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), swept)
        .await
        .unwrap();
    pause().await;
    runner.lines(1, 1).await;
    sweeps.abort();
}
