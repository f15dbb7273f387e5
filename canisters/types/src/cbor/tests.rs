use proptest::prelude::*;

use super::*;
use crate::value::map;

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<u64>().prop_map(Value::Nat),
        (0_u64..70_000).prop_map(Value::Nat),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Value::Blob),
        ".{0,40}".prop_map(Value::Text),
    ];
    leaf.prop_recursive(6, 64, 30, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..30).prop_map(Value::Array),
            prop::collection::btree_map("[a-z]{0,30}", inner, 0..30).prop_map(Value::Map),
        ]
    })
}

/// Every way to write a head with more bytes than it needs.
fn longer_heads(major: u8, n: u64) -> Vec<Vec<u8>> {
    let top = major << 5;
    let wide = n.to_be_bytes();
    let mut heads = Vec::new();
    for (info, width, least) in [
        (24_u8, 1_usize, 24_u64),
        (25, 2, 0x100),
        (26, 4, 0x1_0000),
        (27, 8, 0x1_0000_0000),
    ] {
        if n < least {
            heads.push([&[top | info], &wide[8 - width..]].concat());
        }
    }
    heads
}

#[test]
fn numbers_use_the_shortest_head_at_each_border() {
    for (n, hex) in [
        (0, "00"),
        (23, "17"),
        (24, "1818"),
        (255, "18ff"),
        (256, "190100"),
        (65_535, "19ffff"),
        (65_536, "1a00010000"),
        (u64::from(u32::MAX), "1affffffff"),
        (1 << 32, "1b0000000100000000"),
        (u64::MAX, "1bffffffffffffffff"),
    ] {
        assert_eq!(hex::encode(encode(&Value::Nat(n))), hex);
    }
}

#[test]
fn keys_are_ordered_by_their_encoded_form_so_shorter_ones_come_first() {
    let value = Value::Map(map([
        ("b", Value::Nat(1)),
        ("aa", Value::Nat(2)),
        ("c", Value::Nat(3)),
    ]));
    assert_eq!(
        hex::encode(encode(&value)),
        "a3616201616303626161 02".replace(' ', "")
    );
}

#[test]
fn longer_heads_are_refused_for_every_major_type() {
    for n in [0_u64, 1, 23, 24, 200, 300] {
        for major in [NAT, BLOB, TEXT, ARRAY] {
            for head in longer_heads(major, n) {
                let item = if major == ARRAY { 0_u8 } else { b'a' };
                let mut bytes = head;
                if major != NAT {
                    bytes.extend(vec![item; usize::try_from(n).unwrap()]);
                }
                assert!(
                    matches!(decode(&bytes), Err(CborError::NotShortest(0))),
                    "{major} {n}"
                );
            }
        }
    }
    assert_eq!(decode(&[0xb8, 1, 0x61, b'a', 0]), Err(CborError::NotShortest(0)));
    assert_eq!(decode(&[0xa1, 0x78, 1, b'a', 0]), Err(CborError::NotShortest(1)));
}

#[test]
fn indefinite_lengths_and_reserved_heads_are_refused() {
    for first in 0..=255_u8 {
        if (28..=31).contains(&(first & 0x1f)) {
            assert_eq!(
                decode(&[first, 0, 0xff]),
                Err(CborError::BadHead(0)),
                "{first:#x}"
            );
        }
    }
}

#[test]
fn negative_numbers_tags_floats_and_simple_values_are_refused() {
    for bytes in [
        &[0x20][..],
        &[0xc0, 0],
        &[0xd9, 0xd9, 0xf7, 0],
        &[0xf4],
        &[0xf6],
        &[0xf9, 0x3c, 0],
    ] {
        assert!(
            matches!(decode(bytes), Err(CborError::NotAValue { at: 0, .. })),
            "{bytes:?}"
        );
    }
}

#[test]
fn keys_repeated_unordered_or_not_text_are_refused() {
    assert_eq!(
        decode(&[0xa2, 0x61, b'a', 0, 0x61, b'a', 0]),
        Err(CborError::KeyOrder(4))
    );
    assert_eq!(
        decode(&[0xa2, 0x61, b'b', 0, 0x61, b'a', 0]),
        Err(CborError::KeyOrder(4))
    );
    assert_eq!(
        decode(&[0xa2, 0x62, b'a', b'a', 0, 0x61, b'b', 0]),
        Err(CborError::KeyOrder(5))
    );
    assert_eq!(decode(&[0xa1, 0x00, 0x00]), Err(CborError::KeyNotText(1)));
    assert_eq!(decode(&[0x61, 0xff]), Err(CborError::NotUtf8(0)));
}

#[test]
fn sixteen_levels_are_read_and_seventeen_are_not() {
    let nested = |levels: usize| [vec![0x81; levels], vec![0x00]].concat();
    assert_eq!(decode(&nested(16)).unwrap().depth(), 16);
    assert_eq!(decode(&nested(17)), Err(CborError::TooDeep));
    assert_eq!(decode(&vec![0x81; 1_000_000]), Err(CborError::TooDeep));
}

#[test]
fn declared_lengths_beyond_the_input_reserve_nothing() {
    for major in [BLOB, TEXT, ARRAY, MAP] {
        let mut bytes = vec![(major << 5) | 27];
        bytes.extend_from_slice(&u64::MAX.to_be_bytes());
        assert_eq!(decode(&bytes), Err(CborError::Truncated));
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back(value in values()) {
        let bytes = encode(&value);
        prop_assert_eq!(decode(&bytes).unwrap(), value);
    }

    #[test]
    fn every_prefix_and_every_suffix_byte_is_refused(value in values(), extra: u8) {
        let bytes = encode(&value);
        prop_assert_eq!(decode(&bytes[..bytes.len() - 1]), Err(CborError::Truncated));
        let longer = [bytes.clone(), vec![extra]].concat();
        prop_assert_eq!(decode(&longer), Err(CborError::Trailing(1)));
    }

    #[test]
    fn whatever_is_accepted_writes_back_byte_for_byte(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(value) = decode(&bytes) {
            prop_assert_eq!(encode(&value), bytes);
        }
    }

    #[test]
    fn one_changed_byte_is_refused_or_is_another_value(value in values(), at: prop::sample::Index, flip in 1_u8..) {
        let mut bytes = encode(&value);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(other) = decode(&bytes) {
            prop_assert_ne!(other, value);
        }
    }
}
