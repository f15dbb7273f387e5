//! What people and dashboards ask for.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use dcanary_protocol::report::{ArtifactKind, FinalReport};
use serde::{Deserialize, Serialize};
use tokio_stream::wrappers::ReceiverStream;

use super::operator::Of;
use super::problem::Refusal;
use super::{content, who};
use crate::attempts::named;
use crate::attempts::record::{Record, StepRecord};
use crate::attempts::run::RunKey;
use crate::auth::Readable;
use crate::core::Core;
use crate::digest::Digest;
use crate::evidence;
use crate::logs::follow::{Wanted, start};
use crate::names::{AttemptId, BadName, Namespace};

type Shared = State<Arc<Core>>;

fn bad_name(error: &BadName) -> Refusal {
    Refusal::new(400, "bad-name", error.to_string())
}

fn key(namespace: &str, run: &str) -> Result<RunKey, Refusal> {
    Ok(RunKey {
        namespace: namespace.parse().map_err(|error| bad_name(&error))?,
        uid: run.parse().map_err(|error| bad_name(&error))?,
    })
}

async fn own_attempts(core: &Core, key: &RunKey) -> Result<Vec<Record>, Refusal> {
    let records = core.attempts.records(&key.namespace, &key.uid).await?;
    let (_, own) = named::only(core, key, records).await?;
    Ok(own)
}

/// Query of logs.
#[derive(Debug, Deserialize)]
pub struct LogQuery {
    stage: Option<String>,
    #[serde(default)]
    follow: bool,
    run: Option<String>,
}

/// `GET /v1/namespaces/{namespace}/runs/{run}/logs`
///
/// # Errors
/// What the caller did wrong or what is not possible now, as a problem document.
pub async fn logs(
    State(core): Shared,
    Path((namespace, run)): Path<(String, String)>,
    Query(query): Query<LogQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let key = key(&namespace, &run)?;
    who::reader(&core, &headers, &key.namespace, Readable::Runs).await?;
    if !query.follow && own_attempts(&core, &key).await?.is_empty() {
        return Err(Refusal::not_found("no attempt of this run is known"));
    }
    let wanted = Wanted {
        key,
        name: query.run,
        stage: query.stage,
        follow: query.follow,
    };
    let mut response = Response::new(Body::from_stream(ReceiverStream::new(start(core, wanted))));
    let kind = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    Ok(response)
}

/// An attempt in a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// UID of its Pod.
    attempt: AttemptId,
    /// Name of its Pod.
    pod: String,
    /// Name of the stage.
    stage: String,
    /// Number of the attempt.
    number: u32,
    /// Its session was closed.
    revoked: bool,
    /// A second trade was refused.
    second_trade: bool,
    /// Steps in order.
    steps: Vec<StepRecord>,
    /// Results.
    results: Vec<ListedResult>,
    /// Complete artifacts.
    artifacts: Vec<ListedArtifact>,
    /// The final report.
    report: Option<FinalReport>,
}

#[derive(Debug, Serialize)]
struct ListedResult {
    name: String,
    digest: Digest,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedArtifact {
    name: String,
    kind: ArtifactKind,
    digest: Digest,
    size: u64,
    media_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
}

fn listed(record: Record) -> Option<Listed> {
    let run = record.run?;
    let results = record.results.into_iter().map(|(name, result)| ListedResult {
        name: name.to_string(),
        digest: result.digest,
        size: result.size,
        value: result.value,
    });
    let artifacts = record
        .artifacts
        .into_iter()
        .filter(|(_, artifact)| artifact.complete)
        .map(|(name, artifact)| ListedArtifact {
            name: name.to_string(),
            kind: artifact.kind,
            digest: artifact.named(),
            size: artifact.size,
            media_type: artifact.media_type,
            file_name: artifact.file_name,
            reference: artifact.reference,
        });
    Some(Listed {
        attempt: record.attempt,
        pod: record.pod,
        stage: run.stage,
        number: run.number,
        revoked: record.revoked,
        second_trade: record.second_trade,
        steps: record.steps.into_values().collect(),
        results: results.collect(),
        artifacts: artifacts.collect(),
        report: record.end.map(|end| end.report),
    })
}

/// Answer with the attempts of a run.
#[derive(Debug, Serialize)]
pub struct AttemptList {
    attempts: Vec<Listed>,
}

/// `GET /v1/namespaces/{namespace}/runs/{run}/attempts`
///
/// # Errors
/// What the caller did wrong or what is not possible now, as a problem document.
pub async fn attempts(
    State(core): Shared,
    Path((namespace, run)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<AttemptList>, Refusal> {
    let key = key(&namespace, &run)?;
    who::reader(&core, &headers, &key.namespace, Readable::Runs).await?;
    let records = own_attempts(&core, &key).await?;
    Ok(Json(AttemptList {
        attempts: records.into_iter().filter_map(listed).collect(),
    }))
}

/// `GET /v1/namespaces/{namespace}/artifacts/{digest}`
///
/// # Errors
/// What the caller did wrong or what is not possible now, as a problem document.
pub async fn artifact(
    State(core): Shared,
    Path((namespace, digest)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let namespace: Namespace = namespace.parse().map_err(|error| bad_name(&error))?;
    who::reader(&core, &headers, &namespace, Readable::Runs).await?;
    let digest = content::digest(&digest)?;
    let grant = core.granted(&namespace, &digest).await?;
    let grant = grant.ok_or_else(|| Refusal::not_found("no attempt of this namespace stored it"))?;
    content::serve(&core, &grant.content, &headers, Some(&grant)).await
}

/// `GET /v1/evidence/{digest}`
///
/// # Errors
/// What the caller did wrong or what is not possible now, as a problem document.
pub async fn evidence(
    State(core): Shared,
    Path(digest): Path<String>,
    Query(of): Query<Of>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let namespace = of.namespace()?;
    who::reader(&core, &headers, &namespace, Readable::Environments).await?;
    let digest = content::digest(&digest)?;
    let grant = evidence::granted(&core, &namespace, &digest).await?;
    let grant = grant.ok_or_else(|| Refusal::not_found("no analysis of this namespace stored it"))?;
    content::serve(&core, &grant.content, &headers, Some(&grant)).await
}
