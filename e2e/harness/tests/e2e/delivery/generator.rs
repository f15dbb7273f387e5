//! The load generator itself: a request that is lost must be seen, whatever the way.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Context, Result};
use bytes::Bytes;
use dcanary_harness::load::{Load, Shape, Target};
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::{BodyExt, Full};
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const GOOD: &str = "HTTP/1.1 200 OK\r\nx-version: 1\r\ncontent-length: 2\r\n\r\nok";
const OTHER: &str = "HTTP/1.1 200 OK\r\nx-version: 2\r\ncontent-length: 2\r\n\r\nok";
const BAD: &str = "HTTP/1.1 500 no\r\nx-version: 1\r\ncontent-length: 0\r\n\r\n";
const GATEWAY: &str = "HTTP/1.1 503 no\r\ncontent-length: 4\r\n\r\nnone";
const CUT: &str = "HTTP/1.1 200 OK\r\nx-version: 1\r\ncontent-length: 20\r\n\r\nhalf";

/// A server that gives these answers in turn, an empty one by closing the connection. Returns where it listens.
async fn server(answers: &'static [&'static str]) -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        let mut turn = answers.iter().cycle();
        while let Ok((mut stream, _)) = listener.accept().await {
            // one request a connection, so that the turn is kept
            if let Some(answer) = turn.next() {
                let _ = reply(&mut stream, answer).await;
            }
        }
    });
    Ok(address)
}

async fn reply(stream: &mut TcpStream, answer: &str) -> Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    stream.write_all(answer.as_bytes()).await?;
    Ok(())
}

#[tokio::test]
async fn a_failure_of_the_application_is_no_lost_request_and_every_other_one_is() -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let target = Target::new(server(&[GOOD, BAD, GATEWAY, CUT, ""]).await?, "web.test");
    let one_by_one = Shape {
        kept: 0,
        fresh: 1,
        per_second: 1000,
    };
    let load = Load::at_once(&target, one_by_one)?;
    let tally = load.next(50).await?;
    load.stop().await;
    let answers = tally.answers["1"];
    assert_eq!(
        (answers.good, answers.bad, tally.lost),
        (10, 10, 30),
        "{tally:#?}"
    );
    assert!(tally.none_lost().is_err());
    for how in ["503 by the data plane: none", "200, then", "connection closed"] {
        assert!(
            tally.losses.iter().any(|loss| loss.contains(how)),
            "{how}: {:#?}",
            tally.losses
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_share_is_of_all_requests_and_counted_from_the_moment_asked_for() -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let target = Target::new(server(&[GOOD, GOOD, GOOD, GATEWAY]).await?, "web.test");
    let shape = Shape {
        kept: 0,
        fresh: 1,
        per_second: 1000,
    };
    let load = Load::at_once(&target, shape)?;
    load.next(10).await?;
    let tally = load.next(40).await?;
    load.stop().await;
    assert_eq!((tally.of("1"), tally.lost, tally.requests()), (30, 10, 40));
    tally.splits("1", 75, 0.1)?;
    assert!(tally.splits("1", 80, 2.0).is_err());
    assert!(tally.splits("2", 0, 0.1).is_ok());
    Ok(())
}

/// An answer to a gRPC call: HTTP status, the version that it names, the status at its end.
type GrpcAnswer = (u16, Option<&'static str>, Option<&'static str>);

/// A gRPC server that gives these answers in turn. Returns where it listens.
async fn grpc_server(answers: &'static [GrpcAnswer]) -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let turn = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let turn = turn.clone();
            let service = service_fn(move |_| {
                let turn = turn.fetch_add(1, Ordering::Relaxed);
                let (code, version, status) = answers[turn % answers.len()];
                async move {
                    let trailers = status.map(|status| {
                        let status = HeaderValue::from_static(status);
                        Ok::<_, Infallible>(HeaderMap::from_iter([(
                            http::HeaderName::from_static("grpc-status"),
                            status,
                        )]))
                    });
                    let body = Full::new(Bytes::from_static(&[0; 5])).with_trailers(async { trailers });
                    let mut answer = Response::builder().status(code);
                    if let Some(version) = version {
                        answer = answer.header("x-version", version);
                    }
                    answer.body(body)
                }
            });
            let served =
                http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
            tokio::spawn(served);
        }
    });
    Ok(address)
}

#[tokio::test]
async fn a_grpc_call_without_version_or_status_is_lost_and_one_that_fails_is_not() -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let answers = &[
        (200, Some("1"), Some("0")),
        (200, Some("1"), Some("13")),
        (200, Some("1"), None),
        (200, None, Some("0")),
        (503, None, None),
    ];
    let target = Target::grpc(grpc_server(answers).await?, "web.test", "/package.Service/Method");
    // one after another, over connections that are kept and over new ones
    for kept in [0, 1] {
        let one_by_one = Shape {
            kept,
            fresh: 1 - kept,
            per_second: 1000,
        };
        let load = Load::at_once(&target, one_by_one)?;
        let tally = load.next(50).await?;
        load.stop().await;
        let answers = tally.answers["1"];
        assert_eq!(
            (answers.good, answers.bad, tally.lost),
            (10, 10, 30),
            "{tally:#?}"
        );
        for how in ["200 of 1 without a status", "503 by the data plane"] {
            assert!(
                tally.losses.iter().any(|loss| loss.contains(how)),
                "{how}: {:#?}",
                tally.losses
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn when_a_version_answered_last_is_known_and_neither_lost_requests_nor_other_versions_change_it()
-> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let target = Target::new(server(&[GOOD, OTHER, GATEWAY]).await?, "web.test");
    let one_by_one = Shape {
        kept: 0,
        fresh: 1,
        per_second: 1000,
    };
    let before = Timestamp::now();
    let load = Load::at_once(&target, one_by_one)?;
    let early = load.until("a lost request", |tally| tally.lost > 0).await?;
    load.next(30).await?;
    let late = load.stop().await;
    let last = |version| late.last(version).context("no answer");
    let (first, second) = (last("1")?, last("2")?);
    assert!(before <= first.min(second) && first.max(second) <= Timestamp::now());
    // the turn says whose answer was the later one
    let first_was_later = late.of("1") > late.of("2");
    assert_eq!(first > second, first_was_later, "{late:#?}");
    assert_eq!(late.last("3"), None);
    let between = late.since(&early);
    assert_eq!(between.last("1"), Some(first));
    assert!(early.last("1") < Some(first));
    assert_eq!(late.since(&late).last("1"), None, "there was no answer since");
    Ok(())
}
