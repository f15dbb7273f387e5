//! The client against the real node with the real canister.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod control;
mod cost;
mod deploy;
mod environment;
mod identity;
mod mending;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;

use candid::Principal;
use dcanary_ledger::{
    Answer, CheckpointStore as _, FileCheckpoints, Ledger as _, LedgerError, Outcome, Reachability, Segment,
    ic::check_inclusion, setup::FIRST_CANISTER,
};
use dcanary_types::{
    block::Block,
    record::{Body, LedgerEvent},
    value::sha256,
};
use support::{Desk, World, graph, key_of, long_run, memory, outbox, wasm, whole_run};

/// Every block of a run, proven, as the contents that were handed in.
async fn proven(world: &World, run: &str) -> Vec<(u64, [u8; 32])> {
    let client = world.client(memory());
    let head = client.head().await.unwrap();
    let mut found = Vec::new();
    for index in client.run_blocks(&key_of(run)).await.unwrap() {
        let block = client.proven_block(index, &head).await.unwrap();
        let Body::Run(record) = Body::of(&block).unwrap() else {
            panic!("a record of a run")
        };
        assert_eq!(record.run, run);
        found.push((record.n, block.content_hash()));
    }
    found
}

fn expected(records: &[dcanary_ledger::Record]) -> Vec<(u64, [u8; 32])> {
    records
        .iter()
        .map(|record| (record.n, record.content_hash().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_recorded_with_receipts_that_are_proven_by_the_head() {
    let world = World::new().await;
    let mut desk = Desk::new(world.client(memory()));
    let records = whole_run("run-1");
    desk.recorder.submit(outbox("run-1", records.clone()));
    let mut others = Vec::new();
    let blocks = desk.until("run-1", 3, &mut others).await;
    assert_eq!(others, []);
    // Block 0 opens the ledger, block 1 grants the role.
    assert_eq!(blocks, [2, 3, 4, 5]);
    assert_eq!(proven(&world, "run-1").await, expected(&records));

    let client = world.client(memory());
    let head = client.head().await.unwrap();
    let bytes = client.blocks(3, 1).await.unwrap().remove(0);
    let block = Block::decode(&bytes).unwrap();
    let proof = client.inclusion(3, head.size).await.unwrap();
    check_inclusion(&block.hash(), 3, &head, &proof).unwrap();
    assert!(matches!(
        check_inclusion(&block.hash(), 4, &head, &proof),
        Err(LedgerError::Unproven { .. })
    ));
    let position = client.position(&key_of("run-1")).await.unwrap();
    assert_eq!(position.next, 4);
    assert_eq!(position.last, Some((5, records[3].content_hash().unwrap())));
    assert_eq!(client.position(&key_of("nobody")).await.unwrap().next, 0);
    assert_eq!(
        client.run_graph(&key_of("run-1")).await.unwrap(),
        None,
        "dropped at the end of the run"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorder_that_dies_before_it_hears_the_answer_writes_nothing_twice() {
    let world = World::new().await;
    let records = long_run("run-1", 40);
    // What the first recorder sent and never heard of.
    let client = world.client(memory());
    let segment = Segment {
        key: key_of("run-1"),
        graph: Some(graph().encode()),
        records: records[..25].to_vec(),
    };
    let sent = client.append(&[segment]).await.unwrap();
    let Answer::Recorded(first) = sent.answers[0].clone() else {
        panic!("{sent:?}")
    };
    let mut desk = Desk::new(world.client(memory()));
    desk.recorder.submit(outbox("run-1", records.clone()));
    let blocks = desk.until("run-1", 39, &mut Vec::new()).await;
    assert_eq!(blocks[..25], first, "the first receipts");
    assert_eq!(proven(&world, "run-1").await, expected(&records));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_node_is_away_records_wait_and_then_come_in_order_once() {
    let mut world = World::new().await;
    let mut desk = Desk::new(world.client(memory()));
    let (one, two) = (long_run("run-1", 30), whole_run("run-2"));
    desk.recorder.submit(outbox("run-1", one[..10].to_vec()));
    let mut others = Vec::new();
    assert_eq!(desk.until("run-1", 9, &mut others).await.len(), 10);
    world.stop().await;
    desk.recorder.submit(outbox("run-1", one.clone()));
    desk.recorder.submit(outbox("run-2", two.clone()));
    let Outcome::Recorded { .. } = desk.next().await else {
        panic!("the first ten are known")
    };
    let Outcome::Waiting { reason, message, .. } = desk.next().await else {
        panic!("it waits")
    };
    assert_eq!(reason, "LedgerUnreachable");
    assert!(message.contains("cannot be reached"), "{message}");
    assert!(matches!(
        *desk.recorder.reachability().borrow(),
        Reachability::Away { .. }
    ));
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    world.start().await;
    let mut reachability = desk.recorder.reachability();
    let back = reachability.wait_for(|state| *state == Reachability::Reachable);
    tokio::time::timeout(std::time::Duration::from_secs(60), back)
        .await
        .unwrap()
        .unwrap();
    tokio::time::timeout(std::time::Duration::from_secs(60), async {
        while desk.recorder.depth() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(proven(&world, "run-1").await, expected(&one));
    assert_eq!(proven(&world, "run-2").await, expected(&two));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_illegal_record_is_refused_and_its_replacement_is_recorded() {
    let world = World::new().await;
    let mut desk = Desk::new(world.client(memory()));
    let mut records = whole_run("run-1");
    // Succeeded before it started.
    records.remove(1);
    for (record, n) in records.iter_mut().zip(0..) {
        let mut typed: dcanary_types::record::Record =
            dcanary_types::record::Record::decode(&record.btype, record.claimed_ts, &record.body).unwrap();
        typed.n = n;
        *record = (&typed).into();
    }
    desk.recorder.submit(outbox("run-1", records[..2].to_vec()));
    let Outcome::Recorded { blocks, .. } = desk.next().await else {
        panic!("the opening is recorded")
    };
    assert_eq!(blocks.len(), 1);
    let Outcome::Refused { n, hash, reason, .. } = desk.next().await else {
        panic!("refused")
    };
    assert_eq!((n, hash), (1, records[1].content_hash()));
    assert!(!reason.is_empty());
    let replacement = dcanary_types::record::Record {
        run: "run-1".to_owned(),
        n: 1,
        claimed_ts: 9,
        transition: dcanary_types::record::Transition::RecordRefused {
            hash: hash.unwrap(),
            reason: "Illegal".to_owned(),
        },
    };
    desk.recorder.submit(outbox("run-1", vec![(&replacement).into()]));
    assert!(matches!(desk.next().await, Outcome::Recorded { first: 1, .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_content_at_a_recorded_number_is_a_conflict_that_names_the_block() {
    let world = World::new().await;
    let mut desk = Desk::new(world.client(memory()));
    desk.recorder.submit(outbox("run-1", long_run("run-1", 3)));
    let blocks = desk.until("run-1", 2, &mut Vec::new()).await;
    let mut other = long_run("run-1", 3).remove(2);
    other.claimed_ts += 1;
    desk.recorder.submit(outbox("run-1", vec![other]));
    assert_eq!(
        desk.next().await,
        Outcome::Conflict {
            key: key_of("run-1"),
            n: 2,
            have: blocks[2]
        }
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_principal_without_role_waits_and_is_told_why() {
    let mut world = World::new().await;
    world.owner = support::identity();
    let mut desk = Desk::new(world.client(memory()));
    desk.recorder.submit(outbox("run-1", whole_run("run-1")));
    let Outcome::Waiting { message, .. } = desk.next().await else {
        panic!("it waits")
    };
    assert!(message.contains("role"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_data_folder_is_a_fork_and_both_certificates_are_kept() {
    let mut world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(FileCheckpoints::new(folder.path()));
    let mut desk = Desk::new(world.client(store.clone()));
    desk.recorder.submit(outbox("run-1", long_run("run-1", 5)));
    desk.until("run-1", 4, &mut Vec::new()).await;
    world.stop().await;
    let backup = world.backup();
    world.start().await;
    desk.recorder.submit(outbox("run-2", long_run("run-2", 5)));
    let mut reachability = desk.recorder.reachability();
    desk.until("run-2", 4, &mut Vec::new()).await;
    let before = store.load(FIRST_CANISTER).await.unwrap().unwrap();
    world.stop().await;
    world.restore(&backup);
    world.start().await;

    // The running recorder notices, and so does a new client with the same memory.
    desk.recorder.submit(outbox("run-3", whole_run("run-3")));
    let state = reachability.wait_for(|state| matches!(state, Reachability::Forked(_)));
    let state = tokio::time::timeout(std::time::Duration::from_secs(60), state)
        .await
        .unwrap()
        .unwrap()
        .clone();
    let Reachability::Forked(evidence) = state else {
        panic!("{state:?}")
    };
    assert_eq!(evidence.seen, before);
    assert!(!evidence.shown.certificate.is_empty() && evidence.shown != evidence.seen);

    let error = world.client(store.clone()).head().await.unwrap_err();
    assert!(matches!(error, LedgerError::Forked(_)), "{error}");
    assert!(error.to_string().starts_with("LedgerForked"));
    assert_eq!(
        store.load(FIRST_CANISTER).await.unwrap().unwrap(),
        before,
        "the memory stays"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_goes_on_from_a_backup_says_so_in_its_first_block_and_only_once() {
    let mut world = World::new().await;
    let before = world.client(memory()).stats().await.unwrap();
    assert_eq!(before.incarnation, 0);
    world.stop().await;
    world.restore_backup();
    world.start().await;
    let installed = world.install(wasm(), false).await.unwrap();
    assert_eq!(
        installed.done,
        ["recorded that the node was restored: incarnation 1"]
    );
    let client = world.client(memory());
    let head = client.head().await.unwrap();
    let block = client.proven_block(before.blocks, &head).await.unwrap();
    assert_eq!(
        Body::of(&block).unwrap(),
        Body::Ledger(LedgerEvent::Restored { incarnation: 1 })
    );
    // the operator that starts again has nothing more to say
    assert!(world.install(wasm(), false).await.unwrap().done.is_empty());
    assert_eq!(client.stats().await.unwrap().blocks, before.blocks + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_folder_that_grew_again_is_a_fork_too() {
    let mut world = World::new().await;
    let store = memory();
    let client = world.client(store.clone());
    world.stop().await;
    let backup = world.backup();
    world.start().await;
    let append = |run: &str, records: u64| Segment {
        key: key_of(run),
        graph: Some(graph().encode()),
        records: long_run(run, records),
    };
    client.append(&[append("run-1", 5)]).await.unwrap();
    world.stop().await;
    world.restore(&backup);
    world.start().await;
    // Somebody without memory writes another history, longer than the first.
    world
        .client(memory())
        .append(&[append("run-2", 9)])
        .await
        .unwrap();
    let error = client.head().await.unwrap_err();
    assert!(matches!(error, LedgerError::Forked(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_root_key_is_refused_for_calls_queries_and_heads() {
    let world = World::new().await;
    let other = World::bare().await;
    let client = world.client_with(other.root_key.clone(), FIRST_CANISTER, memory());
    let segment = Segment {
        key: key_of("r"),
        graph: Some(graph().encode()),
        records: whole_run("r"),
    };
    let results = [
        client.head().await.map(drop),
        client.append(&[segment]).await.map(drop),
        client.code().await.map(drop),
        client.position(&key_of("r")).await.map(drop),
    ];
    for result in results {
        let error = result.unwrap_err();
        assert!(matches!(error, LedgerError::Certificate { .. }), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_canister_id_is_refused() {
    let world = World::new().await;
    let nobody = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 9, 1, 1]);
    let error = world
        .client_with(world.root_key.clone(), nobody, memory())
        .head()
        .await
        .unwrap_err();
    assert!(matches!(error, LedgerError::Rejected { .. }), "{error}");
    let code = world
        .client_with(world.root_key.clone(), nobody, memory())
        .code()
        .await
        .unwrap();
    assert_eq!((code.module_hash, code.controllers), (None, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn setting_up_twice_changes_nothing_and_other_code_is_named() {
    let world = World::bare().await;
    let first = world.install(wasm(), false).await.unwrap();
    assert_eq!(first.done.len(), 3, "{:?}", first.done);
    assert_eq!(first.module_hash, sha256(&wasm()));
    let again = world.install(wasm(), false).await.unwrap();
    assert_eq!(again.done, Vec::<String>::new());
    let client = world.client(memory());
    let before = client.head().await.unwrap();

    // The same module with one more custom section: other bytes, other hash.
    let mut other = wasm();
    other.extend([0, 3, 1, b'x', 0]);
    let error = world.install(other.clone(), false).await.unwrap_err();
    let LedgerError::OtherCode { expected, found, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(*expected, hex::encode(sha256(&other)));
    assert_eq!(*found, hex::encode(sha256(&wasm())));

    let upgraded = world.install(other.clone(), true).await.unwrap();
    assert_eq!(upgraded.module_hash, sha256(&other));
    let after = client.head().await.unwrap();
    assert_eq!(
        (before.size, before.root),
        (after.size, after.root),
        "an upgrade keeps the journal"
    );

    // An older operator (`helm rollback`) ships the older one. It goes back, and the journal goes on.
    let run = |name: &str| Segment {
        key: key_of(name),
        graph: Some(graph().encode()),
        records: long_run(name, 3),
    };
    client.append(&[run("run-1")]).await.unwrap();
    let grown = client.head().await.unwrap();
    let back = world.install(wasm(), true).await.unwrap();
    assert_eq!(back.module_hash, sha256(&wasm()));
    let kept = client.head().await.unwrap();
    assert_eq!((grown.size, grown.root), (kept.size, kept.root));
    let appended = client.append(&[run("run-2")]).await.unwrap();
    assert_eq!(appended.head.size, grown.size + 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_500_records_of_many_runs_is_one_append() {
    let world = World::new().await;
    let client = world.client(memory());
    let batch: Vec<Segment> = (0..10)
        .map(|i| Segment {
            key: key_of(&format!("run-{i}")),
            graph: Some(graph().encode()),
            records: long_run(&format!("run-{i}"), 50),
        })
        .collect();
    let appended = client.append(&batch).await.unwrap();
    assert!(
        appended
            .answers
            .iter()
            .all(|answer| matches!(answer, Answer::Recorded(b) if b.len() == 50))
    );
    assert_eq!(appended.head.size, 502);
}
