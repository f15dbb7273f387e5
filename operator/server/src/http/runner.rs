//! What runners ask for.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use dcanary_protocol::PROTOCOL;
use dcanary_protocol::frame::{Acked, FramesRequest};
use dcanary_protocol::report::{FinalAnswer, FinalReport, Stored, UploadComplete};
use dcanary_protocol::session::{ProtocolRange, SessionAnswer, SessionRequest};
use serde::Deserialize;
use tokio::sync::SemaphorePermit;

use super::problem::{Refusal, UPLOAD_OFFSET};
use super::{body, content, detached, who};
use crate::attempts::Attempt;
use crate::core::Core;
use crate::digest::Digest;
use crate::metrics::Metrics;
use crate::names::{BadName, ItemName};
use crate::{finish, frames, session, uploads};

type Shared = State<Arc<Core>>;

/// Oldest version that still works.
const OLDEST: u32 = PROTOCOL;

fn item(name: &str) -> Result<ItemName, Refusal> {
    name.parse()
        .map_err(|error: BadName| Refusal::new(400, "bad-name", error.to_string()))
}

/// What is held of the bodies of one attempt is bounded by these.
fn slot(attempt: &Attempt) -> Result<SemaphorePermit<'_>, Refusal> {
    let busy = |_| Refusal::new(503, "busy", "too many requests of this attempt at once");
    attempt.slots.try_acquire().map_err(busy)
}

