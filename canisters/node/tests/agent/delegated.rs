//! Keys that act for another one, as the agent signs with them.

use crate::network::*;
use candid::Encode;
use ic_agent::agent::RequestStatusResponse;
use ic_agent::identity::{
    BasicIdentity, DelegatedIdentity, Delegation, DelegationPermissions, Prime256v1Identity,
    Secp256k1Identity, SignedDelegation,
};
use ic_agent::{AgentError, Identity};
use ic_management_canister_types::CanisterIdRecord;
use std::time::{SystemTime, UNIX_EPOCH};

fn owner() -> BasicIdentity {
    BasicIdentity::from_raw_key(&[7; 32])
}

fn in_ten_minutes() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    u64::try_from(now).unwrap() + 600_000_000_000
}

fn link(from: &dyn Identity, to: &dyn Identity, change: impl FnOnce(&mut Delegation)) -> SignedDelegation {
    let mut delegation = Delegation {
        pubkey: to.public_key().unwrap(),
        expiration: in_ten_minutes(),
        targets: None,
        permissions: None,
    };
    change(&mut delegation);
    let signature = from.sign_delegation(&delegation).unwrap().signature.unwrap();
    SignedDelegation {
        delegation,
        signature,
    }
}

/// A session key of the owner, with one link that is changed.
fn session(change: impl FnOnce(&mut Delegation)) -> DelegatedIdentity {
    let session = BasicIdentity::from_raw_key(&[8; 32]);
    let chain = vec![link(&owner(), &session, change)];
    DelegatedIdentity::new_unchecked(owner().public_key().unwrap(), Box::new(session), chain)
}

fn refused(result: Result<Vec<u8>, AgentError>, why: &str) {
    let Err(AgentError::HttpError(payload)) = result else {
        panic!("not refused: {result:?}");
    };
    let text = String::from_utf8_lossy(&payload.content).into_owned();
    assert_eq!(payload.status, 400, "{text}");
    assert!(text.contains(why), "{text}");
}

#[tokio::test]
async fn a_chain_of_all_types_of_keys_acts_as_its_owner() {
    let network = Network::start().await;
    let canister = deploy(&network.agent(owner())).await;
    let first = Secp256k1Identity::from_private_key(k256::SecretKey::from_slice(&[8; 32]).unwrap());
    let second = Prime256v1Identity::from_private_key(p256::SecretKey::from_slice(&[9; 32]).unwrap());
    let chain = vec![
        link(&owner(), &first, |_| {}),
        link(&first, &second, |link| link.targets = Some(vec![canister])),
    ];
    let identity = DelegatedIdentity::new(owner().public_key().unwrap(), Box::new(second), chain).unwrap();
    let agent = network.agent(identity);
    let me = owner().sender().unwrap();
    assert_eq!(update(&agent, canister, "whoami").await.unwrap(), me.as_slice());
    query(&agent, canister, "get").await.unwrap();
    agent.read_state_canister_module_hash(canister).await.unwrap();
}

#[tokio::test]
async fn a_session_for_one_canister_reaches_no_other_and_not_what_became_of_requests_to_it() {
    let network = Network::start().await;
    let agent = network.agent(owner());
    let (mine, other) = (deploy(&agent).await, deploy(&agent).await);
    let session = network.agent(session(|link| link.targets = Some(vec![mine])));
    update(&session, mine, "inc").await.unwrap();
    refused(update(&session, other, "inc").await, "not for canister");
    refused(query(&session, other, "get").await, "not for canister");
    // The management canister is a canister of its own.
    let stop = Encode!(&CanisterIdRecord { canister_id: mine }).unwrap();
    refused(
        manage(&session, mine, "stop_canister", stop).await,
        "not for canister",
    );
    let signed = agent.update(&other, "inc").sign().unwrap();
    agent.update_signed(other, signed.signed_update).await.unwrap();
    let error = session
        .request_status_raw(&signed.request_id, other)
        .await
        .unwrap_err();
    assert!(format!("{error:?}").contains("403"), "{error:?}");
}

#[tokio::test]
async fn a_session_for_the_management_canister_manages() {
    let network = Network::start().await;
    let canister = deploy(&network.agent(owner())).await;
    let session = network.agent(session(|link| link.targets = Some(vec![management()])));
    let stop = Encode!(&CanisterIdRecord {
        canister_id: canister
    })
    .unwrap();
    manage(&session, canister, "stop_canister", stop).await.unwrap();
    refused(update(&session, canister, "inc").await, "not for canister");
}

#[tokio::test]
async fn what_became_of_a_management_call_is_for_sessions_of_the_management_canister_and_not_of_the_one_it_is_about()
 {
    let network = Network::start().await;
    let canister = deploy(&network.agent(owner())).await;
    let managing = network.agent(session(|link| link.targets = Some(vec![management()])));
    let stop = Encode!(&CanisterIdRecord {
        canister_id: canister
    })
    .unwrap();
    let signed = managing
        .update(&management(), "stop_canister")
        .with_effective_canister_id(canister)
        .with_arg(stop)
        .sign()
        .unwrap();
    managing
        .update_signed(canister, signed.signed_update)
        .await
        .unwrap();
    let (status, _) = managing
        .request_status_raw(&signed.request_id, canister)
        .await
        .unwrap();
    assert!(matches!(status, RequestStatusResponse::Replied(_)), "{status:?}");
    let other = network.agent(session(|link| link.targets = Some(vec![canister])));
    let error = other
        .request_status_raw(&signed.request_id, canister)
        .await
        .unwrap_err();
    assert!(format!("{error:?}").contains("403"), "{error:?}");
}

#[tokio::test]
async fn a_session_for_queries_reads_and_does_not_call() {
    let network = Network::start().await;
    let agent = network.agent(owner());
    let canister = deploy(&agent).await;
    let session = network.agent(session(|link| {
        link.permissions = Some(DelegationPermissions::Queries);
    }));
    query(&session, canister, "get").await.unwrap();
    let signed = agent.update(&canister, "inc").sign().unwrap();
    agent.update_signed(canister, signed.signed_update).await.unwrap();
    let (status, _) = session
        .request_status_raw(&signed.request_id, canister)
        .await
        .unwrap();
    assert!(matches!(status, RequestStatusResponse::Replied(_)), "{status:?}");
    refused(update(&session, canister, "inc").await, "queries only");
}

#[tokio::test]
async fn a_session_that_ended_is_refused() {
    let network = Network::start().await;
    let canister = deploy(&network.agent(owner())).await;
    let session = network.agent(session(|link| link.expiration -= 601_000_000_000));
    refused(update(&session, canister, "inc").await, "expired");
}
