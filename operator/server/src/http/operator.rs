//! What the operator asks for.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use dcanary_protocol::report::{AckRequest, Reports};
use dcanary_protocol::session::RevokeRequest;
use serde::Deserialize;

use super::problem::Refusal;
use super::{body, detached, who};
use crate::core::Core;
use crate::names::{AttemptId, BadName};
use crate::session;

type Shared = State<Arc<Core>>;

/// Longest wait for a report, in seconds.
const LONGEST_WAIT: u64 = 30;

/// Query of the list.
#[derive(Debug, Deserialize)]
pub struct After {
    #[serde(default)]
    after: u64,
    #[serde(default)]
    wait: u64,
}

/// `GET /v1/reports`
///
/// # Errors
/// What the caller did wrong or what is not possible now, as a problem document.
pub async fn reports(
    State(core): Shared,
    Query(After { after, wait }): Query<After>,
    headers: HeaderMap,
) -> Result<Json<Reports>, Refusal> {
    who::operator(&core, &headers).await?;
    let wait = Duration::from_secs(wait.min(LONGEST_WAIT));
    tokio::select! {
        page = core.reports.page(after, wait) => Ok(Json(page?)),
        () = core.stopping.cancelled() => Ok(Json(Reports { reports: Vec::new(), next: after })),
    }
}

/// `POST /v1/reports/ack`
///
/// # Errors
/// What the caller did wrong or what is not possible now, as a problem document.
pub async fn acknowledge(State(core): Shared, headers: HeaderMap, body: Body) -> Result<StatusCode, Refusal> {
    who::operator(&core, &headers).await?;
    let request: AckRequest = body::json(body, core.limits.body_bytes, core.limits.body_timeout).await?;
    core.reports.acknowledge(request.cursor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/session/revoke`
///
/// # Errors
/// What the caller did wrong or what is not possible now, as a problem document.
pub async fn revoke(State(core): Shared, headers: HeaderMap, body: Body) -> Result<StatusCode, Refusal> {
    who::operator(&core, &headers).await?;
    let request: RevokeRequest = body::json(body, core.limits.body_bytes, core.limits.body_timeout).await?;
    let attempt: AttemptId = request
        .attempt
        .parse()
        .map_err(|error: BadName| Refusal::new(400, "bad-name", error.to_string()))?;
    detached(async move {
        session::revoke(&core, &attempt).await?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}
