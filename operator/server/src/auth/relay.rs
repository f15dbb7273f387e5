//! Requests of people, handed on to the API server with their own token: it knows who they are, asks its own policies and roles,
//! and writes their name into its audit log. This server's own rights play no part in it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::client::Body;
use kube::config::AuthInfo;
use kube::{Client, Config};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ClusterError;

/// Largest answer of the API server that is handed on.
pub const ANSWER_BYTES: usize = 8 << 20;
/// Answers held at once, so that large ones do not fill the memory.
const SLOTS: usize = 8;
/// Longest wait for a slot.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest time of the API server.
const TIME: Duration = Duration::from_secs(30);

/// What is asked of the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Path with its query.
    pub path: String,
    /// The object to create; none: read.
    pub create: Option<Vec<u8>>,
}

/// What it answered.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// JSON.
    pub body: Bytes,
    _slot: Option<OwnedSemaphorePermit>,
}

impl Answer {
    /// An answer that takes no slot.
    pub fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            body: body.into(),
            _slot: None,
        }
    }
}

/// A request was not handed on, or its answer was not.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The API server does not answer.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Too many at once.
    #[error("too many requests are handed on to the API server: repeat it")]
    Busy,
    /// The token cannot stand in a header.
    #[error("the token has characters that no token has")]
    Token,
    /// More than is handed on.
    #[error("the answer has more than {ANSWER_BYTES} bytes: ask with a smaller `limit`")]
    TooLarge,
}

/// A client of the API server that has no rights of its own.
pub struct Relay {
    client: Client,
    slots: Arc<Semaphore>,
}

fn failed(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> RelayError {
    RelayError::Cluster(ClusterError {
        what: "hand a request on to the API server",
        source: source.into(),
    })
}

impl Relay {
    /// To the API server of a configuration, of which no credentials are kept.
    ///
    /// # Errors
    /// When its authority cannot be read.
    pub fn new(config: Config) -> Result<Self, kube::Error> {
        let mut nobody = config;
        nobody.auth_info = AuthInfo::default();
        nobody.headers.clear();
        // a request that may have been carried out is repeated by who made it, or not at all
        nobody.default_retry = false;
        Ok(Self {
            client: Client::try_from(nobody)?,
            slots: Arc::new(Semaphore::new(SLOTS)),
        })
    }

    /// Hands a request on, as whoever the token is of. Of the caller's headers, nothing else goes along.
    ///
    /// # Errors
    /// When there is no answer that can be handed back; a refusal of the API server is an answer.
    pub async fn send(&self, token: &str, call: Call) -> Result<Answer, RelayError> {
        let slot = tokio::time::timeout(PATIENCE, Arc::clone(&self.slots).acquire_owned());
        let Ok(Ok(slot)) = slot.await else {
            return Err(RelayError::Busy);
        };
        match tokio::time::timeout(TIME, self.answered(token, call)).await {
            Ok(answer) => answer.map(|answer| Answer {
                _slot: Some(slot),
                ..answer
            }),
            Err(late) => Err(failed(late)),
        }
    }

    async fn answered(&self, token: &str, call: Call) -> Result<Answer, RelayError> {
        let mut bearer =
            http::HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| RelayError::Token)?;
        bearer.set_sensitive(true);
        let method = if call.create.is_some() {
            http::Method::POST
        } else {
            http::Method::GET
        };
        let request = http::Request::builder()
            .method(method)
            .uri(call.path)
            .header(http::header::AUTHORIZATION, bearer)
            .header(http::header::ACCEPT, "application/json")
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Body::from(call.create.unwrap_or_default()))
            .map_err(failed)?;
        let answer = self.client.send(request).await.map_err(failed)?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() {
                RelayError::TooLarge
            } else {
                failed(error)
            }
        })?;
        Ok(Answer::new(status, body.to_bytes()))
    }
}
