//! Requests of the operator to the server.

use std::{path::PathBuf, time::Duration};

use dcanary_protocol::{
    report::{AckRequest, Reports},
    session::{Problem, RevokeRequest},
};
use reqwest::{Certificate, Client, Method, RequestBuilder, Response};
use serde::Serialize;
use thiserror::Error;

/// Time for an answer, besides what the server was asked to wait.
const ANSWER: Duration = Duration::from_secs(10);
/// Time for a revocation: what follows it must not wait for a server that is away.
const REVOCATION: Duration = Duration::from_secs(2);

/// The server did not do what was asked.
#[derive(Debug, Error)]
pub enum ServerError {
    /// The certificate authority cannot be used.
    #[error("the server's certificate authority in {path} cannot be used")]
    Authority {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The operator's token cannot be read.
    #[error("the token in {path} cannot be read")]
    Token {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: std::io::Error,
    },
    /// No answer.
    #[error("the server does not answer")]
    Away(#[source] reqwest::Error),
    /// An answer that is no success.
    #[error("the server answered {status}: {detail}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// What it said.
        detail: String,
    },
}

/// Speaks with the server as the operator.
#[derive(Clone)]
pub struct ServerClient {
    http: Client,
    base: String,
    token_file: PathBuf,
}

impl ServerClient {
    /// A client that trusts one authority.
    ///
    /// # Errors
    /// When the authority cannot be used.
    pub fn new(
        base: &str,
        authority_pem: &[u8],
        authority_file: PathBuf,
        token_file: PathBuf,
    ) -> Result<Self, ServerError> {
        let authority = |source: reqwest::Error| ServerError::Authority {
            path: authority_file.clone(),
            source: Box::new(source),
        };
        let certificates = Certificate::from_pem_bundle(authority_pem).map_err(authority)?;
        let http = Client::builder()
            .tls_certs_only(certificates)
            .connect_timeout(Duration::from_secs(5))
            .build()
            .map_err(authority)?;
        Ok(Self {
            http,
            base: base.trim_end_matches('/').to_owned(),
            token_file,
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
        limit: Duration,
    ) -> Result<Response, ServerError> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(body);
        }
        self.answer(request, limit).await
    }

    async fn answer(&self, request: RequestBuilder, limit: Duration) -> Result<Response, ServerError> {
        // projected tokens are replaced on disk, so the file is read each time
        let token = tokio::fs::read_to_string(&self.token_file)
            .await
            .map_err(|source| ServerError::Token {
                path: self.token_file.clone(),
                source,
            })?;
        let request = request.timeout(limit).bearer_auth(token.trim());
        let response = request.send().await.map_err(ServerError::Away)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let text = response.text().await.unwrap_or_default();
        let detail = serde_json::from_str::<Problem>(&text).map_or(text, |problem| {
            format!("{} ({}) {}", problem.title, problem.reason(), problem.detail)
        });
        Err(ServerError::Refused { status, detail })
    }

    /// Reports after a cursor; waits for one when there is none. An empty answer: there was none when it was asked for.
    ///
    /// # Errors
    /// When the server is away or refuses.
    pub async fn reports(&self, after: u64, wait: Duration) -> Result<Reports, ServerError> {
        let path = format!("/v1/reports?after={after}&wait={}", wait.as_secs());
        let response = self.send(Method::GET, &path, None::<&()>, wait + ANSWER).await?;
        response.json().await.map_err(ServerError::Away)
    }

    /// Tells that everything up to a cursor is persisted.
    ///
    /// # Errors
    /// When the server is away or refuses.
    pub async fn acknowledge(&self, cursor: u64) -> Result<(), ServerError> {
        self.send(
            Method::POST,
            "/v1/reports/ack",
            Some(&AckRequest { cursor }),
            ANSWER,
        )
        .await
        .map(drop)
    }

    /// Closes the session of an attempt.
    ///
    /// # Errors
    /// When the server is away or refuses.
    pub async fn revoke(&self, attempt: &str) -> Result<(), ServerError> {
        let body = RevokeRequest {
            attempt: attempt.to_owned(),
        };
        match self
            .send(Method::POST, "/v1/session/revoke", Some(&body), REVOCATION)
            .await
        {
            // an attempt that never had a session has none to close
            Ok(_) | Err(ServerError::Refused { status: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Stores the document of an analysis for the readers of a namespace.
    ///
    /// # Errors
    /// When the server is away or refuses.
    pub async fn store_evidence(
        &self,
        namespace: &str,
        digest: &str,
        document: String,
    ) -> Result<(), ServerError> {
        let url = format!("{}/v1/evidence/{digest}?namespace={namespace}", self.base);
        let request = self
            .http
            .put(url)
            .header("content-type", "application/json")
            .body(document);
        self.answer(request, ANSWER).await.map(drop)
    }
}
