//! Which modules are accepted.

use super::*;
use std::io::Write;

fn refused(wat: &str) -> String {
    let mut world = World::new();
    let reject = world.install(wat, CanisterInstallMode::Install, b"").unwrap_err();
    assert_eq!(reject.error.to_string(), "IC0505");
    reject.message
}

#[test]
fn an_unknown_import_is_refused_by_name() {
    assert!(refused(r#"(module (import "ic0" "teleport" (func)))"#).contains("`ic0.teleport`"));
    assert!(refused(r#"(module (import "env" "time" (func (result i64))))"#).contains("`env.time`"));
    assert!(refused(r#"(module (import "ic0" "memory" (memory 1)))"#).contains("not a function"));
}

#[test]
fn an_import_of_another_type_is_refused() {
    refused(r#"(module (import "ic0" "time" (func (result i32))))"#);
}

#[test]
fn exports_that_have_no_meaning_are_refused() {
    assert!(refused(r#"(module (func (export "canister_fly")))"#).contains("`canister_fly`"));
    assert!(refused(r#"(module (func (export "dcanary:start")))"#).contains("`dcanary:start`"));
    assert!(
        refused(r#"(module (func (export "canister_update a") (param i32)))"#).contains("canister_update a")
    );
    refused(r#"(module (func (export "canister_update a")) (func (export "canister_query a")))"#);
}

#[test]
fn entry_points_that_this_node_never_calls_are_refused_by_name() {
    for name in ["canister_heartbeat", "canister_on_low_wasm_memory"] {
        let message = refused(&format!(r#"(module (func (export "{name}")))"#));
        assert!(
            message.contains(&format!("`{name}` is not supported")),
            "{message}"
        );
    }
}

#[test]
fn features_that_the_ic_does_not_enable_are_refused() {
    refused("(module (memory 1) (memory 1))");
    refused("(module (memory 1 1 shared))");
    refused("(module (tag))");
    refused("(module (type (struct)))");
    refused("(module (global i32 (i32.add (i32.const 1) (i32.const 2))))");
    refused("(module (type $f (func)) (func (param (ref null $f)) (call_ref $f (local.get 0))))");
    refused(
        "(module (func (param v128 v128) (result v128) (i8x16.relaxed_swizzle (local.get 0) (local.get 1))))",
    );
}

#[test]
fn data_outside_of_the_memory_is_refused() {
    refused(r#"(module (memory 1) (data (i32.const 65535) "ab"))"#);
}

#[test]
fn bytes_that_are_no_module_are_refused() {
    let mut world = World::new();
    for bytes in [b"".as_slice(), b"\0asm", b"\x1f\x8bnot gzip", b"(module)"] {
        assert_eq!(
            code(world.install_bytes(bytes, CanisterInstallMode::Install, b"")),
            "IC0505"
        );
    }
}

#[test]
fn a_compressed_module_is_accepted_and_hashed_as_it_was_sent() {
    let mut world = World::new();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&wat::parse_str("(module)").unwrap()).unwrap();
    let bytes = gzip.finish().unwrap();
    world
        .install_bytes(&bytes, CanisterInstallMode::Install, b"")
        .unwrap();
    assert_eq!(world.canister().code.as_ref().unwrap().hash, sha256(&bytes));
}

#[test]
fn passive_segments_and_tables_survive_the_rewriting() {
    let mut world = World::running(
        r#"(module
            (import "ic0" "msg_reply" (func $msg_reply))
            (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
            (memory 1)
            (table 2 funcref)
            (elem (i32.const 1) $answer)
            (data $used (i32.const 100) "used")
            (data $later "later")
            (type $plain (func))
            (func $answer (call $append (i32.const 0) (i32.const 5)) (call $msg_reply))
            (func (export "canister_query go")
              (memory.init $later (i32.const 0) (i32.const 0) (i32.const 5))
              (call_indirect (type $plain) (i32.const 1)))
            (func (export "canister_query used") (memory.init $used (i32.const 0) (i32.const 0) (i32.const 1)))
            (func (export "canister_query placed") (call $append (i32.const 100) (i32.const 4)) (call $msg_reply)))"#,
    );
    assert_eq!(world.update("go").unwrap(), b"later");
    assert_eq!(world.update("placed").unwrap(), b"used");
    // An active segment is used up at instantiation.
    assert_eq!(code(world.update("used")), "IC0502");
}

#[test]
fn a_module_without_exports_or_memory_is_accepted() {
    World::running("(module)");
    World::running("(module (func $start) (start $start))");
    World::running("(module (global (mut i32) (i32.const 0)) (func $f) (start $f))");
}

#[test]
fn a_module_of_several_megabytes_is_accepted() {
    let mut world = World::new();
    let mut wasm = wat::parse_str("(module)").unwrap();
    let padding = vec![7u8; 3 << 20];
    let section = wasm_encoder::CustomSection {
        name: "x".into(),
        data: padding.into(),
    };
    wasm.push(0);
    wasm_encoder::Encode::encode(&section, &mut wasm);
    world
        .install_bytes(&wasm, CanisterInstallMode::Install, b"")
        .unwrap();
}

#[test]
fn a_function_of_more_than_a_million_instructions_is_refused_by_number() {
    // `call $f`, then nothing but `nop`; the end of the function counts too.
    let function = |nops: usize| format!("(module (func) (func $f {}))", "nop ".repeat(nops));
    let message = refused(&function(1_000_000));
    assert!(
        message.contains("the function 1 has more than 1000000 instructions"),
        "{message}"
    );
    let mut world = World::new();
    world
        .install(&function(999_999), CanisterInstallMode::Install, b"")
        .unwrap();
}
