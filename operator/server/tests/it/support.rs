//! A server in this process, and a runner's, an operator's and a reader's side of it.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use dcanary_protocol::report::Reports;
use dcanary_server::auth::{Audience, Cluster, ClusterError, OwnerRun, PodFacts, User};
use dcanary_server::core::{Core, Settings};
use dcanary_server::digest::Digest;
use dcanary_server::http::gate::Gate;
use dcanary_server::http::serve::{self, ServeSettings};
use dcanary_server::http::tls::{Tls, TlsFiles};
use dcanary_server::images::Registries;
use dcanary_server::limits::Limits;
use dcanary_server::metrics::Metrics;
use dcanary_server::store::Store;
use dcanary_server::store::commit::CommitSettings;
use dcanary_server::store::space::Reserve;
use dcanary_server::store::volume::Volume;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub const OPERATOR: &str = "system:serviceaccount:ops:conductor";

/// Kubernetes as tests see it. Tokens say whose they are:
/// `pod/NS/NAME/UID`, `operator`, `other/NS/NAME` (audience of the server), `reader/NAME/NS` (may read NS).
#[derive(Default)]
pub struct TestCluster {
    pub pods: Mutex<HashMap<(String, String), PodFacts>>,
    pub finished: Mutex<HashSet<String>>,
    pub runs: Mutex<HashSet<String>>,
    pub reviews: AtomicU32,
    pub accesses: AtomicU32,
    pub down: std::sync::atomic::AtomicBool,
}

#[async_trait::async_trait]
impl Cluster for TestCluster {
    async fn review(&self, token: &str, audience: Audience) -> Result<Option<User>, ClusterError> {
        self.reviews.fetch_add(1, Ordering::Relaxed);
        if self.down.load(Ordering::Relaxed) {
            return Err(ClusterError {
                what: "review a token",
                source: "down".into(),
            });
        }
        let parts: Vec<&str> = token.split('/').collect();
        let extra = |name: &str, uid: &str| {
            vec![
                (
                    "authentication.kubernetes.io/pod-name".to_owned(),
                    vec![name.to_owned()],
                ),
                (
                    "authentication.kubernetes.io/pod-uid".to_owned(),
                    vec![uid.to_owned()],
                ),
            ]
        };
        let user = |name: String| User {
            name,
            ..User::default()
        };
        Ok(match (parts.as_slice(), audience) {
            (["pod", ns, name, uid], Audience::Server) => Some(User {
                extra: extra(name, uid),
                ..user(format!("system:serviceaccount:{ns}:default"))
            }),
            (["operator"], Audience::Server) => Some(user(OPERATOR.to_owned())),
            (["other", ns, name], Audience::Server) => {
                Some(user(format!("system:serviceaccount:{ns}:{name}")))
            }
            (["reader", ..], Audience::ApiServer) => Some(user(token.to_owned())),
            _ => None,
        })
    }

    async fn may_read(&self, user: &User, namespace: &str) -> Result<bool, ClusterError> {
        self.accesses.fetch_add(1, Ordering::Relaxed);
        Ok(user.name.split('/').nth(2) == Some(namespace))
    }

    async fn pod(&self, namespace: &str, name: &str) -> Result<Option<PodFacts>, ClusterError> {
        Ok(self
            .pods
            .lock()
            .unwrap()
            .get(&(namespace.to_owned(), name.to_owned()))
            .cloned())
    }

    async fn run_finished(&self, _: &str, _: &str, uid: &str) -> Result<bool, ClusterError> {
        Ok(self.finished.lock().unwrap().contains(uid))
    }

    async fn run_uids(&self) -> Result<HashSet<String>, ClusterError> {
        Ok(self.runs.lock().unwrap().clone())
    }
}

impl TestCluster {
    /// A build Pod of a run.
    pub fn add_pod(&self, namespace: &str, name: &str, uid: &str, run: &str, stage: &str, attempt: u32) {
        let facts = PodFacts {
            uid: uid.to_owned(),
            owner_run: Some(OwnerRun {
                name: format!("{run}-name"),
                uid: run.to_owned(),
            }),
            run_uid: Some(run.to_owned()),
            stage: Some(stage.to_owned()),
            attempt: Some(attempt),
        };
        self.pods
            .lock()
            .unwrap()
            .insert((namespace.to_owned(), name.to_owned()), facts);
        self.runs.lock().unwrap().insert(run.to_owned());
    }
}

