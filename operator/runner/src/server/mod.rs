//! The server as the runner sees it: one client that never gives up while the server is away.

pub(crate) mod final_report;
pub(crate) mod inputs;
pub(crate) mod sender;
pub(crate) mod session;
pub(crate) mod tls;
pub(crate) mod upload;
pub(crate) mod waiting;

use std::time::Duration;

use dcanary_protocol::session::Problem;
use reqwest::header::{AUTHORIZATION, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use thiserror::Error;

use session::Session;
use waiting::{Announcer, Later, Pause};

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

impl Refusal {
    /// The server's own words, for who does not know its interface.
    pub(crate) fn said(&self) -> String {
        match (self.detail.as_str(), self.reason.as_str()) {
            ("", "") => self.to_string(),
            ("", reason) => reason.to_owned(),
            (detail, _) => detail.to_owned(),
        }
    }

    /// It may be otherwise the next time.
    fn later(&self) -> Later {
        if self.reason.is_empty() {
            Later::because(&format!("status {}", self.status))
        } else {
            Later::because(&self.reason)
        }
    }
}

/// Requests of one attempt.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    http: reqwest::Client,
    base: Url,
    session: Session,
    announcer: Announcer,
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

    /// Pauses for one request that may have to be repeated.
    pub(crate) fn pause(&self) -> Pause {
        Pause::new(&self.announcer)
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
        let mut pause = self.pause();
        let mut trades = 0;
        loop {
            let later = match self.once(method.clone(), url, &body).await {
                Once::Answer(response) => return Ok(response),
                Once::Later(later) => later,
                Once::No(refusal) if refusal.status == 401 && trades < TRADES => {
                    trades += 1;
                    self.trade_again().await?;
                    refusal.later()
                }
                Once::No(refusal) => return Err(refusal),
            };
            pause.wait(&later).await;
        }
    }

    /// Opens the session again with the same key: a server that lost its sessions takes it.
    pub(crate) async fn trade_again(&self) -> Result<(), Refusal> {
        let mut pause = self.pause();
        session::trade(&self.http, &self.base, &self.session.trade, &mut pause)
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
    /// Not now.
    Later(Later),
    No(Refusal),
}

async fn classify(request: &str, answer: reqwest::Result<Response>) -> Once {
    let Ok(response) = answer else {
        return Once::Later(Later::because("unreachable"));
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
    let asked = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse().ok())
        .map(Duration::from_secs);
    // A short or missing body is no reason to doubt the status.
    let problem: Option<Problem> = response
        .bytes()
        .await
        .ok()
        .and_then(|body| serde_json::from_slice(&body).ok());
    let reason = problem
        .as_ref()
        .map_or_else(String::new, |problem| problem.reason().to_owned());
    let acked = problem.as_ref().and_then(|problem| problem.acked);
    let detail = problem.map_or_else(String::new, |problem| problem.detail);
    if later {
        let reason = if reason.is_empty() {
            format!("status {}", status.as_u16())
        } else {
            reason
        };
        return Once::Later(Later {
            pause: asked,
            reason,
            detail,
        });
    }
    Once::No(Refusal {
        request: request.to_owned(),
        status: status.as_u16(),
        reason,
        detail,
        acked,
    })
}

/// An answer that cannot be read is no answer.
pub(crate) fn broken() -> Later {
    Later::because("broken answer")
}
