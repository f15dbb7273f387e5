//! The server inside the cluster: TLS with its own authority, through the API server's port-forward.

use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use kube::{Api, api::ListParams};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio_rustls::TlsConnector;

use crate::{cluster::Cluster, exit::Failure};

/// Labels of the server's Service, whatever the release is called.
const LABELS: &str = "app.kubernetes.io/part-of=dcanary,app.kubernetes.io/component=server";

/// Streams the lines that a GET answers.
///
/// # Errors
/// When the server cannot be reached or refuses.
pub async fn lines(
    cluster: &Cluster,
    path: &str,
) -> Result<impl Stream<Item = Result<Vec<u8>, Failure>> + Unpin + use<>, Failure> {
    let body = get(cluster, path).await?;
    Ok(Box::pin(split(body)))
}

async fn get(cluster: &Cluster, path: &str) -> Result<hyper::body::Incoming, Failure> {
    let token = cluster.server_token().await?;
    let service = service(cluster).await?;
    let backend = cluster.backend(&service).await?;
    let host = format!("{service}.{}.svc", cluster.operator_namespace);
    let unreachable = |reason: String| Failure::cannot_tell(format!("the server does not answer: {reason}"));
    let tcp = cluster.dial(&backend).await?;
    let name = ServerName::try_from(host.clone()).map_err(|source| unreachable(source.to_string()))?;
    let tls = TlsConnector::from(Arc::new(authority(cluster, &service).await?))
        .connect(name, tcp)
        .await
        .map_err(|source| unreachable(source.to_string()))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls))
        .await
        .map_err(|source| unreachable(source.to_string()))?;
    tokio::spawn(async move {
        // Its end is the end of the body, which the reader sees.
        let _ = connection.await;
    });
    let request = Request::get(path)
        .header(header::HOST, host)
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::ACCEPT, "application/x-ndjson")
        .body(Empty::<Bytes>::new())
        .map_err(|source| unreachable(source.to_string()))?;
    let answer = sender
        .send_request(request)
        .await
        .map_err(|source| unreachable(source.to_string()))?;
    if answer.status() == StatusCode::OK {
        return Ok(answer.into_body());
    }
    let status = answer.status();
    let body = answer
        .into_body()
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    Err(Failure::cannot_tell(refusal(status, &body)))
}

/// What a problem document says, else the status: pure.
fn refusal(status: StatusCode, body: &[u8]) -> String {
    let detail = serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|problem| {
            ["detail", "title"]
                .iter()
                .find_map(|key| problem.get(key)?.as_str().map(str::to_owned))
        });
    match detail {
        Some(detail) => format!("the server refuses ({}): {detail}", status.as_u16()),
        None => format!("the server refuses: {status}"),
    }
}

/// Name of the server's Service.
async fn service(cluster: &Cluster) -> Result<String, Failure> {
    let namespace = &cluster.operator_namespace;
    let services: Api<Service> = Api::namespaced(cluster.client.clone(), namespace);
    let found = services
        .list(&ListParams::default().labels(LABELS))
        .await
        .map_err(|source| cluster.explain(&source, "the server's Service"))?;
    found.items.into_iter().find_map(|service| service.metadata.name).ok_or_else(|| {
        Failure::cannot_tell(format!(
            "there is no DCanary server in namespace {namespace}; name the operator's namespace with --operator-namespace"
        ))
    })
}

/// The certificate authority of the server: ConfigMap `<service>-ca`, which everybody may read, else Secret `<service>-tls`.
async fn authority(cluster: &Cluster, service: &str) -> Result<ClientConfig, Failure> {
    let namespace = &cluster.operator_namespace;
    let (map, secret) = (format!("{service}-ca"), format!("{service}-tls"));
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), namespace);
    let public = maps.get_opt(&map).await.ok().flatten();
    let pem = match public.and_then(|map| map.data?.get("ca.crt").cloned()) {
        Some(pem) => pem.into_bytes(),
        None => {
            let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), namespace);
            let found = secrets.get_opt(&secret).await.map_err(|source| {
                Failure::cannot_tell(format!(
                    "no certificate authority of the server: ConfigMap {namespace}/{map} is not there, and Secret {secret}: {}",
                    crate::cluster::causes(&source)
                ))
            })?;
            found.and_then(|secret| Some(secret.data?.get("ca.crt")?.0.clone())).ok_or_else(|| {
                Failure::cannot_tell(format!(
                    "no certificate authority of the server: neither ConfigMap {namespace}/{map} nor Secret {secret} has `ca.crt`"
                ))
            })?
        }
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem).flatten() {
        roots.add(certificate).map_err(|source| {
            Failure::cannot_tell(format!(
                "the server's certificate authority cannot be used: {source}"
            ))
        })?;
    }
    Ok(ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// Cuts a body into lines.
fn split(body: hyper::body::Incoming) -> impl Stream<Item = Result<Vec<u8>, Failure>> {
    let frames = body.into_data_stream();
    stream::unfold(
        (frames, Vec::<u8>::new(), false),
        |(mut frames, mut rest, mut over)| async move {
            loop {
                if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                    let tail = rest.split_off(end + 1);
                    rest.pop();
                    let line = std::mem::replace(&mut rest, tail);
                    if line.is_empty() {
                        continue;
                    }
                    return Some((Ok(line), (frames, rest, over)));
                }
                if over {
                    let last = std::mem::take(&mut rest);
                    return (!last.is_empty()).then(|| (Ok(last), (frames, Vec::new(), true)));
                }
                match frames.next().await {
                    Some(Ok(bytes)) => rest.extend_from_slice(&bytes),
                    Some(Err(source)) => {
                        let failure =
                            Failure::cannot_tell(format!("the connection to the server broke: {source}"));
                        return Some((Err(failure), (frames, Vec::new(), true)));
                    }
                    None => over = true,
                }
            }
        },
    )
}

/// A value for a query string.
pub fn escaped(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    value
        .bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_the_problem_document_says() {
        let body = br#"{"type":"urn:dcanary:forbidden","title":"Forbidden","detail":"ada may not get runs in team-a"}"#;
        assert_eq!(
            refusal(StatusCode::FORBIDDEN, body),
            "the server refuses (403): ada may not get runs in team-a"
        );
        assert_eq!(
            refusal(StatusCode::BAD_GATEWAY, b"<html>"),
            "the server refuses: 502 Bad Gateway"
        );
    }

    #[test]
    fn stage_names_cannot_break_out_of_the_query() {
        assert_eq!(escaped("a b&follow=x"), "a%20b%26follow%3Dx");
    }
}
