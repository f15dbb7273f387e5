//! Canisters that loop, and those who want something else meanwhile.

use crate::network::*;
use candid::Principal;
use dcanary_node::{Config, Node};
use ic_agent::Agent;
use ic_agent::identity::AnonymousIdentity;
use ic_management_canister_types::CanisterInstallMode;
use tokio::task::JoinHandle;

/// Decides which messages it takes, and loops in queries.
const INSPECTING: &str = r#"
    (module
      (import "ic0" "accept_message" (func $accept))
      (import "ic0" "msg_reply" (func $reply))
      (func (export "canister_inspect_message") (call $accept))
      (func (export "canister_update hello") (call $reply))
      (func (export "canister_query loop_in_query") (loop $again (br $again))))"#;

async fn network() -> (Network, Agent) {
    // A query loops for some seconds.
    let config = Config::ephemeral().instruction_limits(40_000_000_000, 20_000_000_000);
    let network = Network {
        node: Node::start(config).await.unwrap(),
    };
    let agent = network.agent(AnonymousIdentity);
    (network, agent)
}

type Loop = JoinHandle<Result<Vec<u8>, ic_agent::AgentError>>;

/// Queries of one canister that loop.
const LOOPS: u32 = 8;

/// Makes a canister loop in several queries, besides others that run or wait.
async fn loop_in(network: &Network, agent: &Agent, canister: Principal, others: u32) -> Vec<Loop> {
    let ask = |_| {
        let agent = agent.clone();
        tokio::spawn(async move { query(&agent, canister, "loop_in_query").await })
    };
    let loops: Vec<Loop> = (0..LOOPS).map(ask).collect();
    wait_for_queries(&network.node, others + LOOPS).await;
    loops
}

/// None of them has an answer yet: what was answered did not wait for them.
fn still_at_work(loops: &[Loop]) {
    assert!(
        loops.iter().all(|task| !task.is_finished()),
        "a loop ended before the answer"
    );
    loops.iter().for_each(JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_canisters_that_loop_do_not_delay_the_query_of_a_third() {
    let (network, agent) = network().await;
    let good = deploy(&agent).await;
    let evil = [deploy(&agent).await, deploy(&agent).await];
    let mut loops = Vec::new();
    for (canister, others) in evil.into_iter().zip([0, LOOPS]) {
        loops.extend(loop_in(&network, &agent, canister, others).await);
    }
    query(&agent, good, "get").await.unwrap();
    still_at_work(&loops);
    network.node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_that_loop_delay_neither_an_update_that_is_inspected_nor_an_upgrade() {
    let (network, agent) = network().await;
    let canister = create(&agent).await;
    let code = wat::parse_str(INSPECTING).unwrap();
    install(&agent, canister, &code, CanisterInstallMode::Install)
        .await
        .unwrap();
    let loops = loop_in(&network, &agent, canister, 0).await;
    update(&agent, canister, "hello").await.unwrap();
    install(&agent, canister, &counter(), CanisterInstallMode::Reinstall)
        .await
        .unwrap();
    still_at_work(&loops);
    network.node.shutdown().await.unwrap();
}