/// What differs between tests.
#[derive(Clone)]
pub struct Options {
    pub limits: Limits,
    pub settings: Settings,
    pub reserve: Reserve,
    pub registries: Registries,
    pub commits: CommitSettings,
    pub grace: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            settings: Settings {
                operator: OPERATOR.to_owned(),
                reader_cache: Duration::from_secs(10),
                retention: Duration::from_secs(3600),
                retry_wait: Duration::from_secs(2),
                registry_patience: Duration::from_secs(60),
            },
            reserve: Reserve::Bytes(1 << 20),
            registries: Registries::default(),
            commits: CommitSettings::default(),
            grace: Duration::from_secs(20),
        }
    }
}

pub struct TestServer {
    pub address: SocketAddr,
    pub core: Arc<Core>,
    pub cluster: Arc<TestCluster>,
    pub dir: PathBuf,
    pub serving: tokio::task::JoinHandle<()>,
    temp: Option<tempfile::TempDir>,
}

pub fn certificate(dir: &Path) -> TlsFiles {
    let files = TlsFiles {
        certificate: dir.join("tls.crt"),
        key: dir.join("tls.key"),
    };
    if !files.certificate.exists() {
        let pair =
            rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        std::fs::write(&files.certificate, pair.cert.pem()).unwrap();
        std::fs::write(&files.key, pair.signing_key.serialize_pem()).unwrap();
    }
    files
}

pub fn provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

pub fn client(dir: &Path) -> reqwest::Client {
    provider();
    let pem = std::fs::read(dir.join("tls.crt")).unwrap();
    reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()])
        .no_proxy()
        .timeout(Duration::from_secs(60))
        .build()
        .unwrap()
}

impl TestServer {
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().to_owned();
        Self {
            temp: Some(temp),
            ..Self::at(&dir, Arc::default(), options).await
        }
    }

    /// A server on a folder: `data` is the volume, beside it lies the certificate.
    pub async fn at(dir: &Path, cluster: Arc<TestCluster>, options: Options) -> Self {
        provider();
        let metrics = Metrics::default();
        let data = dir.join("data");
        let (for_core, store_metrics) = (Arc::clone(&cluster), metrics.store.clone());
        let given = options.clone();
        let core = tokio::task::spawn_blocking(move || {
            let volume = Arc::new(Volume::open(data).unwrap());
            let store = Store::open(volume, given.commits, given.reserve, store_metrics).unwrap();
            Core::new(
                Arc::new(store),
                for_core,
                given.registries,
                given.limits,
                given.settings,
                metrics,
            )
            .unwrap()
        });
        let core = Arc::new(core.await.unwrap());
        let gate = Arc::new(Gate::new(core.stopping.clone()));
        gate.open(dcanary_server::http::router(Arc::clone(&core)));
        let tls = Arc::new(Tls::load(certificate(dir)).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let settings = ServeSettings {
            connections: 1_024,
            grace: options.grace,
        };
        let serving = tokio::spawn(serve::protocol(listener, tls, gate, settings));
        Self {
            address,
            core,
            cluster,
            dir: dir.to_owned(),
            serving,
            temp: None,
        }
    }

    /// Stops as after SIGTERM, and gives the folder back for the next server.
    pub async fn stop(self) -> (PathBuf, Arc<TestCluster>, Option<tempfile::TempDir>) {
        self.core.stopping.cancel();
        self.serving.await.unwrap();
        let core = self.core;
        tokio::task::spawn_blocking(move || {
            core.store.commits.close();
            // Requests under way hold the volume a little longer than their connection.
            while Arc::strong_count(&core) > 1 {
                std::thread::sleep(Duration::from_millis(10));
            }
        })
        .await
        .unwrap();
        (self.dir, self.cluster, self.temp)
    }

    pub async fn restart(self, options: Options) -> Self {
        let (dir, cluster, temp) = self.stop().await;
        Self {
            temp,
            ..Self::at(&dir, cluster, options).await
        }
    }

    pub fn http(&self) -> Http {
        Http {
            client: client(&self.dir),
            base: format!("https://127.0.0.1:{}", self.address.port()),
        }
    }

    /// A runner with a session, in namespace `builds`, run `run-1`, stage `build`.
    pub async fn runner(&self, uid: &str) -> Runner {
        self.runner_of("builds", uid, "run-1", "build", 1).await
    }

    pub async fn runner_of(&self, ns: &str, uid: &str, run: &str, stage: &str, number: u32) -> Runner {
        self.cluster
            .add_pod(ns, &format!("pod-{uid}"), uid, run, stage, number);
        let runner = Runner::new(self.http(), ns, uid);
        let answer = runner.trade().await;
        assert_eq!(answer.status(), StatusCode::OK);
        runner
    }
}

#[derive(Clone)]
pub struct Http {
    pub client: reqwest::Client,
    pub base: String,
}

