//! A node of its own for each test, and the official agent as its client.

use candid::{Decode, Encode, Principal};
use dcanary_node::{Config, Node};
use ic_agent::{Agent, Identity};
use ic_management_canister_types::{
    CanisterIdRecord, CanisterInstallMode, InstallCodeArgs, ProvisionalCreateCanisterWithCyclesArgs,
};
use std::sync::Once;
use std::time::Duration;

/// A running node.
pub struct Network {
    pub node: Node,
}

/// The counter canister.
pub fn counter() -> Vec<u8> {
    wat::parse_str(include_str!("../canisters/counter.wat")).unwrap()
}

pub fn management() -> Principal {
    Principal::management_canister()
}

/// An agent with the default verification of certificates and query signatures.
pub fn agent(url: &str, root_key: &[u8], identity: impl Identity + 'static) -> Agent {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    let agent = Agent::builder()
        .with_url(url)
        .with_identity(identity)
        .build()
        .unwrap();
    agent.set_root_key(root_key.to_vec());
    agent
}

impl Network {
    pub async fn start() -> Self {
        Self {
            node: Node::start(Config::ephemeral()).await.unwrap(),
        }
    }

    pub fn agent(&self, identity: impl Identity + 'static) -> Agent {
        agent(&self.node.url(), self.node.root_key(), identity)
    }
}

/// Sends what somebody signed to a path, and says what the node answers.
pub async fn post(network: &Network, path: &str, body: Vec<u8>) -> (u16, String) {
    let request = reqwest::Client::new()
        .post(format!("{}{path}", network.node.url()))
        .header("content-type", "application/cbor")
        .body(body);
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.bytes().await.unwrap();
    (status, String::from_utf8_lossy(&bytes).into_owned())
}

/// An id that nobody has, to route the creation of canisters.
pub fn anywhere() -> Principal {
    Principal::from_slice(&[0, 0, 0, 2, 0, 0, 0, 0, 1, 1])
}

pub async fn create(agent: &Agent) -> Principal {
    let arg = Encode!(&ProvisionalCreateCanisterWithCyclesArgs::default()).unwrap();
    let reply = agent
        .update(&management(), "provisional_create_canister_with_cycles")
        .with_effective_canister_id(anywhere())
        .with_arg(arg)
        .call_and_wait()
        .await
        .unwrap();
    Decode!(&reply, CanisterIdRecord).unwrap().canister_id
}

pub async fn manage(
    agent: &Agent,
    canister: Principal,
    method: &str,
    arg: Vec<u8>,
) -> Result<Vec<u8>, ic_agent::AgentError> {
    agent
        .update(&management(), method)
        .with_effective_canister_id(canister)
        .with_arg(arg)
        .call_and_wait()
        .await
}

pub async fn install(
    agent: &Agent,
    canister: Principal,
    wasm: &[u8],
    mode: CanisterInstallMode,
) -> Result<Vec<u8>, ic_agent::AgentError> {
    let arg = Encode!(&InstallCodeArgs {
        mode,
        canister_id: canister,
        wasm_module: wasm.to_vec(),
        arg: Vec::new(),
        sender_canister_version: None,
    })
    .unwrap();
    manage(agent, canister, "install_code", arg).await
}

/// A counter canister, ready.
pub async fn deploy(agent: &Agent) -> Principal {
    let canister = create(agent).await;
    install(agent, canister, &counter(), CanisterInstallMode::Install)
        .await
        .unwrap();
    canister
}

pub async fn update(
    agent: &Agent,
    canister: Principal,
    method: &str,
) -> Result<Vec<u8>, ic_agent::AgentError> {
    agent.update(&canister, method).call_and_wait().await
}

pub async fn query(
    agent: &Agent,
    canister: Principal,
    method: &str,
) -> Result<Vec<u8>, ic_agent::AgentError> {
    agent.query(&canister, method).call().await
}

/// The three counters of the counter canister: heap, global, stable.
pub fn counts(reply: &[u8]) -> [u64; 3] {
    std::array::from_fn(|at| u64::from_le_bytes(reply[at * 8..at * 8 + 8].try_into().unwrap()))
}

/// The value of a figure, by its name and labels.
pub fn figure(text: &str, name: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}"))
        .parse()
        .unwrap()
}

pub async fn scrape(node: &Node) -> String {
    scrape_by(&reqwest::Client::new(), node).await
}

async fn scrape_by(client: &reqwest::Client, node: &Node) -> String {
    let request = client.get(format!("{}/metrics", node.url()));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    answer.text().await.unwrap()
}

/// Waits until so many queries run or wait.
pub async fn wait_for_queries(node: &Node, wanted: u32) {
    // One connection, of which a peer has not many.
    let client = reqwest::Client::new();
    let there = async {
        while figure(&scrape_by(&client, node).await, "dcanary_node_queries") < f64::from(wanted) {
            tokio::task::yield_now().await;
        }
    };
    let there = tokio::time::timeout(Duration::from_mins(1), there).await;
    there.expect("the queries do not come");
}
