//! No byte of an export is unchecked, and no bytes make a parser panic.

use std::sync::LazyLock;

use dcanary_verifier::{
    Certificate, HashTree, RunEvidence, TrustFile, check_read_state, verify_export, verify_run,
};
use proptest::prelude::*;

use crate::proofs::{evidence, expected};
use crate::world::World;

#[test]
fn every_flipped_bit_of_the_smallest_export_is_noticed() {
    let world = World {
        code: Some(World::good_code),
        ..World::smallest()
    };
    let (good, trust) = (world.export(), world.trust());
    assert_eq!(verify_export(good.as_slice(), Some(&trust)).exit_code(), 0);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        assert_eq!(
            verify_export(bad.as_slice(), Some(&trust)).exit_code(),
            1,
            "byte {at}"
        );
    }
}

#[test]
fn the_code_certificate_is_checked_even_where_nothing_of_it_is_pinned() {
    let world = World {
        code: Some(World::good_code),
        ..World::smallest()
    };
    let (good, trust) = (world.export(), world.bare_trust());
    let code = world.good_code();
    let start = good.windows(code.len()).position(|w| w == code).unwrap();
    for at in start..start + code.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x20;
        assert_eq!(
            verify_export(bad.as_slice(), Some(&trust)).exit_code(),
            1,
            "byte {at}"
        );
    }
}

/// What good evidence is made of, signed once.
struct Good {
    export: Vec<u8>,
    trust: TrustFile,
    certificate: Vec<u8>,
    hash_tree: Vec<u8>,
    run: RunEvidence,
}

static GOOD: LazyLock<Good> = LazyLock::new(|| {
    let world = World::full();
    Good {
        export: world.export(),
        trust: world.trust(),
        certificate: world.certificate(),
        hash_tree: world.hash_tree().tagged(),
        run: evidence(&world),
    }
});

/// One change of bytes: of a byte, of the length, or of a stretch.
#[derive(Clone, Debug)]
enum Change {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let at = any::<prop::sample::Index>;
    let change = prop_oneof![
        4 => (at(), 1_u8..).prop_map(|(at, by)| Change::Flip(at, by)),
        1 => at().prop_map(Change::Cut),
        2 => (at(), prop::collection::vec(any::<u8>(), 1..9)).prop_map(|(at, what)| Change::Insert(at, what)),
        2 => (at(), 1_usize..40).prop_map(|(at, len)| Change::Remove(at, len)),
        1 => (at(), 1_usize..40).prop_map(|(at, len)| Change::Repeat(at, len)),
    ];
    prop::collection::vec(change, 1..5)
}

fn changed(good: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for change in changes.iter().filter(|_| !good.is_empty()) {
        let len = bytes.len();
        let place = |at: &prop::sample::Index| at.index(len.max(1)).min(len);
        match change {
            Change::Flip(at, by) => {
                let at = place(at);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= by;
                }
            }
            Change::Cut(at) => bytes.truncate(place(at)),
            Change::Insert(at, what) => {
                let at = place(at);
                drop(bytes.splice(at..at, what.iter().copied()));
            }
            Change::Remove(at, len) => {
                let at = place(at);
                let end = (at + len).min(bytes.len());
                drop(bytes.drain(at..end));
            }
            Change::Repeat(at, len) => {
                let at = place(at);
                let again = bytes[at..(at + len).min(bytes.len())].to_vec();
                drop(bytes.splice(at..at, again));
            }
        }
    }
    bytes
}

