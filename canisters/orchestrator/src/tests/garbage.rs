//! No argument breaks the ledger: whatever is offered is answered, and what is not accepted leaves no trace.

use dcanary_types::tree;
use proptest::prelude::*;

use super::{
    offers::{garbage, steps},
    world::*,
};

/// A number of cases, or what `PROPTEST_CASES` says.
fn cases(usual: u32) -> ProptestConfig {
    let wanted = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|text| text.parse().ok());
    ProptestConfig::with_cases(wanted.unwrap_or(usual))
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn whatever_is_offered_is_answered_and_the_journal_stays_whole(
        batches in prop::collection::vec(
            (prop::sample::select(vec![EAST, WEST, BANK, OWNER, STRANGER]),
             prop::collection::vec(prop_oneof![garbage(), steps()], 0..6)),
            1..8,
        ),
    ) {
        let mut world = world();
        for (who, segments) in batches {
            let before = world.size();
            let asked = segments.len();
            let Ok(results) = world.batch(who, segments) else {
                prop_assert_eq!(world.size(), before);
                continue;
            };
            prop_assert_eq!(results.len(), asked);
            let written: usize = results.iter().flatten()
                .map(|receipt| receipt.blocks.iter().filter(|index| **index >= before).count()).sum();
            let conflicts = (before..world.size()).filter(|i| world.block(*i).btype == "dcanary_conflict").count();
            // Repeats inside one batch show a new block twice.
            prop_assert!(world.size() <= before + (written + conflicts) as u64);
        }
        let mut grown = tree::Accumulator::new();
        for index in 0..world.size() {
            let block = world.block(index);
            prop_assert!(dcanary_types::record::Body::of(&block).is_ok());
            grown.append(&block.hash());
        }
        let labels = world.ledger.labels();
        prop_assert_eq!(labels.root, grown.root());
        world.upgrade();
        prop_assert_eq!(world.ledger.labels(), labels);
    }
}
