//! What executions may use of which nothing is kept, and what the machine cannot give.

use super::*;
use crate::heap::mapping;
use crate::wasm::engine::Engine;

/// Grows, fills and writes as much as its argument says.
const HUNGRY: &str = r#"(module
    (import "ic0" "msg_reply" (func $msg_reply))
    (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
    (import "ic0" "stable64_grow" (func $grow (param i64) (result i64)))
    (import "ic0" "stable64_write" (func $write (param i64 i64 i64)))
    (memory 1)
    (func $answer (param $what i64)
      (i64.store (i32.const 8) (local.get $what))
      (call $append (i32.const 8) (i32.const 8))
      (call $msg_reply))
    (func (export "canister_query heap within") (call $answer (i64.extend_i32_s (memory.grow (i32.const 512)))))
    (func (export "canister_query heap beyond") (call $answer (i64.extend_i32_s (memory.grow (i32.const 513)))))
    (func (export "canister_query stable beyond") (call $answer (call $grow (i64.const 513))))
    (func (export "canister_update grow") (call $answer (call $grow (i64.const 600))))
    (func $fill (param $pages i32)
      (loop $next
        (local.set $pages (i32.sub (local.get $pages) (i32.const 1)))
        (call $write (i64.extend_i32_u (i32.mul (local.get $pages) (i32.const 65536))) (i64.const 0) (i64.const 65536))
        (br_if $next (local.get $pages)))
      (call $msg_reply))
    (func (export "canister_query write within") (call $fill (i32.const 512)))
    (func (export "canister_query write beyond") (call $fill (i32.const 513)))
    (func (export "canister_update more heap") (call $answer (i64.extend_i32_s (memory.grow (i32.const 1))))))"#;

fn number(reply: Vec<u8>) -> i64 {
    i64::from_le_bytes(reply.try_into().unwrap())
}

#[test]
fn a_query_grows_by_32_mib_and_no_more_in_either_memory() {
    let world = World::running(HUNGRY);
    assert_eq!(number(world.query("heap within").unwrap()), 1);
    assert_eq!(number(world.query("heap beyond").unwrap()), -1);
    assert_eq!(number(world.query("stable beyond").unwrap()), -1);
}

#[test]
fn a_query_changes_32_mib_of_stable_memory_and_no_more() {
    let mut world = World::running(HUNGRY);
    assert_eq!(number(world.update("grow").unwrap()), 0);
    world.query("write within").unwrap();
    let reject = world.query("write beyond").unwrap_err();
    assert!(
        reject
            .message
            .contains("more of the stable memory than the node has memory for"),
        "{}",
        reject.message
    );
}

#[test]
fn all_tables_of_a_module_have_a_million_elements_together() {
    let tables = |half: u32| format!("(module (table {half} funcref) (table 500000 funcref) (memory 1))");
    World::running(&tables(500_000));
    let mut world = World::new();
    world
        .install(&tables(500_001), CanisterInstallMode::Install, b"")
        .unwrap_err();
}

#[test]
fn what_the_machine_refuses_in_an_update_is_no_outcome_and_in_a_query_it_is() {
    let mut world = World::new();
    // Other tests share the usual one.
    world.machine.executor.engine = Arc::new(Engine::new().unwrap());
    world.install(HUNGRY, CanisterInstallMode::Install, b"").unwrap();
    mapping::fail_after(0);
    world.query("heap within").unwrap_err();
    assert_eq!(world.machine.executor.engine.broken(), None);
    // The memory itself is made, and cannot be grown.
    mapping::fail_after(3);
    let _ = world.update("more heap");
    let broken = world.machine.executor.engine.broken().unwrap();
    assert!(
        broken.contains("the machine has no memory for canister"),
        "{broken}"
    );
}
