//! Connections: how many, and how long they may take to say what they want.
//!
//! Each connection may cost a body's memory, and one that says nothing, or does not read what it is told, costs a place; all
//! are bounded here, so that strangers who open many delay others by a time-out, and one of them nobody ([`peers`]). Those who open
//! them again at once compete with the others for the next free place.
//!
//! [`peers`]: super::peers

use super::deadline::Deadline;
use super::metrics::count;
use super::peers::Peers;
use crate::replica::metrics::Metrics;
use axum::Router;
use axum::middleware::from_fn_with_state;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::net::SocketAddr;
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
    /// Connections at once; more wait to be accepted. One peer has at most half of them; what it opens more is closed at once.
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
    let router = router.layer(from_fn_with_state(metrics.clone(), count));
    let places = Arc::new(Semaphore::new(limits.connections));
    let peers = Peers::new(limits.connections);
    let graceful = GracefulShutdown::new();
    // Dropped with this future, so that stopping hard ends the connections too.
    let mut connections = JoinSet::new();
    let mut stopping = pin!(stopping);
    loop {
        let (stream, address, place) = tokio::select! {
            () = &mut stopping => break,
            Some(_) = connections.join_next() => continue,
            next = accept(&listener, &places) => match next {
                Some(next) => next,
                None => continue,
            },
        };
        let Some(share) = peers.enter(address.ip()) else {
            metrics.crowded.inc();
            tracing::debug!(peer = %address.ip(), "a connection was closed: its peer has half of all places");
            continue;
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
            drop((place, share));
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, address)) => Some((stream, address, place)),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(EXHAUSTED).await;
            None
        }
    }
}
