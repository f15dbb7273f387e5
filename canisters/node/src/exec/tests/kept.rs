//! What the management canister keeps, as the status, the state tree and a checkpoint tell it.

use super::*;
use crate::cert::tree::Wanted;
use crate::garbage::Bytes;
use crate::log::format;
use candid::Decode;
use ic_certification::LookupResult;
use ic_management_canister_types::{
    CanisterStatusResult, CanisterStatusType, StatusVisibility, UploadChunkArgs,
};

/// Prints and replies.
const PRINTER: &str = r#"(module
    (import "ic0" "msg_reply" (func $msg_reply))
    (import "ic0" "debug_print" (func $print (param i32 i32)))
    (memory 1)
    (data (i32.const 0) "hello")
    (func (export "canister_update say") (call $print (i32.const 0) (i32.const 5)) (call $msg_reply)))"#;

fn upload(world: &mut World, chunk: &[u8]) {
    let arg = Encode!(&UploadChunkArgs {
        canister_id: id(),
        chunk: chunk.to_vec()
    })
    .unwrap();
    world.manage(owner(), "upload_chunk", arg).unwrap();
}

/// A world that has some of everything.
fn full() -> World {
    let mut world = World::running(PRINTER);
    upload(&mut world, b"chunk");
    world.update("say").unwrap();
    // One draw that was answered, and one that waits.
    wait_for_seed(&mut world);
    world.apply(vec![]);
    assert_eq!(world.machine.state().draws, 1);
    wait_for_seed(&mut world);
    world
}

fn wait_for_seed(world: &mut World) {
    let call = world.call("raw_rand");
    let reply = mgmt::execute(&mut world.machine, &call, &mut by_canister(id(), 0, 0));
    assert_eq!(reply.unwrap(), None);
}

fn status(world: &World) -> CanisterStatusResult {
    let reply = world.ask(owner(), "canister_status", about(id())).unwrap();
    Decode!(&reply, CanisterStatusResult).unwrap()
}

#[test]
fn the_status_adds_up_everything_that_is_kept() {
    let mut world = full();
    let told = status(&world);
    let metrics = told.memory_metrics;
    assert_eq!(metrics.wasm_chunk_store_size, 1u32 << 20);
    assert_eq!(metrics.log_memory_store_size, 21u8);
    assert!(metrics.canister_history_size > 0u8);
    let parts = [
        metrics.wasm_memory_size,
        metrics.stable_memory_size,
        metrics.global_memory_size,
        metrics.wasm_binary_size,
        metrics.custom_sections_size,
        metrics.canister_history_size,
        metrics.wasm_chunk_store_size,
        metrics.snapshots_size,
        metrics.log_memory_store_size,
    ];
    let sum = parts
        .into_iter()
        .fold(candid::Nat::from(0u8), |sum, part| sum + part);
    assert_eq!(told.memory_size, sum);
    assert!(!told.ready_for_migration);
    world.manage(owner(), "stop_canister", about(id())).unwrap();
    let told = status(&world);
    assert_eq!(
        (told.status, told.ready_for_migration),
        (CanisterStatusType::Stopped, true)
    );
}

#[test]
fn the_status_is_for_those_whom_the_settings_name_and_for_the_canister_itself() {
    let mut world = World::new();
    let set = |world: &mut World, visibility| {
        let settings = CanisterSettings {
            status_visibility: Some(visibility),
            ..CanisterSettings::default()
        };
        super::settings::update(world, id(), settings).unwrap();
    };
    let ask = |world: &mut World, who: Principal| {
        let query = world.ask(who, "canister_status", about(id()));
        let update = world.manage(who, "canister_status", about(id()));
        assert_eq!(query.is_ok(), update.is_ok());
        update
    };
    assert_eq!(code(ask(&mut world, stranger())), "IC0512");
    world.manage_by(id(), 0, "canister_status", about(id())).unwrap();
    set(&mut world, StatusVisibility::AllowedViewers(vec![stranger()]));
    ask(&mut world, stranger()).unwrap();
    assert_eq!(code(ask(&mut world, Principal::from_slice(&[8]))), "IC0512");
    set(&mut world, StatusVisibility::Public);
    ask(&mut world, Principal::anonymous()).unwrap();
}

