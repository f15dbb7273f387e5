//! What is asked, and what comes of it.

use std::{error::Error, net::SocketAddr, time::Duration};

use anyhow::{Result, bail};
use tokio::time::{interval, timeout};

use super::grpc;
use crate::fixtures::LIMIT;

/// Longer than any answer that a user waits for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time between questions whether it answers by now.
const BEAT: Duration = Duration::from_millis(50);

/// Where requests go.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where connections are made to.
    pub address: SocketAddr,
    /// Name that is asked for.
    pub host: String,
    /// Path with query.
    pub path: String,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// It is called with gRPC over HTTP/2 without TLS: an empty message to the method that is the path.
    pub grpc: bool,
}

impl Target {
    /// The root of a host.
    pub fn new(address: SocketAddr, host: impl Into<String>) -> Self {
        Self {
            address,
            host: host.into(),
            path: "/".to_owned(),
            headers: Vec::new(),
            grpc: false,
        }
    }

    /// A gRPC method of a host: `/package.Service/Method`.
    pub fn grpc(address: SocketAddr, host: impl Into<String>, method: &str) -> Self {
        Self {
            grpc: true,
            ..Self::new(address, host).path(method)
        }
    }

    /// Another path.
    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// With a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Asks once, over a new connection.
    ///
    /// # Errors
    /// When no client can be made.
    pub async fn ask(&self) -> Result<Outcome> {
        Ok(self.request(&self.client(0)?).await)
    }

    /// Waits until the application answers: a data plane has what it was told in force some moments after it says so.
    ///
    /// # Errors
    /// When it does not answer in time, with how it does not.
    pub async fn answers(&self) -> Result<()> {
        let client = self.client(0)?;
        let mut beat = interval(BEAT);
        let mut last = String::new();
        let answered = async {
            loop {
                beat.tick().await;
                match self.request(&client).await {
                    Outcome::Answer { .. } => return,
                    Outcome::Lost(how) => last = how,
                }
            }
        };
        match timeout(LIMIT, answered).await {
            Ok(()) => Ok(()),
            Err(_) => bail!("{} does not answer: {last}", self.host),
        }
    }

    /// A client for one connection, kept or not.
    pub(super) fn client(&self, kept: usize) -> Result<reqwest::Client> {
        Ok(self.dials(kept).timeout(PATIENCE).build()?)
    }

    fn dials(&self, kept: usize) -> reqwest::ClientBuilder {
        let client = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(kept)
            .resolve(&self.host, self.address);
        if self.grpc {
            client.http2_prior_knowledge()
        } else {
            client.http1_only()
        }
    }

    /// An answer that may take as long as it likes: its head.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn begins(&self) -> Result<reqwest::Response> {
        Ok(self
            .dials(0)
            .build()?
            .get(self.url())
            .send()
            .await?
            .error_for_status()?)
    }

    pub(super) async fn request(&self, client: &reqwest::Client) -> Outcome {
        if self.grpc {
            grpc::call(client, self).await
        } else {
            get(client, self).await
        }
    }

    /// The head of the answer to a request that gets the further headers, or how it was lost.
    pub(super) async fn send(&self, mut asked: reqwest::RequestBuilder) -> Result<reqwest::Response, String> {
        for (name, value) in &self.headers {
            asked = asked.header(name, value);
        }
        asked.send().await.map_err(|error| words(&error))
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}:{}{}", self.host, self.address.port(), self.path)
    }
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The application answered.
    Answer {
        /// Its version.
        version: String,
        /// Status code.
        code: u16,
        /// Body.
        body: String,
    },
    /// It did not.
    Lost(String),
}

async fn get(client: &reqwest::Client, target: &Target) -> Outcome {
    let answer = match target.send(client.get(target.url())).await {
        Ok(answer) => answer,
        Err(how) => return Outcome::Lost(how),
    };
    let code = answer.status().as_u16();
    let version = version(&answer);
    match (version, answer.text().await) {
        (Some(version), Ok(body)) => Outcome::Answer { version, code, body },
        (None, Ok(body)) => Outcome::Lost(format!("{code} by the data plane: {}", body.trim())),
        (_, Err(error)) => Outcome::Lost(format!("{code}, then {}", words(&error))),
    }
}

/// The version that an answer of the application names.
pub(super) fn version(answer: &reqwest::Response) -> Option<String> {
    let version = answer.headers().get("x-version")?;
    Some(version.to_str().ok()?.to_owned())
}

/// An error with its causes.
pub(super) fn words(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
