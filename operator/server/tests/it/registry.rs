//! A real registry: the `docker-registry` of the distribution, on a random port, with its storage in a temporary folder.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::Value;

/// `user:secret`
const HTPASSWD: &str = "user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

pub struct Registry {
    child: Child,
    /// `127.0.0.1:PORT`
    pub host: String,
    pub client: reqwest::Client,
    password: bool,
    _folder: tempfile::TempDir,
}

impl Registry {
    pub async fn start() -> Self {
        Self::with(false).await
    }

    pub async fn with_password() -> Self {
        Self::with(true).await
    }

    async fn with(password: bool) -> Self {
        crate::support::provider();
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let host = format!("127.0.0.1:{port}");
        let root = folder.path().display();
        let auth = if password {
            std::fs::write(folder.path().join("htpasswd"), HTPASSWD).unwrap();
            format!("auth: {{htpasswd: {{realm: test, path: {root}/htpasswd}}}}\n")
        } else {
            String::new()
        };
        let config = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {root}/data}}}}\nhttp: {{addr: '{host}'}}\n{auth}"
        );
        std::fs::write(folder.path().join("config.yml"), config).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(folder.path().join("config.yml"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("these tests need the program docker-registry (package docker-registry) in PATH");
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let registry = Self {
            child,
            host,
            client,
            password,
            _folder: folder,
        };
        let started = Instant::now();
        while registry.get("").await.is_none() {
            assert!(started.elapsed() < Duration::from_secs(60), "the registry starts");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        registry
    }

    async fn get(&self, path: &str) -> Option<reqwest::Response> {
        let mut request = self.client.get(format!("http://{}/v2/{path}", self.host));
        if self.password {
            request = request.basic_auth("user", Some("secret"));
        }
        let accept = "application/vnd.oci.image.manifest.v1+json";
        request.header("accept", accept).send().await.ok()
    }

    pub async fn manifest(&self, repository: &str, reference: &str) -> Option<(Vec<u8>, Value)> {
        let answer = self.get(&format!("{repository}/manifests/{reference}")).await?;
        if answer.status() != StatusCode::OK {
            return None;
        }
        let bytes = answer.bytes().await.unwrap().to_vec();
        let value = serde_json::from_slice(&bytes).unwrap();
        Some((bytes, value))
    }

    pub async fn blob(&self, repository: &str, digest: &str) -> Option<Vec<u8>> {
        let answer = self.get(&format!("{repository}/blobs/{digest}")).await?;
        if answer.status() == StatusCode::OK {
            Some(answer.bytes().await.unwrap().to_vec())
        } else {
            None
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
