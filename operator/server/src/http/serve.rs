//! Accepts connections: TLS for the protocol, plain for metrics. Slow clients end by themselves and hold up nobody.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use super::gate::Gate;
use super::tls::Tls;
use crate::metrics::Metrics;

/// Time for a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Time for the head of a request, also for the next one on a connection.
const HEAD: Duration = Duration::from_secs(30);

/// How connections are taken.
#[derive(Debug, Clone, Copy)]
pub struct ServeSettings {
    /// Connections at once.
    pub connections: usize,
    /// Time for requests under way when the server stops.
    pub grace: Duration,
}

/// Serves the protocol until the gate stops and what is under way has ended. Who comes meanwhile is told so.
pub async fn protocol(listener: TcpListener, tls: Arc<Tls>, gate: Arc<Gate>, settings: ServeSettings) {
    let slots = Arc::new(Semaphore::new(settings.connections));
    let busy = TaskTracker::new();
    let accept = async {
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                return;
            };
            let Some(stream) = accept(&listener).await else {
                continue;
            };
            let acceptor = TlsAcceptor::from(tls.config());
            let (late, gate) = (gate.stopping.is_cancelled(), Arc::clone(&gate));
            let connection = async move {
                if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                    serve(stream, gate, late).await;
                }
                drop(slot);
            };
            if late {
                tokio::spawn(connection);
            } else {
                busy.spawn(connection);
            }
        }
    };
    let stopped = async {
        gate.stopping.cancelled().await;
        busy.close();
        if tokio::time::timeout(settings.grace, busy.wait()).await.is_err() {
            tracing::warn!(connections = busy.len(), "connections cut");
        }
    };
    tokio::select! {
        () = accept => {}
        () = stopped => {}
    }
}

async fn accept(listener: &TcpListener) -> Option<TcpStream> {
    match listener.accept().await {
        Ok((stream, _)) => {
            // Only a delay is lost without it.
            drop(stream.set_nodelay(true));
            Some(stream)
        }
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "connection not accepted"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

async fn serve<S>(stream: S, gate: Arc<Gate>, late: bool)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let stopping = gate.stopping.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let gate = Arc::clone(&gate);
        async move { Ok::<_, Infallible>(gate.answer(request.map(Body::new)).await) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .keep_alive(!late);
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping.cancelled(), if !late => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = &error as &dyn std::error::Error, "connection ended");
    }
}

/// Serves metrics and health without TLS until the task is dropped.
pub async fn metrics(listener: TcpListener, metrics: Metrics, gate: Arc<Gate>) {
    loop {
        let Some(stream) = accept(&listener).await else {
            continue;
        };
        let (metrics, gate) = (metrics.clone(), Arc::clone(&gate));
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let response = metrics_answer(request.uri().path(), &metrics, &gate);
                async move { Ok::<_, Infallible>(response) }
            });
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD);
            if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(error = &error as &dyn std::error::Error, "connection ended");
            }
        });
    }
}

fn metrics_answer(path: &str, metrics: &Metrics, gate: &Gate) -> Response {
    if let Some(health) = gate.health(path) {
        return health;
    }
    match (path, metrics.text()) {
        ("/metrics", Ok(text)) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        ("/metrics", Err(_)) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}
