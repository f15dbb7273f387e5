//! The HTTP gateway: canisters that serve web pages.
//!
//! ```text
//! host, query ─▶ canister ─▶ query http_request ─┬─▶ status, headers, body ─▶ callbacks for the rest of the body
//!                                                └─ upgrade ─▶ update http_request_update ─▶ the same
//! ```
//!
//! It is a raw gateway: what it passes on is the word of this node, and it does not verify the certificates that a canister may
//! put into its headers. Whoever wants to verify talks to the API.
//!
//! Source: HTTP gateway protocol specification.

mod answer;
mod host;
mod request;
mod stream;

use super::call::{Ended, end, place};
use super::{Api, HttpError, metrics};
use crate::exec::batch::Ingress;
use crate::exec::call::Call;
use crate::mode::PAGE_UPDATE;
use crate::replica::traffic::Counted;
use crate::state::request::{Outcome, Reject};
use crate::wire::cbor::Value;
use crate::wire::hash::hash_of_map;
use answer::{Answer, AnswerError};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use host::{Named, named};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Uri, header};
use ic_error_types::ErrorCode;
use ic_principal::Principal;
use rand::RngCore;
use std::sync::Arc;
use thiserror::Error;
use tower::ServiceExt;

/// Largest body of a request: with the rest of the request it must fit into a message.
const MAX_REQUEST: usize = 2 << 20;
/// How long the update of an upgraded request stays valid.
const TTL: u64 = 4 * 60 * 1_000_000_000;

/// Why there is no page. The text is for the person in front of the browser.
#[derive(Debug, Error)]
pub enum GatewayError {
    /// No canister is named.
    #[error(
        "Nothing is here. A canister's pages are at http://<canister id>.localhost or with ?canisterId=<canister id>."
    )]
    Nothing,
    /// No such endpoint.
    #[error("The API has no {method} {path}.")]
    NoEndpoint {
        /// How.
        method: Method,
        /// Where.
        path: String,
    },
    /// What is named is no canister id.
    #[error("`{0}` is not a canister id.")]
    Malformed(String),
    /// The request cannot be passed on.
    #[error("The request cannot be passed on: {0}.")]
    Request(String),
    /// Its body is too large.
    #[error("The body of the request is larger than 2 MiB.")]
    TooLarge,
    /// The canister has nothing to show.
    #[error("Canister {canister} serves no pages: {reject}")]
    NoPages {
        /// The canister.
        canister: Principal,
        /// What calling it said.
        reject: Reject,
    },
    /// The canister failed.
    #[error("Canister {canister} did not answer: {reject}")]
    Rejected {
        /// The canister.
        canister: Principal,
        /// What calling it said.
        reject: Reject,
    },
    /// The canister's answer is no page.
    #[error("The answer of canister {canister} cannot be shown: {error}.")]
    Answer {
        /// The canister.
        canister: Principal,
        /// What is wrong.
        error: AnswerError,
    },
    /// It takes too long.
    #[error("Canister {0} is still at work. What the request does, it does nevertheless.")]
    TimeOut(Principal),
    /// As for requests of the API.
    #[error(transparent)]
    Http(#[from] HttpError),
}

impl IntoResponse for GatewayError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Nothing | Self::NoEndpoint { .. } | Self::NoPages { .. } => StatusCode::NOT_FOUND,
            Self::Malformed(_) | Self::Request(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Rejected { reject, .. }
                if matches!(
                    reject.error,
                    ErrorCode::CanisterStopped | ErrorCode::CanisterStopping
                ) =>
            {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Rejected { .. } | Self::Answer { .. } => StatusCode::BAD_GATEWAY,
            Self::TimeOut(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::Http(_) => {
                let Self::Http(error) = self else {
                    return StatusCode::INTERNAL_SERVER_ERROR.into_response();
                };
                return error.into_response();
            }
        };
        (
            status,
            [
                (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
                // The reason has a canister's words in it.
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ],
            format!("{self}\n"),
        )
            .into_response()
    }
}

fn rejected(canister: Principal, reject: Reject) -> GatewayError {
    match reject.error {
        ErrorCode::CanisterNotFound
        | ErrorCode::CanisterMethodNotFound
        | ErrorCode::CanisterWasmModuleNotFound => GatewayError::NoPages { canister, reject },
        _ => GatewayError::Rejected { canister, reject },
    }
}

/// What is in the interface's place and no endpoint of it goes to the pages when it names a canister, which may have one there.
pub async fn pages_first(State(pages): State<Router>, request: Request, next: Next) -> Response {
    match named(host_of(request.headers(), request.uri()), request.uri()) {
        Named::Canister(_) | Named::Malformed(_) => pages.oneshot(request).await.into_response(),
        Named::Nothing => next.run(request).await,
    }
}

/// And otherwise there is nothing.
pub async fn no_endpoint(method: Method, uri: Uri) -> GatewayError {
    GatewayError::NoEndpoint {
        method,
        path: uri.path().to_owned(),
    }
}

fn host_of<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    match headers.get(header::HOST) {
        Some(host) => host.to_str().ok(),
        None => uri.host(),
    }
}

