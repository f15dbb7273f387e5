//! The limit on the memory of all canisters together.

use super::*;
use crate::exec::memory::{footprint, of_new_canister};

/// Grows heap and stable memory by a number of pages, and answers with what `grow` said.
pub const GROWER: &str = r#"(module
    (import "ic0" "msg_reply" (func $msg_reply))
    (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
    (import "ic0" "msg_arg_data_copy" (func $copy (param i32 i32 i32)))
    (import "ic0" "stable64_grow" (func $grow (param i64) (result i64)))
    (memory 1)
    (func $answer
      (call $append (i32.const 8) (i32.const 8))
      (call $msg_reply))
    (func (export "canister_update heap")
      (call $copy (i32.const 0) (i32.const 0) (i32.const 1))
      (i64.store (i32.const 8) (i64.extend_i32_s (memory.grow (i32.load8_u (i32.const 0)))))
      (call $answer))
    (func (export "canister_update stable")
      (call $copy (i32.const 0) (i32.const 0) (i32.const 1))
      (i64.store (i32.const 8) (call $grow (i64.load8_u (i32.const 0))))
      (call $answer))
    (func (export "canister_update both")
      (call $copy (i32.const 0) (i32.const 0) (i32.const 1))
      (drop (memory.grow (i32.load8_u (i32.const 0))))
      (i64.store (i32.const 8) (call $grow (i64.load8_u (i32.const 0))))
      (call $answer))
    (func (export "canister_update grow_and_trap")
      (drop (call $grow (i64.const 1)))
      (unreachable)))"#;

pub const PAGE: u64 = 65_536;

fn grown(world: &mut World, method: &str, pages: u8) -> i64 {
    let reply = world.send(owner(), id(), method, &[pages]).unwrap();
    i64::from_le_bytes(reply.try_into().unwrap())
}

/// A canister that may grow by twenty pages of stable memory, or a quarter as many of heap.
fn twenty_pages_left() -> World {
    let mut world = World::running(GROWER);
    world.memory_limit = world.machine.memory().used + 20 * PAGE;
    world
}

#[test]
fn memories_grow_up_to_the_limit_and_not_beyond() {
    for (method, pages) in [("heap", 5), ("stable", 20)] {
        let mut world = twenty_pages_left();
        assert_eq!(grown(&mut world, method, pages + 1), -1, "{method}");
        assert!(grown(&mut world, method, pages) >= 0, "{method}");
        assert_eq!(grown(&mut world, method, 1), -1, "{method}");
        assert_eq!(world.machine.memory().spare(), 0);
    }
}

#[test]
fn both_memories_of_one_message_share_what_is_left() {
    let mut world = twenty_pages_left();
    assert_eq!(grown(&mut world, "both", 4), 0);
    assert_eq!(grown(&mut world, "both", 1), -1);
    assert_eq!(world.machine.memory().spare(), 0);
}

#[test]
fn what_a_trap_undoes_is_not_counted() {
    let mut world = twenty_pages_left();
    world.update("grow_and_trap").unwrap_err();
    assert_eq!(world.machine.memory().spare(), 20 * PAGE);
}

#[test]
fn a_full_node_refuses_new_canisters_and_modules_by_name() {
    let mut world = twenty_pages_left();
    grown(&mut world, "stable", 20);
    let create = Encode!(&Create {
        specified_id: None,
        settings: None
    })
    .unwrap();
    for result in [
        world.manage(owner(), "provisional_create_canister_with_cycles", &create),
        world.manage(owner(), "create_canister", &create),
        world.install(GROWER, CanisterInstallMode::Upgrade(None), b""),
    ] {
        let reject = result.unwrap_err();
        assert!(
            reject.message.starts_with("The node's memory limit is reached"),
            "{}",
            reject.message
        );
        assert!(reject.message.contains("--memory-limit"));
    }
    // Nothing else changes: what is there answers.
    assert_eq!(grown(&mut world, "heap", 0), 1);
}

#[test]
fn the_sum_is_that_of_the_canisters_whatever_happened_to_them() {
    let mut world = World::running(GROWER);
    let sum = |world: &World| {
        let canisters = &world.machine.state().canisters;
        canisters
            .iter()
            .map(|(_, canister)| footprint(canister))
            .sum::<u64>()
    };
    grown(&mut world, "heap", 3);
    grown(&mut world, "stable", 5);
    world
        .install(GROWER, CanisterInstallMode::Upgrade(None), b"")
        .unwrap();
    assert_eq!(world.machine.memory().used, sum(&world));
    let again = Machine::new(executor(Limits::default()), world.machine.state().clone());
    assert_eq!(again.memory().used, sum(&world));
    let target = Encode!(&ic_management_canister_types::CanisterIdRecord { canister_id: id() }).unwrap();
    world.manage(owner(), "uninstall_code", &target).unwrap();
    assert_eq!(world.machine.memory().used, sum(&world));
    assert_eq!(sum(&world), of_new_canister());
    world.manage(owner(), "stop_canister", &target).unwrap();
    world.manage(owner(), "delete_canister", &target).unwrap();
    assert_eq!(world.machine.memory().used, 0);
}

#[test]
fn a_batch_is_replayed_under_the_limit_that_it_was_accepted_under() {
    let mut world = twenty_pages_left();
    assert_eq!(grown(&mut world, "stable", 21), -1);
    let mut replayed = Machine::new(executor(Limits::default()), State::default());
    for batch in &world.batches {
        replayed.apply(batch);
    }
    assert_eq!(replayed.state().root(), world.machine.state().root());
}
