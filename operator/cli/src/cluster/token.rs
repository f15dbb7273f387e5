//! A token for the server: the kubeconfig's own, or one of a service account that may only read.

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{Api, api::PostParams, config::AuthInfo};
use secrecy::ExposeSecret as _;

use super::Cluster;
use crate::exit::Failure;

/// Service account of people who have a client certificate instead of a token.
pub const READER: &str = "dcanary-reader";

/// The token that the kubeconfig holds, if it holds one: pure but for a token file.
fn own(auth: &AuthInfo) -> Option<String> {
    if let Some(token) = &auth.token {
        return Some(token.expose_secret().to_owned());
    }
    let file = auth.token_file.as_ref()?;
    std::fs::read_to_string(file)
        .ok()
        .map(|text| text.trim().to_owned())
}

impl Cluster {
    /// A bearer token for the server.
    ///
    /// # Errors
    /// When the kubeconfig holds none and none can be asked for.
    pub async fn server_token(&self) -> Result<String, Failure> {
        if let Some(token) = own(&self.config.auth_info).filter(|token| !token.is_empty()) {
            return Ok(token);
        }
        let namespace = &self.operator_namespace;
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: vec![dcanary_protocol::AUDIENCE.to_owned()],
                expiration_seconds: Some(3_600),
                bound_object_ref: None,
            },
            ..TokenRequest::default()
        };
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let answer = accounts
            .create_token_request(READER, &PostParams::default(), &request)
            .await
            .map_err(|source| {
                Failure::cannot_tell(format!(
                    "the kubeconfig has no token, and none can be had for service account {namespace}/{READER}: {}",
                    super::causes(&source)
                ))
            })?;
        answer
            .status
            .map(|status| status.token)
            .filter(|token| !token.is_empty())
            .ok_or_else(|| {
                Failure::cannot_tell(format!(
                    "the API server gave no token for service account {namespace}/{READER}"
                ))
            })
    }
}
