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

/// Goes as deep as its argument says, with frames of a kind each: what is kept across the call, and how the next one is called.
fn going_down(kept: &str, next: &str, used: &str) -> String {
    format!(
        r#"(module
        (import "ic0" "msg_reply" (func $msg_reply))
        (import "ic0" "msg_arg_data_copy" (func $copy (param i32 i32 i32)))
        (memory 1)
        (table 1 funcref)
        (elem (i32.const 0) $down)
        (type $kind (func (param i32) (result i32)))
        (func $down (type $kind) (param $left i32) (result i32) {kept}
          (if (i32.eqz (local.get $left)) (then (return (i32.const 0))))
          (i32.sub (local.get $left) (i32.const 1))
          {next}
          {used})
        (func (export "canister_query down")
          (call $copy (i32.const 0) (i32.const 0) (i32.const 4))
          (drop (call $down (i32.load (i32.const 0))))
          (call $msg_reply)))"#
    )
}

/// The stack of the machine must be larger than what is counted, whatever a function keeps: else it would end at another depth elsewhere.
#[test]
fn recursion_ends_where_its_counted_frames_say_whatever_they_hold() {
    let indirect = "(call_indirect (type $kind) (i32.const 0))";
    let wide: String = (0..300).map(|_| "(local v128)").collect();
    let load: String = (1..=300)
        .map(|n| format!("(local.set {n} (v128.load (i32.const {})))", n * 16))
        .collect();
    let store: String = (1..=300)
        .map(|n| format!("(v128.store (i32.const {}) (local.get {n}))", n * 16))
        .collect();
    let operands: String = (0..200)
        .map(|n| format!("(i64.load (i32.const {}))", n * 8))
        .collect();
    let sums: String = (0..199).map(|_| "i64.add ").collect();
    let through = format!("(local.set $left) {operands} (local.get $left) (call $down) (local.set $left)");
    let kinds = [
        ("a direct call", going_down("", "(call $down)", "")),
        ("a call of a table", going_down("", indirect, "")),
        (
            "large locals",
            going_down(&wide, &format!("{load} (call $down)"), &store),
        ),
        (
            "operands",
            going_down("", &through, &format!("{sums} drop (local.get $left)")),
        ),
    ];
    for (name, wat) in kinds {
        let module = wat::parse_str(&wat).unwrap();
        let frames = crate::wasm::inspect::inspect(&module).unwrap().frames;
        let [down, method] = frames.as_slice() else {
            panic!("{frames:?}")
        };
        let most = u32::try_from(crate::wasm::depth::MOST_VALUES).unwrap();
        // of the deepest one the last call has nothing left to go down to
        let expected = (most - method.values) / down.values - 1;
        assert_eq!(on_a_thread(|| deepest(&World::running(&wat))), expected, "{name}");
    }
}

/// Common parts of expressions that are kept across a call are neither locals nor operands. Then the machine's stack ends first, as cleanly.
#[test]
fn what_takes_more_stack_than_is_counted_ends_at_the_same_trap() {
    let products = |what: &str| -> String {
        (0..2_000)
            .map(|n| format!("(i64.store (i32.const {}) (i64.mul (i64.extend_i32_u (local.get $left)) (i64.const {}))) {what}", n * 8, 1_000_003 + n))
            .collect()
    };
    let wat = going_down("", &format!("{} (call $down)", products("")), &products(""));
    on_a_thread(|| {
        let world = World::running(&wat);
        let deep = deepest(&world);
        let call = Call {
            arg: (deep + 1).to_le_bytes().as_slice().into(),
            ..world.call("down")
        };
        let state = world.machine.state();
        let canister = state.canister(&id()).unwrap();
        let reject = world
            .machine
            .executor
            .query(state, canister, &call, None)
            .unwrap_err();
        assert!(
            reject.message.contains("call stack exhausted"),
            "{}",
            reject.message
        );
    });
}

/// What a call takes is given back on every way out of it.
#[test]
fn calls_one_after_the_other_are_as_many_as_one_likes() {
    const WAYS_OUT: &str = r#"(module
        (import "ic0" "msg_reply" (func $msg_reply))
        (func $nothing (call $leaf))
        (func $leaf)
        (func $two (param i32) (result i32 i64) (call $leaf)
          (if (local.get 0) (then (return (i32.const 1) (i64.const 2))))
          (i32.const 3) (i64.const 4))
        (func $branches (param i32) (result i32) (call $leaf)
          (block (loop
            (br_if 1 (i32.eqz (local.get 0)))
            (drop (br_if 2 (i32.const 7) (local.get 0)))))
          (i32.const 8))
        (func $tail (param i32)
          (if (local.get 0) (then (return_call $tail (i32.sub (local.get 0) (i32.const 1)))))
          (call $leaf))
        (func (export "canister_query many") (local $left i32)
          (local.set $left (i32.const 200000))
          (loop $again
            (call $nothing)
            (drop (drop (call $two (i32.const 0))))
            (drop (drop (call $two (i32.const 1))))
            (drop (call $branches (i32.const 0)))
            (drop (call $branches (i32.const 1)))
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
            (br_if $again (local.get $left)))
          (call $tail (i32.const 1000000))
          (call $msg_reply)))"#;
    on_a_thread(|| assert!(World::running(WAYS_OUT).query("many").is_ok()));
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
