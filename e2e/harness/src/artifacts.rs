//! Artifacts as a dashboard fetches them: from the server, with a token of the cluster.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{Secret, ServiceAccount},
};
use kube::{Api, api::PostParams};

use crate::{
    Namespace,
    forward::Forward,
    system::{SERVER, System},
};

const PORT: u16 = 8443;
const AUDIENCE: &str = "dcanary-server";
const READER: &str = "dcanary-reader";

/// Downloads an artifact (`sha256:…`) of a namespace.
///
/// # Errors
/// When the server cannot be reached or refuses.
pub async fn download(ns: &Namespace, digest: &str) -> Result<Vec<u8>> {
    let (client, system) = (ns.cluster.client.clone(), ns.cluster.operator_namespace.as_str());
    let secrets: Api<Secret> = Api::namespaced(client.clone(), system);
    let authority = secrets
        .get(&format!("{SERVER}-tls"))
        .await?
        .data
        .and_then(|mut data| data.remove("ca.crt"))
        .context("the server's authority")?;
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: vec![AUDIENCE.to_owned()],
            expiration_seconds: Some(600),
            bound_object_ref: None,
        },
        ..TokenRequest::default()
    };
    let accounts: Api<ServiceAccount> = Api::namespaced(client, system);
    let token = accounts
        .create_token_request(READER, &PostParams::default(), &request)
        .await?
        .status
        .context("no token")?
        .token;
    let forward = Forward::to(System::of(&ns.cluster).pods(), &format!("{SERVER}-0"), PORT).await?;
    let host = format!("{SERVER}.{system}.svc");
    let http = reqwest::Client::builder()
        .tls_certs_only(reqwest::Certificate::from_pem_bundle(&authority.0)?)
        .resolve(&host, forward.address)
        .no_proxy()
        .build()?;
    let url = format!(
        "https://{host}:{}/v1/namespaces/{}/artifacts/{digest}",
        forward.address.port(),
        ns.name
    );
    let answer = http.get(url).bearer_auth(token).send().await?;
    let status = answer.status();
    let body = answer.bytes().await?;
    ensure!(
        status.is_success(),
        "{digest}: {status} {}",
        String::from_utf8_lossy(&body)
    );
    Ok(body.to_vec())
}