impl Http {
    pub fn request(&self, method: Method, path: &str, authorization: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        if authorization.is_empty() {
            request
        } else {
            request.header("authorization", authorization)
        }
    }

    pub async fn get(&self, path: &str, token: &str) -> Response {
        self.request(Method::GET, path, &format!("Bearer {token}"))
            .send()
            .await
            .unwrap()
    }

    pub async fn post(&self, path: &str, token: &str, body: &Value) -> Response {
        self.request(Method::POST, path, &format!("Bearer {token}"))
            .json(body)
            .send()
            .await
            .unwrap()
    }

    pub async fn reports(&self, after: u64) -> Reports {
        let answer = self.get(&format!("/v1/reports?after={after}"), "operator").await;
        assert_eq!(answer.status(), StatusCode::OK);
        answer.json().await.unwrap()
    }
}

/// A runner's side of the contract.
#[derive(Clone)]
pub struct Runner {
    pub http: Http,
    pub attempt: String,
    pub token: String,
    pub key: String,
}

impl Runner {
    pub fn new(http: Http, namespace: &str, uid: &str) -> Self {
        let key = Digest::of(uid.as_bytes()).hex();
        let token = format!("pod/{namespace}/pod-{uid}/{uid}");
        Self {
            http,
            attempt: uid.to_owned(),
            token,
            key,
        }
    }

    pub async fn trade(&self) -> Response {
        self.trade_with(&self.key).await
    }

    pub async fn trade_with(&self, key: &str) -> Response {
        let hash = Digest::of(&hex::decode(key).unwrap()).hex();
        self.http
            .post("/v1/session", &self.token, &json!({"protocol": 1, "key": hash}))
            .await
    }

    pub fn session(&self) -> String {
        format!("DCanary {}:{}", self.attempt, self.key)
    }

    pub fn request(&self, method: Method, rest: &str) -> RequestBuilder {
        let path = format!("/v1/attempts/{}/{rest}", self.attempt);
        self.http.request(method, &path, &self.session())
    }

    pub async fn frames(&self, first: u64, frames: Vec<Value>) -> Response {
        let body = json!({"first": first, "frames": frames});
        self.request(Method::POST, "frames")
            .json(&body)
            .send()
            .await
            .unwrap()
    }

    pub async fn lines(&self, first: u64, count: u64) -> u64 {
        let answer = self
            .frames(first, (first..first + count).map(line).collect())
            .await;
        assert_eq!(answer.status(), StatusCode::OK);
        answer.json::<Value>().await.unwrap()["acked"].as_u64().unwrap()
    }

    pub async fn finish(&self, report: &Value) -> Response {
        self.request(Method::POST, "final")
            .json(report)
            .send()
            .await
            .unwrap()
    }

    pub async fn put(&self, name: &str, offset: u64, bytes: Vec<u8>) -> Response {
        self.request(Method::PUT, &format!("uploads/{name}?offset={offset}"))
            .body(bytes)
            .send()
            .await
            .unwrap()
    }

    pub async fn offset(&self, name: &str) -> u64 {
        let answer = self
            .request(Method::HEAD, &format!("uploads/{name}"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.headers()["upload-offset"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap()
    }

    pub async fn complete(&self, name: &str, body: &Value) -> Response {
        let path = format!("uploads/{name}/complete");
        self.request(Method::POST, &path).json(body).send().await.unwrap()
    }

    /// Stores a file and returns its digest.
    pub async fn store(&self, name: &str, content: &[u8]) -> String {
        assert_eq!(self.put(name, 0, content.to_vec()).await.status(), StatusCode::OK);
        let answer = self.complete(name, &completion(content)).await;
        assert_eq!(answer.status(), StatusCode::OK);
        Digest::of(content).to_string()
    }
}

pub fn completion(content: &[u8]) -> Value {
    json!({"kind": "file", "size": content.len(), "digest": Digest::of(content).to_string(),
        "mediaType": "text/plain", "fileName": "out.txt"})
}

pub fn line(n: u64) -> Value {
    json!({"kind": "log", "step": 0, "stream": "stdout", "time": "2026-01-01T00:00:00.000000000Z",
        "line": format!("line {n}")})
}

pub fn report(frames: u64) -> Value {
    json!({"outcome": "succeeded", "reason": "Succeeded", "message": "", "frames": frames, "steps": []})
}

/// Status and reason of a refusal.
pub async fn refused(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: dcanary_protocol::session::Problem = answer.json().await.unwrap();
    assert_eq!(problem.status, status);
    (status, problem.reason().to_owned())
}
