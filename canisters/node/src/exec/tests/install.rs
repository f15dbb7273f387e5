//! Install, reinstall, upgrade, and who may do what.

use super::*;
use candid::Decode;
use ic_management_canister_types::{
    CanisterIdRecord, CanisterStatusResult, CanisterStatusType, UpgradeFlags, WasmMemoryPersistence,
};

/// Stable memory counts hooks; the heap holds what the init argument said; both can be made to trap by the argument.
const HOOKS: &str = r#"(module
    (import "ic0" "msg_reply" (func $msg_reply))
    (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
    (import "ic0" "msg_arg_data_size" (func $size (result i32)))
    (import "ic0" "msg_arg_data_copy" (func $copy (param i32 i32 i32)))
    (import "ic0" "stable64_grow" (func $grow (param i64) (result i64)))
    (import "ic0" "stable64_size" (func $stable_size (result i64)))
    (import "ic0" "stable64_write" (func $write (param i64 i64 i64)))
    (import "ic0" "stable64_read" (func $read (param i64 i64 i64)))
    (import "ic0" "certified_data_set" (func $certify (param i32 i32)))
    (memory 1)
    (global $started (mut i32) (i32.const 0))
    (func $start (global.set $started (i32.add (global.get $started) (i32.const 1))))
    (start $start)
    (func $mark (param $letter i32)
      (if (i64.eqz (call $stable_size)) (then (drop (call $grow (i64.const 1)))))
      (call $read (i64.const 32) (i64.const 0) (i64.const 8))
      (i32.store (i32.const 32) (i32.add (i32.load (i32.const 32)) (i32.const 1)))
      (i32.store8 (i32.add (i32.const 35) (i32.load (i32.const 32))) (local.get $letter))
      (call $write (i64.const 0) (i64.const 32) (i64.const 8)))
    (func (export "canister_init")
      (call $copy (i32.const 0) (i32.const 0) (call $size))
      (call $certify (i32.const 0) (i32.const 4)))
    (func (export "canister_pre_upgrade")
      (call $mark (i32.const 112))
      (if (i32.eq (i32.load8_u (i32.const 0)) (i32.const 33)) (then (unreachable))))
    (func (export "canister_post_upgrade")
      (call $mark (i32.const 113))
      (if (i32.ne (call $size) (i32.const 0)) (then (unreachable))))
    (func (export "canister_update touch") (i32.store (i32.const 4) (i32.const 5)) (call $msg_reply))
    (func (export "canister_query show")
      (if (i64.ne (call $stable_size) (i64.const 0)) (then (call $read (i64.const 8) (i64.const 0) (i64.const 8))))
      (i32.store (i32.const 16) (global.get $started))
      (call $append (i32.const 0) (i32.const 20))
      (call $msg_reply)))"#;

fn shown(world: &World) -> ([u8; 4], u32, Vec<u8>, u32) {
    let reply = world.query("show").unwrap();
    let number = |at: usize| u32::from_le_bytes(reply[at..at + 4].try_into().unwrap());
    (
        reply[..4].try_into().unwrap(),
        number(4),
        reply[8..16].to_vec(),
        number(16),
    )
}

fn upgrade() -> CanisterInstallMode {
    CanisterInstallMode::Upgrade(None)
}

#[test]
fn install_runs_start_once_and_init_with_the_argument() {
    let mut world = World::new();
    world
        .install(HOOKS, CanisterInstallMode::Install, b"init")
        .unwrap();
    assert_eq!(shown(&world), (*b"init", 0, vec![0; 8], 1));
    world.update("touch").unwrap();
    assert_eq!(shown(&world), (*b"init", 5, vec![0; 8], 1));
    assert_eq!(world.canister().certified, b"init");
}

#[test]
fn upgrade_keeps_stable_memory_and_replaces_the_heap() {
    let mut world = World::new();
    world
        .install(HOOKS, CanisterInstallMode::Install, b"init")
        .unwrap();
    world.update("touch").unwrap();
    world.install(HOOKS, upgrade(), b"").unwrap();
    // Both hooks have run, in order: their count and their letters.
    assert_eq!(shown(&world), ([0; 4], 0, b"\x02\0\0\0pq\0\0".to_vec(), 1));
    assert_eq!(world.canister().certified, b"init");
}

