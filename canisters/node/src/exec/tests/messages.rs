//! Updates, queries, inspection.

use super::*;

const COUNTER: &str = include_str!("../../../tests/canisters/counter.wat");

fn counts(reply: &[u8]) -> [u64; 3] {
    std::array::from_fn(|at| u64::from_le_bytes(reply[at * 8..at * 8 + 8].try_into().unwrap()))
}

#[test]
fn an_update_keeps_heap_globals_stable_memory_and_certified_data() {
    let mut world = World::running(COUNTER);
    assert_eq!(counts(&world.update("inc").unwrap()), [1, 1, 1]);
    assert_eq!(counts(&world.update("inc").unwrap()), [2, 2, 2]);
    assert_eq!(counts(&world.query("get").unwrap()), [2, 2, 2]);
    assert_eq!(world.canister().certified, 2u64.to_le_bytes());
}

#[test]
fn a_trap_rolls_everything_back() {
    let mut world = World::running(COUNTER);
    world.update("inc").unwrap();
    let version = world.canister().version;
    assert_eq!(code(world.update("inc_then_trap")), "IC0503");
    assert_eq!(code(world.update("inc_then_unreachable")), "IC0502");
    assert_eq!(counts(&world.query("get").unwrap()), [1, 1, 1]);
    assert_eq!(world.canister().certified, 1u64.to_le_bytes());
    assert_eq!(world.canister().version, version);
}

#[test]
fn a_reject_keeps_what_was_done() {
    let mut world = World::running(COUNTER);
    let reject = world.update("inc_then_reject").unwrap_err();
    assert_eq!((reject.code(), reject.message.as_str()), (4, "no"));
    assert_eq!(counts(&world.query("get").unwrap()), [1, 1, 1]);
}

#[test]
fn a_query_discards_its_state_also_when_it_is_called_as_an_update() {
    let mut world = World::running(COUNTER);
    assert_eq!(counts(&world.query("inc_in_query").unwrap())[..2], [1, 1]);
    assert_eq!(counts(&world.update("inc_in_query").unwrap())[..2], [1, 1]);
    assert_eq!(counts(&world.query("get").unwrap()), [0, 0, 0]);
}

#[test]
fn a_loop_ends_at_the_instruction_limit() {
    let mut world = World::with_limits(Limits {
        update: 1_000_000,
        query: 1_000_000,
        ..Limits::default()
    });
    world.install(COUNTER, CanisterInstallMode::Install, b"").unwrap();
    assert_eq!(code(world.update("loop")), "IC0522");
    assert_eq!(code(world.query("loop_in_query")), "IC0522");
}

#[test]
fn a_system_call_with_more_work_than_instructions_left_is_stopped() {
    let mut world = World::with_limits(Limits {
        update: 100_000,
        ..Limits::default()
    });
    world.install(COUNTER, CanisterInstallMode::Install, b"").unwrap();
    assert_eq!(
        code(world.send(owner(), id(), "echo", &vec![7; 60_000])),
        "IC0522"
    );
    assert_eq!(
        world.send(owner(), id(), "echo", &[7; 10_000]).unwrap(),
        [7; 10_000]
    );
}

#[test]
fn grown_memory_stays_and_is_zeroed() {
    let mut world = World::running(COUNTER);
    assert_eq!(world.update("grow_heap").unwrap(), 1i32.to_le_bytes());
    let reply = world.query("heap_size").unwrap();
    assert_eq!(reply, [5, 0, 0, 0, 77, 0, 0, 0]);
    assert_eq!(world.update("grow_heap").unwrap(), 5i32.to_le_bytes());
}

#[derive(CandidType)]
struct Update {
    canister_id: Principal,
    settings: CanisterSettings,
}