/// Every other request that no endpoint of the API takes.
pub async fn serve(State(api): State<Arc<Api>>, request: Request) -> Result<Response, GatewayError> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    let canister = match named(host_of(&head.headers, &head.uri), &head.uri) {
        Named::Canister(canister) => canister,
        Named::Malformed(text) => return Err(GatewayError::Malformed(text)),
        Named::Nothing if path == metrics::PATH && head.method == Method::GET => {
            return Ok(metrics::show(&api)?);
        }
        Named::Nothing => return Err(GatewayError::Nothing),
    };
    page(api, canister, head, body).await
}

/// What a canister answers to a request.
async fn page(api: Arc<Api>, canister: Principal, head: Parts, body: Body) -> Result<Response, GatewayError> {
    let body = to_bytes(body, MAX_REQUEST)
        .await
        .map_err(|_| GatewayError::TooLarge)?;
    let arg = request::encode(&head, &body)?;
    let malformed = |error| GatewayError::Answer { canister, error };
    let mut answer =
        answer::decode(&query(&api, canister, "http_request", arg.clone()).await?).map_err(malformed)?;
    if answer.upgrade {
        answer = answer::decode(&update(&api, canister, arg).await?).map_err(malformed)?;
    }
    Ok(respond(api, answer, &head.method))
}

fn respond(api: Arc<Api>, answer: Answer, method: &Method) -> Response {
    let body = match answer.rest {
        // A response to HEAD has no body to ask for.
        Some(rest) if method != Method::HEAD => Body::new(stream::Parts::new(api, answer.body, rest)),
        _ => Body::from(answer.body),
    };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

/// Queries a canister as the anonymous principal.
async fn query(api: &Api, canister: Principal, method: &str, arg: Vec<u8>) -> Result<Vec<u8>, GatewayError> {
    let now = api.now()?;
    let call = Call {
        caller: Principal::anonymous(),
        method: method.to_owned(),
        arg: arg.into(),
        time: now,
    };
    super::query::execute(api, canister, call, now)
        .await?
        .map_err(|reject| rejected(canister, reject))
}

/// Calls `http_request_update` as the anonymous principal, in the way of every other call.
async fn update(api: &Api, canister: Principal, arg: Vec<u8>) -> Result<Vec<u8>, GatewayError> {
    let now = api.now()?;
    let expiry = now.saturating_add(TTL);
    // Else the same request twice would be executed once.
    let mut nonce = [0; 16];
    rand::rng().fill_bytes(&mut nonce);
    let sender = Principal::anonymous();
    let id = hash_of_map(&[
        ("request_type", Value::Text("call")),
        ("sender", Value::Bytes(sender.as_slice())),
        ("nonce", Value::Bytes(&nonce)),
        ("ingress_expiry", Value::Uint(expiry)),
        ("canister_id", Value::Bytes(canister.as_slice())),
        ("method_name", Value::Text(PAGE_UPDATE)),
        ("arg", Value::Bytes(&arg)),
    ])
    .map_err(|error| HttpError::Broken(error.to_string()))?;
    let message = Ingress {
        id,
        sender,
        canister,
        effective: canister,
        method: PAGE_UPDATE.to_owned(),
        arg: arg.into(),
        expiry,
    };
    let placed = place(api, message, Counted::Message(canister), now).await?;
    let view = match end(api, placed).await? {
        Ended::Rejected(reject) => return Err(rejected(canister, reject)),
        Ended::Shown(view) => view,
        Ended::Pending => return Err(GatewayError::TimeOut(canister)),
    };
    let record = view.state.requests.get(&id).filter(|record| !record.done);
    match record.and_then(|record| record.outcome.as_ref()) {
        Some(Outcome::Replied(reply)) => Ok(reply.clone()),
        Some(Outcome::Rejected(reject)) => Err(rejected(canister, reject.clone())),
        None => Err(GatewayError::TimeOut(canister)),
    }
}

/// Reads bytes as the answers that canisters give.
#[cfg(any(test, feature = "fuzz"))]
pub fn read_anything(bytes: &[u8]) {
    let _ = answer::decode(bytes);
    let _ = answer::decode_part(bytes);
}
