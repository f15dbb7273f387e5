//! Clients that hold connections: without saying anything, or without listening.

use crate::network::*;
use dcanary_node::{Config, Node};
use ic_agent::identity::AnonymousIdentity;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const LONG: Duration = Duration::from_mins(10);
const SHORT: Duration = Duration::from_millis(200);

async fn node(at_once: usize, head: Duration, body: Duration) -> Node {
    Node::start(Config::ephemeral().connections(at_once, head, body))
        .await
        .unwrap()
}

/// A connection from another address of this machine: 127.0.0.2 and so on are its own too.
async fn connect_from(peer: u8, node: &Node) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, peer], 0).into()).unwrap();
    socket.connect(node.address()).await.unwrap()
}

/// What the node sends until it closes the connection.
async fn rest(mut connection: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end too. The engine of HTTP has a time-out of 30 seconds by itself.
    let read = tokio::time::timeout(Duration::from_secs(20), connection.read_to_end(&mut bytes));
    let _ = read.await.expect("the connection is not closed");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut_off() {
    let node = node(8, SHORT, LONG).await;
    let mut connection = TcpStream::connect(node.address()).await.unwrap();
    connection
        .write_all(b"POST /api/v3/canister/aaaaa-aa/query HTTP/1.1\r\nx: ")
        .await
        .unwrap();
    rest(connection).await;
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_body_that_does_not_end_is_answered_with_a_time_out() {
    let node = node(8, LONG, SHORT).await;
    let mut connection = TcpStream::connect(node.address()).await.unwrap();
    connection
        .write_all(
            b"POST /api/v3/canister/aaaaa-aa/query HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 100\r\n\r\nabc",
        )
        .await
        .unwrap();
    let answer = rest(connection).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn silent_connections_take_all_places_only_until_their_time_is_up() {
    let node = node(2, SHORT, LONG).await;
    let silent = [connect_from(2, &node).await, connect_from(3, &node).await];
    // It is answered when the places are free again.
    let client = agent(&node.url(), node.root_key(), AnonymousIdentity);
    let answer = tokio::time::timeout(Duration::from_secs(20), client.status());
    answer.await.expect("no place became free").unwrap();
    for connection in silent {
        rest(connection).await;
    }
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn more_connections_than_allowed_are_not_served_at_once() {
    let node = node(1, LONG, LONG).await;
    let mut first = TcpStream::connect(node.address()).await.unwrap();
    let ask = b"GET /api/v2/status HTTP/1.1\r\nhost: x\r\n\r\n";
    first.write_all(ask).await.unwrap();
    let mut begun = [0; 12];
    first.read_exact(&mut begun).await.unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200");
    let mut second = TcpStream::connect(node.address()).await.unwrap();
    second.write_all(ask).await.unwrap();
    // The first keeps its connection open: the second is not answered.
    let mut answer = [0; 12];
    let waited = tokio::time::timeout(SHORT, second.read_exact(&mut answer)).await;
    assert!(waited.is_err(), "it was answered");
    drop(first);
    second.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    drop(second);
    node.shutdown().await.unwrap();
}

const ASK: &[u8] = b"GET /api/v2/status HTTP/1.1\r\nhost: x\r\n\r\n";

/// Asks for the status, and leaves the connection open.
async fn ask(connection: &mut TcpStream) {
    let mut answer = [0; 12];
    connection.write_all(ASK).await.unwrap();
    let answered = connection.read_exact(&mut answer);
    let answered = tokio::time::timeout(Duration::from_secs(20), answered).await;
    answered.expect("it is not answered").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[tokio::test]
async fn one_peer_has_half_of_the_connections_and_others_are_answered_meanwhile() {
    let node = node(4, LONG, LONG).await;
    let mut held = vec![connect_from(2, &node).await, connect_from(2, &node).await];
    for connection in &mut held {
        ask(connection).await;
    }
    // What it opens more is closed at once, however often it does.
    for _ in 0..5 {
        assert_eq!(rest(connect_from(2, &node).await).await, "");
    }
    let mut others = [connect_from(1, &node).await, connect_from(3, &node).await];
    for connection in &mut others {
        ask(connection).await;
    }
    drop(others);
    let text = reqwest::get(format!("{}/metrics", node.url())).await.unwrap();
    let text = text.text().await.unwrap();
    assert!(
        text.contains("dcanary_node_connections_refused_total 5\n"),
        "{text}"
    );
    // One of its own that ends makes room for the next.
    let ended = held.pop().unwrap();
    drop(ended);
    let next = async {
        loop {
            let mut connection = connect_from(2, &node).await;
            let mut answer = [0; 12];
            let _ = connection.write_all(ASK).await;
            if connection.read_exact(&mut answer).await.is_ok() {
                return answer;
            }
        }
    };
    let next = tokio::time::timeout(Duration::from_secs(20), next);
    assert_eq!(&next.await.expect("there is no room"), b"HTTP/1.1 200");
    drop(held);
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn clients_that_do_not_read_take_all_places_only_until_their_time_is_up() {
    let config = Config::ephemeral().connections(2, LONG, LONG).unread(SHORT);
    let node = Node::start(config).await.unwrap();
    let ask = b"GET /api/v2/status HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1_000);
    let mut deaf = Vec::new();
    for peer in [2, 3] {
        let mut connection = connect_from(peer, &node).await;
        // Until the node takes no more, because it cannot get rid of its answers, or ends the connection.
        while let Ok(Ok(())) = tokio::time::timeout(SHORT, connection.write_all(&ask)).await {}
        deaf.push(connection);
    }
    let client = agent(&node.url(), node.root_key(), AnonymousIdentity);
    let answer = tokio::time::timeout(Duration::from_secs(20), client.status());
    answer.await.expect("no place became free").unwrap();
    drop(deaf);
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_all_of_its_answers() {
    const TIMES: usize = 20_000;
    let config = Config::ephemeral().unread(5 * SHORT);
    let node = Node::start(config).await.unwrap();
    let connection = TcpStream::connect(node.address()).await.unwrap();
    let (mut read, mut write) = connection.into_split();
    let asking = tokio::spawn(async move {
        let ask = b"GET /api/v2/status HTTP/1.1\r\nhost: x\r\n\r\n".repeat(TIMES - 1);
        write.write_all(&ask).await.unwrap();
        let last = b"GET /api/v2/status HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        write.write_all(last).await.unwrap();
        write
    });
    let mut answers = Vec::new();
    let mut part = vec![0; 1 << 20];
    for round in 0.. {
        // In all far longer than a write may wait.
        if round < 10 {
            tokio::time::sleep(SHORT).await;
        }
        let len = read.read(&mut part).await.unwrap();
        if len == 0 {
            break;
        }
        answers.extend_from_slice(&part[..len]);
    }
    let answers = String::from_utf8_lossy(&answers);
    assert_eq!(answers.matches("HTTP/1.1 200").count(), TIMES);
    drop(asking.await.unwrap());
    node.shutdown().await.unwrap();
}
