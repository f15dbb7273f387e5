//! `/healthz`, `/readyz` and `/metrics`.

use std::sync::Arc;

use axum::{Router, extract::State, http::StatusCode, routing::get};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Serves until cancelled. `ready` turns true when the caches are filled.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(
    listener: TcpListener,
    metrics: Metrics,
    ready: watch::Receiver<bool>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(readyz))
        .route(
            "/metrics",
            get(|State(state): State<Arc<Shared>>| async move { state.metrics.text() }),
        )
        .with_state(Arc::new(Shared { metrics, ready }));
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

struct Shared {
    metrics: Metrics,
    ready: watch::Receiver<bool>,
}

async fn readyz(State(state): State<Arc<Shared>>) -> (StatusCode, &'static str) {
    if *state.ready.borrow() {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "caches are being filled")
    }
}
