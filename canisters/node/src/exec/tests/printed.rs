//! What is kept of what executions print that no ingress message begins: callbacks, cleanup, timers, calls of canisters.

use super::*;

/// Asks itself; what it prints are the names of what runs.
const PRINTER: &str = r#"(module
    (import "ic0" "debug_print" (func $print (param i32 i32)))
    (import "ic0" "msg_reply" (func $msg_reply))
    (import "ic0" "canister_self_copy" (func $self (param i32 i32 i32)))
    (import "ic0" "call_new" (func $call_new (param i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "ic0" "call_on_cleanup" (func $on_cleanup (param i32 i32)))
    (import "ic0" "call_perform" (func $perform (result i32)))
    (import "ic0" "global_timer_set" (func $set (param i64) (result i64)))
    (memory 1)
    (table 4 funcref)
    (elem (i32.const 0) $on_reply $on_trap $clean $clean_trap)
    (data (i32.const 0) "replycleantimerquery")
    (func $ask (param $callback i32)
      (call $self (i32.const 100) (i32.const 0) (i32.const 10))
      (call $call_new (i32.const 100) (i32.const 10) (i32.const 15) (i32.const 5)
        (local.get $callback) (i32.const 0) (local.get $callback) (i32.const 0)))
    (func $on_reply (param i32) (call $print (i32.const 0) (i32.const 5)) (call $msg_reply))
    (func $on_trap (param i32) (call $print (i32.const 0) (i32.const 5)) (unreachable))
    (func $clean (param i32) (call $print (i32.const 5) (i32.const 5)))
    (func $clean_trap (param i32) (call $print (i32.const 5) (i32.const 5)) (unreachable))
    (func (export "canister_query query") (call $print (i32.const 15) (i32.const 5)) (call $msg_reply))
    (func (export "canister_update ends_well") (call $ask (i32.const 0)) (drop (call $perform)))
    (func (export "canister_update traps")
      (call $ask (i32.const 1)) (call $on_cleanup (i32.const 2) (i32.const 0)) (drop (call $perform)))
    (func (export "canister_update traps_twice")
      (call $ask (i32.const 1)) (call $on_cleanup (i32.const 3) (i32.const 0)) (drop (call $perform)))
    (func (export "canister_update traps_without_cleanup") (call $ask (i32.const 1)) (drop (call $perform)))
    (func (export "canister_update alarm") (drop (call $set (i64.const 1))) (call $msg_reply))
    (func (export "canister_global_timer") (call $print (i32.const 10) (i32.const 5)) (unreachable)))"#;

/// The lines, of a trap only that it was one.
fn lines(world: &World) -> Vec<String> {
    let lines = world.canister().logs.iter();
    lines
        .map(|(_, line)| {
            let text = String::from_utf8(line.content.to_vec()).unwrap();
            text.split(": ").next().unwrap().to_owned()
        })
        .collect()
}

#[test]
fn callbacks_and_queries_that_canisters_call_keep_what_they_print() {
    let mut world = World::running(PRINTER);
    world.update("ends_well").unwrap();
    assert_eq!(lines(&world), ["query", "reply"]);
    world.query("query").unwrap();
    assert_eq!(lines(&world).len(), 2, "a query of a user keeps nothing");
    world.assert_replayed();
}

#[test]
fn callbacks_that_trap_and_their_cleanup_keep_what_they_print() {
    for (method, expected) in [
        ("traps", vec!["query", "reply", "[TRAP]", "clean"]),
        ("traps_twice", vec!["query", "reply", "[TRAP]", "clean", "[TRAP]"]),
        ("traps_without_cleanup", vec!["query", "reply", "[TRAP]"]),
    ] {
        let mut world = World::running(PRINTER);
        let version = world.canister().version;
        world.update(method).unwrap_err();
        assert_eq!(lines(&world), expected, "{method}");
        // The method that made the call, and the cleanup when it ended well.
        let kept = 1 + u64::from(method == "traps");
        assert_eq!(world.canister().version, version + kept, "{method}");
        world.assert_replayed();
    }
}

#[test]
fn a_timer_that_traps_keeps_what_it_printed_and_is_not_due_again() {
    let mut world = World::running(PRINTER);
    world.update("alarm").unwrap();
    assert_eq!(
        (lines(&world), world.canister().timer),
        (vec!["timer".to_owned(), "[TRAP]".to_owned()], 0)
    );
    world.assert_replayed();
}
