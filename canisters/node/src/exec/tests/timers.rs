//! The global timer.

use super::*;

/// Counts its timer at 0, and does with the timer what methods say. The argument is the time.
const TIMER: &str = r#"(module
    (import "ic0" "msg_reply" (func $reply))
    (import "ic0" "msg_reply_data_append" (func $say (param i32 i32)))
    (import "ic0" "msg_arg_data_copy" (func $copy (param i32 i32 i32)))
    (import "ic0" "msg_caller_size" (func $caller (result i32)))
    (import "ic0" "canister_self_copy" (func $self (param i32 i32 i32)))
    (import "ic0" "global_timer_set" (func $set (param i64) (result i64)))
    (import "ic0" "call_new" (func $new (param i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "ic0" "call_perform" (func $perform (result i32)))
    (memory 1)
    (table 1 funcref)
    (elem (i32.const 0) $done)
    (func $done (param i32) (i32.store (i32.const 4) (i32.add (i32.load (i32.const 4)) (i32.const 1))))
    (func $count (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1))))
    (func (export "canister_global_timer")
      (call $count)
      ;; only the management canister has an empty name
      (if (call $caller) (then (unreachable)))
      (if (i32.eq (i32.load (i32.const 16)) (i32.const 1)) (then (unreachable)))
      (if (i32.eq (i32.load (i32.const 16)) (i32.const 2)) (then (drop (call $set (i64.const 1)))))
      (if (i32.eq (i32.load (i32.const 16)) (i32.const 3)) (then
        (call $self (i32.const 200) (i32.const 0) (i32.const 10))
        (call $new (i32.const 200) (i32.const 10) (i32.const 100) (i32.const 32)
          (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
        (drop (call $perform))))
      (if (i32.eq (i32.load (i32.const 16)) (i32.const 4)) (then (loop $ever (br $ever)))))
    (func (export "canister_update <ic-cdk internal> timer_executor")
      (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 100))) (call $reply))
    (func (export "canister_update set")
      (call $copy (i32.const 8) (i32.const 0) (i32.const 8))
      (i64.store (i32.const 8) (call $set (i64.load (i32.const 8))))
      (call $say (i32.const 8) (i32.const 8)) (call $reply))
    (func (export "canister_update set_and_trap")
      (drop (call $set (i64.const 5))) (unreachable))
    (func (export "canister_update behave") (call $copy (i32.const 16) (i32.const 0) (i32.const 4)) (call $reply))
    (func (export "canister_query count") (call $say (i32.const 0) (i32.const 8)) (call $reply))
    (func (export "canister_pre_upgrade") (drop (call $set (i64.const 8000000))))
    (data (i32.const 100) "<ic-cdk internal> timer_executor"))"#;

fn set(world: &mut World, time: u64) -> u64 {
    set_of(world, id(), time)
}

fn set_of(world: &mut World, canister: Principal, time: u64) -> u64 {
    let reply = world.send(owner(), canister, "set", &time.to_le_bytes()).unwrap();
    u64::from_le_bytes(reply.try_into().unwrap())
}

fn behave(world: &mut World, how: u32) {
    behave_of(world, id(), how);
}

fn behave_of(world: &mut World, canister: Principal, how: u32) {
    world
        .send(owner(), canister, "behave", &how.to_le_bytes())
        .unwrap();
}

/// Three canisters with timers.
fn three(limits: Limits) -> World {
    let mut world = World::with_limits(limits);
    world.install(TIMER, CanisterInstallMode::Install, b"").unwrap();
    world.add(second(), TIMER);
    world.add(third(), TIMER);
    world
}

const ALL: [fn() -> Principal; 3] = [id, second, third];

/// How often the timer of each of the three ran.
fn runs(world: &World) -> [u32; 3] {
    let state = world.machine.state();
    ALL.map(|canister| {
        let canister = state.canister(&canister()).unwrap();
        let call = world.call("count");
        let reply = world.machine.executor.query(state, canister, &call, None);
        u32::from_le_bytes(reply.unwrap()[..4].try_into().unwrap())
    })
}

/// Runs of the timer, and answers to calls of the timer.
fn counted(world: &World) -> [u32; 2] {
    let reply = world.query("count").unwrap();
    [0, 4].map(|at| u32::from_le_bytes(reply[at..at + 4].try_into().unwrap()))
}

#[test]
fn a_timer_runs_once_when_it_is_due_and_not_before() {
    let mut world = World::running(TIMER);
    let due = 1_000_000;
    assert_eq!(set(&mut world, due), 0);
    assert_eq!(world.machine.agenda().wake, Some(due));
    world.tick(due - 1);
    assert_eq!(counted(&world), [0, 0]);
    world.tick(due);
    assert_eq!(counted(&world), [1, 0]);
    assert_eq!(world.machine.agenda().wake, None);
    world.tick(due + 1);
    assert_eq!(counted(&world), [1, 0]);
    world.assert_replayed();
}

