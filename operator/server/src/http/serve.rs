//! Accepts connections: TLS for the protocol, plain for metrics. Slow clients end by themselves and hold up nobody, and neither do those
//! who open many ([`places`]).
//!
//! [`places`]: super::places

use std::convert::Infallible;
use std::net::IpAddr;
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
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use super::gate::Gate;
use super::places::{Place, Places};
use super::tls::Tls;
use crate::metrics::Metrics;

/// Time for a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Time for the head of a request, also for the next one on a connection.
const HEAD: Duration = Duration::from_secs(30);
/// Connections for metrics and health at once. Nobody shows a token there, and the kubelet and Prometheus need few.
const METRICS_CONNECTIONS: usize = 64;

/// How connections are taken.
#[derive(Debug, Clone, Copy)]
pub struct ServeSettings {
    /// Connections at once; who has how many of them says [`Places`].
    pub connections: usize,
    /// Time for requests under way when the server stops.
    pub grace: Duration,
}

/// Serves the protocol until the gate stops and what is under way has ended. Who comes meanwhile is told so.
pub async fn protocol(
    listener: TcpListener,
    tls: Arc<Tls>,
    gate: Arc<Gate>,
    settings: ServeSettings,
    metrics: Metrics,
) {
    let places = Places::new(settings.connections, metrics.connections_refused);
    let busy = TaskTracker::new();
    let accept = async {
        loop {
            let Some((stream, address)) = accept(&listener).await else {
                continue;
            };
            let Some(place) = places.enter(address) else {
                continue;
            };
            let acceptor = TlsAcceptor::from(tls.config());
            let (late, gate) = (gate.stopping.is_cancelled(), Arc::clone(&gate));
            let connection = async move {
                let served = async {
                    if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                        serve(stream, gate, Arc::clone(&place), late).await;
                    }
                };
                place.hold(served).await;
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

async fn accept(listener: &TcpListener) -> Option<(TcpStream, IpAddr)> {
    match listener.accept().await {
        Ok((stream, address)) => {
            // Only a delay is lost without it.
            drop(stream.set_nodelay(true));
            Some((stream, address.ip()))
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

async fn serve<S>(stream: S, gate: Arc<Gate>, place: Arc<Place>, late: bool)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let stopping = gate.stopping.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (gate, place) = (Arc::clone(&gate), Arc::clone(&place));
        async move { Ok::<_, Infallible>(place.answer(gate.answer(request.map(Body::new))).await) }
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
    let places = Places::new(METRICS_CONNECTIONS, metrics.connections_refused.clone());
    loop {
        let Some((stream, address)) = accept(&listener).await else {
            continue;
        };
        let Some(place) = places.enter(address) else {
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
            let served = async {
                if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
                    tracing::debug!(error = &error as &dyn std::error::Error, "connection ended");
                }
            };
            place.hold(served).await;
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

#[cfg(test)]
mod tests {
    use axum::Router;
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{CertificateDer, ServerName};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpSocket;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;
    use tokio_util::sync::CancellationToken;

    use super::super::places;
    use super::super::tls::TlsFiles;
    use super::*;

    /// Those who are let in are let in at once, and not after the times of silent ones (10 s and more).
    const SOON: Duration = Duration::from_secs(5);

    struct Server {
        port: u16,
        plain: u16,
        metrics: Metrics,
        certificate: CertificateDer<'static>,
        _dir: tempfile::TempDir,
    }

    /// A server with 16 places, which takes every token; 12 are for strangers, 8 for an address.
    async fn server() -> Server {
        let dir = tempfile::tempdir().unwrap();
        let files = TlsFiles {
            certificate: dir.path().join("tls.crt"),
            key: dir.path().join("tls.key"),
        };
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&files.certificate, pair.cert.pem()).unwrap();
        std::fs::write(&files.key, pair.signing_key.serialize_pem()).unwrap();
        let gate = Arc::new(Gate::new(CancellationToken::new()));
        gate.open(Router::new().fallback(|| async {
            places::known();
            "welcome"
        }));
        let settings = ServeSettings {
            connections: 16,
            grace: Duration::ZERO,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ports = [&listener, &plain].map(|listener| listener.local_addr().unwrap().port());
        let (tls, counted) = (Arc::new(Tls::load(files).unwrap()), Metrics::default());
        tokio::spawn(metrics(plain, counted.clone(), Arc::clone(&gate)));
        tokio::spawn(protocol(listener, tls, gate, settings, counted.clone()));
        Server {
            port: ports[0],
            plain: ports[1],
            metrics: counted,
            certificate: CertificateDer::from_pem_slice(pair.cert.pem().as_bytes()).unwrap(),
            _dir: dir,
        }
    }

    async fn open(from: u8, port: u16) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, from], 0).into()).unwrap();
        socket.connect(([127, 0, 0, 1], port).into()).await.unwrap()
    }

    impl Server {
        /// Opens silent connections and waits until so many of them are closed.
        async fn flood(
            &self,
            from: std::ops::Range<u8>,
            each: usize,
            port: u16,
            closed: u64,
        ) -> Vec<TcpStream> {
            let mut silent = Vec::new();
            for from in from {
                for _ in 0..each {
                    silent.push(open(from, port).await);
                }
            }
            let all = async {
                while self.metrics.connections_refused.get() < closed {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(SOON, all).await.unwrap();
            silent
        }

        async fn connect(&self, from: u8) -> TlsStream<TcpStream> {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(self.certificate.clone()).unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            let name = ServerName::try_from("localhost").unwrap();
            let stream = open(from, self.port).await;
            let connector = TlsConnector::from(Arc::new(config));
            let connected = connector.connect(name, stream);
            tokio::time::timeout(SOON, connected).await.unwrap().unwrap()
        }
    }

    /// The answer to a request; none when the connection has ended.
    async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), path: &str) -> Option<String> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = vec![0; 1_024];
        let read = tokio::time::timeout(SOON, stream.read(&mut answer));
        let len = read.await.unwrap().ok().filter(|len| *len > 0)?;
        Some(String::from_utf8_lossy(&answer[..len]).into_owned())
    }

    #[tokio::test]
    async fn one_address_that_opens_all_the_connections_it_can_keeps_no_other_out() {
        let server = server().await;
        let _silent = server.flood(2..3, 64, server.port, 64 - 8).await;
        let mut other = server.connect(1).await;
        assert!(ask(&mut other, "/readyz").await.unwrap().contains("200 OK"));
        let mut again = server.connect(2).await;
        assert!(
            ask(&mut again, "/readyz").await.unwrap().contains("200 OK"),
            "nor does a silent process those beside it that speak"
        );
    }

    #[tokio::test]
    async fn many_addresses_that_open_connections_without_a_token_keep_no_other_out() {
        let server = server().await;
        let _silent = server.flood(2..10, 16, server.port, 8 * 16 - 12).await;
        let mut other = server.connect(1).await;
        let _more = server.flood(2..10, 16, server.port, 2 * 8 * 16 - 12 + 1).await;
        assert!(ask(&mut other, "/v1/reports").await.unwrap().ends_with("welcome"));
    }

    #[tokio::test]
    async fn a_connection_that_has_shown_a_token_stays_whoever_floods_and_a_silent_one_beside_it_goes() {
        let server = server().await;
        let (mut known, mut stranger) = (server.connect(2).await, server.connect(2).await);
        assert!(ask(&mut known, "/v1/reports").await.unwrap().ends_with("welcome"));
        assert!(ask(&mut stranger, "/readyz").await.unwrap().ends_with("ok"));
        let _silent = server.flood(2..5, 32, server.port, 3 * 32 + 1 - 12).await;
        assert!(ask(&mut known, "/v1/reports").await.unwrap().ends_with("welcome"));
        assert_eq!(ask(&mut stranger, "/readyz").await, None);
    }

    #[tokio::test]
    async fn the_probes_of_the_kubelet_and_metrics_are_answered_while_one_address_floods_their_port() {
        let server = server().await;
        let _silent = server.flood(2..3, 100, server.plain, 100 - 32).await;
        for (path, said) in [("/healthz", "ok"), ("/metrics", "connections_refused_total 68")] {
            let mut kubelet = open(1, server.plain).await;
            let answer = ask(&mut kubelet, path).await.unwrap();
            assert!(answer.contains("200 OK"), "{answer}");
            let text = server.metrics.text().unwrap();
            assert!(answer.contains(said) || text.contains(said), "{answer}{text}");
        }
    }
}