#[test]
fn only_reading_methods_are_queries() {
    let world = World::new();
    for method in ["start_canister", "canister_info", "raw_rand", "fly"] {
        assert_eq!(
            code(world.ask(owner(), method, about(id()))),
            "IC0536",
            "{method}"
        );
        assert_eq!(
            code(mgmt::query_target(method, &about(id()))),
            "IC0536",
            "{method}"
        );
    }
    assert_eq!(mgmt::query_target("canister_status", &about(id())).unwrap(), id());
}

#[test]
fn the_state_tree_tells_when_a_canister_was_created_and_last_installed() {
    let mut world = World::new();
    let told = |world: &World, label: &str| {
        let tree = world.canister().tree().reveal(&Wanted::All);
        match tree.lookup_path([label.as_bytes()]) {
            LookupResult::Found(bytes) => Some(leb128::read::unsigned(&mut &bytes[..]).unwrap()),
            _ => None,
        }
    };
    let times = |world: &World| {
        (
            told(world, "canister_creation_timestamp"),
            told(world, "last_install_timestamp"),
        )
    };
    assert_eq!(times(&world), (Some(1_000), None));
    world.install(PRINTER, CanisterInstallMode::Install, b"").unwrap();
    assert_eq!(times(&world), (Some(1_000), Some(2_000)));
    world.update("say").unwrap();
    world
        .install_bytes(b"no module", CanisterInstallMode::Reinstall, b"")
        .unwrap_err();
    assert_eq!(times(&world), (Some(1_000), Some(2_000)));
    world
        .install(PRINTER, CanisterInstallMode::Upgrade(None), b"")
        .unwrap();
    assert_eq!(times(&world).0, Some(1_000));
    assert_eq!(times(&world).1, Some(world.machine.state().time));
    world.manage(owner(), "uninstall_code", about(id())).unwrap();
    assert_eq!(times(&world), (Some(1_000), None));
}

#[test]
fn deposited_cycles_are_the_canisters() {
    let mut world = World::new();
    let before = world.canister().cycles;
    world
        .manage_by(stranger(), 55, "deposit_cycles", about(id()))
        .unwrap();
    assert_eq!((world.canister().cycles, world.refunded), (before + 55, 0));
    assert_eq!(
        code(world.manage_by(id(), 1, "deposit_cycles", about(stranger()))),
        "IC0301"
    );
    assert_eq!(world.refunded, 1);
    // What a method does not take goes back.
    world.manage_by(id(), 7, "canister_status", about(id())).unwrap();
    assert_eq!(world.refunded, 7);
}

#[test]
fn a_canister_gives_the_one_that_it_creates_its_cycles_and_must_give_enough() {
    let mut world = World::new();
    let create = Encode!(&Create {
        specified_id: None,
        settings: None
    })
    .unwrap();
    let price = crate::sysapi::CREATE_CANISTER;
    assert_eq!(
        code(world.manage_by(id(), price - 1, "create_canister", &create)),
        "IC0403"
    );
    assert_eq!(world.refunded, price - 1);
    let reply = world
        .manage_by(id(), price + 9, "create_canister", &create)
        .unwrap();
    let made = Decode!(&reply, CanisterIdRecord).unwrap().canister_id;
    let made = world.machine.state().canister(&made).unwrap();
    assert_eq!(
        (made.cycles, &made.settings.controllers),
        (price + 9, &vec![id()])
    );
    assert_eq!(world.refunded, 0);
}

fn written(state: &State, base: Option<&State>) -> Vec<u8> {
    let mut file = Bytes::default();
    let empty = State::default();
    format::write(
        &mut file,
        state,
        base.map(|base| base.round),
        base.unwrap_or(&empty),
    )
    .unwrap();
    file.0
}

fn read(bytes: &[u8], base: &State) -> State {
    let engine = executor(Limits::default()).engine;
    format::read(bytes).unwrap().apply(base, &engine).unwrap()
}