#[test]
fn setting_it_tells_what_it_was_and_zero_clears_it() {
    let mut world = World::running(TIMER);
    assert_eq!(set(&mut world, 2_000_000), 0);
    assert_eq!(set(&mut world, 3_000_000), 2_000_000);
    assert_eq!(world.machine.agenda().wake, Some(3_000_000));
    assert_eq!(set(&mut world, 0), 3_000_000);
    assert_eq!(world.machine.agenda().wake, None);
    world.tick(4_000_000);
    assert_eq!(counted(&world), [0, 0]);
}

#[test]
fn a_timer_set_by_a_message_that_traps_is_not_set() {
    let mut world = World::running(TIMER);
    set(&mut world, 9_000_000);
    world.update("set_and_trap").unwrap_err();
    assert_eq!(world.machine.agenda().wake, Some(9_000_000));
}

#[test]
fn a_timer_that_traps_changes_nothing_and_is_over() {
    let mut world = World::running(TIMER);
    behave(&mut world, 1);
    set(&mut world, 1_000_000);
    world.tick(1_000_000);
    assert_eq!(counted(&world), [0, 0]);
    assert_eq!(world.machine.agenda().wake, None);
}

#[test]
fn a_timer_that_is_always_due_runs_once_in_a_batch() {
    let mut world = World::running(TIMER);
    behave(&mut world, 2);
    set(&mut world, 1_000_000);
    for runs in 1..4 {
        world.tick(1_000_000);
        assert_eq!(counted(&world), [runs, 0]);
        assert_eq!(world.machine.agenda().wake, Some(1));
    }
}

#[test]
fn the_call_that_timers_of_the_cdk_make_to_themselves_works() {
    let mut world = World::running(TIMER);
    behave(&mut world, 3);
    set(&mut world, 1_000_000);
    world.tick(1_000_000);
    assert_eq!(counted(&world), [101, 1]);
    assert!(!world.machine.state().calls.is_open(&id()));
    world.assert_replayed();
}

#[test]
fn other_code_clears_the_timer() {
    let target = Encode!(&ic_management_canister_types::CanisterIdRecord { canister_id: id() }).unwrap();
    for mode in [
        Some(CanisterInstallMode::Reinstall),
        Some(CanisterInstallMode::Upgrade(None)),
        None,
    ] {
        let mut world = World::running(TIMER);
        set(&mut world, 1_000_000);
        match mode {
            // The old code's `canister_pre_upgrade` sets it once more, in vain.
            Some(mode) => world.install(TIMER, mode, b"").unwrap(),
            None => world.manage(owner(), "uninstall_code", &target).unwrap(),
        };
        assert_eq!(world.machine.agenda().wake, None, "{mode:?}");
    }
}

#[test]
fn a_stopped_canister_has_its_timer_run_when_it_is_started() {
    let target = Encode!(&ic_management_canister_types::CanisterIdRecord { canister_id: id() }).unwrap();
    let mut world = World::running(TIMER);
    set(&mut world, 1_000_000);
    world.manage(owner(), "stop_canister", &target).unwrap();
    assert_eq!(world.machine.agenda().wake, None);
    world.tick(2_000_000);
    world.manage(owner(), "start_canister", &target).unwrap();
    assert_eq!(counted(&world), [1, 0]);
}

#[test]
fn timers_that_loop_run_one_in_a_batch_and_none_of_them_is_forgotten() {
    let mut world = three(Limits {
        update: 1_000_000,
        timers_instructions: 500_000,
        ..Limits::default()
    });
    for canister in ALL {
        behave_of(&mut world, canister(), 4);
        set_of(&mut world, canister(), 1_000_000);
    }
    for left in [2, 1, 0] {
        world.tick(1_000_000);
        let state = world.machine.state();
        let due = ALL.map(|canister| state.canister(&canister()).unwrap().timer);
        assert_eq!(due.iter().filter(|timer| **timer > 0).count(), left, "{due:?}");
        // what is left asks for the next batch
        assert_eq!(world.machine.agenda().wake, (left > 0).then_some(1_000_000));
    }
    world.assert_replayed();
}

#[test]
fn timers_that_use_little_run_all_in_one_batch() {
    let mut world = three(Limits::default());
    for canister in ALL {
        set_of(&mut world, canister(), 1_000_000);
    }
    world.tick(1_000_000);
    assert_eq!(runs(&world), [1, 1, 1]);
}

#[test]
fn a_timer_that_is_always_due_keeps_no_other_from_its_turn() {
    let mut world = three(Limits {
        timers_instructions: 1,
        ..Limits::default()
    });
    // the two in front are overdue more than the last one can ever be
    behave(&mut world, 2);
    behave_of(&mut world, second(), 2);
    for canister in ALL {
        set_of(&mut world, canister(), 1_000_000);
    }
    let mut seen = Vec::new();
    for _ in 0..5 {
        world.tick(1_000_000);
        seen.push(runs(&world));
    }
    assert_eq!(seen, [[1, 0, 0], [1, 1, 0], [1, 1, 1], [2, 1, 1], [2, 2, 1]]);
    world.assert_replayed();
}

#[test]
fn the_root_covers_whose_timer_has_its_turn() {
    let world = World::running(TIMER);
    let mut other = world.machine.state().clone();
    other.calls.timer_turn = second();
    assert_ne!(other.root(), world.machine.state().root());
}
