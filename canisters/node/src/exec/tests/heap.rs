//! Copy-on-write heaps against heaps that are copied as a whole: the same states, and what it saves.

use super::*;
use proptest::prelude::*;
use std::time::{Duration, Instant};

/// Fills parts of its memory, grows it, traps after it wrote; shows parts of it.
const HEAP: &str = r#"(module
    (import "ic0" "msg_reply" (func $msg_reply))
    (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
    (import "ic0" "msg_arg_data_copy" (func $copy (param i32 i32 i32)))
    (memory 2 2000)
    (data (i32.const 70000) "initial")
    (global $count (mut i32) (i32.const 0))
    (func $args (call $copy (i32.const 0) (i32.const 0) (i32.const 12)))
    (func $fill
      (call $args)
      (global.set $count (i32.add (global.get $count) (i32.const 1)))
      (memory.fill (i32.load (i32.const 0)) (i32.load (i32.const 8)) (i32.load (i32.const 4))))
    (func (export "canister_update fill") (call $fill) (call $msg_reply))
    (func (export "canister_update fill_and_trap") (call $fill) (unreachable))
    (func (export "canister_update grow")
      (call $args)
      (drop (memory.grow (i32.load (i32.const 0))))
      (call $msg_reply))
    (func (export "canister_update nothing") (call $msg_reply))
    (func (export "canister_update touch")
      (local $page i32)
      (loop $next
        (i32.store (i32.mul (local.get $page) (i32.const 262144))
          (i32.add (i32.load (i32.mul (local.get $page) (i32.const 262144))) (i32.const 1)))
        (local.set $page (i32.add (local.get $page) (i32.const 1)))
        (br_if $next (i32.lt_u (local.get $page) (i32.const 16))))
      (call $msg_reply))
    (func (export "canister_query scribble") (call $fill) (call $msg_reply))
    (func (export "canister_query swell")
      (call $args)
      (drop (memory.grow (i32.load (i32.const 0))))
      (call $append (i32.const 0) (i32.mul (memory.size) (i32.const 65536)))
      (call $msg_reply))
    (func (export "canister_query show")
      (call $append (i32.const 0) (i32.mul (memory.size) (i32.const 65536)))
      (call $msg_reply)))"#;

fn copying(mut world: World) -> World {
    world.machine.executor.engine = copying_engine();
    world
}

fn copying_engine() -> Arc<Engine> {
    static ENGINE: OnceLock<Arc<Engine>> = OnceLock::new();
    ENGINE.get_or_init(|| Arc::new(Engine::copying())).clone()
}

/// The canister with either engine.
fn both() -> [World; 2] {
    [World::new(), copying(World::new())].map(|mut world| {
        world.install(HEAP, CanisterInstallMode::Install, b"").unwrap();
        world
    })
}

