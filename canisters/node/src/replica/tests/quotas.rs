//! Quotas of messages and queries, through HTTP.

use super::Running;
use super::calls::{endless, manage, running_with, target};
use crate::Config;
use crate::log::crash::{relays, rig};
use crate::quotas::{Quota, Quotas};
use crate::replica::clock::{Clocks, SetClocks};
use ic_agent::Agent;
use ic_principal::Principal;

const SECOND: u64 = 1_000_000_000;

/// What the node says to a signed call at v2, which does not wait.
async fn send(running: &Running, canister: Principal, method: &str, arg: Vec<u8>) -> (u16, String) {
    let signed = running
        .agent
        .update(&canister, method)
        .with_arg(arg)
        .sign()
        .unwrap();
    let url = format!("{}/api/v2/canister/{canister}/call", running.node.url());
    answer(&url, signed.signed_update).await
}

async fn answer(url: &str, body: Vec<u8>) -> (u16, String) {
    let request = reqwest::Client::new()
        .post(url)
        .header("content-type", "application/cbor")
        .body(body);
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn echoes(agent: &Agent, canister: Principal) {
    agent.update(&canister, "echo").call_and_wait().await.unwrap();
}

#[tokio::test]
async fn beyond_its_messages_of_a_minute_a_canister_gets_429_and_nothing_is_logged_and_others_are_served() {
    let now = Clocks::System.read().wall;
    let clocks = SetClocks::at(now, SECOND);
    let quotas = Quotas {
        messages: Quota::of(3),
        ..Quotas::UNLIMITED
    };
    let config = Config::ephemeral()
        .clocks(Clocks::Set(clocks.clone()))
        .quotas(quotas);
    // One increment is its first message.
    let running = Running::start_with(config, relays::setup()).await;
    for _ in 0..2 {
        assert_eq!(running.increment().await.0, 200);
    }
    let operations = running.disk.operations();
    let (status, text) = running.increment().await;
    assert_eq!(status, 429, "{text}");
    let named = [
        "3 messages in a minute",
        "--quota-messages",
        &rig::canister().to_text(),
    ];
    assert!(named.iter().all(|part| text.contains(part)), "{text}");
    assert_eq!(running.disk.operations(), operations, "something was logged");
    // It can be read, other canisters are served, and its controllers reach it.
    assert_eq!(running.count().await, 3);
    let [first, _] = relays::relays();
    echoes(&running.agent, first).await;
    let target = candid::encode_one(ic_management_canister_types::CanisterIdRecord {
        canister_id: rig::canister(),
    });
    running
        .agent
        .update(&Principal::management_canister(), "canister_status")
        .with_effective_canister_id(rig::canister())
        .with_arg(target.unwrap())
        .call_and_wait()
        .await
        .unwrap();
    // A minute later there is room again.
    clocks.pass(62 * SECOND);
    assert_eq!(running.increment().await.0, 200);
    running.node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_canister_has_so_many_messages_that_are_not_answered_and_the_next_when_one_is() {
    let quotas = Quotas {
        pending: Quota::of(1),
        ..Quotas::UNLIMITED
    };
    let running = running_with(Config::ephemeral().quotas(quotas)).await;
    let [first, second] = relays::relays();
    // Nobody waits for it, and it is under way all the same.
    assert_eq!(send(&running, first, "relay", endless()).await.0, 202);
    let (status, text) = send(&running, first, "echo", vec![]).await;
    assert_eq!(status, 429, "{text}");
    assert!(
        text.contains("--quota-pending") && text.contains(&first.to_text()),
        "{text}"
    );
    assert_eq!(running.increment().await.0, 200);
    // Management calls are counted for themselves: this one ends what is under way.
    manage(&running, "start_canister", target()).await;
    echoes(&running.agent, first).await;
    echoes(&running.agent, second).await;
    running.node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_call_that_is_refused_by_its_canister_leaves_its_place() {
    let quotas = Quotas {
        pending: Quota::of(1),
        messages: Quota::of(2),
        ..Quotas::UNLIMITED
    };
    let running = running_with(Config::ephemeral().quotas(quotas)).await;
    let [first, _] = relays::relays();
    for _ in 0..5 {
        let (status, text) = send(&running, first, "missing", vec![]).await;
        assert_eq!(status, 200);
        assert!(text.contains("no update method"), "{text}");
    }
    echoes(&running.agent, first).await;
    running.node.shutdown().await.unwrap();
}

/// A canister whose queries do not end by themselves.
fn looping() -> Principal {
    Principal::from_slice(&[0, 0, 0, 9, 0, 0, 0, 7, 1, 1])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_of_a_canister_that_loops_are_refused_beyond_the_quota_and_others_are_answered() {
    let quotas = Quotas {
        pending: Quota::of(3),
        ..Quotas::UNLIMITED
    };
    let config = Config::ephemeral()
        .quotas(quotas)
        .instruction_limits(40_000_000_000, 1_000_000_000);
    let code = rig::creation(u64::MAX - 100, looping(), &rig::counter());
    let running = Running::start_with(config, code).await;
    let url = format!("{}/api/v3/canister/{}/query", running.node.url(), looping());
    let query = |nonce: u8| {
        let signed = running
            .agent
            .query(&looping(), "loop_in_query")
            .with_arg(vec![nonce])
            .sign()
            .unwrap();
        let url = url.clone();
        tokio::spawn(async move { answer_bytes(&url, signed.signed_query).await })
    };
    let asked: Vec<_> = (0..8).map(query).collect();
    assert_eq!(running.count().await, 1);
    let mut statuses = Vec::new();
    for one in asked {
        statuses.push(one.await.unwrap());
    }
    let refused = statuses.iter().filter(|status| **status == 429).count();
    assert!((1..=5).contains(&refused), "{statuses:?}");
    assert_eq!(query(9).await.unwrap(), 200);
    running.node.shutdown().await.unwrap();
}

async fn answer_bytes(url: &str, body: Vec<u8>) -> u16 {
    let request = reqwest::Client::new()
        .post(url)
        .header("content-type", "application/cbor")
        .body(body);
    request.send().await.unwrap().status().as_u16()
}