/// `POST /v1/session`
///
/// # Errors
/// What the caller did wrong or what is not possible now, as a problem document.
pub async fn trade(
    State(core): Shared,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<SessionAnswer>, Refusal> {
    let pod = who::pod(&core, &headers).await?;
    let request: SessionRequest = body::json(body, core.limits.body_bytes, core.limits.body_timeout).await?;
    let protocol = ProtocolRange {
        min: OLDEST,
        max: PROTOCOL,
    };
    if request.protocol.saturating_add(1) < protocol.min || request.protocol > protocol.max + 1 {
        let detail = format!("versions {} to {} are spoken", protocol.min, protocol.max);
        return Err(Refusal::new(422, "protocol", detail));
    }
    detached(async move {
        let traded = session::trade(&core, &pod, &request.key).await;
        let result = traded.as_ref().map_or_else(|error| error.reason().1, |_| "ok");
        Metrics::count(&core.metrics.sessions, result);
        let (attempt, acked) = traded?;
        Ok(Json(SessionAnswer {
            protocol,
            attempt: attempt.to_string(),
            acked,
        }))
    })
    .await
}

/// `POST /v1/attempts/{attempt}/frames`
///
/// # Errors
/// What the caller did wrong or what is not possible now, as a problem document.
pub async fn frames(
    State(core): Shared,
    Path(attempt): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Acked>, Refusal> {
    let attempt = who::runner(&core, &headers, &attempt).await?;
    detached(async move {
        let _slot = slot(&attempt)?;
        let bytes = body::whole(body, core.limits.largest_frames_body(), core.limits.body_timeout).await?;
        let size = bytes.len();
        let request: FramesRequest = serde_json::from_slice(&bytes)
            .map_err(|error| Refusal::new(400, "bad-json", error.to_string()))?;
        drop(bytes);
        if size > core.limits.frames_bytes && request.frames.len() > 1 {
            let detail = format!(
                "requests with more than one frame are limited to {} bytes (--max-frames-bytes)",
                core.limits.frames_bytes
            );
            return Err(Refusal::new(413, "too-large", detail));
        }
        let acked = frames::take(&core, &attempt, request).await?;
        Ok(Json(Acked { acked }))
    })
    .await
}

/// Query of an upload.
#[derive(Debug, Deserialize)]
pub struct Offset {
    #[serde(default)]
    offset: u64,
}

fn at(offset: u64) -> Response {
    let mut response = StatusCode::OK.into_response();
    response
        .headers_mut()
        .insert(UPLOAD_OFFSET, HeaderValue::from(offset));
    response
}

/// `PUT /v1/attempts/{attempt}/uploads/{name}?offset=N`
///
/// # Errors
/// What the caller did wrong or what is not possible now, as a problem document.
pub async fn upload(
    State(core): Shared,
    Path((attempt, name)): Path<(String, String)>,
    Query(Offset { offset }): Query<Offset>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let attempt = who::runner(&core, &headers, &attempt).await?;
    let name = item(&name)?;
    detached(async move {
        let mut bytes = body.into_data_stream();
        match uploads::append(&core, &attempt, &name, offset, &mut bytes).await {
            Ok(end) => Ok(at(end)),
            Err(error) => {
                body::drain(&mut bytes).await;
                Err(error.into())
            }
        }
    })
    .await
}

/// `HEAD /v1/attempts/{attempt}/uploads/{name}`
///
/// # Errors
/// What the caller did wrong or what is not possible now, as a problem document.
pub async fn upload_offset(
    State(core): Shared,
    Path((attempt, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let attempt = who::runner(&core, &headers, &attempt).await?;
    Ok(at(uploads::offset(&core, &attempt, &item(&name)?).await?))
}

/// `POST /v1/attempts/{attempt}/uploads/{name}/complete`
///
/// # Errors
/// What the caller did wrong or what is not possible now, as a problem document.
pub async fn complete(
    State(core): Shared,
    Path((attempt, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Stored>, Refusal> {
    let attempt = who::runner(&core, &headers, &attempt).await?;
    let name = item(&name)?;
    let request: UploadComplete = {
        // Not for as long as it waits for a registry: only what is short waits there.
        let _slot = slot(&attempt)?;
        body::json(body, core.limits.body_bytes, core.limits.body_timeout).await?
    };
    detached(async move { Ok(Json(uploads::complete(&core, &attempt, &name, request).await?)) }).await
}

/// `POST /v1/attempts/{attempt}/final`
///
/// # Errors
/// What the caller did wrong or what is not possible now, as a problem document.
pub async fn finish(
    State(core): Shared,
    Path(attempt): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<FinalAnswer>, Refusal> {
    let attempt = who::runner(&core, &headers, &attempt).await?;
    detached(async move {
        let _slot = slot(&attempt)?;
        let report: FinalReport = body::json(body, core.limits.body_bytes, core.limits.body_timeout).await?;
        let cursor = finish::take(&core, &attempt, report).await?;
        Ok(Json(FinalAnswer { cursor }))
    })
    .await
}

/// `GET /v1/attempts/{attempt}/inputs/{digest}`
///
/// # Errors
/// What the caller did wrong or what is not possible now, as a problem document.
pub async fn input(
    State(core): Shared,
    Path((attempt, digest)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let attempt = who::runner(&core, &headers, &attempt).await?;
    let digest: Digest = content::digest(&digest)?;
    let (namespace, run) = {
        let state = attempt.state.lock().await;
        (
            state.record.namespace.clone(),
            state.record.run.as_ref().map(|run| run.uid.clone()),
        )
    };
    let Some(run) = run else {
        return Err(Refusal::not_found("the attempt belongs to no run"));
    };
    let records = core.attempts.records(&namespace, &run).await?;
    for record in &records {
        if let Some(result) = record.results.values().find(|result| result.digest == digest) {
            return match &result.value {
                Some(value) => Ok(value.clone().into_response()),
                None => content::serve(&core, &digest, &headers, None).await,
            };
        }
        let mut artifacts = record.artifacts.values();
        if artifacts.any(|artifact| artifact.complete && artifact.digest == digest) {
            return content::serve(&core, &digest, &headers, None).await;
        }
    }
    // Only now: what has the digest itself is not to be hidden by a tar with a manifest of those bytes.
    let mut artifacts = records.iter().flat_map(|record| record.artifacts.values());
    match artifacts.find(|artifact| artifact.complete && artifact.manifest == Some(digest)) {
        Some(artifact) => content::serve(&core, &artifact.digest, &headers, None).await,
        None => Err(Refusal::not_found("no attempt of this run stored it")),
    }
}
