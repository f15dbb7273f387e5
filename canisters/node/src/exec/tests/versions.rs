//! When the version of a canister is counted up, and which one its code sees.

use super::*;

/// Hooks and methods note the version that they see in stable memory; `show` shows the last four.
const SEEN: &str = r#"(module
    (import "ic0" "canister_version" (func $version (result i64)))
    (import "ic0" "msg_reply" (func $msg_reply))
    (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
    (import "ic0" "stable64_grow" (func $grow (param i64) (result i64)))
    (import "ic0" "stable64_size" (func $size (result i64)))
    (import "ic0" "stable64_write" (func $write (param i64 i64 i64)))
    (import "ic0" "stable64_read" (func $read (param i64 i64 i64)))
    (memory 1)
    (func $note (param $at i64)
      (if (i64.eqz (call $size)) (then (drop (call $grow (i64.const 1)))))
      (i64.store (i32.const 64) (call $version))
      (call $write (local.get $at) (i64.const 64) (i64.const 8)))
    (func (export "canister_init") (call $note (i64.const 0)))
    (func (export "canister_pre_upgrade") (call $note (i64.const 8)))
    (func (export "canister_post_upgrade") (call $note (i64.const 16)))
    (func (export "canister_update note") (call $note (i64.const 24)) (call $msg_reply))
    (func (export "canister_update trap") (unreachable))
    (func (export "canister_query show")
      (call $read (i64.const 0) (i64.const 0) (i64.const 32))
      (call $append (i32.const 0) (i32.const 32))
      (call $msg_reply)))"#;

fn seen(world: &World) -> [u64; 4] {
    let reply = world.query("show").unwrap();
    std::array::from_fn(|at| u64::from_le_bytes(reply[at * 8..at * 8 + 8].try_into().unwrap()))
}

#[test]
fn code_sees_the_version_before_the_change_and_new_code_that_after_it() {
    let mut world = World::running(SEEN);
    world.update("note").unwrap();
    world
        .install(SEEN, CanisterInstallMode::Upgrade(None), b"")
        .unwrap();
    // init 1, an update sees 1 and makes 2, pre_upgrade sees 2, post_upgrade 3.
    assert_eq!(seen(&world), [1, 2, 3, 1]);
    assert_eq!(world.canister().version, 3);
}

#[test]
fn the_version_counts_what_the_specification_says() {
    let mut world = World::new();
    let mut expected = 0;
    assert_eq!(world.canister().version, expected);
    let chunk = Encode!(&ic_management_canister_types::UploadChunkArgs {
        canister_id: id(),
        chunk: vec![1]
    })
    .unwrap();
    let mut step = |world: &mut World, counts: u64, what: &str| {
        expected += counts;
        assert_eq!(world.canister().version, expected, "{what}");
    };
    world.install(SEEN, CanisterInstallMode::Install, b"").unwrap();
    step(&mut world, 1, "install");
    world.update("note").unwrap();
    step(&mut world, 1, "update");
    world.update("trap").unwrap_err();
    step(&mut world, 0, "trap");
    world.update("show").unwrap();
    step(&mut world, 0, "query called as an update");
    // Also where the status stays as it is.
    for method in [
        "stop_canister",
        "stop_canister",
        "start_canister",
        "start_canister",
    ] {
        world.manage(owner(), method, about(id())).unwrap();
        step(&mut world, 1, method);
    }
    super::settings::update(&mut world, id(), CanisterSettings::default()).unwrap();
    step(&mut world, 1, "update_settings");
    world.manage(owner(), "upload_chunk", chunk).unwrap();
    world.manage(owner(), "canister_status", about(id())).unwrap();
    step(&mut world, 0, "chunks and status");
    world.manage(owner(), "uninstall_code", about(id())).unwrap();
    step(&mut world, 1, "uninstall");
}