#[test]
fn the_memory_limit_of_the_settings_stops_growth() {
    let mut world = World::running(COUNTER);
    let settings = CanisterSettings {
        wasm_memory_limit: Some(131_072u32.into()),
        ..CanisterSettings::default()
    };
    world
        .manage(
            owner(),
            "update_settings",
            Encode!(&Update {
                canister_id: id(),
                settings
            })
            .unwrap(),
        )
        .unwrap();
    assert_eq!(code(world.update("grow_heap")), "IC0539");
    assert_eq!(world.canister().heap.size, 1);
}

#[test]
fn the_memory_limit_of_the_settings_stops_no_query_no_answer_no_timer_and_no_upgrade() {
    let wat = r#"(module
            (import "ic0" "msg_reply" (func $reply))
            (import "ic0" "global_timer_set" (func $arm (param i64) (result i64)))
            (import "ic0" "canister_self_copy" (func $self (param i32 i32 i32)))
            (import "ic0" "call_new" (func $new (param i32 i32 i32 i32 i32 i32 i32 i32)))
            (import "ic0" "call_perform" (func $perform (result i32)))
            (memory 1)
            (table 1 funcref)
            (elem (i32.const 0) $answered)
            (func $grow (if (i32.eq (memory.grow (i32.const 4)) (i32.const -1)) (then (unreachable))))
            (func (export "canister_update grow") (call $grow) (call $reply))
            (func (export "canister_query look") (call $grow) (call $reply))
            (func (export "canister_composite_query look_around") (call $grow) (call $reply))
            (func (export "canister_pre_upgrade") (call $grow))
            (func (export "canister_global_timer") (call $grow))
            (func (export "canister_update arm") (drop (call $arm (i64.const 1))) (call $reply))
            (func (export "canister_update ask")
              (call $self (i32.const 0) (i32.const 0) (i32.const 10))
              (call $new (i32.const 0) (i32.const 10) (i32.const 16) (i32.const 4)
                (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
              (drop (call $perform)))
            (func $answered (param i32) (call $grow) (call $reply))
            (data (i32.const 16) "look"))"#;
    let mut world = World::running(wat);
    let settings = CanisterSettings {
        wasm_memory_limit: Some(131_072u32.into()),
        ..CanisterSettings::default()
    };
    super::settings::update(&mut world, id(), settings).unwrap();
    assert_eq!(code(world.update("grow")), "IC0539");
    world.query("look").unwrap();
    world.query("look_around").unwrap();
    world.send(owner(), id(), "ask", b"").unwrap();
    assert_eq!(world.canister().heap.size, 5);
    world.update("arm").unwrap();
    world.tick(world.now + 1);
    assert_eq!(world.canister().heap.size, 9);
    let upgrade = CanisterInstallMode::Upgrade(None);
    world.install(wat, upgrade, b"").unwrap();
}

#[test]
fn broken_rules_trap() {
    let mut world = World::running(COUNTER);
    for method in ["reply_twice", "certify_too_much", "certify_in_query"] {
        assert_eq!(code(world.update(method)), "IC0504", "{method}");
    }
    assert_eq!(code(world.query("certify_in_query")), "IC0504");
    assert_eq!(code(world.update("silent")), "IC0506");
}

#[test]
fn methods_are_called_only_as_what_they_are() {
    let mut world = World::running(
        r#"(module
            (import "ic0" "msg_reply" (func $msg_reply))
            (func (export "canister_update two words") (call $msg_reply))
            (func (export "canister_composite_query all") (call $msg_reply)))"#,
    );
    world.update("two words").unwrap();
    assert_eq!(code(world.query("two words")), "IC0536");
    assert_eq!(code(world.update("all")), "IC0527");
    world.query("all").unwrap();
    assert_eq!(code(world.update("words")), "IC0536");
}

