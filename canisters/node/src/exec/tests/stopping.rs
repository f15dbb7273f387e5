//! Stopping, starting and emptying canisters with calls under way.

use super::*;
use candid::Decode;
use ic_management_canister_types::{CanisterIdRecord, CanisterStatusResult, CanisterStatusType};

fn target(canister: Principal) -> Vec<u8> {
    Encode!(&CanisterIdRecord {
        canister_id: canister
    })
    .unwrap()
}

fn aaaaa() -> Principal {
    Principal::management_canister()
}

fn status(world: &World, canister: Principal) -> CanisterStatusType {
    let call = Call {
        arg: target(canister).into(),
        ..world.call("canister_status")
    };
    let mut machine = Machine::new(world.machine.executor.clone(), world.machine.state().clone());
    let mut sender = Sender::user([0; 32]);
    let reply = crate::mgmt::execute(&mut machine, &call, &mut sender)
        .unwrap()
        .unwrap();
    Decode!(&reply, CanisterStatusResult).unwrap().status
}

/// The first relay waits for the second, whose turn has not come.
fn waiting() -> (World, Hash) {
    let mut world = World::relays(Limits {
        messages: 0,
        ..Limits::default()
    });
    let request = world.submit(id(), "relay_pay", &forward(second(), "echo", b"x"));
    assert_eq!(world.outcome(&request), None);
    (world, request)
}

fn go_on(world: &mut World) {
    world.machine.executor.limits.messages = 1_000;
    world.tick(world.now);
}

#[test]
fn a_stop_waits_for_open_contexts_and_is_answered_when_the_last_has_ended() {
    let (mut world, request) = waiting();
    let stop = world.submit(aaaaa(), "stop_canister", &target(id()));
    assert_eq!(world.outcome(&stop), None);
    assert_eq!(status(&world, id()), CanisterStatusType::Stopping);
    // Who stops it once more waits too.
    let again = world.submit(aaaaa(), "stop_canister", &target(id()));
    assert_eq!(world.outcome(&again), None);
    // No new call is taken, but the one under way ends well.
    assert_eq!(code(world.send(owner(), id(), "echo", b"")), "IC0509");
    go_on(&mut world);
    assert_eq!(world.outcome(&request).unwrap().unwrap(), b"Rx");
    assert_eq!(status(&world, id()), CanisterStatusType::Stopped);
    for stop in [stop, again] {
        world.outcome(&stop).unwrap().unwrap();
    }
    assert_eq!(world.machine.agenda().wake, None);
}

#[test]
fn a_stop_without_open_contexts_is_answered_at_once_and_again() {
    let mut world = World::relays(Limits::default());
    for _ in 0..2 {
        world.manage(owner(), "stop_canister", target(id())).unwrap();
        assert_eq!(status(&world, id()), CanisterStatusType::Stopped);
    }
}

#[test]
fn a_start_cancels_the_stop() {
    let (mut world, request) = waiting();
    let stop = world.submit(aaaaa(), "stop_canister", &target(id()));
    world.manage(owner(), "start_canister", target(id())).unwrap();
    assert_eq!(code(world.outcome(&stop).unwrap()), "IC0511");
    assert_eq!(status(&world, id()), CanisterStatusType::Running);
    go_on(&mut world);
    world.outcome(&request).unwrap().unwrap();
    assert_eq!(status(&world, id()), CanisterStatusType::Running);
}

#[test]
fn a_stop_gives_up_after_five_minutes_and_the_canister_goes_on_stopping() {
    let (mut world, _) = waiting();
    let stop = world.submit(aaaaa(), "stop_canister", &target(id()));
    let due = world.machine.agenda().wake.unwrap();
    assert_eq!(due, world.machine.state().time + 300_000_000_000);
    world.tick(due - 1);
    assert_eq!(world.outcome(&stop), None);
    world.tick(due);
    assert_eq!(code(world.outcome(&stop).unwrap()), "IC0206");
    assert_eq!(status(&world, id()), CanisterStatusType::Stopping);
    go_on(&mut world);
    assert_eq!(status(&world, id()), CanisterStatusType::Stopped);
}

