//! Update, query, read_state through ic-agent.

use crate::network::*;
use ic_agent::AgentError;
use ic_agent::identity::{AnonymousIdentity, BasicIdentity, Prime256v1Identity, Secp256k1Identity};

#[tokio::test]
async fn an_update_changes_what_a_query_shows() {
    let network = Network::start().await;
    let agent = network.agent(AnonymousIdentity);
    let canister = deploy(&agent).await;
    assert_eq!(counts(&update(&agent, canister, "inc").await.unwrap()), [1, 1, 1]);
    assert_eq!(counts(&update(&agent, canister, "inc").await.unwrap()), [2, 2, 2]);
    assert_eq!(counts(&query(&agent, canister, "get").await.unwrap()), [2, 2, 2]);
}

#[tokio::test]
async fn a_client_that_pins_another_root_key_refuses_every_answer() {
    let network = Network::start().await;
    let other = Network::start().await;
    let canister = deploy(&network.agent(AnonymousIdentity)).await;
    let fooled = agent(&network.node.url(), other.node.root_key(), AnonymousIdentity);
    assert!(matches!(
        update(&fooled, canister, "inc").await,
        Err(AgentError::CertificateVerificationFailed())
    ));
    assert!(query(&fooled, canister, "get").await.is_err());
    assert!(fooled.read_state_canister_module_hash(canister).await.is_err());
}

#[tokio::test]
async fn every_key_type_is_authenticated_as_its_principal() {
    let network = Network::start().await;
    let canister = deploy(&network.agent(AnonymousIdentity)).await;
    let ed25519 = network.agent(BasicIdentity::from_raw_key(&[7; 32]));
    let secp256k1 = network.agent(Secp256k1Identity::from_private_key(
        k256::SecretKey::from_slice(&[8; 32]).unwrap(),
    ));
    let p256 = network.agent(Prime256v1Identity::from_private_key(
        p256::SecretKey::from_slice(&[9; 32]).unwrap(),
    ));
    for agent in [ed25519, secp256k1, p256, network.agent(AnonymousIdentity)] {
        let expected = agent.get_principal().unwrap();
        assert_eq!(
            update(&agent, canister, "whoami").await.unwrap(),
            expected.as_slice()
        );
    }
}

#[tokio::test]
async fn the_state_tree_shows_module_hash_controllers_and_metadata_that_is_absent() {
    let network = Network::start().await;
    let owner = network.agent(BasicIdentity::from_raw_key(&[7; 32]));
    let canister = deploy(&owner).await;
    let anybody = network.agent(AnonymousIdentity);
    let hash: [u8; 32] = sha2::Digest::finalize(sha2::Digest::chain_update(
        <sha2::Sha256 as sha2::Digest>::new(),
        counter(),
    ))
    .into();
    assert_eq!(
        anybody.read_state_canister_module_hash(canister).await.unwrap(),
        hash
    );
    assert_eq!(
        anybody.read_state_canister_controllers(canister).await.unwrap(),
        [owner.get_principal().unwrap()]
    );
    assert!(matches!(
        anybody
            .read_state_canister_metadata(canister, "candid:service")
            .await,
        Err(AgentError::LookupPathAbsent(_))
    ));
}

#[tokio::test]
async fn a_rejection_carries_its_code_and_certificate() {
    let network = Network::start().await;
    let agent = network.agent(AnonymousIdentity);
    let canister = deploy(&agent).await;
    let cases = [
        ("inc_then_trap", "IC0503", "boom"),
        ("inc_then_unreachable", "IC0502", "unreachable"),
        ("inc_then_reject", "IC0406", "no"),
        ("silent", "IC0506", "response"),
    ];
    for (method, code, text) in cases {
        let Err(AgentError::CertifiedReject { reject, .. }) = update(&agent, canister, method).await else {
            panic!("{method} was not rejected with a certificate");
        };
        assert_eq!(reject.error_code.as_deref(), Some(code), "{method}");
        assert!(
            reject.reject_message.contains(text),
            "{method}: {}",
            reject.reject_message
        );
    }
    // Only the one that rejected by itself has changed anything.
    assert_eq!(counts(&query(&agent, canister, "get").await.unwrap()), [1, 1, 1]);
}

#[tokio::test]
async fn what_cannot_be_executed_is_refused_before_ordering() {
    let network = Network::start().await;
    let agent = network.agent(AnonymousIdentity);
    let canister = deploy(&agent).await;
    let missing = update(&agent, canister, "no_such_method").await;
    let absent = update(&agent, anywhere(), "inc").await;
    for (result, code) in [(missing, "IC0536"), (absent, "IC0301")] {
        let Err(AgentError::UncertifiedReject { reject, .. }) = result else {
            panic!("not rejected: {result:?}");
        };
        assert_eq!(reject.error_code.as_deref(), Some(code));
    }
    let Err(AgentError::UncertifiedReject { reject, .. }) = query(&agent, canister, "trap_in_query").await
    else {
        panic!("not rejected");
    };
    assert_eq!(reject.error_code.as_deref(), Some("IC0503"));
}