/// The self-describe tag says nothing, and may be left out.
fn untagged(run: &RunEvidence) -> RunEvidence {
    let strip = |bytes: &[u8]| bytes.strip_prefix(b"\xd9\xd9\xf7").unwrap_or(bytes).to_vec();
    RunEvidence {
        certificate: strip(&run.certificate),
        hash_tree: strip(&run.hash_tree),
        code: run.code.as_deref().map(strip),
        ..run.clone()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_export_is_noticed_and_makes_nothing_panic(changes in changes()) {
        let bytes = changed(&GOOD.export, &changes);
        let expected = u8::from(bytes != GOOD.export);
        prop_assert_eq!(verify_export(bytes.as_slice(), Some(&GOOD.trust)).exit_code(), expected);
    }

    #[test]
    fn changed_evidence_of_a_run_is_noticed_and_makes_nothing_panic(part in 0_usize..7, changes in changes()) {
        let mut run = GOOD.run.clone();
        let bytes = match part {
            0 => &mut run.certificate,
            1 => &mut run.hash_tree,
            2 => &mut run.policy,
            3 => run.graph.as_mut().unwrap(),
            4 => run.code.as_mut().unwrap(),
            5 => run.root_key.as_mut().unwrap(),
            _ => &mut run.blocks[3].1,
        };
        *bytes = changed(bytes, &changes);
        let same = untagged(&run) == untagged(&GOOD.run);
        let (report, found) = verify_run(&run, &expected(), Some(&GOOD.trust), None);
        prop_assert_eq!(report.failed().next().is_none(), same, "{:#?}", report.findings());
        prop_assert_eq!(found.is_some(), same);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8192, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_certificate_or_hash_tree_makes_no_parser_panic(changes in changes()) {
        if let Ok(certificate) = Certificate::decode(&changed(&GOOD.certificate, &changes)) {
            let _ = certificate.unverified_time();
        }
        let _ = check_read_state(&changed(&GOOD.certificate, &changes[..1]), &GOOD.trust.root_key, &[1]);
        if let Ok(tree) = HashTree::decode(&changed(&GOOD.hash_tree, &changes)) {
            let _ = tree.lookup(&[b"dcanary_root"]);
            let _ = tree.flat();
        }
    }

    #[test]
    fn a_changed_trust_file_reads_as_what_it_says_or_is_refused(changes in changes()) {
        let text = changed(GOOD.trust.to_json().as_bytes(), &changes);
        if let Ok(read) = TrustFile::parse(&text) {
            prop_assert_eq!(TrustFile::parse(read.to_json().as_bytes()).unwrap(), read);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_as_parts_of_a_run_make_a_parser_panic(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 6),
        index in any::<u64>(),
        proof in prop::collection::vec(any::<[u8; 32]>(), 0..70),
    ) {
        let run = RunEvidence {
            ledger: parts[0].clone(),
            root_key: None,
            certificate: parts[1].clone(),
            hash_tree: parts[2].clone(),
            blocks: vec![(index, parts[3].clone(), proof.clone())],
            graph: Some(parts[4].clone()),
            policy: parts[5].clone(),
            code: Some(parts[0].clone()),
        };
        prop_assert_ne!(verify_run(&run, &expected(), None, Some(index)).0.exit_code(), 0);
        // With the rest in order, what stays is index and proof.
        let mut run = GOOD.run.clone();
        run.blocks[0] = (index, run.blocks[0].1.clone(), proof);
        prop_assert_eq!(verify_run(&run, &expected(), None, None).0.exit_code(), 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8192, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let key = dcanary_verifier::RootKey::mainnet();
        let _ = Certificate::decode(&bytes);
        let _ = HashTree::decode(&bytes);
        let _ = TrustFile::parse(&bytes);
        let _ = check_read_state(&bytes, &key, &[1]);
        let _ = dcanary_verifier::RootKey::from_der(&bytes);
        let _ = dcanary_verifier::cbor::leb128_u64(&bytes);
        prop_assert_eq!(verify_export(bytes.as_slice(), None).exit_code(), 1);
    }

    #[test]
    fn no_bytes_that_look_like_cbor_make_a_parser_panic(bytes in cborish()) {
        let _ = Certificate::decode(&bytes);
        if let Ok(tree) = HashTree::decode(&bytes) {
            let _ = tree.lookup(&[b"a", b"b"]);
            let _ = tree.flat();
        }
        let _ = verify_export(bytes.as_slice(), None);
    }
}

/// Short runs of heads that certificates, trees and exports are made of.
fn cborish() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(vec![0x83, 1]),
        Just(vec![0x83, 2, 0x41, 0x61]),
        Just(vec![0x82, 3, 0x41, 0x62]),
        Just(vec![0x81, 0]),
        Just([vec![0x82, 4, 0x58, 0x20], vec![7; 32]].concat()),
        Just(b"\xa2\x64tree".to_vec()),
        Just(b"\x69signature\x41\x00".to_vec()),
        Just(b"\xa3\x64size\x01\x66format\x70dcanary-export/1\x66ledger\x41\x01".to_vec()),
        Just(b"\x66ledger\x41\x01".to_vec()),
        any::<u8>().prop_map(|b| vec![b]),
        prop::collection::vec(any::<u8>(), 0..9),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}