#[test]
fn a_checkpoint_brings_back_everything_that_is_kept() {
    let mut world = full();
    let state = world.machine.state().clone();
    let restored = read(&written(&state, None), &State::default());
    assert_eq!(restored.root(), state.root());
    assert_eq!((restored.seed, restored.draws), (state.seed, 1));
    let [before, after] = [&state, &restored].map(|state| (**state.canister(&id()).unwrap()).clone());
    assert_eq!(after.logs, before.logs);
    assert_eq!(after.history, before.history);
    assert_eq!(after.chunks, before.chunks);
    assert_eq!(
        (after.created, after.installed),
        (before.created, before.installed)
    );
    // What happens next does not depend on whether there was a checkpoint.
    let mut machine = Machine::new(executor(Limits::default()), restored);
    world.update("say").unwrap();
    machine.apply(world.batches.last().unwrap());
    assert_eq!(machine.state().root(), world.machine.state().root());
}

#[test]
fn a_difference_holds_only_new_chunks_and_finds_the_others_in_the_state_before() {
    let mut world = full();
    upload(&mut world, &vec![7; 60_000]);
    let before = world.machine.state().clone();
    upload(&mut world, &[8; 1_000]);
    // A module that is in the state before as a chunk only.
    let wasm = wat::parse_str("(module (memory 1))").unwrap();
    upload(&mut world, &wasm);
    let between = world.machine.state().clone();
    world
        .install_bytes(&wasm, CanisterInstallMode::Reinstall, b"")
        .unwrap();
    world.manage(owner(), "clear_chunk_store", about(id())).unwrap();
    let after = world.machine.state().clone();
    let first = written(&between, Some(&before));
    assert!(first.len() < 30_000, "{}", first.len());
    let between_again = read(&first, &before);
    assert_eq!(between_again.root(), between.root());
    let again = read(&written(&after, Some(&between)), &between_again);
    assert_eq!(again.root(), after.root());
    assert_eq!(again.canister(&id()).unwrap().chunks.len(), 0);
}

/// A checkpoint as a node of an earlier version wrote it, which knew none of these fields.
fn as_before(magic: [u8; 8], names: &[&str], state: &State) -> Vec<u8> {
    use ciborium::Value;
    use sha2::{Digest, Sha256};

    fn without(value: &mut Value, names: &[&str]) {
        if let Value::Map(fields) = value {
            fields.retain(|(name, _)| !name.as_text().is_some_and(|name| names.contains(&name)));
            for (_, value) in fields {
                without(value, names);
            }
        } else if let Value::Array(values) = value {
            for value in values {
                without(value, names);
            }
        }
    }
    let bytes = written(state, None);
    let len = usize::try_from(u64::from_le_bytes(bytes[8..16].try_into().unwrap())).unwrap();
    let mut description: Value = ciborium::from_reader(&bytes[16..16 + len]).unwrap();
    without(&mut description, names);
    let mut encoded = Vec::new();
    ciborium::into_writer(&description, &mut encoded).unwrap();
    let mut old = magic.to_vec();
    old.extend_from_slice(&(encoded.len() as u64).to_le_bytes());
    old.extend_from_slice(&encoded);
    old.extend_from_slice(&bytes[16 + len..bytes.len() - 32]);
    let sum = Sha256::digest(&old);
    old.extend_from_slice(&sum);
    old
}

#[test]
fn checkpoints_of_the_formats_before_are_read_and_have_none_of_what_came_later() {
    let world = World::running(PRINTER);
    let state = world.machine.state();
    for (magic, names) in [
        (*b"DCNCKP3\n", &["timer_turn", "deleted"][..]),
        (*b"DCNCKP2\n", &["timer_turn", "deleted", "ingress"]),
    ] {
        let before = read(&as_before(magic, names, state), &State::default());
        assert_eq!(before.root(), state.root());
    }
    let names = ["kept", "seed", "draws", "calls", "timer", "deleted"];
    let first = as_before(*b"DCNCKP1\n", &names, state);
    let restored = read(&first, &State::default());
    let canister = restored.canister(&id()).unwrap();
    assert_eq!((canister.created, canister.history.total), (None, 0));
    assert_eq!(
        canister.code.as_ref().unwrap().hash,
        world.canister().code.as_ref().unwrap().hash
    );
    assert_eq!(canister.settings, world.canister().settings);
}
