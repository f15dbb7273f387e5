//! Bodies of requests, of which the node holds only so many bytes at once.

use crate::network::*;
use dcanary_node::{Config, Node};
use ic_agent::identity::AnonymousIdentity;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LONG: Duration = Duration::from_mins(10);
const LITTLE: Duration = Duration::from_millis(300);
const MAX: usize = 4 << 20;

async fn begin(node: &Node, length: &str) -> TcpStream {
    let mut connection = TcpStream::connect(node.address()).await.unwrap();
    let head = format!(
        "POST /api/v3/canister/aaaaa-aa/query HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{length}\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection
}

async fn send(node: &Node, len: usize) -> TcpStream {
    let mut connection = begin(node, &format!("content-length: {len}")).await;
    connection.write_all(&vec![0; len]).await.unwrap();
    connection
}

/// The answer, when there is one soon enough.
async fn answer(connection: &mut TcpStream, within: Duration) -> Option<String> {
    let mut answer = String::new();
    let read = tokio::time::timeout(within, connection.read_to_string(&mut answer)).await;
    read.ok().map(|read| {
        read.unwrap();
        answer
    })
}

#[tokio::test]
async fn a_body_waits_until_there_is_room_for_it_and_a_small_one_never() {
    let config = Config::ephemeral().bodies(MAX).connections(16, LONG, LONG);
    let node = Node::start(config).await.unwrap();
    let mut largest = begin(&node, &format!("content-length: {MAX}")).await;
    // It has its room when so much of it has come that the system cannot hold it.
    largest.write_all(&vec![0; MAX - 1]).await.unwrap();
    let mut large = send(&node, 100_000).await;
    let early = answer(&mut large, LITTLE).await;
    assert!(early.is_none(), "it was read without room: {early:?}");
    let mut small = send(&node, 64 << 10).await;
    let mut too_large = send(&node, MAX + 1).await;
    let mut parts = begin(&node, "transfer-encoding: chunked").await;
    parts.write_all(b"3\r\nabc\r\n0\r\n\r\n").await.unwrap();
    for (connection, status) in [(&mut small, "400"), (&mut too_large, "413"), (&mut parts, "400")] {
        let answer = answer(connection, 20 * LITTLE).await.expect("it waits");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    drop(largest);
    let answer = answer(&mut large, 20 * LITTLE).await.expect("it still waits");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn who_announces_a_large_body_and_sends_none_of_it_keeps_no_room_from_others() {
    let config = Config::ephemeral().bodies(MAX).connections(32, LONG, LONG);
    let node = Node::start(config).await.unwrap();
    let mut idle = Vec::new();
    for _ in 0..4 {
        idle.push(begin(&node, &format!("content-length: {MAX}")).await);
        let chunked = begin(&node, "transfer-encoding: chunked").await;
        idle.push(chunked);
    }
    let mut large = send(&node, 100_000).await;
    let answer = answer(&mut large, 20 * LITTLE).await.expect("it waits");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    drop(idle);
    node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_finds_no_room_in_its_time_is_refused_by_name() {
    let config = Config::ephemeral()
        .bodies(MAX)
        .connections(8, LONG, 3 * LITTLE)
        .instruction_limits(40_000_000_000, 20_000_000_000);
    let node = Node::start(config).await.unwrap();
    let client = agent(&node.url(), node.root_key(), AnonymousIdentity);
    let canister = deploy(&client).await;
    // A body has its room until the query is answered.
    let looping = tokio::spawn(async move {
        let looping = client.query(&canister, "loop_in_query");
        looping.with_arg(vec![0; MAX - 1_000]).call().await
    });
    tokio::time::sleep(5 * LITTLE).await;
    assert!(!looping.is_finished(), "{:?}", looping.await);
    let mut refused = send(&node, 100_000).await;
    let answer = answer(&mut refused, 20 * LITTLE).await.expect("it waits");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("as it has room for"), "{answer}");
    assert!(!looping.is_finished(), "there was room");
    looping.abort();
    node.shutdown().await.unwrap();
}