#[test]
fn a_message_is_executed_once() {
    let mut world = World::running(COUNTER);
    let message = Ingress {
        id: [5; 32],
        sender: owner(),
        canister: id(),
        effective: id(),
        method: "inc".into(),
        arg: [].into(),
        expiry: 1_000_000,
    };
    world.apply(vec![message.clone(), message.clone()]);
    world.apply(vec![message.clone()]);
    assert_eq!(counts(&world.query("get").unwrap()), [1, 1, 1]);
    // When it has expired it is forgotten, and refused because it has expired.
    let late = Batch {
        round: 1_001,
        time: 1_000_001,
        memory_limit: u64::MAX,
        canister_limit: u64::MAX,
        permissions: Permissions::ALL,
        seed: [0; 32],
        messages: vec![message],
    };
    world.machine.apply(&late);
    assert!(world.machine.state().requests.get(&[5; 32]).is_none());
    assert_eq!(counts(&world.query("get").unwrap()), [1, 1, 1]);
}

#[test]
fn inspect_message_decides_before_ordering() {
    let world = World::running(
        r#"(module
            (import "ic0" "accept_message" (func $accept_message))
            (import "ic0" "msg_method_name_size" (func $name_size (result i32)))
            (func (export "canister_inspect_message")
              (if (i32.eq (call $name_size) (i32.const 4)) (then (call $accept_message))))
            (func (export "canister_update good"))
            (func (export "canister_update bad")))"#,
    );
    let inspect = |method| {
        world
            .machine
            .executor
            .inspect(world.canister(), &world.call(method))
    };
    inspect("good").unwrap();
    assert_eq!(code(inspect("bad")), "IC0406");
}

#[test]
fn time_caller_and_argument_are_those_of_the_message() {
    let mut world = World::running(
        r#"(module
            (import "ic0" "msg_reply" (func $msg_reply))
            (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
            (import "ic0" "time" (func $time (result i64)))
            (import "ic0" "in_replicated_execution" (func $replicated (result i32)))
            (import "ic0" "performance_counter" (func $counter (param i32) (result i64)))
            (memory 1)
            (func (export "canister_query now")
              (i64.store (i32.const 0) (call $time))
              (i32.store (i32.const 8) (call $replicated))
              (i32.store (i32.const 12) (i64.gt_u (call $counter (i32.const 0)) (i64.const 0)))
              (call $append (i32.const 0) (i32.const 16))
              (call $msg_reply)))"#,
    );
    let reply = world.update("now").unwrap();
    assert_eq!(
        u64::from_le_bytes(reply[..8].try_into().unwrap()),
        world.machine.state().time
    );
    assert_eq!(reply[8..], [1, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(world.query("now").unwrap()[8], 0);
}

#[test]
fn a_canister_of_64_bits_runs() {
    let mut world = World::running(
        r#"(module
            (import "ic0" "msg_reply" (func $msg_reply))
            (import "ic0" "msg_reply_data_append" (func $append (param i64 i64)))
            (import "ic0" "msg_arg_data_size" (func $size (result i64)))
            (memory i64 1)
            (data (i64.const 8) "wide")
            (func (export "canister_update go")
              (i64.store (i64.const 0) (i64.add (i64.load (i64.const 0)) (i64.const 1)))
              (call $append (i64.const 0) (i64.const 12))
              (call $msg_reply)))"#,
    );
    world.update("go").unwrap();
    assert_eq!(world.update("go").unwrap(), b"\x02\0\0\0\0\0\0\0wide");
}

#[test]
fn a_query_gets_the_certificate_of_its_certified_data_and_an_update_does_not() {
    let mut world = World::running(COUNTER);
    let certificate: Arc<[u8]> = [1u8, 2, 3].as_slice().into();
    let executor = &world.machine.executor;
    let shown = executor
        .query(
            world.machine.state(),
            world.canister(),
            &world.call("certificate"),
            Some(certificate),
        )
        .unwrap();
    assert_eq!(shown, [1, 2, 3]);
    assert_eq!(code(world.query("certificate")), "IC0503");
    assert_eq!(code(world.update("certificate")), "IC0503");
}