#[test]
fn a_trap_in_pre_upgrade_aborts_the_upgrade() {
    let mut world = World::new();
    world
        .install(HOOKS, CanisterInstallMode::Install, b"!nit")
        .unwrap();
    let version = world.canister().version;
    assert_eq!(code(world.install(HOOKS, upgrade(), b"")), "IC0502");
    assert_eq!(shown(&world), (*b"!nit", 0, vec![0; 8], 1));
    assert_eq!(world.canister().version, version);
    let skip = UpgradeFlags {
        skip_pre_upgrade: Some(true),
        wasm_memory_persistence: None,
    };
    world
        .install(HOOKS, CanisterInstallMode::Upgrade(Some(skip)), b"")
        .unwrap();
    assert_eq!(shown(&world).0, [0; 4]);
}

#[test]
fn a_trap_in_post_upgrade_aborts_the_upgrade_and_what_pre_upgrade_did() {
    let mut world = World::new();
    world
        .install(HOOKS, CanisterInstallMode::Install, b"init")
        .unwrap();
    assert_eq!(code(world.install(HOOKS, upgrade(), b"boom")), "IC0502");
    assert_eq!(shown(&world), (*b"init", 0, vec![0; 8], 1));
}

/// Keeps its heap over an upgrade when it is asked to.
fn keeping(section: &str) -> String {
    format!(
        r#"(module
            (import "ic0" "msg_reply" (func $msg_reply))
            (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
            (memory 1)
            (func (export "canister_update write") (i32.store (i32.const 0) (i32.const 7)) (call $msg_reply))
            (func (export "canister_query show") (call $append (i32.const 0) (i32.const 1)) (call $msg_reply))
            {section})"#
    )
}

