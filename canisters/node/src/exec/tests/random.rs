//! Randomness for canisters.

use super::*;
use candid::Decode;
use std::collections::BTreeSet;

fn relays() -> World {
    World::relays(Limits::default())
}

/// Lets the first relay ask for bytes.
fn ask(world: &mut World) -> Hash {
    let arg = forward(Principal::management_canister(), "raw_rand", &Encode!().unwrap());
    world.submit(id(), "relay", &arg)
}

/// The bytes that an asking relay got; `None` when it still waits.
fn drawn(world: &World, request: &Hash) -> Option<Vec<u8>> {
    let reply = world.outcome(request)?.unwrap();
    let bytes = Decode!(&reply[1..], serde_bytes::ByteBuf).unwrap().into_vec();
    assert_eq!((reply[0], bytes.len()), (b'R', 32));
    Some(bytes)
}

/// A batch with nothing in it but its seed.
fn tick(world: &mut World, seed: u8) {
    let round = world.batches.len() as u64 + 1;
    let batch = Batch {
        round,
        time: round * 1_000,
        memory_limit: u64::MAX,
        canister_limit: u64::MAX,
        permissions: Permissions::ALL,
        seed: [seed; 32],
        messages: vec![],
    };
    world.machine.apply(&batch);
    world.batches.push(batch);
}

#[test]
fn two_calls_never_get_the_same_bytes_not_even_from_the_same_seed() {
    let mut world = relays();
    let mut all = BTreeSet::new();
    for _ in 0..5 {
        // Six calls that wait together.
        world.machine.executor.limits.messages = 0;
        let requests: Vec<Hash> = (0..6).map(|_| ask(&mut world)).collect();
        world.machine.executor.limits.messages = 1_000;
        tick(&mut world, 3);
        tick(&mut world, 3);
        for request in requests {
            assert!(all.insert(drawn(&world, &request).unwrap()));
        }
    }
}

#[test]
fn a_call_is_answered_in_the_batch_after_the_one_that_took_it_and_survives_both_ways_of_restarting() {
    let mut world = relays();
    let request = ask(&mut world);
    assert_eq!(drawn(&world, &request), None);
    assert!(world.machine.agenda().busy && world.machine.agenda().only_draws);
    tick(&mut world, 1);
    let first = drawn(&world, &request).unwrap();
    assert!(!world.machine.agenda().busy);
    let again = ask(&mut world);
    tick(&mut world, 1);
    assert_ne!(drawn(&world, &again).unwrap(), first);
    world.assert_replayed();
    // Nothing else waits.
    let target = about(id());
    let info = world.relay(
        "relay",
        Principal::management_canister(),
        "canister_info",
        &target,
    );
    assert!(info.unwrap().starts_with(b"RDIDL"));
}

#[test]
fn a_call_that_waits_for_its_turn_gets_bytes_of_a_batch_after_that() {
    let mut world = relays();
    world.machine.executor.limits.messages = 0;
    let request = ask(&mut world);
    tick(&mut world, 1);
    world.machine.executor.limits.messages = 1_000;
    tick(&mut world, 2);
    assert_eq!(drawn(&world, &request), None);
    tick(&mut world, 3);
    let seeded = State {
        seed: [3; 32],
        ..State::default()
    };
    assert_eq!(drawn(&world, &request).unwrap(), mgmt::raw_rand(&seeded, 0));
}

#[test]
fn the_bytes_are_decided_by_the_seed_after_the_call() {
    let bytes = |seed: u8| {
        let mut world = relays();
        let request = ask(&mut world);
        let root = world.machine.state().root();
        tick(&mut world, seed);
        (root, drawn(&world, &request).unwrap())
    };
    let [(before, one), (same, two), (again, other)] = [1, 1, 2].map(bytes);
    // The states are the same when the calls are made.
    assert_eq!((before, before), (same, again));
    assert_eq!(one, two);
    assert_ne!(one, other);
}

#[test]
fn cycles_that_come_with_the_call_go_back_with_the_bytes() {
    let mut world = relays();
    let before = world.canister().cycles;
    let arg = forward(Principal::management_canister(), "raw_rand", &Encode!().unwrap());
    let request = world.submit(id(), "relay_pay", &arg);
    assert_eq!(world.canister().cycles, before - 1_000);
    tick(&mut world, 1);
    drawn(&world, &request).unwrap();
    assert_eq!(world.canister().cycles, before);
}

#[test]
fn the_root_covers_the_seed_and_the_number_of_draws_and_who_waits() {
    let mut state = relays().machine.state().clone();
    let root = state.root();
    state.draws += 1;
    assert_ne!(state.root(), root);
    state.draws -= 1;
    state.seed[0] ^= 1;
    assert_ne!(state.root(), root);
    state.seed[0] ^= 1;
    let mut world = relays();
    ask(&mut world);
    let mut waiting = world.machine.state().clone();
    let root = waiting.root();
    waiting.calls.draws = crate::cert::trie::Trie::default();
    assert_ne!(waiting.root(), root);
}
