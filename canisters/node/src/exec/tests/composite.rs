//! Composite queries call queries of other canisters.

use super::*;

/// Calls what its argument says, as [`RELAY`], from composite queries. Its own counter is at 0.
const ASKER: &str = r#"(module
    (import "ic0" "msg_arg_data_size" (func $arg_size (result i32)))
    (import "ic0" "msg_arg_data_copy" (func $arg_copy (param i32 i32 i32)))
    (import "ic0" "msg_reply" (func $reply))
    (import "ic0" "msg_reply_data_append" (func $say (param i32 i32)))
    (import "ic0" "msg_reject_code" (func $code (result i32)))
    (import "ic0" "msg_reject_msg_size" (func $why_size (result i32)))
    (import "ic0" "msg_reject_msg_copy" (func $why_copy (param i32 i32 i32)))
    (import "ic0" "msg_caller_size" (func $caller_size (result i32)))
    (import "ic0" "msg_caller_copy" (func $caller_copy (param i32 i32 i32)))
    (import "ic0" "data_certificate_present" (func $certified (result i32)))
    (import "ic0" "in_replicated_execution" (func $replicated (result i32)))
    (import "ic0" "call_new" (func $call_new (param i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "ic0" "call_on_cleanup" (func $on_cleanup (param i32 i32)))
    (import "ic0" "call_data_append" (func $append (param i32 i32)))
    (import "ic0" "call_perform" (func $perform (result i32)))
    (memory 1)
    (table 5 funcref)
    (elem (i32.const 0) $on_reply $on_reject $on_trap $on_silent $cleanup)
    (func $count (i32.store8 (i32.const 0) (i32.add (i32.load8_u (i32.const 0)) (i32.const 1))))
    (func $begin (param $on_reply i32) (param $on_reject i32)
      (local $size i32) (local $callee i32) (local $name i32) (local $length i32) (local $payload i32)
      (local.set $size (call $arg_size))
      (call $arg_copy (i32.const 1000) (i32.const 0) (local.get $size))
      (local.set $callee (i32.load8_u (i32.const 1000)))
      (local.set $name (i32.add (i32.const 1002) (local.get $callee)))
      (local.set $length (i32.load8_u (i32.sub (local.get $name) (i32.const 1))))
      (local.set $payload (i32.add (local.get $name) (local.get $length)))
      (call $call_new (i32.const 1001) (local.get $callee) (local.get $name) (local.get $length)
        (local.get $on_reply) (i32.const 0) (local.get $on_reject) (i32.const 0))
      (call $append (local.get $payload)
        (i32.sub (i32.add (i32.const 1000) (local.get $size)) (local.get $payload))))
    (func (export "canister_composite_query ask")
      (call $count) (call $begin (i32.const 0) (i32.const 1)) (drop (call $perform)))
    (func (export "canister_composite_query ask_silent")
      (call $begin (i32.const 3) (i32.const 3)) (drop (call $perform)))
    (func (export "canister_composite_query ask_trap")
      (call $begin (i32.const 2) (i32.const 2)) (call $on_cleanup (i32.const 4) (i32.const 0)) (drop (call $perform))
      (call $begin (i32.const 0) (i32.const 1)) (drop (call $perform)))
    (func (export "canister_composite_query loop")
      (loop $again (br $again)))
    ;; answers with the counter, what it saw, and the reply
    (func $on_reply (param i32)
      (call $count)
      (i32.store8 (i32.const 1) (i32.or (call $replicated) (i32.shl (call $certified) (i32.const 1))))
      (call $say (i32.const 0) (i32.const 2))
      (call $arg_copy (i32.const 1000) (i32.const 0) (call $arg_size))
      (call $say (i32.const 1000) (call $arg_size)) (call $reply))
    (func $on_reject (param i32)
      (i32.store8 (i32.const 1000) (i32.add (i32.const 48) (call $code)))
      (call $why_copy (i32.const 1001) (i32.const 0) (call $why_size))
      (call $say (i32.const 1000) (i32.add (i32.const 1) (call $why_size))) (call $reply))
    (func $on_trap (param i32) (call $count) (unreachable))
    (func $on_silent (param i32))
    (func $cleanup (param i32) (i32.store8 (i32.const 0) (i32.const 50)))
    (func (export "canister_query facts")
      (i32.store8 (i32.const 2000) (call $certified))
      (call $caller_copy (i32.const 2001) (i32.const 0) (call $caller_size))
      (call $say (i32.const 2000) (i32.add (i32.const 1) (call $caller_size))) (call $reply))
    (func (export "canister_query counter") (call $say (i32.const 0) (i32.const 1)) (call $reply))
    (func (export "canister_update change") (call $count) (call $reply)))"#;

fn world(limits: Limits) -> World {
    let mut world = World::with_limits(limits);
    world.install(ASKER, CanisterInstallMode::Install, b"").unwrap();
    world.add(second(), ASKER);
    world
}

fn ask(world: &World, method: &str, arg: &[u8]) -> Result<Vec<u8>, Reject> {
    let call = Call {
        arg: arg.into(),
        ..world.call(method)
    };
    let state = world.machine.state();
    world
        .machine
        .executor
        .query(state, world.canister(), &call, Some([1, 2, 3].into()))
}

#[test]
fn a_composite_query_asks_another_canister_and_sees_what_it_did_itself() {
    let world = world(Limits::default());
    let before = world.machine.state().root();
    let reply = ask(&world, "ask", &forward(second(), "facts", b"")).unwrap();
    // Counted before the call and in the callback, which is not in replicated execution and sees no certificate.
    assert_eq!(reply[..2], [2, 0]);
    // The callee has no certificate and was called by the canister.
    assert_eq!(reply[2], 0);
    assert_eq!(reply[3..], *id().as_slice());
    assert_eq!(world.machine.state().root(), before);
    assert_eq!(world.query("counter").unwrap(), [0]);
}

#[test]
fn the_canister_itself_has_its_certificate() {
    let world = world(Limits::default());
    assert_eq!(ask(&world, "facts", b"").unwrap()[0], 1);
}

#[test]
fn what_cannot_be_asked_is_rejected() {
    let world = world(Limits::default());
    let absent = Principal::from_slice(&[0, 0, 0, 8, 0, 0, 0, 9, 1, 1]);
    for (callee, method, expected) in [
        (second(), "change", "5IC0536"),
        (second(), "missing", "5IC0536"),
        (absent, "facts", "3IC0301"),
        (Principal::management_canister(), "raw_rand", "3IC0301"),
    ] {
        let reply = String::from_utf8(ask(&world, "ask", &forward(callee, method, b"")).unwrap()).unwrap();
        assert!(reply.starts_with(expected), "{method}: {reply}");
    }
}

#[test]
fn a_callback_that_does_not_answer_is_a_rejection() {
    let world = world(Limits::default());
    assert_eq!(
        code(ask(&world, "ask_silent", &forward(second(), "facts", b""))),
        "IC0506"
    );
}

#[test]
fn a_callback_that_traps_is_undone_and_cleaned_up_and_the_next_one_may_answer() {
    let world = world(Limits::default());
    let reply = ask(&world, "ask_trap", &forward(second(), "facts", b"")).unwrap();
    assert_eq!(reply[0], 51);
}

/// Asks itself so many times before it asks for facts.
fn nested(times: usize) -> Vec<u8> {
    (0..times).fold(forward(second(), "facts", b""), |arg, _| {
        forward(id(), "ask", &arg)
    })
}

#[test]
fn composite_queries_ask_each_other_down_to_a_depth() {
    let world = world(Limits::default());
    assert_eq!(ask(&world, "ask", &nested(4)).unwrap()[..2], [2, 0]);
    let reply = ask(&world, "ask", &nested(5)).unwrap();
    assert!(
        String::from_utf8_lossy(&reply).contains("IC0525"),
        "{}",
        String::from_utf8_lossy(&reply)
    );
}

#[test]
fn all_of_a_composite_query_together_has_the_instructions_of_one_query() {
    let world = world(Limits {
        query: 1_000_000,
        ..Limits::default()
    });
    ask(&world, "ask", &forward(second(), "facts", b"")).unwrap();
    assert_eq!(code(ask(&world, "loop", b"")), "IC0522");
    // The callee uses all, so that nothing is left for the callback.
    assert_eq!(
        code(ask(&world, "ask", &forward(second(), "loop", b""))),
        "IC0526"
    );
}

#[test]
fn a_composite_query_is_not_executed_as_an_update() {
    let mut world = world(Limits::default());
    let arg = forward(second(), "facts", b"");
    assert_eq!(code(world.send(owner(), id(), "ask", &arg)), "IC0527");
}

/// Asks a canister that is not there, five times, and grows by 12 MiB of stable memory and 4 of heap with each answer. Tells the pages of both.
const SWELLING: &str = r#"(module
    (import "ic0" "msg_reply" (func $reply))
    (import "ic0" "msg_reply_data_append" (func $say (param i32 i32)))
    (import "ic0" "stable64_grow" (func $grow (param i64) (result i64)))
    (import "ic0" "stable64_size" (func $size (result i64)))
    (import "ic0" "call_new" (func $new (param i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "ic0" "call_perform" (func $perform (result i32)))
    (memory 1)
    (data (i32.const 0) "nothere")
    (table 1 funcref)
    (elem (i32.const 0) $answered)
    (global $left (mut i32) (i32.const 5))
    (func $ask
      (call $new (i32.const 0) (i32.const 7) (i32.const 0) (i32.const 1)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
      (drop (call $perform)))
    (func $answered (param i32)
      (drop (call $grow (i64.const 192)))
      (drop (memory.grow (i32.const 64)))
      (global.set $left (i32.sub (global.get $left) (i32.const 1)))
      (if (global.get $left) (then (call $ask) (return)))
      (i64.store (i32.const 8) (call $size))
      (i64.store (i32.const 16) (i64.extend_i32_u (memory.size)))
      (call $say (i32.const 8) (i32.const 16))
      (call $reply))
    (func (export "canister_composite_query go") (call $ask)))"#;

#[test]
fn a_composite_query_grows_by_32_mib_in_all_however_many_answers_it_gets() {
    let world = World::running(SWELLING);
    let reply = world.query("go").unwrap();
    let sizes: Vec<u64> = reply
        .chunks_exact(8)
        .map(|size| u64::from_le_bytes(size.try_into().unwrap()))
        .collect();
    // Twice both, and then what is left is too little for either.
    assert_eq!(sizes, [2 * 192, 1 + 2 * 64]);
}
