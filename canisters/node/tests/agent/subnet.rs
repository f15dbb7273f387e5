//! The endpoints of the subnet: what is about no canister goes through it.

use crate::network::*;
use candid::{CandidType, Decode, Encode, Principal};
use ic_agent::agent::{CallResponse, EffectiveId, RequestStatusResponse};
use ic_agent::identity::{AnonymousIdentity, BasicIdentity};
use ic_agent::{Agent, AgentError};
use ic_management_canister_types::CanisterIdRecord;

#[derive(CandidType)]
struct Nothing {}

const CREATE: [&str; 2] = ["create_canister", "provisional_create_canister_with_cycles"];

async fn subnet_of(agent: &Agent) -> Principal {
    agent.get_subnet_by_canister(&anywhere()).await.unwrap().id()
}

fn signed(agent: &Agent, canister: Principal, method: &str, arg: Vec<u8>) -> Vec<u8> {
    let call = agent.update(&canister, method).with_arg(arg);
    call.sign().unwrap().signed_update
}

fn signed_query(agent: &Agent, canister: Principal, method: &str) -> Vec<u8> {
    let arg = Encode!(&Nothing {}).unwrap();
    let query = agent.query(&canister, method).with_arg(arg);
    query.sign().unwrap().signed_query
}

#[tokio::test]
async fn canisters_are_created_through_the_subnet_and_only_through_it_their_request_is_read() {
    let network = Network::start().await;
    let agent = network.agent(BasicIdentity::from_raw_key(&[7; 32]));
    let subnet = subnet_of(&agent).await;
    for method in CREATE {
        let call = agent
            .update(&management(), method)
            .with_arg(Encode!(&Nothing {}).unwrap())
            .sign()
            .unwrap();
        let answer = agent.update_signed(EffectiveId::Subnet(subnet), call.signed_update);
        let CallResponse::Response(reply) = answer.await.unwrap() else {
            panic!("{method} is not answered");
        };
        let created = Decode!(&reply, CanisterIdRecord).unwrap().canister_id;
        install(
            &agent,
            created,
            &counter(),
            ic_management_canister_types::CanisterInstallMode::Install,
        )
        .await
        .unwrap();
        let (status, _) = agent
            .request_status_raw(&call.request_id, EffectiveId::Subnet(subnet))
            .await
            .unwrap();
        assert!(matches!(status, RequestStatusResponse::Replied(found) if found.arg == reply));
        for elsewhere in [anywhere(), created] {
            let read = agent.request_status_raw(&call.request_id, elsewhere).await;
            assert!(format!("{:?}", read.unwrap_err()).contains("403"));
        }
        // Nor does somebody else read it there.
        let other = network.agent(BasicIdentity::from_raw_key(&[8; 32]));
        let read = other.request_status_raw(&call.request_id, EffectiveId::Subnet(subnet));
        assert!(format!("{:?}", read.await.unwrap_err()).contains("403"));
    }
}

#[tokio::test]
async fn what_is_about_a_canister_does_not_go_through_the_subnet() {
    let network = Network::start().await;
    let agent = network.agent(AnonymousIdentity);
    let canister = deploy(&agent).await;
    let subnet = subnet_of(&agent).await;
    let about = Encode!(&CanisterIdRecord {
        canister_id: canister
    })
    .unwrap();
    let path = format!("/api/v4/subnet/{subnet}/call");
    for body in [
        signed(&agent, canister, "inc", vec![]),
        signed(&agent, management(), "uninstall_code", about.clone()),
    ] {
        let (status, text) = post(&network, &path, body).await;
        assert_eq!(status, 400, "{text}");
        assert!(
            text.contains(&canister.to_text()) && text.contains("create_canister"),
            "{text}"
        );
    }
    let path = format!("/api/v3/subnet/{subnet}/query");
    let (status, text) = post(&network, &path, signed_query(&agent, canister, "get")).await;
    assert_eq!(status, 400, "{text}");
    assert!(text.contains(&canister.to_text()), "{text}");
    // Nothing of it was done.
    assert_eq!(counts(&query(&agent, canister, "get").await.unwrap()), [0, 0, 0]);
}

#[tokio::test]
async fn what_the_node_leaves_out_of_the_subnets_queries_is_refused_by_name_and_signed() {
    let network = Network::start().await;
    let agent = network.agent(AnonymousIdentity);
    let subnet = subnet_of(&agent).await;
    let query = signed_query(&agent, management(), "list_canisters");
    let refused = agent
        .query_signed(EffectiveId::Subnet(subnet), query)
        .await
        .unwrap_err();
    let AgentError::UncertifiedReject { reject, .. } = &refused else {
        panic!("{refused:?}");
    };
    assert!(reject.reject_message.contains("list_canisters"), "{reject:?}");
    assert_eq!(reject.error_code.as_deref(), Some("IC0407"));
}

#[tokio::test]
async fn another_subnet_and_endpoints_that_nobody_defined_are_not_there() {
    let network = Network::start().await;
    let agent = network.agent(AnonymousIdentity);
    let (own, other) = (subnet_of(&agent).await, Principal::self_authenticating([1]));
    let create = || signed(&agent, management(), CREATE[1], Encode!(&Nothing {}).unwrap());
    let list = || signed_query(&agent, management(), "list_canisters");
    for (path, body, expected) in [
        (format!("/api/v4/subnet/{other}/call"), create(), 400),
        (format!("/api/v3/subnet/{other}/query"), list(), 400),
        (format!("/api/v2/subnet/{own}/call"), create(), 404),
        (format!("/api/v3/subnet/{own}/call"), create(), 404),
        (format!("/api/v2/subnet/{own}/query"), list(), 404),
        (format!("/api/v4/subnet/{own}/query"), list(), 404),
        (format!("/api/v4/subnet/{own}/call"), list(), 400),
        (format!("/api/v3/subnet/{own}/query"), create(), 400),
        (format!("/api/v4/subnet/{own}/call"), create(), 200),
    ] {
        let (status, text) = post(&network, &path, body).await;
        assert_eq!(status, expected, "{path}: {text}");
        if expected == 404 {
            assert!(text.contains(&path), "{text}");
        }
    }
}
