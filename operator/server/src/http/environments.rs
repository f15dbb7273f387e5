//! Environments, as the API server shows them to whoever asks.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use serde_json::Value;

use super::problem::Refusal;
use super::relayed::{self, Page, Parameters};
use super::who;
use crate::auth::relay::Call;
use crate::core::Core;

const RESOURCE: &str = "environments";

/// `GET /v1/environments?namespace=`
///
/// # Errors
/// What the caller did wrong or what is not possible now, as a problem document.
pub async fn list(
    State(core): State<Arc<Core>>,
    Query(given): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Result<Json<Page>, Refusal> {
    let caller = who::caller(&core, &headers).await?;
    let given = Parameters::new(given, &["namespace", "limit", "cursor"])?;
    let path = relayed::path(given.namespace()?, RESOURCE);
    relayed::page(&core, &caller, format!("{path}?{}", given.page()?)).await
}

/// `GET /v1/environments/{name}?namespace=`
///
/// # Errors
/// What the caller did wrong or what is not possible now, as a problem document.
pub async fn one(
    State(core): State<Arc<Core>>,
    Path(name): Path<String>,
    Query(given): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let caller = who::caller(&core, &headers).await?;
    let given = Parameters::new(given, &["namespace"])?;
    let path = relayed::path(given.namespace()?, RESOURCE);
    let name = relayed::named("name", &name)?;
    let path = format!("{path}/{name}");
    relayed::object(&core, &caller, Call { path, create: None })
        .await
        .map(Json)
}
