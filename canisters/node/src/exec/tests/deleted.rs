//! Ids of canisters that are gone.

use super::*;
use crate::state::{FIRST_NUMBER, canister_id};

/// Creates a canister under an id.
fn specify(world: &mut World, id: Principal) -> Result<Vec<u8>, Reject> {
    let arg = Encode!(&Create {
        specified_id: Some(id),
        settings: None
    })
    .unwrap();
    world.manage(owner(), "provisional_create_canister_with_cycles", arg)
}

fn delete(world: &mut World, id: Principal) {
    for method in ["stop_canister", "delete_canister"] {
        world.manage(owner(), method, about(id)).unwrap();
    }
    assert!(world.machine.state().canister(&id).is_none());
}

fn assert_gone(world: &mut World, id: Principal) {
    let reject = specify(world, id).unwrap_err();
    assert!(reject.message.contains("was deleted"), "{}", reject.message);
}

#[test]
fn an_id_that_the_node_gave_out_is_given_to_no_other_canister() {
    let mut world = World::new();
    let made = world.create(owner());
    delete(&mut world, made);
    assert_gone(&mut world, made);
    assert_ne!(world.create(owner()), made);
    assert_eq!(
        world.machine.state().deleted.iter().count(),
        0,
        "the count tells it"
    );
}

#[test]
fn an_id_that_was_specified_is_given_to_no_other_canister_whether_the_count_is_past_it_or_comes_to_it() {
    // one below those that the node gives out, and one ahead of its count
    for (number, ahead) in [(7, false), (FIRST_NUMBER + 1, true)] {
        let mut world = World::new();
        let specified = canister_id(number);
        specify(&mut world, specified).unwrap();
        delete(&mut world, specified);
        assert_gone(&mut world, specified);
        let given: Vec<_> = (0..3).map(|_| world.create(owner())).collect();
        assert!(!given.contains(&specified));
        // the count has left it out
        assert_eq!(
            given.last(),
            Some(&canister_id(FIRST_NUMBER + 2 + u64::from(ahead)))
        );
        assert_gone(&mut world, specified);
        world.assert_replayed();
    }
}

#[test]
fn an_id_that_nobody_had_can_be_specified_and_one_that_the_count_left_out_while_it_was_there_is_gone_later() {
    let mut world = World::new();
    let specified = canister_id(FIRST_NUMBER);
    specify(&mut world, specified).unwrap();
    assert_eq!(world.create(owner()), canister_id(FIRST_NUMBER + 1));
    delete(&mut world, specified);
    assert_gone(&mut world, specified);
    specify(&mut world, canister_id(FIRST_NUMBER + 5)).unwrap();
}

#[test]
fn the_root_covers_which_ids_are_gone() {
    let mut world = World::new();
    let mut other = world.machine.state().clone();
    other.delete(&second());
    assert_ne!(other.root(), world.machine.state().root());
    // and a restored node knows them
    specify(&mut world, second()).unwrap();
    delete(&mut world, second());
    world.assert_replayed();
    let mut file = Bytes::default();
    format::write(&mut file, world.machine.state(), None, &State::default()).unwrap();
    let contents = format::read(file.0.as_slice()).unwrap();
    let restored = contents
        .apply(&State::default(), &world.machine.executor.engine)
        .unwrap();
    assert!(restored.was_deleted(&second()));
}
