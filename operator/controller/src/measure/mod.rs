//! Samples of metrics: one question, one answer, in a bounded time and a bounded size.
//!
//! ```text
//! Measure ─┬─ prometheus  POST /api/v1/query ─▶ number, list of numbers ─┐
//!          └─ web         GET, JSONPath ──────▶ any JSON value ──────────┴─▶ Answer (value, no data, error)
//! ```
//! What comes back is never more than a value or one sentence: no token, no URL and no body of an answer gets into an error.

mod gateway;
mod prometheus;
mod web;

#[cfg(test)]
mod gateway_tests;
#[cfg(test)]
mod tests;

use std::{error::Error, time::Duration};

pub use gateway::verify;

use dcanary_core::text::cut;
use dcanary_guard::Guard;
use dcanary_rollout::{Measure, plan::Source, seen::Answer};
use reqwest::{Client, ClientBuilder, RequestBuilder, Response, StatusCode, Url, redirect};

/// Largest answer that is read.
const BODY_BYTES: usize = 1 << 20;
/// Most redirects that are followed, all to the same place.
const REDIRECTS: usize = 3;
/// Time for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest error.
const ERROR_BYTES: usize = 256;

/// Whom metrics may ask.
pub const fn guard(allow_link_local: bool) -> Guard {
    Guard {
        allow_link_local,
        switch: "operator.analysis.allowLinkLocal",
    }
}

/// Whom samples are taken from, and how.
pub struct Sources {
    /// From [`builder`].
    pub http: Client,
    /// The one that it was built for.
    pub guard: Guard,
}

/// A client for [`measure`]. Redirects are followed on the same host only: what a source says never makes the operator ask another one.
pub fn builder(guard: Guard) -> ClientBuilder {
    let same = redirect::Policy::custom(|attempt| {
        let from = attempt.previous().last().map(place);
        if from == Some(place(attempt.url())) && attempt.previous().len() <= REDIRECTS {
            attempt.follow()
        } else {
            attempt.stop()
        }
    });
    guard
        .watches(Client::builder())
        .redirect(same)
        .connect_timeout(CONNECT)
        // an open connection leads to the Pod that it was made to, and a Service may lead to those of another release by now
        .pool_max_idle_per_host(0)
        .user_agent(concat!("dcanary/", env!("CARGO_PKG_VERSION")))
}

fn place(url: &Url) -> (String, Option<String>, Option<u16>) {
    let host = url.host_str().map(str::to_owned);
    (url.scheme().to_owned(), host, url.port_or_known_default())
}

/// Takes a sample. It never fails and never takes longer than the metric allows: whatever goes wrong is an answer.
pub async fn measure(sources: &Sources, measure: &Measure, token: Option<&str>) -> Answer {
    let http = &sources.http;
    let asked = async {
        let (Source::Prometheus { address, .. } | Source::Web { url: address, .. }) = &measure.source;
        let allowed = sources.guard.literal(&parse(address)?);
        allowed.map_err(|refused| refused.to_string())?;
        match &measure.source {
            Source::Prometheus { address, query } => prometheus::ask(http, address, query, token).await,
            Source::Web { url, json_path } => web::ask(http, url, json_path.as_deref(), token).await,
        }
    };
    match tokio::time::timeout(Duration::from_secs(measure.timeout), asked).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(problem)) => Answer::Error(cut(&problem, ERROR_BYTES)),
        Err(_) => Answer::Error(format!("no answer in {}s", measure.timeout)),
    }
}

/// What a source answered.
struct Said {
    status: StatusCode,
    body: Vec<u8>,
}

/// Sends a request and reads its answer.
async fn send(request: RequestBuilder, url: &Url, token: Option<&str>) -> Result<Said, String> {
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    let response = request.send().await.map_err(|error| away(url, &error))?;
    let status = response.status();
    if place(response.url()) != place(url) || status.is_redirection() {
        return Err(format!(
            "{} redirects to another place, which is not followed: give the URL that it redirects to",
            host(url)
        ));
    }
    let body = bounded(response, url).await?;
    Ok(Said { status, body })
}

async fn bounded(mut response: Response, url: &Url) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| away(url, &error))? {
        if body.len() + chunk.len() > BODY_BYTES {
            return Err(format!(
                "the answer of {} is larger than {BODY_BYTES} bytes",
                host(url)
            ));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What to say of a status that is no success.
fn refused(status: StatusCode, url: &Url) -> String {
    let host = host(url);
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            format!("{host} answered {status}: check `token`")
        }
        _ => format!("{host} answered {status}"),
    }
}

/// Host and port: all of a URL that is ever told.
fn host(url: &Url) -> String {
    let name = url.host_str().unwrap_or("the source");
    url.port()
        .map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
}

/// An address as a URL.
fn parse(address: &str) -> Result<Url, String> {
    // the text is not repeated: it could hold a password
    Url::parse(address).map_err(|problem| format!("the address is no URL: {problem}"))
}

/// Why there is no answer: the innermost cause, without the URL.
fn away(url: &Url, error: &reqwest::Error) -> String {
    let why = cause(error);
    let what = if error.is_connect() {
        "cannot be reached"
    } else {
        "does not answer"
    };
    format!("{} {what}: {why}", host(url))
}

/// The innermost cause, which says nothing of the URL.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if error.source().is_none() {
        "the request failed".to_owned()
    } else {
        cause.to_string()
    }
}
