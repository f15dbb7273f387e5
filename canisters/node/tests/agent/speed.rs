//! Many updates at once: each that is acknowledged counts once. With `DCANARY_MEASURE=1` and `--nocapture` on a quiet machine it tells how fast.

use crate::network::*;
use dcanary_node::{Config, Node};
use ic_agent::identity::AnonymousIdentity;
use std::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_clients_at_once_every_acknowledged_update_counts_once() {
    // (one after the other, by each of 64 clients, queries)
    let (alone, each, queries): (usize, u32, usize) = match std::env::var_os("DCANARY_MEASURE") {
        Some(_) => (500, 100, 500),
        None => (20, 4, 20),
    };
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(Config::durable(folder.path())).await.unwrap();
    let client = agent(&node.url(), node.root_key(), AnonymousIdentity);
    let canister = deploy(&client).await;
    // Without the client's own verification, which takes longer than everything else.
    let http = reqwest::Client::new();
    let mut times = Vec::new();
    for _ in 0..alone {
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
    println!(
        "update: median {:?}, 99 % {:?}",
        times[alone / 2],
        times[alone * 99 / 100]
    );
    let began = Instant::now();
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let (client, http, url) = (
                client.clone(),
                http.clone(),
                format!("{}/api/v4/canister/{canister}/call", node.url()),
            );
            tokio::spawn(async move {
                for _ in 0..each {
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
        f64::from(64 * each) / began.elapsed().as_secs_f64()
    );
    let acknowledged = u64::try_from(alone).unwrap() + u64::from(64 * each);
    assert_eq!(
        counts(&query(&client, canister, "get").await.unwrap()),
        [acknowledged; 3]
    );
    let mut times = Vec::new();
    for _ in 0..queries {
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
    println!(
        "query: median {:?}, 99 % {:?}",
        times[queries / 2],
        times[queries * 99 / 100]
    );
    node.shutdown().await.unwrap();
}
