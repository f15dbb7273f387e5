//! What the node accepts from clients, with requests as the agent signs them and then changed.

use crate::network::*;
use candid::Encode;
use ic_agent::Identity;
use ic_agent::agent::EnvelopeContent;
use ic_agent::identity::{AnonymousIdentity, BasicIdentity};
use ic_management_canister_types::CanisterIdRecord;
use std::time::{SystemTime, UNIX_EPOCH};

fn in_minutes(minutes: i64) -> u64 {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap();
    u64::try_from(now + minutes * 60_000_000_000).unwrap()
}

fn content(sender: candid::Principal, canister: candid::Principal, expiry: u64) -> EnvelopeContent {
    EnvelopeContent::Call {
        nonce: Some(vec![1, 2, 3]),
        ingress_expiry: expiry,
        sender,
        canister_id: canister,
        method_name: "inc".into(),
        arg: vec![],
        sender_info: None,
    }
}

#[tokio::test]
async fn an_expired_request_is_refused_with_the_words_that_clients_look_for() {
    let network = Network::start().await;
    let identity = BasicIdentity::from_raw_key(&[7; 32]);
    let canister = deploy(&network.agent(BasicIdentity::from_raw_key(&[7; 32]))).await;
    for minutes in [-1, 7] {
        let content = content(identity.sender().unwrap(), canister, in_minutes(minutes));
        let signature = identity.sign(&content).unwrap();
        let envelope = ic_agent::agent::Envelope {
            content: std::borrow::Cow::Owned(content),
            sender_pubkey: signature.public_key,
            sender_sig: signature.signature,
            sender_delegation: None,
        };
        let (status, text) = post(
            &network,
            &format!("/api/v4/canister/{canister}/call"),
            envelope.encode_bytes(),
        )
        .await;
        assert_eq!(status, 400);
        assert!(text.starts_with("Invalid request expiry: "), "{text}");
    }
}

#[tokio::test]
async fn a_forged_signature_and_a_borrowed_key_are_refused() {
    let network = Network::start().await;
    let (mine, other) = (
        BasicIdentity::from_raw_key(&[7; 32]),
        BasicIdentity::from_raw_key(&[8; 32]),
    );
    let canister = deploy(&network.agent(AnonymousIdentity)).await;
    let content = content(mine.sender().unwrap(), canister, in_minutes(3));
    let (good, bad) = (
        mine.sign(&content).unwrap(),
        other
            .sign(&content)
            .unwrap_or_else(|_| mine.sign(&content).unwrap()),
    );
    let mut flipped = good.signature.clone().unwrap();
    flipped[5] ^= 1;
    let cases = [
        (good.public_key.clone(), Some(flipped)),
        (bad.public_key, bad.signature),
        (good.public_key, None),
    ];
    for (sender_pubkey, sender_sig) in cases {
        let envelope = ic_agent::agent::Envelope {
            content: std::borrow::Cow::Borrowed(&content),
            sender_pubkey,
            sender_sig,
            sender_delegation: None,
        };
        let (status, text) = post(
            &network,
            &format!("/api/v4/canister/{canister}/call"),
            envelope.encode_bytes(),
        )
        .await;
        assert_eq!(status, 400, "{text}");
    }
    let shown = query(&network.agent(AnonymousIdentity), canister, "get")
        .await
        .unwrap();
    assert_eq!(counts(&shown), [0, 0, 0]);
}

#[tokio::test]
async fn a_repeated_request_is_executed_once_and_answered_again() {
    let network = Network::start().await;
    let agent = network.agent(BasicIdentity::from_raw_key(&[7; 32]));
    let canister = deploy(&agent).await;
    let signed = agent.update(&canister, "inc").sign().unwrap();
    for _ in 0..3 {
        let ic_agent::agent::CallResponse::Response(reply) = agent
            .update_signed(canister, signed.signed_update.clone())
            .await
            .unwrap()
        else {
            panic!("no answer");
        };
        assert_eq!(counts(&reply), [1, 1, 1]);
    }
    assert_eq!(counts(&query(&agent, canister, "get").await.unwrap()), [1, 1, 1]);
    // Many at once, before the first is executed.
    let again = agent.update(&canister, "inc").sign().unwrap();
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (agent, update) = (agent.clone(), again.signed_update.clone());
            tokio::spawn(async move { agent.update_signed(canister, update).await.unwrap() })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(counts(&query(&agent, canister, "get").await.unwrap()), [2, 2, 2]);
}