#[test]
fn the_heap_is_kept_only_where_both_modules_and_the_caller_say_so() {
    let persistent = keeping(r#"(@custom "icp:private enhanced-orthogonal-persistence" "")"#);
    let plain = keeping("");
    let shown = |old: &str, new: &str, wasm_memory_persistence| {
        let mut world = World::running(old);
        world.update("write").unwrap();
        let flags = UpgradeFlags {
            skip_pre_upgrade: None,
            wasm_memory_persistence,
        };
        world.install(new, CanisterInstallMode::Upgrade(Some(flags)), b"")?;
        world.query("show")
    };
    let (keep, replace) = (
        Some(WasmMemoryPersistence::Keep),
        Some(WasmMemoryPersistence::Replace),
    );
    assert_eq!(shown(&persistent, &persistent, keep).unwrap(), [7]);
    assert_eq!(shown(&persistent, &persistent, replace).unwrap(), [0]);
    assert_eq!(shown(&plain, &plain, None).unwrap(), [0]);
    // The old module expects to be asked, and the new one must know what it gets.
    assert_eq!(code(shown(&persistent, &persistent, None)), "IC0504");
    assert_eq!(code(shown(&persistent, &plain, keep)), "IC0504");
    assert_eq!(code(shown(&plain, &plain, keep)), "IC0504");
    // A public section is none.
    let public = keeping(r#"(@custom "icp:public enhanced-orthogonal-persistence" "")"#);
    assert_eq!(code(shown(&persistent, &public, keep)), "IC0504");
}

#[test]
fn reinstall_wipes_everything() {
    let mut world = World::new();
    world
        .install(HOOKS, CanisterInstallMode::Install, b"init")
        .unwrap();
    world.install(HOOKS, upgrade(), b"").unwrap();
    world
        .install(HOOKS, CanisterInstallMode::Reinstall, b"new.")
        .unwrap();
    assert_eq!(shown(&world), (*b"new.", 0, vec![0; 8], 1));
    assert_eq!(world.canister().stable.size, 0);
}

#[test]
fn install_needs_an_empty_canister_and_upgrade_a_full_one() {
    let mut world = World::new();
    assert_eq!(code(world.install(HOOKS, upgrade(), b"")), "IC0537");
    world.install(HOOKS, CanisterInstallMode::Install, b"").unwrap();
    assert_eq!(
        code(world.install(HOOKS, CanisterInstallMode::Install, b"")),
        "IC0514"
    );
}

#[test]
fn only_controllers_manage_a_canister() {
    let mut world = World::running(HOOKS);
    let stranger = stranger();
    for method in [
        "canister_status",
        "start_canister",
        "stop_canister",
        "delete_canister",
        "uninstall_code",
    ] {
        assert_eq!(
            code(world.manage(stranger, method, about(id()))),
            "IC0512",
            "{method}"
        );
        let call = Call {
            caller: stranger,
            arg: about(id()).into(),
            ..world.call(method)
        };
        assert_eq!(
            code(crate::mgmt::admit(
                world.machine.state(),
                &call,
                &crate::creators::Creators::Anyone,
                crate::mode::Mode::Dev
            )),
            "IC0512",
            "{method}"
        );
    }
    let wasm = wat::parse_str(HOOKS).unwrap();
    let install = Encode!(&Install {
        mode: CanisterInstallMode::Reinstall,
        canister_id: id(),
        wasm_module: serde_bytes::Bytes::new(&wasm),
        arg: serde_bytes::Bytes::new(b""),
    })
    .unwrap();
    assert_eq!(code(world.manage(stranger, "install_code", install)), "IC0512");
    world.query("show").unwrap();
}

#[test]
fn a_stopped_canister_takes_no_calls_until_it_is_started() {
    let mut world = World::running(HOOKS);
    world.manage(owner(), "stop_canister", about(id())).unwrap();
    assert_eq!(code(world.update("touch")), "IC0508");
    assert_eq!(code(world.query("show")), "IC0508");
    world.manage(owner(), "start_canister", about(id())).unwrap();
    world.update("touch").unwrap();
}

#[test]
fn a_canister_is_deleted_only_when_it_is_stopped() {
    let mut world = World::running(HOOKS);
    assert_eq!(
        code(world.manage(owner(), "delete_canister", about(id()))),
        "IC0510"
    );
    world.manage(owner(), "stop_canister", about(id())).unwrap();
    world.manage(owner(), "delete_canister", about(id())).unwrap();
    assert_eq!(code(world.update("touch")), "IC0301");
}

#[test]
fn uninstalling_leaves_an_empty_canister() {
    let mut world = World::running(HOOKS);
    world.manage(owner(), "uninstall_code", about(id())).unwrap();
    assert_eq!(code(world.update("touch")), "IC0537");
}

#[test]
fn the_status_has_every_field_and_tells_the_truth() {
    let mut world = World::running(HOOKS);
    let reply = world.manage(owner(), "canister_status", about(id())).unwrap();
    let status = Decode!(&reply, CanisterStatusResult).unwrap();
    assert_eq!(status.status, CanisterStatusType::Running);
    assert_eq!(status.settings.controllers, [owner()]);
    assert_eq!(
        status.module_hash.unwrap(),
        sha256(&wat::parse_str(HOOKS).unwrap())
    );
    assert_eq!(status.memory_metrics.wasm_memory_size, 65_536u32);
    assert_eq!(status.cycles, 100_000_000_000_000u64);
}

#[test]
fn created_canisters_get_their_own_ids_and_a_taken_id_is_refused() {
    let mut world = World::new();
    let create = |specified_id| {
        Encode!(&Create {
            specified_id,
            settings: None
        })
        .unwrap()
    };
    let made: Vec<Principal> = (0..3)
        .map(|_| {
            let reply = world
                .manage(owner(), "provisional_create_canister_with_cycles", create(None))
                .unwrap();
            Decode!(&reply, CanisterIdRecord).unwrap().canister_id
        })
        .collect();
    assert!(made[0] < made[1] && made[1] < made[2]);
    assert!(
        world
            .manage(
                owner(),
                "provisional_create_canister_with_cycles",
                create(Some(made[1]))
            )
            .is_err()
    );
    let outside = Principal::from_slice(&[1, 2, 3, 4]);
    assert!(
        world
            .manage(
                owner(),
                "provisional_create_canister_with_cycles",
                create(Some(outside))
            )
            .is_err()
    );
}

#[test]
fn settings_out_of_bounds_are_refused_and_named() {
    let mut world = World::new();
    let settings = CanisterSettings {
        compute_allocation: Some(101u8.into()),
        ..CanisterSettings::default()
    };
    let create = Encode!(&Create {
        specified_id: None,
        settings: Some(settings)
    })
    .unwrap();
    let reject = world
        .manage(owner(), "provisional_create_canister_with_cycles", create)
        .unwrap_err();
    assert!(
        reject.message.contains("compute_allocation"),
        "{}",
        reject.message
    );
}

#[test]
fn an_unknown_management_method_and_a_broken_argument_are_refused() {
    let mut world = World::new();
    assert_eq!(code(world.manage(owner(), "fly", about(id()))), "IC0536");
    assert_eq!(code(world.manage(owner(), "stop_canister", b"garbage")), "IC0408");
}

#[test]
fn the_message_of_a_rejection_is_short_whatever_was_sent() {
    let mut world = World::new();
    let reject = world
        .manage(owner(), "stop_canister", vec![b'x'; 1 << 20])
        .unwrap_err();
    assert!(reject.message.len() <= 8 * 1024, "{}", reject.message.len());
}
