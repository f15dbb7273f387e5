//! What has an end: lists, and the saved form.

use super::*;

fn nth(i: usize) -> Hash {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&(i as u64).to_be_bytes());
    hash
}

#[test]
fn the_held_list_is_full_at_its_ceiling_and_says_so() {
    let mut machine = EnvMachine::open(UID, None, 0);
    for i in 0..MAX_HELD {
        take(&mut machine, &[held(nth(i))]);
    }
    take(&mut machine, &[held(nth(0))]);
    assert_eq!(
        refusal(&mut machine, &held(nth(MAX_HELD))),
        "release 000000000000 cannot be held: 256 releases are held already; release one of them first"
    );
    take(&mut machine, &[released(nth(0)), held(nth(MAX_HELD))]);
}

#[test]
fn the_oldest_promoted_release_is_forgotten_beyond_the_ceiling() {
    let mut machine = EnvMachine::open(UID, None, 0);
    let promote = |machine: &mut EnvMachine, i: usize| {
        take(
            machine,
            &[requested("p", nth(i), I1), started("p"), promoted("p", I1)],
        );
    };
    for i in 0..MAX_PROMOTED {
        promote(&mut machine, i);
    }
    // Once more: they are the latest now, and the list is no longer.
    for again in [0, 7] {
        promote(&mut machine, again);
    }
    assert!((0..MAX_PROMOTED).all(|i| machine.has_promoted(&nth(i))));
    promote(&mut machine, MAX_PROMOTED);
    assert!(machine.has_promoted(&nth(0)) && !machine.has_promoted(&nth(1)));
}

#[test]
fn more_approvers_than_can_be_demanded_are_not_kept() {
    let mut machine = EnvMachine::open(UID, None, MAX_APPROVALS);
    take(&mut machine, &[requested("p", R1, I1)]);
    for i in 0..MAX_APPROVALS + 9 {
        take(
            &mut machine,
            &[decided("p", EnvTransition::APPROVE, &i.to_string(), None)],
        );
    }
    assert_eq!(machine.current().unwrap().approvals(), MAX_APPROVALS);
    take(&mut machine, &[started("p")]);
}

#[test]
fn a_saved_state_that_was_never_saved_is_refused() {
    let mut machine = EnvMachine::open(UID, Some(BEFORE), 1);
    take(&mut machine, &[requested("p", R1, I1), held(I2)]);
    let Value::Map(good) = machine.to_value() else {
        panic!("a map")
    };
    assert_eq!(EnvMachine::restore(UID, good.clone().into()), Ok(machine));
    let with = |field: &str, value: Value| {
        let mut bad = good.clone();
        bad.insert(field.to_owned(), value);
        EnvMachine::restore(UID, bad.into())
    };
    assert!(EnvMachine::is_saved(&good.clone().into()));
    assert!(!EnvMachine::is_saved(&value::map([("v", Value::Nat(1))]).into()));
    assert_eq!(with("kind", "run".into()), Err(EnvStateError::Content("kind")));
    assert_eq!(with("v", Value::Nat(2)), Err(EnvStateError::Version(2)));
    assert_eq!(
        with("closed", Value::Nat(2)),
        Err(EnvStateError::Content("closed"))
    );
    for held in [
        vec![I2.into(), I2.into()],
        vec![Value::Nat(1)],
        vec![vec![1].into()],
        (0..=MAX_HELD).map(|i| nth(i).into()).collect(),
    ] {
        assert_eq!(
            with("held", Value::Array(held)),
            Err(EnvStateError::Content("held"))
        );
    }
    assert!(matches!(
        with("more", Value::Nat(0)),
        Err(EnvStateError::Field(_))
    ));
    for field in good
        .keys()
        .filter(|field| !["from", "current"].contains(&field.as_str()))
    {
        let mut bad = good.clone();
        bad.remove(field);
        assert!(EnvMachine::restore(UID, bad.into()).is_err(), "{field}");
    }
}