#[tokio::test]
async fn the_canister_in_the_path_must_be_the_one_that_is_called() {
    let network = Network::start().await;
    let agent = network.agent(BasicIdentity::from_raw_key(&[7; 32]));
    let (one, two) = (deploy(&agent).await, deploy(&agent).await);
    let signed = agent.update(&one, "inc").sign().unwrap();
    let (status, text) = post(
        &network,
        &format!("/api/v4/canister/{two}/call"),
        signed.signed_update,
    )
    .await;
    assert_eq!(status, 400);
    assert!(text.contains("effective canister id"), "{text}");
    let stop = Encode!(&CanisterIdRecord { canister_id: one }).unwrap();
    assert!(manage(&agent, two, "stop_canister", stop).await.is_err());
}

#[tokio::test]
async fn a_request_status_is_for_its_sender_only() {
    let network = Network::start().await;
    let mine = network.agent(BasicIdentity::from_raw_key(&[7; 32]));
    let canister = deploy(&mine).await;
    let signed = mine.update(&canister, "inc").sign().unwrap();
    mine.update_signed(canister, signed.signed_update.clone())
        .await
        .unwrap();
    assert!(
        mine.request_status_raw(&signed.request_id, canister)
            .await
            .is_ok()
    );
    let other = network.agent(BasicIdentity::from_raw_key(&[8; 32]));
    let error = other
        .request_status_raw(&signed.request_id, canister)
        .await
        .unwrap_err();
    assert!(format!("{error:?}").contains("403"), "{error:?}");
}

#[tokio::test]
async fn certified_data_is_not_readable_from_outside_and_whole_trees_are_not_either() {
    let network = Network::start().await;
    let agent = network.agent(AnonymousIdentity);
    let canister = deploy(&agent).await;
    let forbidden: [Vec<ic_agent::hash_tree::Label<Vec<u8>>>; 4] = [
        vec![
            "canister".into(),
            canister.as_slice().to_vec().into(),
            "certified_data".into(),
        ],
        vec!["canister".into()],
        vec!["request_status".into()],
        vec![],
    ];
    for path in forbidden {
        let error = agent.read_state_raw(vec![path], canister).await.unwrap_err();
        assert!(format!("{error:?}").contains("403"), "{error:?}");
    }
}

#[tokio::test]
async fn rubbish_is_answered_with_an_error_and_nothing_else() {
    let network = Network::start().await;
    let nested = vec![0x81; 100_000];
    for body in [vec![], vec![0xff; 10], nested, b"hello".to_vec()] {
        for kind in ["call", "query", "read_state"] {
            let (status, _) = post(
                &network,
                &format!("/api/v3/canister/aaaaa-aa/{kind}"),
                body.clone(),
            )
            .await;
            assert_eq!(status, 400);
        }
    }
    let (status, _) = post(&network, "/api/v3/canister/aaaaa-aa/query", vec![0; 5 << 20]).await;
    assert_eq!(status, 413);
}

#[tokio::test]
async fn a_canister_that_loops_does_not_block_the_queries_of_others() {
    let node = dcanary_node::Node::start(
        dcanary_node::Config::ephemeral().instruction_limits(2_000_000_000, 2_000_000_000),
    )
    .await
    .unwrap();
    let network = Network { node };
    let agent = network.agent(AnonymousIdentity);
    let (evil, good) = (deploy(&agent).await, deploy(&agent).await);
    let loops: Vec<_> = (0..8)
        .map(|_| {
            let agent = agent.clone();
            tokio::spawn(async move { query(&agent, evil, "loop_in_query").await })
        })
        .collect();
    wait_for_queries(&network.node, 4).await;
    query(&agent, good, "get").await.unwrap();
    assert!(
        loops.iter().any(|task| !task.is_finished()),
        "the loops ended before the query was answered"
    );
    for task in loops {
        assert!(format!("{:?}", task.await.unwrap().unwrap_err()).contains("IC0522"));
    }
}

#[tokio::test]
async fn a_query_can_hand_out_the_certificate_of_its_certified_data() {
    let network = Network::start().await;
    let agent = network.agent(AnonymousIdentity);
    let canister = deploy(&agent).await;
    update(&agent, canister, "inc").await.unwrap();
    // What is in it, and that it verifies, is tested where it is made (`cert::tests`).
    let bytes = query(&agent, canister, "certificate").await.unwrap();
    assert!(bytes.starts_with(&[0xd9, 0xd9, 0xf7]));
    // There is none in an update.
    assert!(
        agent
            .update(&canister, "certificate")
            .call_and_wait()
            .await
            .is_err()
    );
}
