//! The limit on the memory of all canisters together.

use super::*;
use crate::exec::memory::{footprint, of_new_canister};
use crate::wasm::packed::tests::gzip;

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
fn what_an_upgrade_grows_before_and_after_shares_what_is_left_with_its_module() {
    let greedy = r#"(module
        (import "ic0" "stable64_grow" (func $grow (param i64) (result i64)))
        (memory 1)
        (func (export "canister_pre_upgrade") (drop (call $grow (i64.const 14))))
        (func (export "canister_post_upgrade") (drop (call $grow (i64.const 14)))))"#;
    let mut world = World::running(greedy);
    world.memory_limit = world.machine.memory().used + 20 * PAGE;
    world
        .install(greedy, CanisterInstallMode::Upgrade(None), b"")
        .unwrap();
    assert_eq!(world.canister().stable.size, 14);
    assert!(world.machine.memory().used <= world.memory_limit);
    // There is room for the second as soon as it is there for both.
    world.memory_limit += 30 * PAGE;
    world
        .install(greedy, CanisterInstallMode::Upgrade(None), b"")
        .unwrap();
    assert_eq!(world.canister().stable.size, 42);
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

/// A module with so much data that no memory begins with, compressed: few bytes are uploaded.
fn packed(data: usize, valid: bool) -> Vec<u8> {
    use wasm_encoder::{CodeSection, DataSection, Function, FunctionSection, Module, TypeSection};
    let mut module = Module::new();
    let mut types = TypeSection::new();
    types.ty().function([], []);
    let mut functions = FunctionSection::new();
    functions.function(0);
    let mut code = CodeSection::new();
    let mut body = Function::new([]);
    body.instructions().end();
    code.function(&body);
    let mut segments = DataSection::new();
    segments.passive(std::iter::repeat_n(7, data));
    module.section(&types).section(&functions);
    if valid {
        module.section(&code);
    }
    module.section(&segments);
    gzip(&module.finish())
}

#[test]
fn a_compressed_module_counts_for_what_it_unpacks_to_for_as_long_as_it_is_installed() {
    let module = packed(8 << 20, true);
    assert!(module.len() < 64 << 10, "{}", module.len());
    let needed = 16 << 20;
    for (room, fits) in [(needed, false), (needed + PAGE, true)] {
        let mut world = World::new();
        let before = world.machine.memory().used;
        world.memory_limit = before + room;
        let result = world.install_bytes(&module, CanisterInstallMode::Install, b"");
        assert_eq!(result.is_ok(), fits, "{result:?}");
        let counted = world.machine.memory().used - before;
        assert_eq!(counted >= needed, fits, "{counted}");
        assert_eq!(footprint(world.canister()), world.machine.memory().used);
        world.assert_replayed();
        world.manage(owner(), "uninstall_code", about(id())).unwrap();
        assert_eq!(world.machine.memory().used, before);
    }
}

#[test]
fn a_module_that_does_not_fit_is_refused_before_it_is_compiled_and_ahead_of_ordering_too() {
    // Who compiles it finds that it is not valid.
    let module = packed(100 << 20, false);
    assert!(module.len() < 1 << 20, "{}", module.len());
    let mut world = twenty_pages_left();
    let arg = Encode!(&Install {
        mode: CanisterInstallMode::Reinstall,
        canister_id: id(),
        wasm_module: serde_bytes::Bytes::new(&module),
        arg: serde_bytes::Bytes::new(b""),
    })
    .unwrap();
    let call = Call {
        arg: arg.as_slice().into(),
        ..world.call("install_code")
    };
    let (executor, state) = (&world.machine.executor, world.machine.state());
    let ahead = mgmt::compile_ahead(executor, state, &call, world.memory_limit);
    assert_eq!(code(ahead), "IC0101");
    let reject = world.manage(owner(), "install_code", arg).unwrap_err();
    assert_eq!(reject.error.to_string(), "IC0101", "{}", reject.message);
    assert!(reject.message.contains("--memory-limit"), "{}", reject.message);
    assert_eq!(grown(&mut world, "heap", 0), 1, "what was there answers");
}

#[test]
fn a_module_that_is_compiled_ahead_is_held_until_its_call_is_over() {
    let world = World::new();
    // of no other test
    let module = packed(77, true);
    let arg = Encode!(&Install {
        mode: CanisterInstallMode::Install,
        canister_id: id(),
        wasm_module: serde_bytes::Bytes::new(&module),
        arg: serde_bytes::Bytes::new(b""),
    })
    .unwrap();
    let call = Call {
        arg: arg.into(),
        ..world.call("install_code")
    };
    let executor = &world.machine.executor;
    let held = mgmt::compile_ahead(executor, world.machine.state(), &call, u64::MAX).unwrap();
    assert!(held.is_some() && executor.engine.known(&module).is_some());
    drop(held);
    assert!(executor.engine.known(&module).is_none());
}

/// As it is known from the first look that it is too long. Where it begins would be outside of the memory as well.
#[test]
fn what_is_too_long_is_refused_before_any_of_it_is_copied() {
    const LONG: &str = r#"(module
        (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
        (import "ic0" "is_controller" (func $controls (param i32 i32) (result i32)))
        (import "ic0" "env_var_name_exists" (func $exists (param i32 i32) (result i32)))
        (import "ic0" "call_new" (func $call_new (param i32 i32 i32 i32 i32 i32 i32 i32)))
        (memory 1)
        (func (export "canister_update reply") (call $append (i32.const 0) (i32.const -1)))
        (func (export "canister_update principal") (drop (call $controls (i32.const 0) (i32.const -1))))
        (func (export "canister_update variable") (drop (call $exists (i32.const 0) (i32.const -1))))
        (func (export "canister_update callee")
          (call $call_new (i32.const 0) (i32.const -1) (i32.const 0) (i32.const 1)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))))"#;
    let mut world = World::running(LONG);
    for (method, said) in [
        ("reply", "the reply is larger than"),
        ("principal", "is not a principal"),
        ("variable", "the name of an environment variable is longer than"),
        ("callee", "the callee is not a principal"),
    ] {
        let reject = world.send(owner(), id(), method, b"").unwrap_err();
        assert!(reject.message.contains(said), "{method}: {}", reject.message);
    }
}
