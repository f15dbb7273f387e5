//! What is a fork, and what only looks like one.

use super::*;

#[tokio::test]
async fn a_head_that_rewrites_what_was_seen_is_a_fork_with_both_certificates() {
    let network = Network::new().await;
    shows(&network, &[[1; 32], [2; 32]]);
    let ledger = client(&network);
    let before = ledger.head().await.unwrap();
    let next = block("run-1", 0);
    shows(&network, &[[9; 32], [2; 32], next.hash()]);
    network.says("consistency", proof(&[next.hash()]));
    network.says("blocks", Encode!(&vec![ByteBuf::from(next.encode())]).unwrap());
    network.says("inclusion", proof(&[root(&[[9; 32], [2; 32]])]));
    let LedgerError::Forked(evidence) = ledger.head().await.unwrap_err() else {
        panic!("a fork")
    };
    assert_eq!(
        (evidence.seen.size, evidence.shown.size, evidence.why),
        (2, 3, Fork::OtherPrefix)
    );
    assert_eq!(evidence.seen.certificate, before.certificate);
    assert_ne!(evidence.shown.certificate, before.certificate);
    let prefix = evidence.prefix.as_ref().unwrap();
    assert_eq!(
        prefix.root(2, 3, &evidence.shown.root),
        Some(root(&[[9; 32], [2; 32]])),
        "the evidence shows by itself what the larger tree begins with"
    );
    // Blocks that are gone.
    shows(&network, &[[1; 32]]);
    let LedgerError::Forked(evidence) = ledger.head().await.unwrap_err() else {
        panic!("a fork")
    };
    assert_eq!(evidence.why, Fork::Smaller);
    // Another history of the same length.
    shows(&network, &[[1; 32], [3; 32]]);
    let LedgerError::Forked(evidence) = ledger.head().await.unwrap_err() else {
        panic!("a fork")
    };
    assert_eq!((evidence.why, &evidence.prefix), (Fork::OtherRoot, &None));
}

#[tokio::test]
async fn a_bad_proof_of_one_replica_accuses_nobody_and_is_asked_for_again() {
    let network = Network::new().await;
    shows(&network, &[[1; 32], [2; 32]]);
    let ledger = client(&network);
    ledger.head().await.unwrap();
    let next = block("run-1", 0);
    shows(&network, &[[1; 32], [2; 32], next.hash()]);
    network.says("blocks", Encode!(&vec![ByteBuf::from(next.encode())]).unwrap());
    // The replica spoils the consistency proof alone, or the other proof too.
    for inclusion in [root(&[[1; 32], [2; 32]]), [8; 32]] {
        network.says("consistency", proof(&[[7; 32]]));
        network.says("inclusion", proof(&[inclusion]));
        let error = ledger.head().await.unwrap_err();
        assert!(matches!(error, LedgerError::Unproven { .. }), "{error}");
    }
    let leaf = dcanary_types::tree::leaf_hash(&next.hash());
    network.says("consistency", proof(&[leaf]));
    assert_eq!(ledger.head().await.unwrap().size, 3);
}

#[tokio::test]
async fn a_checkpoint_that_the_ledger_never_certified_is_refused_by_name_and_accuses_nobody() {
    let network = Network::new().await;
    shows(&network, &[[1; 32], [2; 32]]);
    let honest = client(&network).head().await.unwrap();
    let kept = Checkpoint {
        ledger: LEDGER.as_slice().to_vec(),
        size: 2,
        root: honest.root,
        time: honest.time,
        certificate: honest.certificate.clone(),
        hash_tree: honest.hash_tree.clone(),
    };
    let load = async |kept: Checkpoint| {
        let store = Arc::new(MemoryCheckpoints::default());
        store.save(LEDGER, &kept).await.unwrap();
        client_with(&network, store).head().await
    };
    assert_eq!(load(kept.clone()).await.unwrap().size, 2);
    let larger = Checkpoint {
        size: 9,
        ..kept.clone()
    };
    let rewritten = Checkpoint {
        root: [9; 32],
        ..kept.clone()
    };
    let later = Checkpoint {
        time: kept.time + 1,
        ..kept.clone()
    };
    let uncertified = Checkpoint {
        certificate: vec![1],
        ..kept.clone()
    };
    let foreign = {
        let other = Principal::from_slice(&[7, 7]);
        let witness = witness(&labels(&[[1; 32]]));
        let tree = node(vec![time(now()), certified(other, witness.digest())]);
        Checkpoint {
            ledger: other.as_slice().to_vec(),
            size: 1,
            root: root(&[[1; 32]]),
            certificate: network.root.certify(tree, None),
            hash_tree: encode(&witness),
            ..kept.clone()
        }
    };
    for swapped in [larger, rewritten, later, uncertified, foreign] {
        let error = load(swapped).await.unwrap_err();
        assert!(matches!(error, LedgerError::CheckpointSwapped { .. }), "{error}");
        assert_eq!(error.reason(), "CheckpointSwapped");
    }
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
async fn what_was_seen_since_the_last_save_is_written_down_when_the_program_ends() {
    let network = Network::new().await;
    let store = Arc::new(MemoryCheckpoints::default());
    let ledger = client_with(&network, store.clone());
    shows(&network, &[[1; 32]]);
    ledger.head().await.unwrap();
    shows(&network, &[[1; 32], [2; 32]]);
    network.says("consistency", proof(&[dcanary_types::tree::leaf_hash(&[2; 32])]));
    ledger.head().await.unwrap();
    let size = async || store.load(LEDGER).await.unwrap().unwrap().size;
    assert_eq!(size().await, 1, "it is written down only now and then");
    ledger.keep().await.unwrap();
    assert_eq!(size().await, 2);
    // The next start has it: a ledger that was put back meanwhile is a fork.
    shows(&network, &[[1; 32]]);
    let error = client_with(&network, store).head().await.unwrap_err();
    assert!(matches!(error, LedgerError::Forked(_)), "{error}");
}
