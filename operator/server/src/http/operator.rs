//! What the operator asks for.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use dcanary_protocol::report::{AckRequest, Reports};
use dcanary_protocol::session::RevokeRequest;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

use super::problem::Refusal;
use super::{body, content, detached, who};
use crate::core::Core;
use crate::evidence;
use crate::names::{AttemptId, BadName, Namespace};
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
    let mut full = core.store.space.follow();
    let page = tokio::select! {
        page = core.reports.page(after, wait) => page?,
        // The operator is to know at once, and is told the time below. What is there is in the answer, too: an empty one proves that nothing is.
        _ = full.changed() => core.reports.page(after, Duration::ZERO).await?,
        () = core.stopping.cancelled() => core.reports.page(after, Duration::ZERO).await?,
    };
    let full_since = core.store.space.full_since().await;
    Ok(Json(Reports {
        store_full_since: full_since.and_then(rfc3339),
        ..page
    }))
}

fn rfc3339(time: SystemTime) -> Option<String> {
    let time = Timestamp::try_from(time).ok()?;
    Some(format!("{time:.3}"))
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

/// Query of evidence.
#[derive(Debug, Deserialize)]
pub struct Of {
    /// Namespace of the Environment.
    pub(super) namespace: String,
}

impl Of {
    pub(super) fn namespace(&self) -> Result<Namespace, Refusal> {
        self.namespace
            .parse()
            .map_err(|error: BadName| Refusal::new(400, "bad-name", error.to_string()))
    }
}

/// `PUT /v1/evidence/{digest}`
///
/// # Errors
/// What the caller did wrong or what is not possible now, as a problem document.
pub async fn evidence(
    State(core): Shared,
    Path(digest): Path<String>,
    Query(of): Query<Of>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Refusal> {
    who::operator(&core, &headers).await?;
    let digest = content::digest(&digest)?;
    let namespace = of.namespace()?;
    let document = body::whole(body, evidence::BYTES, core.limits.body_timeout).await?;
    detached(async move {
        evidence::put(&core, &namespace, digest, document).await?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}
