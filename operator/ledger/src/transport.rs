//! How calls reach the network.
//!
//! The default transport of `ic-agent` is not used: it panics where the system has no certificate authorities (an image
//! "FROM scratch") and waits six minutes for an answer. Nothing here is trusted: every answer is checked against the
//! root key afterwards, so plain HTTP to the embedded node is no weaker than HTTPS.

use std::{sync::Arc, time::Duration};

use ic_agent::{Agent, AgentError, Identity};
use thiserror::Error;

use crate::unanswered::{NoAnswer, Unanswered};

/// Where the network is and how long to wait for it.
#[derive(Clone, Debug)]
pub struct Transport {
    /// Base URL, `http://…` or `https://…`.
    pub url: String,
    /// Longest wait for one answer. A call that takes longer counts as unreachable and is repeated.
    pub timeout: Duration,
}

impl Transport {
    /// A transport with the usual limits.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            timeout: Duration::from_secs(30),
        }
    }
}

/// Why no connection can be set up.
#[derive(Debug, Error)]
pub enum TransportError {
    /// The URL is none.
    #[error("`{url}` is not the URL of a network; it looks like http://host:port or https://host")]
    Url {
        /// As given.
        url: String,
    },
    /// The client could not be built.
    #[error("cannot set up the connection to {url}: {reason}")]
    Client {
        /// As given.
        url: String,
        /// What is wrong.
        reason: String,
    },
}

/// Longest age of a certificate that the agent accepts; the verifier checks it again.
pub const MAX_AGE: Duration = Duration::from_secs(180);
/// Largest answer that is read: 500 blocks of 2.5 KiB with room for a certificate.
const MAX_ANSWER: usize = 8 * 1024 * 1024;
/// Characters of the body of a failure that are shown.
pub(crate) const MAX_SAID: usize = 200;

/// Why a body that was sent brought no answer.
#[derive(Debug, Error)]
pub(crate) enum WireError {
    /// Nothing came, or it ended too early.
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    /// Another status than 200 or 202.
    #[error("HTTP {status}: {said}")]
    Status {
        /// The status.
        status: u16,
        /// Media type of the body.
        kind: Option<String>,
        /// The beginning of the body.
        said: String,
    },
    /// More than is read.
    #[error("the answer has more than {MAX_ANSWER} bytes")]
    TooLarge,
}

/// A connection to the network over which bodies are sent as they are.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    client: reqwest::Client,
    url: String,
    timeout: Duration,
}

impl Wire {
    /// Sets the connection up; nothing is sent yet.
    pub(crate) fn new(transport: &Transport) -> Result<Self, TransportError> {
        let url = transport.url.trim_end_matches('/').to_owned();
        let client = client(transport, &url)?;
        Ok(Self {
            client,
            url,
            timeout: transport.timeout,
        })
    }

    /// Base URL of the network, without a slash at its end.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What a failure of the agent over this connection means.
    pub(crate) fn unanswered(&self, source: &AgentError) -> Unanswered {
        let transport = Transport {
            url: self.url.clone(),
            timeout: self.timeout,
        };
        Unanswered {
            cause: NoAnswer::of_agent(source, &transport),
            url: transport.url,
        }
    }

    /// What a body that brought no answer means.
    pub(crate) fn lost(&self, source: &WireError) -> Unanswered {
        Unanswered {
            url: self.url.clone(),
            cause: NoAnswer::of_wire(source, self.timeout),
        }
    }

    /// Sends CBOR and returns the body of the answer; nothing for 202, "accepted, ask for it".
    pub(crate) async fn post(&self, path: &str, body: Vec<u8>) -> Result<Option<Vec<u8>>, WireError> {
        let request = self.client.post(format!("{}/{path}", self.url));
        let mut answer = request
            .header(reqwest::header::CONTENT_TYPE, "application/cbor")
            .body(body)
            .send()
            .await?;
        let status = answer.status();
        let kind = answer.headers().get(reqwest::header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).map(str::to_owned);
        let mut read = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if read.len() + chunk.len() > MAX_ANSWER {
                return Err(WireError::TooLarge);
            }
            read.extend_from_slice(&chunk);
        }
        match status {
            reqwest::StatusCode::OK => Ok(Some(read)),
            reqwest::StatusCode::ACCEPTED => Ok(None),
            status => Err(WireError::Status {
                status: status.as_u16(),
                kind,
                said: String::from_utf8_lossy(&read).chars().take(MAX_SAID).collect(),
            }),
        }
    }
}

/// An agent that trusts `root_key` and nothing else, with certificate and query-signature verification on.
///
/// # Errors
/// When the URL is none or the TLS set-up fails.
pub fn agent(
    transport: &Transport,
    root_key: &[u8],
    identity: Arc<dyn Identity>,
) -> Result<Agent, TransportError> {
    agent_over(&Wire::new(transport)?, transport, root_key, identity)
}

/// The same over a connection that is there.
pub(crate) fn agent_over(
    wire: &Wire,
    transport: &Transport,
    root_key: &[u8],
    identity: Arc<dyn Identity>,
) -> Result<Agent, TransportError> {
    let agent = Agent::builder()
        .with_url(&wire.url)
        .with_http_client(wire.client.clone())
        .with_arc_identity(identity)
        .with_ingress_expiry(MAX_AGE)
        .with_verify_query_signatures(true)
        .with_max_response_body_size(MAX_ANSWER)
        .with_max_polling_time(transport.timeout)
        .build()
        .map_err(|source| TransportError::Client {
            url: wire.url.clone(),
            reason: source.to_string(),
        })?;
    agent.set_root_key(root_key.to_vec());
    Ok(agent)
}

/// Whether this can be the URL of a network: pure.
///
/// # Errors
/// When it cannot.
pub fn check(url: &str) -> Result<(), TransportError> {
    parse(url).map(drop)
}

fn parse(url: &str) -> Result<reqwest::Url, TransportError> {
    match reqwest::Url::parse(url) {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") && parsed.host_str().is_some() => {
            Ok(parsed)
        }
        _ => Err(TransportError::Url { url: url.to_owned() }),
    }
}

fn client(transport: &Transport, url: &str) -> Result<reqwest::Client, TransportError> {
    let parsed = parse(url)?;
    let refused = |reason: String| TransportError::Client {
        url: url.to_owned(),
        reason,
    };
    let mut client = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(5).min(transport.timeout))
        .timeout(transport.timeout)
        .redirect(reqwest::redirect::Policy::none());
    if parsed.scheme() == "http" {
        // No certificate authorities are loaded (there may be none) and none are needed.
        client = client.tls_certs_only([]).no_proxy();
    }
    client.build().map_err(|source| refused(source.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ic_agent::identity::AnonymousIdentity;

    fn build(url: &str) -> Result<Agent, TransportError> {
        agent(&Transport::new(url), b"key", Arc::new(AnonymousIdentity))
    }

    #[test]
    fn what_is_no_url_of_a_network_is_refused_with_an_example() {
        for url in ["", "127.0.0.1:8080", "ftp://x", "http:", "dcanary-ledger"] {
            assert!(
                build(url).unwrap_err().to_string().contains("http://host:port"),
                "{url}"
            );
        }
    }

    #[test]
    fn the_agent_holds_the_given_root_key_and_never_asks_for_one() {
        assert_eq!(build("http://127.0.0.1:1/").unwrap().read_root_key(), b"key");
    }
}
