//! Connections: how many, and how long they may take to say what they want.
//!
//! Each connection may cost a body's memory, and one that says nothing, or does not read what it is told, costs a place; all
//! are bounded here, so that a stranger who opens many delays others by a time-out. One who opens them again at once competes
//! with the others for the next free place.

use super::deadline::Deadline;
use super::intake::{Intake, take_body};
use super::metrics::count;
use crate::replica::metrics::Metrics;
use axum::Router;
use axum::middleware::from_fn_with_state;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

/// How long accepting rests when the system has no file descriptors left.
const EXHAUSTED: Duration = Duration::from_millis(200);

/// Largest head of a request, and bytes of it or of its body that a connection reads ahead.
const BUFFER: usize = 64 << 10;

/// See the module documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections at once; more wait to be accepted.
    pub connections: usize,
    /// How long the head of a request may take, and how long a connection may be idle.
    pub head: Duration,
    /// How long a body may take.
    pub body: Duration,
    /// Bytes of bodies beyond 64 KiB each that are held at once. Others wait, within their time, and are then refused.
    pub bodies: usize,
    /// How long a client may read nothing while there is something for it to read.
    pub write: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: 256,
            head: Duration::from_secs(30),
            body: Duration::from_secs(20),
            bodies: 64 << 20,
            write: Duration::from_secs(20),
        }
    }
}

/// Serves until `stopping`, then lets requests under way finish.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    metrics: Metrics,
    stopping: impl Future<Output = ()>,
) {
    // Counted outside of it: what is refused here is counted too.
    let router = router
        .layer(from_fn_with_state(Intake::new(&limits), take_body))
        .layer(from_fn_with_state(metrics, count));
    let places = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    // Dropped with this future, so that stopping hard ends the connections too.
    let mut connections = JoinSet::new();
    let mut stopping = pin!(stopping);
    loop {
        let (stream, place) = tokio::select! {
            () = &mut stopping => break,
            Some(_) = connections.join_next() => continue,
            next = accept(&listener, &places) => match next {
                Some(next) => next,
                None => continue,
            },
        };
        // Replies are small and clients wait for them; without it they work a little slower.
        let _ = stream.set_nodelay(true);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_buf_size(BUFFER)
            .serve_connection(
                TokioIo::new(Deadline::new(stream, limits.write)),
                TowerToHyperService::new(router.clone()),
            );
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            // How a client ends its connection is its own affair.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(EXHAUSTED).await;
            None
        }
    }
}