#[test]
fn uninstalling_rejects_the_calls_under_way_and_their_answers_only_bring_their_cycles_back() {
    let (mut world, request) = waiting();
    let cycles = world.canister().cycles;
    world.manage(owner(), "uninstall_code", target(id())).unwrap();
    let reject = world.outcome(&request).unwrap().unwrap_err();
    assert_eq!(
        (reject.code(), reject.message.as_str()),
        (4, "Canister has been uninstalled.")
    );
    // Other code must not be called back for what the old code began.
    world.install(RELAY, CanisterInstallMode::Install, b"").unwrap();
    go_on(&mut world);
    assert_eq!(world.canister().cycles, cycles + 1_000);
    assert_eq!(world.words(id()), [0; 4]);
    assert!(!world.machine.state().calls.is_open(&id()));
    assert_eq!(world.outcome(&request).unwrap().unwrap_err(), reject);
}

#[test]
fn uninstalling_a_callee_answers_its_callers() {
    let (mut world, _) = waiting();
    // The second has accepted nothing yet when it is emptied.
    world.machine.executor.limits.messages = 1;
    let request = world.submit(
        id(),
        "relay_pay",
        &forward(second(), "relay", &forward(third(), "echo", b"")),
    );
    world.tick(world.now);
    world.manage(owner(), "uninstall_code", target(second())).unwrap();
    go_on(&mut world);
    let answer = world.outcome(&request).unwrap().unwrap();
    assert!(answer.starts_with(b"X"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(world.words(id())[2], 1_000);
}

#[test]
fn a_canister_with_calls_under_way_is_not_deleted() {
    let (mut world, _) = waiting();
    world.submit(aaaaa(), "stop_canister", &target(id()));
    assert_eq!(
        code(world.manage(owner(), "delete_canister", target(id()))),
        "IC0510"
    );
    go_on(&mut world);
    world.manage(owner(), "delete_canister", target(id())).unwrap();
    assert!(world.machine.state().canister(&id()).is_none());
}

#[test]
fn calls_that_wait_for_a_deleted_canister_are_rejected() {
    let (mut world, request) = waiting();
    world.manage(owner(), "stop_canister", target(second())).unwrap();
    world
        .manage(owner(), "delete_canister", target(second()))
        .unwrap();
    go_on(&mut world);
    let answer = world.outcome(&request).unwrap().unwrap();
    assert!(
        answer.starts_with(b"X3IC0301"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

#[test]
fn a_canister_manages_those_that_it_controls_and_no_others() {
    let mut world = World::relays(Limits::default());
    let reply = world
        .relay("relay", aaaaa(), "canister_status", &target(second()))
        .unwrap();
    assert!(
        reply.starts_with(b"X5IC0512"),
        "{}",
        String::from_utf8_lossy(&reply)
    );
    let settings = ic_management_canister_types::UpdateSettingsArgs {
        canister_id: second(),
        settings: CanisterSettings {
            controllers: Some(vec![id(), owner()]),
            ..CanisterSettings::default()
        },
        sender_canister_version: None,
    };
    world
        .manage(owner(), "update_settings", Encode!(&settings).unwrap())
        .unwrap();
    let reply = world
        .relay("relay", aaaaa(), "stop_canister", &target(second()))
        .unwrap();
    assert!(reply.starts_with(b"RDIDL"), "{}", String::from_utf8_lossy(&reply));
    assert_eq!(status(&world, second()), CanisterStatusType::Stopped);
    world.assert_replayed();
}

#[test]
fn a_canister_waits_for_another_to_stop() {
    let mut world = World::relays(Limits::default());
    let settings = ic_management_canister_types::UpdateSettingsArgs {
        canister_id: id(),
        settings: CanisterSettings {
            controllers: Some(vec![third(), owner()]),
            ..CanisterSettings::default()
        },
        sender_canister_version: None,
    };
    world
        .manage(owner(), "update_settings", Encode!(&settings).unwrap())
        .unwrap();
    world.machine.executor.limits.messages = 0;
    let chain = forward(third(), "relay", &forward(third(), "echo", b"x"));
    let request = world.submit(id(), "relay", &forward(second(), "relay", &chain));
    let stop = world.submit(
        third(),
        "relay_pay",
        &forward(aaaaa(), "stop_canister", &target(id())),
    );
    world.machine.executor.limits.messages = 1;
    // The turns: the second, the third, the management canister, whose answer comes when the other call has ended.
    for _ in 0..3 {
        world.tick(world.now);
    }
    assert_eq!(status(&world, id()), CanisterStatusType::Stopping);
    assert_eq!((world.outcome(&stop), world.outcome(&request)), (None, None));
    go_on(&mut world);
    assert!(world.outcome(&stop).unwrap().unwrap().starts_with(b"RDIDL"));
    assert_eq!(world.words(third())[2], 1_000, "refunded");
}
