//! The program itself, as it runs in its Pod: with an API server, told to end by SIGTERM, started again on the same
//! volume.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dcanary_server::store::volume::Volume;
use reqwest::{Body, Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_stream::wrappers::ReceiverStream;

use crate::api_server;
use crate::support::{Http, Runner, TestCluster, certificate, client, completion, line, report};

/// Within the grace period of its Pod.
const SOON: Duration = Duration::from_secs(20);

struct Program {
    child: Child,
    /// What it logs.
    lines: UnboundedReceiver<String>,
    http: Http,
}

struct Folder {
    temp: tempfile::TempDir,
    cluster: Arc<TestCluster>,
}

impl Folder {
    async fn new() -> Self {
        let folder = Self {
            temp: tempfile::tempdir().unwrap(),
            cluster: Arc::default(),
        };
        certificate(folder.path());
        api_server::serve(Arc::clone(&folder.cluster), &folder.path().join("kubeconfig")).await;
        folder
    }

    fn path(&self) -> &Path {
        self.temp.path()
    }

    fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    fn start(&self) -> Program {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_dcanary-server"));
        for proxy in ["http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(proxy).env_remove(proxy.to_uppercase());
        }
        let mut child = command
            .env("KUBECONFIG", self.path().join("kubeconfig"))
            .args(["--operator", "ops:conductor", "--metrics-listen", "127.0.0.1:0"])
            .arg(format!("--listen=127.0.0.1:{port}"))
            .arg(format!("--data={}", self.data().display()))
            .arg(format!("--tls-cert={}", self.path().join("tls.crt").display()))
            .arg(format!("--tls-key={}", self.path().join("tls.key").display()))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, lines) = tokio::sync::mpsc::unbounded_channel();
        let log = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                eprintln!("{port}: {line}");
                drop(to.send(line));
            }
        });
        let http = Http {
            client: client(self.path()),
            base: format!("https://127.0.0.1:{port}"),
        };
        Program { child, lines, http }
    }
}

impl Program {
    async fn says(&mut self, text: &str) {
        let said = async {
            while let Some(line) = self.lines.recv().await {
                if line.contains(text) {
                    return;
                }
            }
            panic!("it ended without saying {text:?}");
        };
        tokio::time::timeout(SOON, said).await.expect(text);
    }

    fn terminate(&self) {
        let mut kill = Command::new("kill");
        let sent = kill.arg("-TERM").arg(self.child.id().to_string()).status();
        assert!(sent.unwrap().success());
    }

    /// How it ended, and how long that took.
    async fn ended(mut self) -> (ExitStatus, Duration) {
        let started = Instant::now();
        let child = &mut self.child;
        while started.elapsed() < SOON {
            if let Some(status) = child.try_wait().unwrap() {
                return (status, started.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("still running after {SOON:?}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_on_sigterm_while_it_waits_for_the_volume_of_another() {
    let folder = Folder::new().await;
    let held = Volume::open(folder.data()).unwrap();
    let mut program = folder.start();
    program.says("another server holds the volume").await;
    program.terminate();
    let (status, took) = program.ended().await;
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    drop(held);
}

/// Sends frames one by one up to `last`, to the other server whenever this one does not take them. Returns how often it
/// had to change.
async fn stream(mut runner: Runner, other: Http, first: u64, last: u64) -> u32 {
    let (mut n, mut changes) = (first, 0);
    let mut other = other;
    let deadline = Instant::now() + 2 * SOON;
    while n <= last {
        assert!(Instant::now() < deadline, "frame {n} is not taken");
        let body = json!({"first": n, "frames": [line(n)]});
        let sent = runner.request(Method::POST, "frames").json(&body).send().await;
        match sent {
            Ok(answer) if answer.status() == StatusCode::OK => {
                n = answer.json::<Value>().await.unwrap()["acked"].as_u64().unwrap() + 1;
            }
            other_answer => {
                if let Ok(answer) = other_answer {
                    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
                }
                std::mem::swap(&mut runner.http, &mut other);
                changes += 1;
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    changes
}

#[tokio::test(flavor = "multi_thread")]
async fn rolled_in_the_middle_of_a_stream_and_an_upload_it_loses_nothing_and_the_runner_goes_on() {
    let folder = Folder::new().await;
    folder
        .cluster
        .add_pod("builds", "pod-uid-1", "uid-1", "run-1", "build", 1);
    let mut first = folder.start();
    first.says("serving").await;
    let runner = Runner::new(first.http.clone(), "builds", "uid-1");
    assert_eq!(runner.trade().await.status(), StatusCode::OK);
    runner.lines(1, 20).await;

    let bytes: Vec<u8> = (0..3_000_000_u32)
        .map(|n| u8::try_from(n % 251).unwrap())
        .collect();
    let (to, pieces) = tokio::sync::mpsc::channel::<Result<Vec<u8>, std::io::Error>>(1);
    to.send(Ok(bytes[..1_000_000].to_vec())).await.unwrap();
    let body = Body::wrap_stream(ReceiverStream::new(pieces));
    let put = runner.request(Method::PUT, "uploads/dist?offset=0").body(body);
    let upload = tokio::spawn(put.send());
    while runner.offset("dist").await < 1_000_000 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    // The next server is there before this one has ended, and waits for its volume.
    let mut second = folder.start();
    second.says("another server holds the volume").await;
    let frames = tokio::spawn(stream(runner.clone(), second.http.clone(), 21, 400));
    while runner.trade().await.json::<Value>().await.unwrap()["acked"].as_u64() < Some(60) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    first.terminate();
    first.says("stopping").await;
    to.send(Ok(bytes[1_000_000..2_000_000].to_vec())).await.unwrap();
    drop(to);
    let uploaded = upload.await.unwrap().unwrap();
    assert_eq!(
        uploaded.status(),
        StatusCode::OK,
        "what was under way is finished"
    );
    assert!(first.ended().await.0.success());

    second.says("serving").await;
    let runner = Runner {
        http: second.http.clone(),
        ..runner
    };
    assert_eq!(runner.offset("dist").await, 2_000_000);
    let rest = runner.put("dist", 2_000_000, bytes[2_000_000..].to_vec()).await;
    assert_eq!(rest.status(), StatusCode::OK);
    let stored = runner.complete("dist", &completion(&bytes)).await;
    assert_eq!(stored.status(), StatusCode::OK);
    assert!(frames.await.unwrap() > 0, "the stream changed servers");
    assert_eq!(runner.finish(&report(400)).await.status(), StatusCode::OK);
    assert_eq!(second.http.reports(0).await.reports.len(), 1);
    let logs = second
        .http
        .get("/v1/namespaces/builds/runs/run-1/logs", "reader/a/builds");
    let logs = logs.await.text().await.unwrap();
    let lines: Vec<&str> = logs.lines().collect();
    assert_eq!(lines.len(), 400);
    for (n, text) in (1..).zip(lines) {
        assert!(text.contains(&format!("\"line {n}\"")), "{text}");
    }
    second.terminate();
    assert!(second.ended().await.0.success());
}
