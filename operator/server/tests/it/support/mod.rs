//! A server in this process, and who talks to it.

mod blobs;
mod client;
mod cluster;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::{Duration, SystemTime};

use dcanary_server::core::{Core, Settings};
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
use reqwest::StatusCode;
use tokio::net::TcpListener;

pub use blobs::WatchedBlobs;
pub use client::{Http, Runner, bearer, completion, jwt, line, refused, report};
pub use cluster::{OPERATOR, TestCluster};

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

/// A time of a sweep: what is old by then needs no waiting.
pub fn after(time: Duration) -> SystemTime {
    SystemTime::now() + time
}

pub struct TestServer {
    pub address: SocketAddr,
    pub core: Arc<Core>,
    pub blobs: Arc<WatchedBlobs>,
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
            let mut store = Store::open(volume, given.commits, given.reserve, store_metrics).unwrap();
            let blobs = Arc::new(WatchedBlobs::new(store.blobs));
            store.blobs = Arc::<WatchedBlobs>::clone(&blobs);
            let core = Core::new(
                Arc::new(store),
                for_core,
                given.registries,
                given.limits,
                given.settings,
                metrics,
            );
            (Arc::new(core.unwrap()), blobs)
        });
        let (core, blobs) = core.await.unwrap();
        let gate = Arc::new(Gate::new(core.stopping.clone()));
        gate.open(dcanary_server::http::router(Arc::clone(&core)));
        let tls = Arc::new(Tls::load(certificate(dir)).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let settings = ServeSettings {
            connections: 1_024,
            grace: options.grace,
        };
        let serving = tokio::spawn(serve::protocol(
            listener,
            tls,
            gate,
            settings,
            core.metrics.clone(),
        ));
        Self {
            address,
            core,
            blobs,
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
