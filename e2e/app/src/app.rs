//! The requests that are answered.
//!
//! ```text
//! /healthz  200          /readyz   200, 503 while it drains or with READY=false
//! /metrics  Prometheus   /config   the file of CONFIG_FILE
//! /stream   a line every 100 ms until the client goes: a long-lived connection
//! /stream/N so many lines: an answer that takes its time
//! any other path         {"version": "…", "pod": "…"} with header x-version, 500 for the share of ERROR_RATE
//! ```
//! and the gRPC method of [`crate::grpc`].

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, Request, State},
    http::{HeaderValue, StatusCode, Version, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures::{StreamExt, stream};
use serde_json::json;

use crate::{grpc, metrics::Metrics, settings::Settings};

/// Header that names the version in every answer.
pub const VERSION_HEADER: &str = "x-version";
/// Time between the lines of `/stream`.
const LINE: Duration = Duration::from_millis(100);

/// The application.
#[derive(Debug)]
pub struct App {
    settings: Settings,
    metrics: Metrics,
    answers: AtomicU64,
    draining: AtomicBool,
}

type Shared = State<Arc<App>>;

impl App {
    /// An application that serves.
    pub fn new(settings: Settings) -> Self {
        Self {
            metrics: Metrics::of(&settings.version),
            settings,
            answers: AtomicU64::new(0),
            draining: AtomicBool::new(false),
        }
    }

    /// From now on it is not ready, and asks clients to connect elsewhere; it serves on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Takes the time of an answer, and counts whether it is a good one.
    async fn served(&self) -> StatusCode {
        let began = Instant::now();
        if !self.settings.latency.is_zero() {
            tokio::time::sleep(self.settings.latency).await;
        }
        let number = self.answers.fetch_add(1, Ordering::Relaxed);
        let code = if self.settings.errors.hits(number) {
            StatusCode::INTERNAL_SERVER_ERROR
        } else {
            StatusCode::OK
        };
        self.metrics.answered(code.as_u16(), began.elapsed());
        code
    }

    async fn message(&self) -> Option<String> {
        let file = self.settings.config_file.as_ref()?;
        let text = tokio::fs::read_to_string(file).await.ok()?;
        Some(text.trim_end().to_owned())
    }
}

/// Its routes.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/healthz", get(async || StatusCode::OK))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/config", get(config))
        .route("/stream", get(endless))
        .route("/stream/{lines}", get(counted))
        .route(grpc::METHOD, post(call))
        .fallback(answer)
        .layer(from_fn_with_state(app.clone(), sign))
        .with_state(app)
}