fn args(numbers: [u32; 3]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

#[derive(Debug, Clone)]
enum Step {
    Fill(u32, u32, u32),
    Trap(u32, u32, u32),
    Grow(u32),
    /// Queries that write, of which nothing may be left.
    Scribble(u32, u32, u32),
    Swell(u32),
    Upgrade,
    Replay,
}

fn step() -> impl Strategy<Value = Step> {
    // Often beside page boundaries, sometimes outside, sometimes enough for another image.
    let place = prop_oneof![
        0_u32..140_000,
        (0_u32..40, 0_u32..4).prop_map(|(page, off)| (page * 4_096 + off).saturating_sub(2)),
    ];
    let fill = (place, prop_oneof![0_u32..9_000, Just(90_000)], 0_u32..3);
    prop_oneof![
        6 => fill.clone().prop_map(|(at, len, byte)| Step::Fill(at, len, byte)),
        2 => fill.clone().prop_map(|(at, len, byte)| Step::Trap(at, len, byte)),
        4 => fill.prop_map(|(at, len, byte)| Step::Scribble(at, len, byte)),
        1 => (0_u32..12).prop_map(Step::Swell),
        1 => (0_u32..12).prop_map(Step::Grow),
        1 => Just(Step::Upgrade),
        1 => Just(Step::Replay),
    ]
}

/// Asks with arguments.
fn ask(world: &World, method: &str, numbers: [u32; 3]) -> Result<Vec<u8>, Reject> {
    let call = Call {
        arg: args(numbers).into(),
        ..world.call(method)
    };
    let (executor, state) = (&world.machine.executor, world.machine.state());
    executor.query(state, world.canister(), &call, None)
}

/// Takes a step, and says what a query was answered.
fn take(world: &mut World, step: &Step) -> Option<Result<Vec<u8>, Reject>> {
    match *step {
        Step::Scribble(at, len, byte) => return Some(ask(world, "scribble", [at, len, byte])),
        Step::Swell(pages) => return Some(ask(world, "swell", [pages, 0, 0])),
        Step::Fill(at, len, byte) => drop(world.send(owner(), id(), "fill", &args([at, len, byte]))),
        Step::Trap(at, len, byte) => drop(world.send(owner(), id(), "fill_and_trap", &args([at, len, byte]))),
        Step::Grow(pages) => drop(world.send(owner(), id(), "grow", &args([pages, 0, 0]))),
        Step::Upgrade => drop(world.install(HEAP, CanisterInstallMode::Upgrade(None), b"")),
        Step::Replay => {
            // Everything anew, as after a restart without a checkpoint.
            let executor = world.machine.executor.clone();
            world.machine = Machine::new(executor, State::default());
            for batch in &world.batches {
                world.machine.apply(batch);
            }
        }
    }
    None
}

proptest! {
    #![proptest_config(cases(64))]
    #[test]
    fn a_mapped_heap_is_the_copied_one(steps in prop::collection::vec(step(), 1..25)) {
        let [mut mapped, mut copied] = both();
        let mut old = None;
        for step in &steps {
            prop_assert_eq!(take(&mut mapped, step), take(&mut copied, step));
            prop_assert_eq!(mapped.machine.state().root(), copied.machine.state().root());
            let shown = mapped.query("show");
            prop_assert_eq!(&shown, &copied.query("show"));
            // A snapshot keeps what it had, whatever was written since.
            let (snapshot, before) = old.get_or_insert_with(|| (mapped.canister().clone(), shown));
            let call = mapped.call("show");
            prop_assert_eq!(&mapped.machine.executor.query(&State::default(), snapshot, &call, None), before);
        }
    }
}

#[test]
fn the_engines_of_these_tests_are_two() {
    let [mapped, copied] = both();
    assert!(mapped.machine.executor.engine.maps_memories());
    assert!(!copied.machine.executor.engine.maps_memories());
}

#[test]
fn images_are_shared_by_messages_that_touch_little_and_replaced_when_much_has_changed() {
    let [mut world, _] = both();
    world.send(owner(), id(), "grow", &args([64, 0, 0])).unwrap();
    let image = |world: &World| world.canister().heap.image().unwrap();
    let first = image(&world);
    for byte in 1..20 {
        world
            .send(owner(), id(), "fill", &args([100_000, 8_192, byte]))
            .unwrap();
        assert!(Arc::ptr_eq(&first, &image(&world)));
    }
    world
        .send(owner(), id(), "fill", &args([100_000, 2_000_000, 1]))
        .unwrap();
    assert!(!Arc::ptr_eq(&first, &image(&world)));
}

/// The median of some messages.
fn median(world: &mut World, method: &str) -> Duration {
    let mut times: Vec<Duration> = (0..31)
        .map(|_| {
            let began = Instant::now();
            world.update(method).unwrap();
            began.elapsed()
        })
        .collect();
    times.sort();
    times[15]
}

/// Run with `--nocapture` for the figures in `docs/performance.md`.
#[test]
fn messages_that_touch_few_pages_of_a_large_heap_cost_less_than_copying_it() {
    for pages in [64_u32, 256, 1_024] {
        let mut took = Vec::new();
        for mut world in both() {
            world
                .send(owner(), id(), "grow", &args([pages - 2, 0, 0]))
                .unwrap();
            let whole = args([16, pages * 65_536 - 16, 7]);
            world.send(owner(), id(), "fill", &whole).unwrap();
            took.push((median(&mut world, "nothing"), median(&mut world, "touch")));
        }
        let [mapped, copied] = took[..] else {
            panic!("two worlds");
        };
        println!(
            "{} MiB of heap: empty update {:?} mapped, {:?} copied; 16 pages touched {:?} mapped, {:?} copied",
            pages / 16,
            mapped.0,
            copied.0,
            mapped.1,
            copied.1
        );
        if pages == 1_024 {
            // By a factor of more than ten on any machine that was looked at.
            assert!(mapped.0 * 2 < copied.0 && mapped.1 * 2 < copied.1);
        }
    }
}
