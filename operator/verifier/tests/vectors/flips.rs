//! No byte of an export is unchecked, and no bytes make a parser panic.

use dcanary_verifier::{Certificate, HashTree, TrustFile, check_read_state, verify_export};
use proptest::prelude::*;

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

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_byte_anywhere_in_a_large_export_is_noticed(at: prop::sample::Index, by in 1_u8..) {
        let world = World::full();
        let mut export = world.export();
        let at = at.index(export.len());
        export[at] ^= by;
        prop_assert_eq!(verify_export(export.as_slice(), Some(&world.trust())).exit_code(), 1);
    }

    #[test]
    fn an_export_that_is_cut_short_is_noticed(at: prop::sample::Index) {
        let world = World::full();
        let export = world.export();
        let at = at.index(export.len());
        prop_assert_eq!(verify_export(&export[..at], Some(&world.trust())).exit_code(), 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

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
