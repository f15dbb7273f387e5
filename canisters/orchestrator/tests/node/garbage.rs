//! Whatever arrives, the canister answers in its own words and never traps.

use candid::{Decode, Encode};
use dcanary_types::api::{Batch, BatchError, BatchResult};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use crate::{
    ledger::*,
    offers::{garbage, steps},
    story::{segment, story},
};

/// Arguments that are candid of something else, candid cut off, or no candid at all.
fn arguments() -> impl Strategy<Value = Vec<u8>> {
    let good = || {
        Encode!(&Batch {
            segments: vec![segment("r", 0, &story())]
        })
        .unwrap()
    };
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(|tail| [b"DIDL".to_vec(), tail].concat()),
        any::<prop::sample::Index>().prop_map(move |at| {
            let mut cut = good();
            cut.truncate(at.index(cut.len()));
            cut
        }),
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(move |(at, byte)| {
            let mut changed = good();
            let at = at.index(changed.len());
            changed[at] = byte;
            changed
        }),
        // A list of 2^40 nothings, which costs no bytes.
        Just(
            [
                &b"DIDL\x01\x6d\x7f\x01\x00"[..],
                &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]
            ]
            .concat()
        ),
        Just(Encode!(&"text").unwrap()),
    ]
}

#[test]
fn random_batches_and_random_bytes_are_answered_and_leave_the_journal_whole() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ledger = runtime.block_on(Ledger::start());
    let mut runner = TestRunner::new(Config {
        cases: 60,
        failure_persistence: None,
        ..Config::default()
    });
    let segments = prop::collection::vec(prop_oneof![garbage(), steps()], 0..20);
    runner
        .run(&(segments, arguments()), |(segments, bytes)| {
            runtime.block_on(async {
                let asked = segments.len();
                let results = ledger.batch(SHOP, segments).await.expect("a trap");
                prop_assert_eq!(results.unwrap().len(), asked);
                let reply = ledger.send(SHOP, "append", bytes).await.expect("a trap");
                Decode!(&reply, BatchResult).unwrap().ok();
                Ok(())
            })
        })
        .unwrap();
    runtime.block_on(async {
        let mut tree = dcanary_types::tree::Accumulator::new();
        for block in ledger.blocks_from(0).await {
            dcanary_types::record::Body::of(&block).unwrap();
            tree.append(&block.hash());
        }
        assert_eq!(ledger.head().await.root(), tree.root());
    });
}

#[tokio::test]
async fn an_argument_that_is_too_long_is_answered() {
    let ledger = Ledger::start().await;
    let reply = ledger.send(SHOP, "append", vec![0; 1_200_000]).await.unwrap();
    let refused = Decode!(&reply, BatchResult).unwrap();
    assert!(matches!(refused, Err(BatchError::TooManyBytes { .. })));
}
