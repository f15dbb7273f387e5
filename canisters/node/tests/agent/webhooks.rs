//! Requests without a key that change a canister, on a node that takes no anonymous updates.

use crate::gateway::{encoded, module_with, response, told, upgrade};
use crate::network::*;
use candid::{CandidType, Decode, Encode};
use dcanary_node::{Config, Creators, Mode, Node};
use ic_agent::identity::{AnonymousIdentity, BasicIdentity};
use ic_management_canister_types::{CanisterIdRecord, CanisterInstallMode};
use reqwest::Client;

#[derive(CandidType)]
struct Nothing {}

/// A canister whose pages are updates, with this hook for messages.
fn webhook(inspect: &str) -> Vec<u8> {
    let upgrade = upgrade();
    let updated = encoded(&response(201, b"taken"));
    let functions = format!(
        r#"(func (export "canister_query http_request") (call $say (i32.const 0) (i32.const {})))
        (func (export "canister_update http_request_update") (call $say (i32.const 4096) (i32.const {})))
        (func (export "canister_update other") (call $reply))
        {inspect}"#,
        upgrade.len(),
        updated.len(),
    );
    let accept = r#"(import "ic0" "accept_message" (func $accept))"#;
    module_with(accept, &functions, &[&upgrade, &updated])
}

#[tokio::test]
async fn in_production_a_canister_that_inspects_messages_decides_about_requests_of_browsers_and_others_get_none()
 {
    let config = Config::ephemeral()
        .mode(Mode::Production)
        .creators(Creators::Signed);
    let network = Network {
        node: Node::start(config).await.unwrap(),
    };
    let owner = network.agent(BasicIdentity::from_raw_key(&[7; 32]));
    for (inspect, status, words) in [
        (
            r#"(func (export "canister_inspect_message") (call $accept))"#,
            201,
            "taken",
        ),
        (
            r#"(func (export "canister_inspect_message"))"#,
            502,
            "rejected the message",
        ),
        ("", 502, "exports `canister_inspect_message`"),
    ] {
        let reply = owner
            .update(&management(), "create_canister")
            .with_effective_canister_id(anywhere())
            .with_arg(Encode!(&Nothing {}).unwrap())
            .await
            .unwrap();
        let canister = Decode!(&reply, CanisterIdRecord).unwrap().canister_id;
        install(&owner, canister, &webhook(inspect), CanisterInstallMode::Install)
            .await
            .unwrap();
        let request = Client::new()
            .post(network.node.url())
            .header("host", format!("{canister}.localhost"))
            .body("event");
        let (found, text) = told(request.send().await.unwrap()).await;
        assert_eq!(found, status, "{text}");
        assert!(text.contains(words), "{text}");
        // every other method wants a key, whatever the canister says
        let error = update(&network.agent(AnonymousIdentity), canister, "other")
            .await
            .unwrap_err();
        assert!(format!("{error:?}").contains("no anonymous updates"), "{error:?}");
    }
}
