//! Canisters that name their version when they call the management canister.

use super::*;
use ic_management_canister_types::{ChangeOrigin, FromCanisterRecord, UninstallCodeArgs};

fn uninstall(version: Option<u64>) -> Vec<u8> {
    let arg = Encode!(&UninstallCodeArgs {
        canister_id: second(),
        sender_canister_version: version
    })
    .unwrap();
    forward(Principal::management_canister(), "uninstall_code", &arg)
}

/// The first relay controls the second.
fn boss() -> World {
    let mut world = World::relays(Limits::default());
    let settings = CanisterSettings {
        controllers: Some(vec![id(), owner()]),
        ..CanisterSettings::default()
    };
    super::settings::update(&mut world, second(), settings).unwrap();
    world
}

fn origin(world: &World) -> ChangeOrigin {
    let second = world.machine.state().canister(&second()).unwrap();
    second.history.recent.last().unwrap().origin.clone()
}

#[test]
fn a_call_that_names_another_version_than_the_callers_traps_and_is_not_made() {
    let mut world = boss();
    let before = world.canister().version;
    for wrong in [before + 1, before - 1] {
        let refused = world.send(owner(), id(), "relay", &uninstall(Some(wrong)));
        assert_eq!(code(refused), "IC0504");
        assert_eq!(world.canister().version, before);
    }
    assert!(world.machine.state().canister(&second()).unwrap().code.is_some());
    let reply = world.send(owner(), id(), "relay", &uninstall(Some(before)));
    assert!(reply.unwrap().starts_with(b"RDIDL"));
}

#[test]
fn the_history_has_the_version_that_the_caller_had_when_it_made_the_call() {
    let mut world = boss();
    let version = world.canister().version;
    world.machine.executor.limits.messages = 0;
    let request = world.submit(id(), "relay", &uninstall(Some(version)));
    // Its version goes on while the call waits for its turn.
    world.send(owner(), id(), "echo", b"").unwrap();
    assert_eq!(world.canister().version, version + 2);
    world.machine.executor.limits.messages = 1_000;
    world.tick(world.now);
    let reply = world.outcome(&request).unwrap().unwrap();
    assert!(reply.starts_with(b"RDIDL"), "{}", String::from_utf8_lossy(&reply));
    let expected = FromCanisterRecord {
        canister_id: id(),
        canister_version: Some(version),
    };
    assert_eq!(origin(&world), ChangeOrigin::FromCanister(expected));
}

#[test]
fn methods_of_the_chunk_store_and_of_users_only_are_for_canisters_as_the_specification_says() {
    let mut world = boss();
    let aaaaa = Principal::management_canister();
    for (method, expected) in [
        ("stored_chunks", "RDIDL"),
        ("clear_chunk_store", "RDIDL"),
        ("canister_info", "RDIDL"),
        ("canister_status", "RDIDL"),
        ("fetch_canister_logs", "X4"),
        ("http_request", "X"),
    ] {
        let reply = world.relay("relay", aaaaa, method, &about(second())).unwrap();
        assert!(
            reply.starts_with(expected.as_bytes()),
            "{method}: {}",
            String::from_utf8_lossy(&reply)
        );
    }
    world.assert_replayed();
}
