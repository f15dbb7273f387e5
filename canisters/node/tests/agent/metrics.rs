//! The figures that a scrape gets.

use crate::network::*;
use dcanary_node::{Config, Node, Quota, Quotas};
use ic_agent::identity::AnonymousIdentity;

#[tokio::test]
async fn the_figures_show_what_the_node_has_done() {
    let folder = tempfile::tempdir().unwrap();
    let quotas = Quotas {
        messages: Quota::of(3),
        ..Quotas::UNLIMITED
    };
    let config = Config::durable(folder.path()).quotas(quotas);
    let node = Node::start(config).await.unwrap();
    let client = agent(&node.url(), node.root_key(), AnonymousIdentity);
    let canister = deploy(&client).await;
    let before = scrape(&node).await;
    for _ in 0..3 {
        update(&client, canister, "inc").await.unwrap();
    }
    query(&client, canister, "get").await.unwrap();
    update(&client, canister, "inc").await.unwrap_err();
    let after = scrape(&node).await;
    let grown = |name: &str| figure(&after, name) - figure(&before, name);
    assert!((grown("dcanary_node_messages_total") - 3.0).abs() < 0.5);
    assert!((grown("dcanary_node_batches_total") - 3.0).abs() < 0.5);
    assert!((grown("dcanary_node_sync_seconds_count") - 3.0).abs() < 0.5);
    assert!((grown("dcanary_node_executions_total{kind=\"batch\"}") - 3.0).abs() < 0.5);
    assert!(grown("dcanary_node_instructions_total{kind=\"batch\"}") > 3.0);
    assert!(grown("dcanary_node_log_bytes") > 100.0);
    for (name, least) in [
        ("dcanary_node_canisters", 1.0),
        ("dcanary_node_state_bytes", 65_536.0),
        ("dcanary_node_executions_total{kind=\"query\"}", 1.0),
        ("dcanary_node_instructions_total{kind=\"query\"}", 1.0),
        ("dcanary_node_quota_refusals_total{quota=\"messages\"}", 1.0),
        (
            "dcanary_node_http_requests_total{endpoint=\"/api/v3/canister/{id}/query\",status=\"200\"}",
            1.0,
        ),
        (
            "dcanary_node_http_requests_total{endpoint=\"pages\",status=\"200\"}",
            1.0,
        ),
    ] {
        assert!(figure(&after, name) >= least, "{name} in {after}");
    }
    assert!(figure(&after, "dcanary_node_queries").abs() < 0.5);
    assert!(after.ends_with("# EOF\n"), "{after}");
    assert!(
        !after.contains(&canister.to_text()),
        "a stranger's words are labels"
    );
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_is_refused_before_it_is_read_is_counted_and_the_page_of_a_canister_is_its_own() {
    let network = Network::start().await;
    let url = network.node.url();
    let client = reqwest::Client::new();
    let large = client.post(format!("{url}/api/v3/canister/aaaaa-aa/query"));
    assert_eq!(large.body(vec![0; 5 << 20]).send().await.unwrap().status(), 413);
    let text = scrape(&network.node).await;
    let name = "dcanary_node_http_requests_total{endpoint=\"/api/v3/canister/{id}/query\",status=\"413\"}";
    assert!(figure(&text, name) >= 1.0);
    let canister = deploy(&network.agent(AnonymousIdentity)).await;
    let page = client.get(format!("{url}/metrics?canisterId={canister}"));
    let page = page.send().await.unwrap().text().await.unwrap();
    assert!(page.contains("serves no pages"), "{page}");
}
