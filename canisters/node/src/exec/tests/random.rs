//! Randomness for canisters.

use super::*;
use candid::Decode;

fn draw(world: &mut World) -> Vec<u8> {
    let reply = world.manage_by(id(), 0, "raw_rand", Encode!().unwrap()).unwrap();
    Decode!(&reply, serde_bytes::ByteBuf).unwrap().into_vec()
}

/// A batch with nothing in it but its seed.
fn tick(world: &mut World, seed: u8) {
    let round = world.machine.state().round + 1;
    world.machine.apply(&Batch {
        round,
        time: round * 1_000,
        memory_limit: u64::MAX,
        seed: [seed; 32],
        messages: vec![],
    });
}

#[test]
fn two_calls_never_get_the_same_bytes_not_even_from_the_same_seed() {
    let mut world = World::new();
    let mut all = std::collections::BTreeSet::new();
    for _ in 0..5 {
        tick(&mut world, 3);
        for _ in 0..20 {
            let bytes = draw(&mut world);
            assert_eq!(bytes.len(), 32);
            assert!(all.insert(bytes));
        }
    }
}

#[test]
fn the_bytes_are_those_of_the_batch_in_which_the_call_is_executed() {
    let [mut one, mut two] = [World::new(), World::new()];
    assert_eq!(one.machine.state().root(), two.machine.state().root());
    // The states are the same when the calls are made; what they get is decided by the batch after.
    tick(&mut one, 1);
    tick(&mut two, 2);
    assert_ne!(draw(&mut one), draw(&mut two));
    let [mut one, mut two] = [World::new(), World::new()];
    tick(&mut one, 1);
    tick(&mut two, 1);
    assert_eq!(draw(&mut one), draw(&mut two));
}

#[test]
fn only_raw_rand_waits_for_the_next_batch() {
    assert!(mgmt::waits_for_the_next_batch("raw_rand"));
    assert!(!mgmt::waits_for_the_next_batch("canister_status"));
    assert!(!mgmt::waits_for_the_next_batch("fly"));
}

#[test]
fn the_root_covers_the_seed_and_the_number_of_draws() {
    let mut world = World::new();
    let root = world.machine.state().root();
    draw(&mut world);
    let drawn = world.machine.state().root();
    assert_ne!(root, drawn);
    let [mut one, mut two] = [World::new(), World::new()];
    tick(&mut one, 1);
    tick(&mut two, 2);
    assert_ne!(one.machine.state().root(), two.machine.state().root());
}
