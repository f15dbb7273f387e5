//! What is counted for quotas, and for whom.

use crate::network::*;
use candid::{Encode, Principal};
use dcanary_node::{Config, Node, Quota, Quotas};
use ic_agent::Agent;
use ic_agent::identity::{AnonymousIdentity, BasicIdentity};
use ic_management_canister_types::ProvisionalCreateCanisterWithCyclesArgs;

async fn network(messages: u64) -> Network {
    let quotas = Quotas {
        messages: Quota::of(messages),
        ..Quotas::UNLIMITED
    };
    let config = Config::ephemeral()
        .quotas(quotas)
        .instruction_limits(20_000_000_000, 1_000_000);
    let node = Node::start(config).await.unwrap();
    Network { node }
}

/// What the node says to a signed call at v2, which does not wait.
async fn send(network: &Network, effective: Principal, body: Vec<u8>) -> (u16, String) {
    post(network, &format!("/api/v2/canister/{effective}/call"), body).await
}

async fn creates(network: &Network, agent: &Agent, number: u8) -> (u16, String) {
    let through = Principal::from_slice(&[0, 0, 0, 2, 0, 0, 0, number, 1, 1]);
    let call = agent
        .update(&management(), "provisional_create_canister_with_cycles")
        .with_effective_canister_id(through)
        .with_arg(Encode!(&ProvisionalCreateCanisterWithCyclesArgs::default()).unwrap())
        .sign()
        .unwrap();
    send(network, through, call.signed_update).await
}

#[tokio::test]
async fn calls_that_create_canisters_are_counted_by_their_sender_whatever_their_path_names() {
    let network = network(2).await;
    let one = network.agent(BasicIdentity::from_raw_key(&[7; 32]));
    for number in 1..=2 {
        assert_eq!(creates(&network, &one, number).await.0, 202);
    }
    let (status, text) = creates(&network, &one, 3).await;
    assert_eq!(status, 429, "{text}");
    assert!(text.contains(&one.get_principal().unwrap().to_text()), "{text}");
    let other = network.agent(BasicIdentity::from_raw_key(&[8; 32]));
    assert_eq!(creates(&network, &other, 1).await.0, 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_sent_again_while_it_is_pending_counts_once() {
    let network = network(2).await;
    let agent = network.agent(AnonymousIdentity);
    let canister = deploy(&agent).await;
    let call = |method: &str| agent.update(&canister, method).sign().unwrap().signed_update;
    // It is pending for seconds.
    let repeated = call("loop");
    for _ in 0..4 {
        assert_eq!(send(&network, canister, repeated.clone()).await.0, 202);
    }
    assert_eq!(send(&network, canister, call("inc")).await.0, 202);
    let (status, text) = send(&network, canister, call("whoami")).await;
    assert_eq!(status, 429, "{text}");
    // And also then.
    assert_eq!(send(&network, canister, repeated).await.0, 202);
}
