//! A token for the server: the kubeconfig's own, or one of a service account that may only read.

use bytes::Bytes;
use http::{Request, Response, header::AUTHORIZATION};
use http_body_util::Empty;
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{Api, Config, api::PostParams, client::ConfigExt as _};
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};

use super::Cluster;
use crate::exit::Failure;

/// Service account of people who have a client certificate instead of a token.
pub const READER: &str = "dcanary-reader";

/// The token that the API server gets with each request, if it gets one: from the kubeconfig, a file that it names or a program that it
/// names. kube is asked for the header of a request that is never sent, as only it knows all the ways to a token.
async fn own(config: &Config) -> Result<Option<String>, BoxError> {
    let config = config.clone();
    // It runs the program, which may ask a person.
    let layer = tokio::task::spawn_blocking(move || config.auth_layer()).await??;
    let Some(layer) = layer else {
        return Ok(None);
    };
    let echo = service_fn(|request: Request<Empty<Bytes>>| async move {
        let mut answer = Response::new(());
        if let Some(said) = request.headers().get(AUTHORIZATION) {
            answer.headers_mut().insert(AUTHORIZATION, said.clone());
        }
        Ok::<_, BoxError>(answer)
    });
    let answer = layer.layer(echo).oneshot(Request::new(Empty::new())).await?;
    let said = answer.headers().get(AUTHORIZATION).map(|said| said.to_str());
    Ok(said
        .transpose()?
        .and_then(|said| said.strip_prefix("Bearer "))
        .map(|token| token.trim().to_owned())
        .filter(|token| !token.is_empty()))
}

impl Cluster {
    /// A bearer token for the server.
    ///
    /// # Errors
    /// When the kubeconfig holds none and none can be asked for.
    pub async fn server_token(&self) -> Result<String, Failure> {
        let own = own(&self.config).await.map_err(|source| {
            Failure::cannot_tell(format!(
                "the kubeconfig's own token cannot be had: {}",
                super::causes(source.as_ref())
            ))
        })?;
        if let Some(token) = own {
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

#[cfg(test)]
mod tests {
    use kube::config::{KubeConfigOptions, Kubeconfig};

    use super::*;

    async fn token_of(user: &str) -> Result<Option<String>, BoxError> {
        let text = format!(
            "apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:1'}}}}]
users: [{{name: u, user: {user}}}]
contexts: [{{name: x, context: {{cluster: c, user: u}}}}]
current-context: x
"
        );
        let file = Kubeconfig::from_yaml(&text).unwrap();
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
            .await
            .unwrap();
        own(&config).await
    }

    fn exec(status: &str) -> String {
        let said = format!(
            r#"{{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{status}}}"#
        );
        format!(
            "{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: echo, args: ['{said}'], interactiveMode: Never}}}}"
        )
    }

    #[tokio::test]
    async fn the_servers_token_is_the_one_that_the_api_server_gets_wherever_it_comes_from() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "of-the-file").unwrap();
        let cases = [
            ("{token: of-the-kubeconfig}".to_owned(), Some("of-the-kubeconfig")),
            (
                format!("{{tokenFile: '{}'}}", file.path().display()),
                Some("of-the-file"),
            ),
            (exec(r#"{"token":"of-the-program"}"#), Some("of-the-program")),
            (
                exec(r#"{"token":"of-an-hour","expirationTimestamp":"2999-01-01T00:00:00Z"}"#),
                Some("of-an-hour"),
            ),
            ("{username: ann, password: secret}".to_owned(), None),
            ("{}".to_owned(), None),
        ];
        for (user, token) in cases {
            assert_eq!(token_of(&user).await.unwrap().as_deref(), token, "{user}");
        }
    }

    #[tokio::test]
    async fn a_program_that_gives_no_token_is_named() {
        let user = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: /no/such/program, interactiveMode: Never}}";
        let source = token_of(user).await.unwrap_err();
        let said = crate::cluster::causes(source.as_ref());
        assert!(said.contains("unable to run auth exec"), "{said}");
    }
}
