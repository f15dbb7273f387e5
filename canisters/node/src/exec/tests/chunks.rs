//! The chunk store, and installing from it.

use super::*;
use crate::exec::memory::footprint;
use candid::Decode;
use ic_management_canister_types::{
    CanisterIdRecord, ChunkHash, InstallChunkedCodeArgs, StoredChunksResult, UploadChunkArgs,
    UploadChunkResult,
};

/// Answers with the argument of the last install.
const ECHO: &str = r#"(module
    (import "ic0" "msg_reply" (func $msg_reply))
    (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
    (import "ic0" "msg_arg_data_size" (func $size (result i32)))
    (import "ic0" "msg_arg_data_copy" (func $copy (param i32 i32 i32)))
    (memory 1)
    (global $len (mut i32) (i32.const 0))
    (func $keep
      (global.set $len (call $size))
      (call $copy (i32.const 0) (i32.const 0) (global.get $len)))
    (func (export "canister_init") (call $keep))
    (func (export "canister_post_upgrade") (call $keep))
    (func (export "canister_query show") (call $append (i32.const 0) (global.get $len)) (call $msg_reply)))"#;

fn upload(world: &mut World, sender: Principal, store: Principal, chunk: &[u8]) -> Result<Vec<u8>, Reject> {
    world.manage(sender, "upload_chunk", upload_args(store, chunk))
}

fn upload_args(store: Principal, chunk: &[u8]) -> Vec<u8> {
    Encode!(&UploadChunkArgs {
        canister_id: store,
        chunk: chunk.to_vec()
    })
    .unwrap()
}

fn chunked(store: Option<Principal>, pieces: &[&[u8]], module: &[u8], mode: CanisterInstallMode) -> Vec<u8> {
    Encode!(&InstallChunkedCodeArgs {
        mode,
        target_canister: id(),
        store_canister: store,
        chunk_hashes_list: pieces
            .iter()
            .map(|piece| ChunkHash {
                hash: sha256(piece).to_vec()
            })
            .collect(),
        wasm_module_hash: sha256(module).to_vec(),
        arg: b"told".to_vec(),
        sender_canister_version: None,
    })
    .unwrap()
}

fn module() -> Vec<u8> {
    wat::parse_str(ECHO).unwrap()
}

/// The module in three pieces, all of them uploaded by the owner to a store.
fn stored(world: &mut World, store: Principal) -> Vec<u8> {
    let module = module();
    for piece in module.chunks(module.len().div_ceil(3)) {
        upload(world, owner(), store, piece).unwrap();
    }
    module
}

fn pieces(module: &[u8]) -> Vec<&[u8]> {
    module.chunks(module.len().div_ceil(3)).collect()
}

#[test]
fn a_module_is_put_together_from_its_chunks_in_every_mode() {
    let mut world = World::new();
    let module = stored(&mut world, id());
    let upgrade = CanisterInstallMode::Upgrade(None);
    for mode in [
        CanisterInstallMode::Install,
        CanisterInstallMode::Reinstall,
        upgrade,
    ] {
        world
            .manage(
                owner(),
                "install_chunked_code",
                chunked(None, &pieces(&module), &module, mode),
            )
            .unwrap();
        assert_eq!(world.query("show").unwrap(), b"told");
        assert_eq!(world.canister().code.as_ref().unwrap().hash, sha256(&module));
    }
    assert_eq!(
        code(world.manage(
            owner(),
            "install_chunked_code",
            chunked(None, &pieces(&module), &module, CanisterInstallMode::Install)
        )),
        "IC0514"
    );
}

#[test]
fn the_answer_to_an_upload_names_the_chunk_and_the_list_has_each_once() {
    let mut world = World::new();
    for chunk in [b"one".as_slice(), b"two", b"one"] {
        let reply = upload(&mut world, owner(), id(), chunk).unwrap();
        assert_eq!(Decode!(&reply, UploadChunkResult).unwrap().hash, sha256(chunk));
    }
    let reply = world.manage(owner(), "stored_chunks", about(id())).unwrap();
    let mut hashes: Vec<Vec<u8>> = [b"one", b"two"].map(|chunk| sha256(chunk).to_vec()).into();
    hashes.sort();
    let listed: Vec<Vec<u8>> = Decode!(&reply, StoredChunksResult)
        .unwrap()
        .into_iter()
        .map(|chunk| chunk.hash)
        .collect();
    assert_eq!(listed, hashes);
    world.manage(owner(), "clear_chunk_store", about(id())).unwrap();
    let reply = world.manage(owner(), "stored_chunks", about(id())).unwrap();
    assert_eq!(Decode!(&reply, StoredChunksResult).unwrap(), []);
}

#[test]
fn a_chunk_is_at_most_a_mebibyte_and_a_store_has_a_hundred() {
    let mut world = World::new();
    let larger = upload(&mut world, owner(), id(), &vec![0; (1 << 20) + 1]).unwrap_err();
    assert!(
        larger.message.contains("at most 1048576 bytes"),
        "{}",
        larger.message
    );
    upload(&mut world, owner(), id(), &vec![0; 1 << 20]).unwrap();
    for number in 1..100_u8 {
        upload(&mut world, owner(), id(), &[number]).unwrap();
    }
    let full = upload(&mut world, owner(), id(), &[100]).unwrap_err();
    assert!(full.message.contains("100 chunks"), "{}", full.message);
    // What is there already needs no room.
    upload(&mut world, owner(), id(), &[99]).unwrap();
}

