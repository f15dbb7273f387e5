//! Networks that hold the right keys and lie, and networks that hold the wrong ones: each lie has its own error.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/network.rs"]
mod network;

use std::sync::Arc;

use candid::{CandidType, Encode, Principal};
use dcanary_ledger::{
    IcLedger, IcLedgerConfig, Ledger as _, LedgerError, MemoryCheckpoints, Record, RunKey, Segment, key,
};
use dcanary_types::{api, block::Block, labels::Labels, tree::Accumulator, value};
use dcanary_verifier::Fork;
use ic_certification::{Delegation, hash_tree::leaf};
use network::{LEDGER, Network, Signer, certified, encode, node, now, ranges, text, time};
use serde_bytes::ByteBuf;

const MINUTE: u64 = 60 * 1_000_000_000;

#[derive(CandidType)]
struct Tip {
    certificate: ByteBuf,
    hash_tree: ByteBuf,
}

fn client(network: &Network) -> IcLedger {
    let identity = Arc::new(key::parse(&key::generate().unwrap(), "a test").unwrap());
    let url = format!("http://{}", network.address);
    let store = Arc::new(MemoryCheckpoints::default());
    IcLedger::connect(IcLedgerConfig::new(
        url,
        network.root.der(),
        LEDGER,
        identity,
        store,
    ))
    .unwrap()
}

/// Blocks that a network shows, as their hashes, and what it certifies of them.
fn labels(blocks: &[[u8; 32]]) -> Labels {
    let mut tree = Accumulator::new();
    for block in blocks {
        tree.append(block);
    }
    let last = blocks.last().copied().unwrap_or_default();
    Labels::new([5; 32], tree.root(), blocks.len() as u64, last)
}

fn witness(labels: &Labels) -> network::Tree {
    node(
        labels
            .leaves()
            .into_iter()
            .map(|(name, bytes)| text(name, leaf(bytes)))
            .collect(),
    )
}

fn tip(
    signer: &Signer,
    labels: &Labels,
    at: u64,
    canister: Principal,
    delegation: Option<Delegation>,
) -> Vec<u8> {
    let witness = witness(labels);
    let tree = node(vec![time(at), certified(canister, witness.digest())]);
    answer(signer.certify(tree, delegation), encode(&witness))
}

fn answer(certificate: Vec<u8>, hash_tree: Vec<u8>) -> Vec<u8> {
    Encode!(&Some(Tip {
        certificate: certificate.into(),
        hash_tree: hash_tree.into()
    }))
    .unwrap()
}

fn proof(hashes: &[[u8; 32]]) -> Vec<u8> {
    let hashes: Vec<ByteBuf> = hashes.iter().map(|hash| ByteBuf::from(hash.to_vec())).collect();
    Encode!(&api::ProofResult::Ok(hashes)).unwrap()
}

const TIP: &str = "icrc3_get_tip_certificate";

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
    let id = vec![1, 2, 3];
    let delegation = |low: u8, high: u8| {
        let end = |n: u8| Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, n, 1, 1]);
        let tree = node(vec![
            time(now()),
            text(
                "subnet",
                node(vec![(
                    id.clone(),
                    node(vec![text("public_key", leaf(subnet.der()))]),
                )]),
            ),
            text(
                "canister_ranges",
                node(vec![(
                    id.clone(),
                    node(vec![(vec![], leaf(ranges(end(low), end(high))))]),
                )]),
            ),
        ]);
        Delegation {
            subnet_id: id.clone(),
            certificate: network.root.certify(tree, None),
        }
    };
    let head = |delegation| tip(&subnet, &labels(&[[1; 32]]), now(), LEDGER, Some(delegation));
    network.says(TIP, head(delegation(0, 9)));
    assert_eq!(client(&network).head().await.unwrap().size, 1);
    network.says(TIP, head(delegation(5, 9)));
    let error = client(&network).head().await.unwrap_err();
    assert!(matches!(error, LedgerError::Range { ledger: LEDGER }), "{error}");
}

#[tokio::test]
async fn a_head_that_rewrites_what_was_seen_is_a_fork_with_both_certificates() {
    let network = Network::new().await;
    network.says(
        TIP,
        tip(&network.root, &labels(&[[1; 32], [2; 32]]), now(), LEDGER, None),
    );
    let ledger = client(&network);
    let before = ledger.head().await.unwrap();
    network.says(
        TIP,
        tip(
            &network.root,
            &labels(&[[9; 32], [2; 32], [3; 32]]),
            now(),
            LEDGER,
            None,
        ),
    );
    network.says("consistency", proof(&[[3; 32]]));
    let LedgerError::Forked(evidence) = ledger.head().await.unwrap_err() else {
        panic!("a fork")
    };
    assert_eq!(
        (evidence.old_size, evidence.new_size, evidence.why),
        (2, 3, Fork::Inconsistent)
    );
    assert_eq!(evidence.old.certificate, before.certificate);
    assert_ne!(evidence.new.certificate, before.certificate);
    // Blocks that are gone.
    network.says(TIP, tip(&network.root, &labels(&[[1; 32]]), now(), LEDGER, None));
    let LedgerError::Forked(evidence) = ledger.head().await.unwrap_err() else {
        panic!("a fork")
    };
    assert_eq!(evidence.why, Fork::Smaller);
}

#[tokio::test]
async fn an_older_answer_is_a_lagging_replica_and_no_fork() {
    let network = Network::new().await;
    network.says(
        TIP,
        tip(&network.root, &labels(&[[1; 32], [2; 32]]), now(), LEDGER, None),
    );
    let ledger = client(&network);
    ledger.head().await.unwrap();
    network.says(
        TIP,
        tip(&network.root, &labels(&[[1; 32]]), now() - MINUTE, LEDGER, None),
    );
    let error = ledger.head().await.unwrap_err();
    assert!(
        matches!(error, LedgerError::Lagging { head: 1, seen: 2 }),
        "{error}"
    );
}

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

fn record() -> Record {
    let typed = dcanary_types::record::Record {
        run: "run-1".to_owned(),
        n: 0,
        claimed_ts: 1,
        transition: dcanary_types::record::Transition::RecordRefused {
            hash: [1; 32],
            reason: "x".to_owned(),
        },
    };
    (&typed).into()
}

fn block(run: &str, n: u64) -> Block {
    Block {
        btype: "dcanary_record_refused".to_owned(),
        phash: Some([1; 32]),
        ts: 1,
        claimed_ts: 1,
        caller: vec![1],
        project: "shop".to_owned(),
        domain: "east".to_owned(),
        policy: 1,
        body: value::map([("run", run.into()), ("n", n.into())]),
    }
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
    let segment = Segment {
        key: RunKey::new("shop", "east", "run-1"),
        graph: None,
        records: vec![record()],
    };
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
