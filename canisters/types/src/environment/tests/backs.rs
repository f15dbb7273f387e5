//! What may be written of ways back: less than section 12 allows, which has to go on allowing what was written before.

use super::{
    laws::{cases, everything, history, machine, openings},
    oracle::{admitted, was_promoted},
    *,
};

/// The release [`R1`] was promoted here as [`I1`], with an approval.
fn promoted_once() -> EnvMachine {
    let mut machine = EnvMachine::open(UID, None, 1);
    for one in [
        requested("p", R1, I1),
        decided("p", EnvTransition::APPROVE, "bob", None),
        started("p"),
        promoted("p", I1),
    ] {
        machine.admit(&one, &vouches).unwrap();
    }
    machine
}

fn without_identities(machine: &EnvMachine) -> EnvMachine {
    let Value::Map(mut saved) = machine.to_value() else {
        panic!("a map")
    };
    saved.remove("identities").unwrap();
    EnvMachine::restore(UID, saved.into()).unwrap()
}

#[test]
fn a_release_goes_back_without_approvals_only_in_a_configuration_that_was_promoted_here() {
    let mut machine = promoted_once();
    machine.admit(&undo("q", R1, I2), &vouches).unwrap();
    let before = machine.clone();
    let refused = machine.admit(&started("q"), &vouches).unwrap_err().to_string();
    assert_eq!(refused, "promotion q cannot start: 0 of 1 approvals are recorded");
    assert_eq!(machine, before, "a refusal changed something");
    // what was written so once stays legal
    before.clone().apply(&started("q"), &vouches).unwrap();
    for one in [
        decided("q", EnvTransition::APPROVE, "bob", None),
        started("q"),
        promoted("q", I2),
    ] {
        machine.admit(&one, &vouches).unwrap();
    }
    for (promotion, identity) in [("r", I1), ("s", I2)] {
        for one in [
            undo(promotion, R1, identity),
            started(promotion),
            promoted(promotion, identity),
        ] {
            machine.admit(&one, &vouches).unwrap();
        }
    }
}

#[test]
fn a_release_from_before_identities_were_remembered_goes_back_as_it_did_then() {
    let mut machine = without_identities(&promoted_once());
    for one in [undo("q", R1, I1), started("q"), aborted("q"), undo("r", R2, I1)] {
        machine.admit(&one, &vouches).unwrap();
    }
    assert!(
        machine.admit(&started("r"), &vouches).is_err(),
        "R2 never was here"
    );
    // and also after more of it is known, and the state was saved again
    for one in [
        aborted("r"),
        requested("s", R2, I2),
        decided("s", EnvTransition::APPROVE, "bob", None),
        started("s"),
        promoted("s", I2),
    ] {
        machine.admit(&one, &vouches).unwrap();
    }
    let mut machine = EnvMachine::restore(UID, machine.to_value()).unwrap();
    for one in [undo("t", R1, I1), started("t")] {
        machine.admit(&one, &vouches).unwrap();
    }
}

#[test]
fn lists_that_are_saved_only_when_they_hold_something_have_one_form() {
    let Value::Map(good) = promoted_once().to_value() else {
        panic!("a map")
    };
    for field in ["identities", "unidentified"] {
        for bad in [vec![], vec![I2.into(), I2.into()], vec![Value::Nat(1)]] {
            let mut saved = good.clone();
            saved.insert(field.to_owned(), Value::Array(bad));
            assert_eq!(
                EnvMachine::restore(UID, saved.into()),
                Err(EnvStateError::Content(field))
            );
        }
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn what_is_admitted_is_what_the_oracle_admits_and_is_legal(
        opening in openings(), picks in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let history = history(&opening, &picks, admitted);
        let mut machine = machine(&opening);
        for i in 0..=history.len() {
            for next in everything() {
                let before = machine.clone();
                let mut tried = machine.clone();
                let answer = tried.admit(&next, &vouches);
                prop_assert_eq!(
                    answer.is_ok(), admitted(&opening, &history[..i], &next), "{:?} after {:?}", next, &history[..i]
                );
                if answer.is_err() {
                    prop_assert_eq!(tried, before, "a refusal changed something");
                } else {
                    let mut legal = before;
                    prop_assert_eq!(legal.apply(&next, &vouches), Ok(()));
                    prop_assert_eq!(legal, tried, "admitted is applied");
                }
            }
            if let Some(next) = history.get(i) {
                machine.admit(next, &vouches).unwrap();
                machine = EnvMachine::restore(UID, machine.to_value()).unwrap();
            }
        }
    }

    #[test]
    fn a_state_that_knows_no_identities_admits_no_less_than_one_that_does(
        opening in openings(), picks in prop::collection::vec(any::<prop::sample::Index>(), 1..40), at: prop::sample::Index,
    ) {
        let history = history(&opening, &picks, admitted);
        prop_assume!(!history.is_empty());
        let at = at.index(history.len());
        let mut machine = machine(&opening);
        for next in &history[..at] {
            machine.admit(next, &vouches).unwrap();
        }
        let promoted = [R1, R2].iter().any(|release| was_promoted(&history[..at], release));
        if promoted {
            machine = without_identities(&machine);
        }
        for next in &history[at..] {
            prop_assert_eq!(machine.admit(next, &vouches), Ok(()));
        }
    }
}