/// Every answer names the version; while it drains, each is the last one of its connection.
async fn sign(State(app): Shared, request: Request, next: Next) -> Response {
    // later versions end connections in their own way
    let ends_by_header = request.version() < Version::HTTP_2;
    let mut response = next.run(request).await;
    if let Ok(version) = HeaderValue::from_str(&app.settings.version) {
        response.headers_mut().insert(VERSION_HEADER, version);
    }
    if app.is_draining() && ends_by_header {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

async fn ready(State(app): Shared) -> StatusCode {
    if app.settings.ready && !app.is_draining() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

async fn metrics(State(app): Shared) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match app.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn config(State(app): Shared) -> Response {
    match app.message().await {
        Some(message) => message.into_response(),
        None => (
            StatusCode::NOT_FOUND,
            "CONFIG_FILE names no file that can be read",
        )
            .into_response(),
    }
}

async fn endless(State(app): Shared) -> Response {
    lines(&app, usize::MAX)
}

async fn counted(State(app): Shared, Path(count): Path<usize>) -> Response {
    lines(&app, count)
}

fn lines(app: &App, count: usize) -> Response {
    let line = format!("{}\n", app.settings.version);
    let lines = stream::unfold((line, Duration::ZERO), async |(line, pause)| {
        tokio::time::sleep(pause).await;
        Some((Ok::<_, Infallible>(line.clone()), (line, LINE)))
    });
    Body::from_stream(lines.take(count)).into_response()
}

async fn answer(State(app): Shared) -> Response {
    let code = app.served().await;
    let mut body = json!({"version": app.settings.version, "pod": app.settings.pod});
    if let (Some(message), Some(fields)) = (app.message().await, body.as_object_mut()) {
        fields.insert("message".into(), message.into());
    }
    (code, Json(body)).into_response()
}

/// The question is read to its end, as the protocol has it; there is nothing in it.
async fn call(State(app): Shared, _question: Bytes) -> Response {
    grpc::answer(app.served().await.is_success())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    fn app(variables: &'static [(&'static str, &'static str)]) -> Arc<App> {
        let get = |name: &str| {
            variables
                .iter()
                .find(|one| one.0 == name)
                .map(|one| one.1.to_owned())
        };
        Arc::new(App::new(Settings::read(get).unwrap()))
    }

    async fn ask(app: &Arc<App>, path: &str) -> (u16, String, axum::http::HeaderMap) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router(app.clone()).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (
            parts.status.as_u16(),
            String::from_utf8(bytes.to_vec()).unwrap(),
            parts.headers,
        )
    }

    #[tokio::test]
    async fn an_answer_says_which_version_and_pod_it_is_from() {
        let app = app(&[("VERSION", "7"), ("POD_NAME", "web-7-x")]);
        let (code, body, headers) = ask(&app, "/any/path").await;
        assert_eq!((code, body.as_str()), (200, r#"{"pod":"web-7-x","version":"7"}"#));
        assert_eq!(headers[VERSION_HEADER], "7");
        assert!(!headers.contains_key(header::CONNECTION));
    }

    #[tokio::test]
    async fn an_answer_of_so_many_lines_ends_after_them() {
        let (code, body, _) = ask(&app(&[("VERSION", "7")]), "/stream/3").await;
        assert_eq!((code, body.as_str()), (200, "7\n7\n7\n"));
    }

    #[tokio::test]
    async fn a_grpc_call_ends_with_its_status_and_fails_as_often_as_other_requests() {
        let app = app(&[("VERSION", "7"), ("ERROR_RATE", "0.5")]);
        let mut ends = Vec::new();
        for _ in 0..2 {
            let request = Request::post(grpc::METHOD)
                .header(header::CONTENT_TYPE, "application/grpc")
                .body(Body::from(vec![0; 5]))
                .unwrap();
            let response = router(app.clone()).oneshot(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.headers()[header::CONTENT_TYPE], "application/grpc");
            assert_eq!(response.headers()[VERSION_HEADER], "7");
            let body = response.into_body().collect().await.unwrap();
            let status = body.trailers().unwrap()["grpc-status"].clone();
            ends.push((status.to_str().unwrap().to_owned(), body.to_bytes().to_vec()));
        }
        // a message of no bytes; and none
        assert_eq!(
            ends,
            [("0".to_owned(), vec![0; 5]), ("13".to_owned(), Vec::new())]
        );
        let (_, text, _) = ask(&app, "/metrics").await;
        assert!(
            text.contains("http_requests_total{code=\"500\",version=\"7\"} 1"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn failures_are_counted_by_code_and_questions_of_the_cluster_are_not() {
        let app = app(&[("VERSION", "bad"), ("ERROR_RATE", "0.5")]);
        let mut codes = Vec::new();
        for _ in 0..4 {
            codes.push(ask(&app, "/").await.0);
            ask(&app, "/readyz").await;
        }
        assert_eq!(codes, [200, 500, 200, 500]);
        let (_, text, headers) = ask(&app, "/metrics").await;
        for line in [
            "http_requests_total{code=\"200\",version=\"bad\"} 2",
            "http_requests_total{code=\"500\",version=\"bad\"} 2",
            "http_request_duration_seconds_count{version=\"bad\"} 4",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        assert!(
            headers[header::CONTENT_TYPE]
                .to_str()
                .unwrap()
                .starts_with("application/openmetrics-text")
        );
    }

    #[tokio::test]
    async fn both_outcomes_have_a_series_before_the_first_request() {
        let (_, text, _) = ask(&app(&[("VERSION", "1")]), "/metrics").await;
        assert!(
            text.contains("http_requests_total{code=\"500\",version=\"1\"} 0"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn while_it_drains_it_is_not_ready_and_serves_on_with_connections_that_end() {
        let app = app(&[]);
        assert_eq!(ask(&app, "/readyz").await.0, 200);
        app.drain();
        assert_eq!(ask(&app, "/readyz").await.0, 503);
        let (code, _, headers) = ask(&app, "/").await;
        assert_eq!(code, 200);
        assert_eq!(headers[header::CONNECTION], "close");
    }

    #[tokio::test]
    async fn one_that_is_never_ready_is_alive() {
        let app = app(&[("READY", "false")]);
        assert_eq!(ask(&app, "/readyz").await.0, 503);
        assert_eq!(ask(&app, "/healthz").await.0, 200);
    }

    #[tokio::test]
    async fn without_a_file_there_is_no_configuration_to_show() {
        assert_eq!(ask(&app(&[]), "/config").await.0, 404);
        assert_eq!(
            ask(&app(&[("CONFIG_FILE", "/does/not/exist")]), "/config")
                .await
                .0,
            404
        );
    }
}
