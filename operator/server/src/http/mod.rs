//! The HTTP interface.

pub mod body;
pub mod content;
pub mod decisions;
pub mod environments;
pub mod gate;
pub mod operator;
pub mod places;
pub mod problem;
pub mod reading;
pub mod relayed;
pub mod runner;
pub mod serve;
pub mod tls;
pub mod who;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use problem::Refusal;

use crate::core::Core;
use crate::metrics::RequestLabels;

/// All routes of the protocol.
pub fn router(core: Arc<Core>) -> Router {
    Router::new()
        .route("/v1/session", post(runner::trade))
        .route("/v1/session/revoke", post(operator::revoke))
        .route("/v1/attempts/{attempt}/frames", post(runner::frames))
        .route("/v1/attempts/{attempt}/final", post(runner::finish))
        .route(
            "/v1/attempts/{attempt}/uploads/{name}",
            axum::routing::put(runner::upload).head(runner::upload_offset),
        )
        .route(
            "/v1/attempts/{attempt}/uploads/{name}/complete",
            post(runner::complete),
        )
        .route("/v1/attempts/{attempt}/inputs/{digest}", get(runner::input))
        .route("/v1/reports", get(operator::reports))
        .route("/v1/reports/ack", post(operator::acknowledge))
        .route(
            "/v1/evidence/{digest}",
            get(reading::evidence).put(operator::evidence),
        )
        .route("/v1/namespaces/{namespace}/runs/{run}/logs", get(reading::logs))
        .route(
            "/v1/namespaces/{namespace}/runs/{run}/attempts",
            get(reading::attempts),
        )
        .route(
            "/v1/namespaces/{namespace}/artifacts/{digest}",
            get(reading::artifact),
        )
        .route("/v1/environments", get(environments::list))
        .route("/v1/environments/{name}", get(environments::one))
        .route("/v1/decisions", get(decisions::list).post(decisions::create))
        .fallback(|| async { Refusal::not_found("no such resource") })
        .method_not_allowed_fallback(|| async { Refusal::new(405, "method-not-allowed", "") })
        .layer(from_fn_with_state(Arc::clone(&core), measure))
        .with_state(core)
}

async fn measure(State(core): State<Arc<Core>>, request: Request, next: Next) -> Response {
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("other", MatchedPath::as_str)
        .to_owned();
    let started = Instant::now();
    let response = next.run(request).await;
    core.metrics
        .request_seconds
        .observe(started.elapsed().as_secs_f64());
    let labels = RequestLabels {
        route,
        status: response.status().as_u16(),
    };
    core.metrics.requests.get_or_create(&labels).inc();
    response
}

/// Does work that must not stop when the client goes away.
async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::spawn(work)
        .await
        .map_err(|_| Refusal::new(500, "internal", "the request ended unexpectedly"))?
}
