//! What canisters are told when they ask what something costs.

use super::*;

/// Replies with what the function wrote and returned. The names of keys are at 100.
fn asking(import: &str, call: &str) -> String {
    format!(
        r#"(module
    {import}
    (import "ic0" "msg_reply" (func $reply))
    (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
    (memory 1)
    (data (i32.const 100) "key_1test_key_1key_2")
    (func (export "canister_query ask") {call} (call $append (i32.const 0) (i32.const 20)) (call $reply)))"#
    )
}

/// The price that was written, and the number that was returned.
fn told(import: &str, call: &str) -> (u128, u32) {
    let reply = World::running(&asking(import, call)).query("ask").unwrap();
    let (price, returned) = reply.split_at(16);
    (
        u128::from_le_bytes(price.try_into().unwrap()),
        u32::from_le_bytes(returned.try_into().unwrap()),
    )
}

#[test]
fn prices_are_those_of_a_subnet_of_13_nodes() {
    // 260 k for a call, 5 M for an execution, 1 k for each byte, of the answer the most that there can be
    let calls = r#"(import "ic0" "cost_call" (func $cost (param i64 i64 i32)))"#;
    let call = "(call $cost (i64.const 7) (i64.const 93) (i32.const 0))";
    assert_eq!(
        told(calls, call),
        (260_000 + 5_000_000 + 1_000 * (100 + (2 << 20)), 0)
    );
    let creations = r#"(import "ic0" "cost_create_canister" (func $cost (param i32)))"#;
    assert_eq!(
        told(creations, "(call $cost (i32.const 0))"),
        (500_000_000_000, 0)
    );
    let outcalls = r#"(import "ic0" "cost_http_request" (func $cost (param i64 i64 i32)))"#;
    let call = "(call $cost (i64.const 10) (i64.const 100) (i32.const 0))";
    assert_eq!(told(outcalls, call), (49_140_000 + 5_200 * 10 + 10_400 * 100, 0));
}

#[test]
fn the_price_of_a_signature_is_told_for_keys_and_curves_that_there_are_and_nothing_is_written_for_others() {
    for (function, kinds) in [
        ("cost_sign_with_ecdsa", 1),
        ("cost_sign_with_schnorr", 2),
        ("cost_vetkd_derive_key", 1),
    ] {
        let import =
            format!(r#"(import "ic0" "{function}" (func $cost (param i32 i32 i32 i32) (result i32)))"#);
        let asked = |key: (u32, u32), kind: u32| {
            let (at, len) = key;
            told(
                &import,
                &format!(
                    "(i32.store (i32.const 16) \
                     (call $cost (i32.const {at}) (i32.const {len}) (i32.const {kind}) (i32.const 0)))"
                ),
            )
        };
        let (production, test, none) = ((100, 5), (105, 10), (115, 5));
        for kind in 0..kinds {
            assert_eq!(asked(production, kind), (26_153_846_153, 0), "{function} {kind}");
            assert_eq!(asked(test, kind), (10_000_000_000, 0), "{function} {kind}");
            assert_eq!(asked(none, kind), (0, 2), "{function} {kind}");
        }
        assert_eq!(asked(production, kinds), (0, 1), "{function}");
    }
}
