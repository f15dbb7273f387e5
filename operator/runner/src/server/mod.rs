//! The server as the runner sees it: one client that never gives up while the server is away.

pub(crate) mod final_report;
pub(crate) mod inputs;
pub(crate) mod sender;
pub(crate) mod session;
pub(crate) mod tls;
pub(crate) mod upload;

use std::time::Duration;

use dcanary_protocol::session::Problem;
use reqwest::header::{AUTHORIZATION, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use thiserror::Error;

use session::Session;

/// First pause after a failed request.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often an unknown session is traded again before the server is believed.
const TRADES: u32 = 3;

/// The server said no and will go on saying it.
#[derive(Debug, Clone, Error)]
#[error("the server refused {request}: {status} {reason}{}{detail}", if detail.is_empty() { "" } else { ": " })]
pub(crate) struct Refusal {
    pub(crate) request: String,
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) detail: String,
    pub(crate) acked: Option<u64>,
}

/// Growing pauses between attempts.
#[derive(Debug)]
pub(crate) struct Pause {
    next: Duration,
}

impl Pause {
    pub(crate) fn new() -> Self {
        Self { next: FIRST_PAUSE }
    }

    /// Waits; `asked` is what the server asked for.
    pub(crate) async fn wait(&mut self, asked: Option<Duration>) {
        let spread = f64::from(rand::random::<u16>()) / f64::from(u16::MAX);
        let pause = self.next.max(asked.unwrap_or_default()).min(LONGEST_PAUSE);
        tokio::time::sleep(pause.mul_f64(0.8 + 0.2 * spread)).await;
        self.next = (self.next * 2).min(LONGEST_PAUSE);
    }
}

/// Requests of one attempt.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    http: reqwest::Client,
    base: Url,
    session: Session,
}

impl Server {
    /// Address of something below `/v1/attempts/<attempt>`.
    pub(crate) fn address(&self, parts: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty()
                .extend(["v1", "attempts", &self.session.attempt])
                .extend(parts);
        }
        url
    }

    /// Sends a request until the server has answered it with something else than "later".
    ///
    /// # Errors
    /// A refusal that repeating does not change.
    pub(crate) async fn call(
        &self,
        method: Method,
        url: &Url,
        body: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, Refusal> {
        let mut pause = Pause::new();
        let mut trades = 0;
        loop {
            let asked = match self.once(method.clone(), url, &body).await {
                Once::Answer(response) => return Ok(response),
                Once::Later(asked) => asked,
                Once::No(refusal) if refusal.status == 401 && trades < TRADES => {
                    trades += 1;
                    self.trade_again().await?;
                    None
                }
                Once::No(refusal) => return Err(refusal),
            };
            pause.wait(asked).await;
        }
    }

    /// Opens the session again with the same key: a server that lost its sessions takes it.
    pub(crate) async fn trade_again(&self) -> Result<(), Refusal> {
        session::trade(&self.http, &self.base, &self.session.trade)
            .await
            .map(drop)
    }

    /// Sends a request once.
    pub(crate) async fn once(
        &self,
        method: Method,
        url: &Url,
        body: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Once {
        let request = self
            .http
            .request(method.clone(), url.clone())
            .header(AUTHORIZATION, &self.session.header);
        classify(&format!("{method} {}", url.path()), body(request).send().await).await
    }
}

/// What became of one request.
#[derive(Debug)]
pub(crate) enum Once {
    Answer(Response),
    /// Not now; the pause that the server asked for.
    Later(Option<Duration>),
    No(Refusal),
}

async fn classify(request: &str, answer: reqwest::Result<Response>) -> Once {
    let Ok(response) = answer else {
        return Once::Later(None);
    };
    let status = response.status();
    if status.is_success() {
        return Once::Answer(response);
    }
    let later = status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
        );
    if later {
        let asked = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok());
        return Once::Later(
            asked
                .and_then(|value| value.parse().ok())
                .map(Duration::from_secs),
        );
    }
    // A short or missing body is no reason to doubt the status.
    let problem: Option<Problem> = response
        .bytes()
        .await
        .ok()
        .and_then(|body| serde_json::from_slice(&body).ok());
    Once::No(Refusal {
        request: request.to_owned(),
        status: status.as_u16(),
        reason: problem
            .as_ref()
            .map_or_else(String::new, |problem| problem.reason().to_owned()),
        acked: problem.as_ref().and_then(|problem| problem.acked),
        detail: problem.map_or_else(String::new, |problem| problem.detail),
    })
}
