//! Executing is replaying: the same batches give the same state root, in another machine too.

use super::*;
use proptest::prelude::*;

const COUNTER: &str = include_str!("../../../tests/canisters/counter.wat");
const METHODS: [&str; 7] = [
    "inc",
    "inc_then_trap",
    "inc_then_reject",
    "grow_heap",
    "echo",
    "inc_in_query",
    "no_such_method",
];

proptest! {
    #![proptest_config(cases(64))]
    #[test]
    fn replaying_gives_the_same_roots(steps in proptest::collection::vec((0usize..8, any::<u8>()), 1..20)) {
        let mut world = World::running(COUNTER);
        let mut roots = Vec::new();
        for (step, byte) in steps {
            match METHODS.get(step) {
                Some(method) => drop(world.send(owner(), id(), method, &[byte; 40])),
                None => drop(world.install(COUNTER, CanisterInstallMode::Upgrade(None), &[byte])),
            }
            roots.push(world.machine.state().root());
        }
        let before = world.batches.len() - roots.len();
        let mut replayed = Machine::new(executor(Limits::default()), State::default());
        for (at, batch) in world.batches.iter().enumerate() {
            replayed.apply(batch);
            if at >= before {
                prop_assert_eq!(replayed.state().root(), roots[at - before]);
            }
        }
    }
}

#[test]
fn the_root_covers_memory_that_no_certificate_shows() {
    let mut one = World::running(COUNTER);
    let mut two = World::running(COUNTER);
    assert_eq!(one.machine.state().root(), two.machine.state().root());
    one.send(owner(), id(), "inc_then_reject", b"").unwrap_err();
    two.send(owner(), id(), "inc_then_reject", b"").unwrap_err();
    assert_eq!(one.machine.state().root(), two.machine.state().root());
    one.send(owner(), id(), "grow_heap", b"").unwrap();
    two.send(owner(), id(), "inc_in_query", b"").unwrap();
    assert_ne!(one.machine.state().effects, two.machine.state().effects);
}
