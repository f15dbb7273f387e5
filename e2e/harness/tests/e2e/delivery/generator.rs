//! The load generator itself: a request that is lost must be seen, whatever the way.

use std::net::SocketAddr;

use anyhow::Result;
use dcanary_harness::load::{Load, Shape, Target};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const GOOD: &str = "HTTP/1.1 200 OK\r\nx-version: 1\r\ncontent-length: 2\r\n\r\nok";
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
