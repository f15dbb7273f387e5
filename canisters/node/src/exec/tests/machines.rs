//! What could differ between machines, or between two runs on one, and does not.

use super::*;

/// Calls itself as often as its argument says.
const DEEP: &str = r#"(module
    (import "ic0" "msg_reply" (func $msg_reply))
    (import "ic0" "msg_arg_data_copy" (func $copy (param i32 i32 i32)))
    (memory 1)
    (func $down (param $left i32) (result i32)
      (if (result i32) (local.get $left)
        (then (i32.add (i32.const 1) (call $down (i32.sub (local.get $left) (i32.const 1)))))
        (else (i32.const 0))))
    (func (export "canister_query down")
      (call $copy (i32.const 0) (i32.const 0) (i32.const 4))
      (drop (call $down (i32.load (i32.const 0))))
      (call $msg_reply))
    (func (export "canister_query endless")
      (drop (call $down (i32.const -1)))
      (call $msg_reply)))"#;

/// The deepest recursion that does not trap.
fn deepest(world: &World) -> u32 {
    let ask = |depth: u32| {
        let call = Call {
            arg: depth.to_le_bytes().as_slice().into(),
            ..world.call("down")
        };
        let state = world.machine.state();
        world
            .machine
            .executor
            .query(state, state.canister(&id()).unwrap(), &call, None)
    };
    let (mut good, mut bad) = (1, 10_000_000);
    while bad - good > 1 {
        let half = good + (bad - good) / 2;
        if ask(half).is_ok() {
            good = half;
        } else {
            bad = half;
        }
    }
    good
}

/// Goes down the stack of the node itself before it looks.
fn from_below(world: &World, levels: u32) -> u32 {
    let room = [levels; 4_000];
    if levels == 0 {
        return deepest(world);
    }
    std::hint::black_box(&room);
    from_below(world, levels - 1)
}

fn on_a_thread<T: Send>(task: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(crate::wasm::engine::THREAD_STACK)
            .spawn_scoped(scope, task)
            .unwrap()
            .join()
            .unwrap()
    })
}

#[test]
fn recursion_ends_at_the_same_depth_wherever_it_begins() {
    let depth = on_a_thread(|| deepest(&World::running(DEEP)));
    assert!(depth > 10_000, "{depth}");
    assert_eq!(on_a_thread(|| from_below(&World::running(DEEP), 60)), depth);
}

#[test]
fn endless_recursion_is_a_trap_and_the_canister_goes_on() {
    on_a_thread(|| {
        let world = World::running(DEEP);
        let reject = world.query("endless").unwrap_err();
        assert!(
            reject.message.contains("call stack exhausted"),
            "{}",
            reject.message
        );
        assert!(deepest(&world) > 1);
    });
}

#[test]
fn a_result_that_is_not_a_number_has_the_same_bits_everywhere() {
    const NAN: &str = r#"(module
        (import "ic0" "msg_reply" (func $msg_reply))
        (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
        (memory 1)
        (func (export "canister_query nan")
          (f32.store (i32.const 0) (f32.div (f32.load (i32.const 64)) (f32.load (i32.const 64))))
          (f32.store (i32.const 4) (f32.add (f32.const -nan:0x200001) (f32.load (i32.const 64))))
          (f64.store (i32.const 8) (f64.sqrt (f64.const -1)))
          (call $append (i32.const 0) (i32.const 16))
          (call $msg_reply)))"#;
    let bits = World::running(NAN).query("nan").unwrap();
    let canonical = [
        &0x7fc0_0000_u32.to_le_bytes()[..],
        &0x7fc0_0000_u32.to_le_bytes(),
        &0x7ff8_0000_0000_0000_u64.to_le_bytes(),
    ]
    .concat();
    assert_eq!(bits, canonical);
}
