//! How fast it is; run with `--ignored --nocapture` on a quiet machine.

use crate::network::*;
use dcanary_node::{Config, Node};
use ic_agent::identity::AnonymousIdentity;
use std::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn durable_updates_and_queries() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(Config::durable(folder.path())).await.unwrap();
    let client = agent(&node.url(), node.root_key(), AnonymousIdentity);
    let canister = deploy(&client).await;
    // Without the client's own verification, which takes longer than everything else.
    let http = reqwest::Client::new();
    let mut times = Vec::new();
    for _ in 0..500 {
        let body = client.update(&canister, "inc").sign().unwrap().signed_update;
        let url = format!("{}/api/v4/canister/{canister}/call", node.url());
        let began = Instant::now();
        let response = http
            .post(url)
            .header("content-type", "application/cbor")
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        response.bytes().await.unwrap();
        times.push(began.elapsed());
    }
    times.sort();
    println!("update: median {:?}, 99 % {:?}", times[250], times[495]);
    let began = Instant::now();
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let (client, http, url) = (
                client.clone(),
                http.clone(),
                format!("{}/api/v4/canister/{canister}/call", node.url()),
            );
            tokio::spawn(async move {
                for _ in 0..100 {
                    let body = client.update(&canister, "inc").sign().unwrap().signed_update;
                    let response = http
                        .post(&url)
                        .header("content-type", "application/cbor")
                        .body(body)
                        .send()
                        .await
                        .unwrap();
                    assert_eq!(response.status(), 200);
                    response.bytes().await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    println!(
        "updates by 64 clients: {:.0}/s",
        6_400.0 / began.elapsed().as_secs_f64()
    );
    let mut times = Vec::new();
    for _ in 0..500 {
        let body = client.query(&canister, "get").sign().unwrap().signed_query;
        let began = Instant::now();
        http.post(format!("{}/api/v3/canister/{canister}/query", node.url()))
            .body(body)
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
        times.push(began.elapsed());
    }
    times.sort();
    println!("query: median {:?}, 99 % {:?}", times[250], times[495]);
    node.shutdown().await.unwrap();
}
