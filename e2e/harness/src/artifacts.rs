//! Artifacts and evidence as a dashboard fetches them: from the server, with a token of the cluster.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{Secret, ServiceAccount},
};
use kube::{Api, api::PostParams};
use reqwest::StatusCode;
use serde_json::Value;
use tokio::time::{interval, timeout};

use crate::{
    Namespace,
    fixtures::LIMIT,
    forward::Forward,
    system::{SERVER, System},
};

const PORT: u16 = 8443;
const AUDIENCE: &str = "dcanary-server";
const READER: &str = "dcanary-reader";
/// Time between questions whether something is stored by now.
const BEAT: Duration = Duration::from_millis(200);

/// Downloads an artifact (`sha256:…`) of a namespace.
///
/// # Errors
/// When the server cannot be reached or refuses.
pub async fn download(ns: &Namespace, digest: &str) -> Result<Vec<u8>> {
    let server = Server::reached(ns).await?;
    let path = format!("/v1/namespaces/{}/artifacts/{digest}", ns.name);
    let (status, body) = server.get(&path).await?;
    ensure!(
        status.is_success(),
        "{digest}: {status} {}",
        String::from_utf8_lossy(&body)
    );
    Ok(body)
}

/// The evidence of an analysis (`sha256:…`), once it is stored: a rollback does not wait for that.
///
/// # Errors
/// When the server cannot be reached or refuses, or it is not stored in time.
pub async fn evidence(ns: &Namespace, digest: &str) -> Result<Vec<u8>> {
    let server = Server::reached(ns).await?;
    let path = format!("/v1/evidence/{digest}?namespace={}", ns.name);
    let mut beat = interval(BEAT);
    let stored = async {
        loop {
            beat.tick().await;
            let (status, body) = server.get(&path).await?;
            if status.is_success() {
                return Ok(body);
            }
            ensure!(
                status == StatusCode::NOT_FOUND,
                "{digest}: {status} {}",
                String::from_utf8_lossy(&body)
            );
        }
    };
    match timeout(LIMIT, stored).await {
        Ok(stored) => stored,
        Err(_) => bail!("evidence {digest} is not stored"),
    }
}

/// The way to the server.
pub struct Server {
    http: reqwest::Client,
    base: String,
    token: String,
    _forward: Forward,
}

impl Server {
    /// As the account of readers, with a token for the server alone.
    async fn reached(ns: &Namespace) -> Result<Self> {
        let system = ns.cluster.operator_namespace.clone();
        let token = token(ns, &system, READER, &[AUDIENCE]).await?;
        Self::with(ns, token).await
    }

    /// As a service account of the namespace, with a token for the API server.
    ///
    /// # Errors
    /// When there is no such account, or no way.
    pub async fn reached_by(ns: &Namespace, account: &str) -> Result<Self> {
        let token = token(ns, &ns.name, account, &[]).await?;
        Self::with(ns, token).await
    }

    async fn with(ns: &Namespace, token: String) -> Result<Self> {
        let (client, system) = (ns.cluster.client.clone(), ns.cluster.operator_namespace.as_str());
        let secrets: Api<Secret> = Api::namespaced(client, system);
        let authority = secrets
            .get(&format!("{SERVER}-tls"))
            .await?
            .data
            .and_then(|mut data| data.remove("ca.crt"))
            .context("the server's authority")?;
        let forward = Forward::to(System::of(&ns.cluster).pods(), &format!("{SERVER}-0"), PORT).await?;
        let host = format!("{SERVER}.{system}.svc");
        let http = reqwest::Client::builder()
            .tls_certs_only(reqwest::Certificate::from_pem_bundle(&authority.0)?)
            .resolve(&host, forward.address)
            .no_proxy()
            .build()?;
        Ok(Self {
            http,
            base: format!("https://{host}:{}", forward.address.port()),
            token,
            _forward: forward,
        })
    }

    /// Status and body of an answer.
    ///
    /// # Errors
    /// When there is none.
    pub async fn get(&self, path: &str) -> Result<(StatusCode, Vec<u8>)> {
        let url = format!("{}{path}", self.base);
        let answer = self.http.get(url).bearer_auth(&self.token).send().await?;
        let status = answer.status();
        Ok((status, answer.bytes().await?.to_vec()))
    }

    /// Status and JSON of the answer to an object.
    ///
    /// # Errors
    /// When there is none.
    pub async fn post(&self, path: &str, object: &Value) -> Result<(u16, Value)> {
        let url = format!("{}{path}", self.base);
        let request = self.http.post(url).bearer_auth(&self.token).json(object);
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        Ok((status, answer.json().await?))
    }
}

/// A token of a service account; for the API server when no audience is named.
async fn token(ns: &Namespace, namespace: &str, account: &str, audiences: &[&str]) -> Result<String> {
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: audiences.iter().map(|&audience| audience.to_owned()).collect(),
            expiration_seconds: Some(600),
            bound_object_ref: None,
        },
        ..TokenRequest::default()
    };
    let accounts: Api<ServiceAccount> = Api::namespaced(ns.cluster.client.clone(), namespace);
    let made = accounts
        .create_token_request(account, &PostParams::default(), &request)
        .await?;
    Ok(made.status.context("no token")?.token)
}
