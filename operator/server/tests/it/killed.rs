//! A server process that is killed with SIGKILL, and its successor.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dcanary_server::digest::Digest;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{Http, Options, Runner, TestCluster, TestServer, client, line, report};

const FOLDER: &str = "DCANARY_TEST_SERVER_FOLDER";
/// Pods that such a server knows: `uid-0` and so on.
pub const PODS: u32 = 250;

/// Not a test by itself: the process that the others start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_server() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let cluster = TestCluster::default();
    for n in 0..PODS {
        cluster.add_pod(
            "builds",
            &format!("pod-uid-{n}"),
            &format!("uid-{n}"),
            "run-1",
            &format!("stage-{n}"),
            1,
        );
    }
    let server = TestServer::at(Path::new(&folder), Arc::new(cluster), Options::default()).await;
    println!("\nADDRESS {}", server.address.port());
    std::future::pending::<()>().await;
}

pub struct ChildServer {
    pub child: Child,
    port: u16,
}

impl ChildServer {
    pub fn start(folder: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::child_server", "--nocapture"])
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("ADDRESS ")?.parse().ok());
        Self {
            child,
            port: port.expect("the server starts"),
        }
    }

    pub fn http(&self, folder: &Path) -> Http {
        Http {
            client: client(folder),
            base: format!("https://127.0.0.1:{}", self.port),
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for ChildServer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn runner(server: &ChildServer, folder: &Path, n: u32) -> Runner {
    Runner::new(server.http(folder), "builds", &format!("uid-{n}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_at_its_offset_after_the_server_was_killed_in_the_middle() {
    let folder = tempfile::tempdir().unwrap();
    let bytes: Arc<Vec<u8>> = Arc::new(
        (0..24_000_000_u32)
            .map(|n| u8::try_from(n % 253).unwrap())
            .collect(),
    );
    let mut server = ChildServer::start(folder.path());
    assert_eq!(
        runner(&server, folder.path(), 0).trade().await.status(),
        StatusCode::OK
    );
    let mut kills = 0;
    loop {
        let one = runner(&server, folder.path(), 0);
        let at = one.offset("dist").await;
        if at == bytes.len() as u64 {
            break;
        }
        let all = Arc::clone(&bytes);
        let pieces = futures::stream::unfold(usize::try_from(at).unwrap(), move |at| {
            let all = Arc::clone(&all);
            async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                let end = (at + 65_536).min(all.len());
                (at < end).then(|| (Ok::<_, std::io::Error>(all[at..end].to_vec()), end))
            }
        });
        let request = one.request(Method::PUT, &format!("uploads/dist?offset={at}"));
        let sending = tokio::spawn(request.body(reqwest::Body::wrap_stream(pieces)).send());
        if kills < 4 {
            tokio::time::sleep(Duration::from_millis(60 + kills * 40)).await;
            server.kill();
            kills += 1;
            server = ChildServer::start(folder.path());
            let now = runner(&server, folder.path(), 0).offset("dist").await;
            assert!(now >= at, "{now} < {at}: acknowledged before");
        } else {
            assert_eq!(sending.await.unwrap().unwrap().status(), StatusCode::OK);
        }
    }
    let one = runner(&server, folder.path(), 0);
    let body = json!({"kind": "file", "size": bytes.len(), "digest": Digest::of(&bytes).to_string(),
        "mediaType": "application/octet-stream"});
    assert_eq!(
        one.complete("dist", &body).await.status(),
        StatusCode::OK,
        "killed {kills} times"
    );
    let path = format!("/v1/namespaces/builds/artifacts/{}", Digest::of(&bytes));
    let served = one
        .http
        .get(&path, "reader/a/builds")
        .await
        .bytes()
        .await
        .unwrap();
    assert_eq!(Digest::of(&served), Digest::of(&bytes));
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_and_reports_that_were_acknowledged_survive_kills_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = ChildServer::start(folder.path());
    let acked: Arc<Vec<AtomicU64>> = Arc::new((0..12).map(|_| AtomicU64::new(0)).collect());
    for _ in 0..4 {
        let mut tasks = Vec::new();
        for n in 0..12_u32 {
            let runner = runner(&server, folder.path(), n);
            let acked = Arc::clone(&acked);
            tasks.push(tokio::spawn(async move {
                let slot = &acked[usize::try_from(n).unwrap()];
                if !runner.trade().await.status().is_success() {
                    return;
                }
                loop {
                    let first = slot.load(Ordering::Relaxed) + 1;
                    let body =
                        json!({"first": first, "frames": (first..first + 5).map(line).collect::<Vec<_>>()});
                    let sent = runner.request(Method::POST, "frames").json(&body).send().await;
                    let Ok(answer) = sent else { return };
                    let Ok(answer) = answer.json::<serde_json::Value>().await else {
                        return;
                    };
                    let Some(now) = answer["acked"].as_u64() else {
                        return;
                    };
                    slot.store(now, Ordering::Relaxed);
                }
            }));
        }
        // The trades of the first round may fall into a kill as well; they are repeated with the same key.
        tokio::time::sleep(Duration::from_millis(400)).await;
        server.kill();
        for task in tasks {
            task.abort();
            drop(task.await);
        }
        server = ChildServer::start(folder.path());
        for n in 0..12_u32 {
            let answer = runner(&server, folder.path(), n).trade().await;
            let there = answer.json::<serde_json::Value>().await.unwrap()["acked"]
                .as_u64()
                .unwrap();
            let told = acked[usize::try_from(n).unwrap()].swap(there, Ordering::Relaxed);
            assert!(
                there >= told,
                "attempt {n}: {there} are there, {told} were acknowledged"
            );
        }
    }
    let total: u64 = acked.iter().map(|n| n.load(Ordering::Relaxed)).sum();
    println!("{total} frames over 4 kills");
    assert!(total > 0);
    let mut cursors = Vec::new();
    for n in 0..12_u32 {
        let frames = acked[usize::try_from(n).unwrap()].load(Ordering::Relaxed);
        let answer = runner(&server, folder.path(), n).finish(&report(frames)).await;
        cursors.push(
            answer.json::<serde_json::Value>().await.unwrap()["cursor"]
                .as_u64()
                .unwrap(),
        );
        let text = server.http(folder.path());
        let path = format!("/v1/namespaces/builds/runs/run-1/logs?stage=stage-{n}");
        let lines = text.get(&path, "reader/a/builds").await.text().await.unwrap();
        assert_eq!(lines.lines().count() as u64, frames);
        assert!(frames == 0 || lines.contains(&format!("line {frames}\"")));
    }
    server.kill();
    server = ChildServer::start(folder.path());
    let listed: Vec<u64> = server
        .http(folder.path())
        .reports(0)
        .await
        .reports
        .iter()
        .map(|entry| entry.cursor)
        .collect();
    assert_eq!(listed, cursors);
}