#[test]
fn a_store_is_for_the_controllers_and_for_the_canister_itself() {
    let mut world = World::new();
    let other = world.create(stranger());
    for (method, arg) in [
        ("upload_chunk", upload_args(id(), b"x")),
        ("stored_chunks", about(id())),
        ("clear_chunk_store", about(id())),
    ] {
        assert_eq!(code(world.manage(stranger(), method, &arg)), "IC0512", "{method}");
        assert_eq!(
            code(world.manage_by(other, 0, method, &arg)),
            "IC0512",
            "{method}"
        );
        world.manage_by(id(), 0, method, &arg).unwrap();
    }
}

#[test]
fn a_module_comes_from_the_store_of_another_canister_only_for_its_controllers_and_itself() {
    let mut world = World::new();
    let store = world.create(owner());
    let module = stored(&mut world, store);
    let arg = chunked(
        Some(store),
        &pieces(&module),
        &module,
        CanisterInstallMode::Reinstall,
    );
    // The owner controls both.
    world.manage(owner(), "install_chunked_code", &arg).unwrap();
    // A controller of the target who does not control the store is refused, before ordering and in the batch.
    let settings = CanisterSettings {
        controllers: Some(vec![stranger(), store]),
        ..CanisterSettings::default()
    };
    super::settings::update(&mut world, id(), settings).unwrap();
    assert_eq!(
        code(world.manage(stranger(), "install_chunked_code", &arg)),
        "IC0512"
    );
    let call = Call {
        caller: stranger(),
        arg: arg.clone().into(),
        ..world.call("install_chunked_code")
    };
    let state = world.machine.state();
    let anyone = &crate::creators::Creators::Anyone;
    assert_eq!(
        code(mgmt::admit(state, &call, anyone, crate::mode::Mode::Dev)),
        "IC0512"
    );
    assert!(mgmt::module_to_install(state, &call).is_none());
    // The store itself, which controls the target, is not.
    world.manage_by(store, 0, "install_chunked_code", &arg).unwrap();
    // Who controls the store and not the target is refused too.
    assert_eq!(
        code(world.manage(owner(), "install_chunked_code", &arg)),
        "IC0512"
    );
}

#[test]
fn missing_chunks_and_another_hash_are_refused_and_nothing_changes() {
    let mut world = World::new();
    let module = stored(&mut world, id());
    let version = world.canister().version;
    let mode = CanisterInstallMode::Install;
    let mut more = pieces(&module);
    more.push(b"never uploaded");
    let many = vec![pieces(&module)[0]; 101];
    for (arg, says) in [
        (chunked(None, &more, &module, mode), "not in the store"),
        (
            chunked(None, &pieces(&module)[1..], &module, mode),
            "and the call names",
        ),
        (
            chunked(None, &pieces(&module), b"other", mode),
            "and the call names",
        ),
        (chunked(None, &many, &module, mode), "at most 100 chunks"),
    ] {
        let reject = world.manage(owner(), "install_chunked_code", arg).unwrap_err();
        assert!(reject.message.contains(says), "{}", reject.message);
    }
    assert!(world.canister().code.is_none());
    assert_eq!(world.canister().version, version);
}

#[test]
fn the_module_of_a_chunked_install_is_known_before_it_is_ordered() {
    let mut world = World::new();
    let module = stored(&mut world, id());
    let mut call = world.call("install_chunked_code");
    call.arg = chunked(None, &pieces(&module), &module, CanisterInstallMode::Install).into();
    assert_eq!(
        mgmt::module_to_install(world.machine.state(), &call),
        Some(module)
    );
}

#[test]
fn chunks_count_a_mebibyte_each_against_the_memory_until_the_store_is_empty() {
    let mut world = World::new();
    let before = world.machine.memory().used;
    upload(&mut world, owner(), id(), b"small").unwrap();
    assert_eq!(world.machine.memory().used, before + (1 << 20));
    assert_eq!(footprint(world.canister()), world.machine.memory().used);
    world.memory_limit = before + (2 << 20) - 1;
    let reject = upload(&mut world, owner(), id(), b"another").unwrap_err();
    assert!(
        reject.message.starts_with("The node's memory limit is reached"),
        "{}",
        reject.message
    );
    world.manage(owner(), "uninstall_code", about(id())).unwrap();
    assert_eq!(world.machine.memory().used, before);
    upload(&mut world, owner(), id(), b"another").unwrap();
    world.manage(owner(), "clear_chunk_store", about(id())).unwrap();
    assert_eq!(world.machine.memory().used, before);
}

#[test]
fn the_target_of_a_chunked_install_is_the_effective_canister() {
    let arg = chunked(Some(stranger()), &[], b"", CanisterInstallMode::Install);
    assert_eq!(mgmt::target("install_chunked_code", &arg).unwrap(), Some(id()));
    let other = Encode!(&CanisterIdRecord { canister_id: id() }).unwrap();
    assert_eq!(code(mgmt::target("install_chunked_code", &other)), "IC0408");
}
