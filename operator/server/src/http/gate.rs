//! Before the routes: `503 starting` until the volume is recovered, `503 stopping` at the end, health.

use std::sync::OnceLock;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::problem::Refusal;

/// Lets requests in.
pub struct Gate {
    router: OnceLock<Router>,
    /// Nothing new is let in.
    pub stopping: CancellationToken,
}

impl Gate {
    /// A closed gate.
    pub fn new(stopping: CancellationToken) -> Self {
        Self {
            router: OnceLock::new(),
            stopping,
        }
    }

    /// The volume is recovered.
    pub fn open(&self, router: Router) {
        // Opening twice keeps the first.
        drop(self.router.set(router));
    }

    fn unready(&self) -> Option<&'static str> {
        if self.stopping.is_cancelled() {
            Some("stopping")
        } else if self.router.get().is_none() {
            Some("starting")
        } else {
            None
        }
    }

    /// Answers health requests; `None` for other paths.
    pub fn health(&self, path: &str) -> Option<Response> {
        match path {
            "/healthz" => Some((StatusCode::OK, "ok").into_response()),
            "/readyz" => Some(match self.unready() {
                None => (StatusCode::OK, "ok").into_response(),
                Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason).into_response(),
            }),
            _ => None,
        }
    }

    /// Answers a request.
    pub async fn answer(&self, request: Request<Body>) -> Response {
        if let Some(health) = self.health(request.uri().path()) {
            return health;
        }
        match (self.unready(), self.router.get()) {
            (None, Some(router)) => match router.clone().oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            },
            (reason, _) => {
                let reason = reason.unwrap_or("starting");
                Refusal::new(503, reason, format!("the server is {reason}")).into_response()
            }
        }
    }
}
