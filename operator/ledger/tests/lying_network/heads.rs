//! Heads that are not what they claim to be.

use super::*;

#[tokio::test]
async fn an_honest_head_is_accepted_and_remembered() {
    let network = Network::new().await;
    network.says(
        TIP,
        tip(&network.root, &labels(&[[1; 32], [2; 32]]), now(), LEDGER, None),
    );
    let ledger = client(&network);
    assert_eq!(ledger.head().await.unwrap().size, 2);
    assert_eq!(
        ledger.head().await.unwrap().size,
        2,
        "an unchanged head needs no proof"
    );
}

#[tokio::test]
async fn a_head_of_another_age_is_refused() {
    let network = Network::new().await;
    for (at, seconds) in [(now() - 4 * MINUTE, 240), (now() + 2 * MINUTE, -120)] {
        network.says(TIP, tip(&network.root, &labels(&[[1; 32]]), at, LEDGER, None));
        let LedgerError::Stale { seconds: told } = client(&network).head().await.unwrap_err() else {
            panic!("stale")
        };
        assert!((told - seconds).abs() < 5, "{told}");
    }
}

#[tokio::test]
async fn a_head_that_another_key_signed_is_refused() {
    let network = Network::new().await;
    network.says(
        TIP,
        tip(&Signer::new(8), &labels(&[[1; 32]]), now(), LEDGER, None),
    );
    let error = client(&network).head().await.unwrap_err();
    assert_eq!(error.reason(), "LedgerCertificateInvalid", "{error}");
}

#[tokio::test]
async fn a_head_of_another_canister_is_refused() {
    let network = Network::new().await;
    let other = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 2, 1, 1]);
    network.says(TIP, tip(&network.root, &labels(&[[1; 32]]), now(), other, None));
    let error = client(&network).head().await.unwrap_err();
    assert!(matches!(error, LedgerError::Labels { .. }), "{error}");
}

#[tokio::test]
async fn labels_that_the_certificate_does_not_hold_are_refused() {
    let network = Network::new().await;
    let honest = witness(&labels(&[[1; 32]]));
    let tree = node(vec![time(now()), certified(LEDGER, honest.digest())]);
    let certificate = network.root.certify(tree, None);
    network.says(
        TIP,
        answer(certificate, encode(&witness(&labels(&[[1; 32], [2; 32]])))),
    );
    let error = client(&network).head().await.unwrap_err();
    assert!(matches!(error, LedgerError::Labels { .. }), "{error}");
}

#[tokio::test]
async fn a_subnet_that_does_not_speak_for_the_ledger_is_refused() {
    let network = Network::new().await;
    let subnet = Signer::new(20);
    let delegation = |low, high| delegation(&network, &subnet, low, high);
    let head = |delegation| tip(&subnet, &labels(&[[1; 32]]), now(), LEDGER, Some(delegation));
    network.says(TIP, head(delegation(0, 9)));
    assert_eq!(client(&network).head().await.unwrap().size, 1);
    network.says(TIP, head(delegation(5, 9)));
    let error = client(&network).head().await.unwrap_err();
    assert!(matches!(error, LedgerError::Range { ledger: LEDGER }), "{error}");
}
