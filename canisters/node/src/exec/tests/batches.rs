//! Calls between canisters that take several batches: order, turns, bounds, and what clients see meanwhile.

use super::calls::{assert_idle, text};
use super::*;

/// A limit of one message between canisters in a batch.
pub fn slowly() -> Limits {
    Limits {
        messages: 1,
        ..Limits::default()
    }
}

#[test]
fn what_does_not_fit_into_a_batch_goes_on_in_the_next_and_is_processing_until_then() {
    let mut world = World::relays(slowly());
    let request = world.submit(id(), "relay", &forward(second(), "echo", b"later"));
    assert!(world.machine.agenda().busy);
    assert_eq!(world.outcome(&request), None);
    assert_eq!(world.words(second())[0], 1);
    world.tick(0);
    assert_eq!(text(world.outcome(&request).unwrap()), "Rlater");
    assert_eq!(world.machine.late(), [request]);
    assert_idle(&world);
    world.assert_replayed();
}

#[test]
fn a_batch_begins_no_message_beyond_its_instructions_and_always_one() {
    let mut world = World::relays(Limits {
        messages_instructions: 1,
        ..Limits::default()
    });
    let request = world.submit(id(), "relay", &forward(second(), "echo", b""));
    assert_eq!(world.outcome(&request), None);
    world.tick(0);
    assert!(world.outcome(&request).is_some());
}

#[test]
fn a_request_under_way_is_not_executed_again_and_outlives_its_expiry() {
    let mut world = World::relays(slowly());
    let message = Ingress {
        id: [5; 32],
        sender: owner(),
        canister: id(),
        effective: id(),
        method: "relay".into(),
        arg: forward(second(), "echo", b"once").into(),
        expiry: 20_000,
    };
    world.apply(vec![message.clone()]);
    assert_eq!(world.outcome(&[5; 32]), None);
    world.machine.apply(&Batch {
        messages: vec![message],
        time: 30_000,
        ..world.batches.last().unwrap().clone()
    });
    // Expired, answered, and kept so that its sender can read the answer.
    assert_eq!(text(world.outcome(&[5; 32]).unwrap()), "Ronce");
    assert_eq!(world.words(second())[0], 1);
    let kept = |time: u64| Batch {
        messages: vec![],
        time,
        ..world.batches.last().unwrap().clone()
    };
    let (within, after) = (kept(300_000_000_000), kept(301_000_000_000));
    world.machine.apply(&within);
    assert!(world.machine.state().requests.get(&[5; 32]).is_some());
    world.machine.apply(&after);
    assert!(world.machine.state().requests.get(&[5; 32]).is_none());
}

#[test]
fn calls_of_a_pair_are_executed_in_the_order_in_which_they_were_made() {
    let mut world = World::relays(Limits {
        messages: 0,
        ..Limits::default()
    });
    for letter in b"abcdefgh" {
        world.submit(id(), "relay_once", &forward(second(), "order", &[*letter]));
        world.submit(
            third(),
            "relay_once",
            &forward(second(), "order", &[letter.to_ascii_uppercase()]),
        );
    }
    world.machine.executor.limits.messages = 1_000;
    world.machine.apply(&Batch {
        round: 100,
        time: 1_000_000,
        memory_limit: u64::MAX,
        canister_limit: u64::MAX,
        permissions: Permissions::ALL,
        seed: [0; 32],
        messages: vec![],
    });
    let state = world.machine.state();
    let noted = world
        .machine
        .executor
        .query(
            state,
            state.canister(&second()).unwrap(),
            &world.call("noted"),
            None,
        )
        .unwrap();
    let of = |small: bool| -> Vec<u8> {
        noted
            .iter()
            .copied()
            .filter(|letter| letter.is_ascii_lowercase() == small)
            .collect()
    };
    assert_eq!(
        (of(true), of(false)),
        (b"abcdefgh".to_vec(), b"ABCDEFGH".to_vec())
    );
}

#[test]
fn a_canister_that_is_called_a_lot_does_not_keep_others_waiting() {
    let mut world = World::relays(Limits {
        messages: 0,
        ..Limits::default()
    });
    world.submit(id(), "relay_many", &forward(second(), "order", b"1"));
    world.submit(id(), "relay_once", &forward(third(), "order", b"2"));
    world.machine.executor.limits.messages = 4;
    world.machine.apply(&Batch {
        round: 100,
        time: 1_000_000,
        memory_limit: u64::MAX,
        canister_limit: u64::MAX,
        permissions: Permissions::ALL,
        seed: [0; 32],
        messages: vec![],
    });
    assert_eq!(world.words(third())[0], 1);
    assert!(world.words(second())[0] < 4);
}
