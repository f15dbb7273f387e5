//! What is counted of requests, and how it is shown.

use super::{Api, HttpError};
use crate::replica::metrics::{Metrics, RequestLabels};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header;

/// Where the figures are, on hosts that name no canister.
pub const PATH: &str = "/metrics";

/// Counts a request by its endpoint and status.
pub async fn count(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    // Every other path is a canister's own, and strangers choose them.
    let endpoint = path.map_or("pages", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    metrics
        .requests
        .get_or_create(&RequestLabels { endpoint, status })
        .inc();
    response
}

/// `GET /metrics`.
pub fn show(api: &Api) -> Result<Response, HttpError> {
    let view = api.replica.views.latest();
    let text = api.replica.metrics.text(&view.state, api.traffic.queries());
    let text = text.map_err(|error| HttpError::Broken(error.to_string()))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
