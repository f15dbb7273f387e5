//! A volume that really is full: a small tmpfs. Needs root.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use dcanary_server::store::space::Reserve;
use reqwest::StatusCode;

use crate::support::{Options, Runner, TestServer, completion, line, refused, report};

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
