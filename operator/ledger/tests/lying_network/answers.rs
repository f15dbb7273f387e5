//! Answers that prove nothing.

use std::time::Duration;

use super::*;

#[tokio::test]
async fn answers_that_no_node_signed_are_refused() {
    let network = Network::new().await;
    network.says("protocol", Encode!(&api::Protocol { min: 1, max: 1 }).unwrap());
    network.stop_signing_queries();
    let error = client(&network).ready().await.unwrap_err();
    assert!(matches!(error, LedgerError::Unproven { .. }), "{error}");
}

#[tokio::test]
async fn a_ledger_of_another_version_is_told_apart() {
    let network = Network::new().await;
    network.says("protocol", Encode!(&api::Protocol { min: 2, max: 3 }).unwrap());
    let error = client(&network).ready().await.unwrap_err();
    assert!(
        matches!(
            error,
            LedgerError::Version {
                min: 2,
                max: 3,
                ours: 1
            }
        ),
        "{error}"
    );
    assert_eq!(error.reason(), "LedgerVersion");
    network.says("protocol", Encode!(&api::Protocol { min: 0, max: 1 }).unwrap());
    client(&network).ready().await.unwrap();
}

#[tokio::test]
async fn a_position_that_the_head_does_not_prove_is_refused() {
    let network = Network::new().await;
    let key = RunKey::new("shop", "east", "run-1");
    let says = |claimed: u64, shown: &Block, held: &Block| {
        let position = api::RunPosition {
            next: claimed,
            outcome: None,
            last_block: 0,
        };
        network.says("run_position", Encode!(&Some(position)).unwrap());
        network.says("blocks", Encode!(&vec![ByteBuf::from(shown.encode())]).unwrap());
        network.says("inclusion", proof(&[]));
        network.says(
            TIP,
            tip(&network.root, &labels(&[held.hash()]), now(), LEDGER, None),
        );
    };
    let honest = block("run-1", 3);
    says(4, &honest, &honest);
    assert_eq!(client(&network).position(&key).await.unwrap().next, 4);
    // Further than the block says, another run's block, and a block that is not in the tree.
    says(9, &honest, &honest);
    let further = client(&network).position(&key).await.unwrap_err();
    let other = block("run-2", 3);
    says(4, &other, &other);
    let foreign = client(&network).position(&key).await.unwrap_err();
    says(4, &honest, &other);
    let unheld = client(&network).position(&key).await.unwrap_err();
    for error in [further, foreign, unheld] {
        assert!(matches!(error, LedgerError::Unproven { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_receipt_is_believed_only_with_a_fresh_certificate_and_a_head_that_holds_it() {
    let network = Network::new().await;
    let receipt = |block: u64| -> Vec<u8> {
        let results: api::BatchResult = Ok(vec![Ok(api::Receipt { blocks: vec![block] })]);
        Encode!(&results).unwrap()
    };
    network.says(
        TIP,
        tip(&network.root, &labels(&[[1; 32], [2; 32]]), now(), LEDGER, None),
    );
    let segment = segment();
    let batch = std::slice::from_ref(&segment);
    network.says("append", receipt(1));
    let appended = client(&network).append(batch).await.unwrap();
    assert_eq!(appended.answers, [dcanary_ledger::Answer::Recorded(vec![1])]);

    network.says("append", receipt(2));
    let error = client(&network).append(batch).await.unwrap_err();
    assert!(
        matches!(error, LedgerError::Unproven { .. }),
        "beyond the head: {error}"
    );

    network.says("append", receipt(1));
    for at in [now() - 4 * MINUTE, now() + 3 * MINUTE] {
        network.set_call_time(at);
        let error = client(&network).append(batch).await.unwrap_err();
        assert!(matches!(error, LedgerError::Stale { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_certificate_for_another_request_answers_no_call() {
    let network = Network::new().await;
    let receipt: api::BatchResult = Ok(vec![Ok(api::Receipt { blocks: vec![1] })]);
    network.says("append", Encode!(&receipt).unwrap());
    shows(&network, &[[1; 32], [2; 32]]);
    let mut config = config(&network, Arc::new(MemoryCheckpoints::default()));
    config.transport.timeout = Duration::from_secs(3);
    let ledger = IcLedger::connect(config).unwrap();
    let segment = segment();
    let batch = std::slice::from_ref(&segment);
    ledger.append(batch).await.unwrap();
    // Rightly signed and fresh, but it says what became of somebody else's call: ours is waited for until the time is over.
    network.answer_for([6; 32]);
    let error = ledger.append(batch).await.unwrap_err();
    assert!(
        matches!(
            error,
            LedgerError::Unreachable { .. } | LedgerError::Unproven { .. }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_receipt_that_another_key_or_another_subnet_signed_is_refused() {
    let network = Network::new().await;
    let receipt: api::BatchResult = Ok(vec![Ok(api::Receipt { blocks: vec![1] })]);
    network.says("append", Encode!(&receipt).unwrap());
    shows(&network, &[[1; 32], [2; 32]]);
    let segment = segment();
    let batch = std::slice::from_ref(&segment);
    let subnet = Signer::new(20);
    let own = delegation(&network, &subnet, 0, 9);
    network.sign_calls_with(subnet.clone(), Some(own));
    client(&network).append(batch).await.unwrap();

    let other = delegation(&network, &subnet, 5, 9);
    network.sign_calls_with(subnet.clone(), Some(other));
    let error = client(&network).append(batch).await.unwrap_err();
    assert!(matches!(error, LedgerError::Range { ledger: LEDGER }), "{error}");

    network.sign_calls_with(subnet, None);
    let error = client(&network).append(batch).await.unwrap_err();
    assert_eq!(error.reason(), "LedgerCertificateInvalid", "{error}");
}

#[tokio::test]
async fn a_call_that_the_canister_rejects_is_refused_in_its_words() {
    let network = Network::new().await;
    network.says("append", Vec::new());
    network.reject_calls("it is full");
    let error = client(&network).append(&[segment()]).await.unwrap_err();
    let LedgerError::Rejected { message, .. } = &error else {
        panic!("{error}")
    };
    assert!(message.starts_with("it is full"), "{message}");
}

#[tokio::test]
async fn a_network_that_fails_is_not_reached_and_says_what_it_said() {
    let network = Network::new().await;
    network.answer_calls_with(axum::http::StatusCode::BAD_GATEWAY);
    let error = client(&network).append(&[segment()]).await.unwrap_err();
    assert_eq!(error.reason(), "LedgerUnreachable");
    assert!(
        error.to_string().contains("HTTP 502: nobody is at home"),
        "{error}"
    );
}
