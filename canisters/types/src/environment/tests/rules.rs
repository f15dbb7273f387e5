//! Each rule of the machine by an example.

use std::cell::Cell;

use super::*;

#[test]
fn a_release_comes_with_its_approvals_and_is_remembered() {
    let mut machine = EnvMachine::open(UID, Some(BEFORE), 2);
    take(&mut machine, &[requested("p", R1, I1)]);
    assert_eq!(
        refusal(&mut machine, &started("p")),
        "promotion p cannot start: 0 of 2 approvals are recorded"
    );
    take(
        &mut machine,
        &[
            decided("p", EnvTransition::APPROVE, "bob", Some(I1)),
            decided("p", EnvTransition::APPROVE, "bob", Some(I1)),
        ],
    );
    assert_eq!(
        refusal(&mut machine, &started("p")),
        "promotion p cannot start: 1 of 2 approvals are recorded"
    );
    take(
        &mut machine,
        &[
            decided("p", EnvTransition::APPROVE, "cid", None),
            started("p"),
            step("p", 0, 10),
            verdict("p"),
            step("p", 1, 100),
            promoted("p", I1),
        ],
    );
    assert!(machine.has_promoted(&R1) && !machine.has_promoted(&R2));
    assert_eq!(machine.current(), None);
}

#[test]
fn refusals_say_what_and_why() {
    let mut machine = EnvMachine::open(UID, Some(BEFORE), 0);
    let cases = |machine: &mut EnvMachine, cases: &[(EnvTransition, &str)]| {
        for (one, said) in cases {
            assert_eq!(refusal(machine, one), *said);
        }
    };
    cases(
        &mut machine,
        &[
            (
                opened(),
                "cannot open the environment: the environment is already open",
            ),
            (
                requested("p", R2, I2),
                "promotion p cannot ask for its turn: environment staging-uid, from which releases come, has not promoted release 020202020202",
            ),
            (
                undo("p", R2, I2),
                "promotion p cannot ask for its turn: release 020202020202 was never promoted here, so it is nothing to go back to, and environment staging-uid, from which releases come, does not vouch for it",
            ),
            (started("p"), "promotion p cannot start: no promotion is current"),
            (
                released(I1),
                "release 0b0b0b0b0b0b cannot be released: the release 0b0b0b0b0b0b is not held",
            ),
        ],
    );
    take(&mut machine, &[requested("p", R1, I1)]);
    cases(
        &mut machine,
        &[
            (
                requested("q", R1, I2),
                "promotion q cannot ask for its turn: promotion p has not ended; record its end first",
            ),
            (
                step("p", 3, 10),
                "promotion p cannot reach step 3: its deployment has not started",
            ),
            (
                verdict("p"),
                "analysis `step-1` of promotion p cannot be decided: its deployment has not started",
            ),
            (
                promoted("p", I1),
                "promotion p cannot succeed: its deployment has not started",
            ),
            (
                decided("p", EnvTransition::APPROVE, "bob", Some(I2)),
                "decision approve-bob (approve) cannot count: it is about 0c0c0c0c0c0c, the request is for 0b0b0b0b0b0b",
            ),
            (
                aborted("q"),
                "promotion q cannot be aborted: promotion p is the current one",
            ),
            (
                frozen("q"),
                "promotion q cannot be frozen: promotion p is the current one",
            ),
            (
                overridden("q"),
                "decision d cannot let promotion q through: promotion p is the current one",
            ),
        ],
    );
    take(&mut machine, &[started("p")]);
    cases(
        &mut machine,
        &[
            (started("p"), "promotion p cannot start: it has started already"),
            (
                step("p", 3, 101),
                "promotion p cannot reach step 3: the weight 101 is over 100",
            ),
            (
                promoted("p", I2),
                "promotion p cannot succeed: it is about 0c0c0c0c0c0c, the request is for 0b0b0b0b0b0b",
            ),
            (
                rolled_back("p", I2),
                "promotion p cannot be rolled back: it is about 0c0c0c0c0c0c, the request is for 0b0b0b0b0b0b",
            ),
        ],
    );
    take(&mut machine, &[rolled_back("p", I1), held(I1)]);
    cases(
        &mut machine,
        &[(
            requested("q", R1, I1),
            "promotion q cannot ask for its turn: the release 0b0b0b0b0b0b is held; it may come when it is released",
        )],
    );
    take(&mut machine, &[EnvTransition::Closed]);
    cases(
        &mut machine,
        &[
            (
                held(I2),
                "release 0c0c0c0c0c0c cannot be held: the environment is closed",
            ),
            (
                refused(),
                "cannot note a refused record: the environment is closed",
            ),
        ],
    );
}

#[test]
fn a_rejection_ends_the_wait_whoever_approves_afterwards() {
    let mut machine = EnvMachine::open(UID, None, 1);
    take(
        &mut machine,
        &[
            requested("p", R1, I1),
            decided("p", EnvTransition::REJECT, "bob", None),
            decided("p", EnvTransition::APPROVE, "cid", None),
        ],
    );
    assert_eq!(
        refusal(&mut machine, &started("p")),
        "promotion p cannot start: it was rejected"
    );
    take(&mut machine, &[aborted("p"), requested("p", R1, I1)]);
    assert!(!machine.current().unwrap().is_rejected());
}

#[test]
fn the_way_back_to_a_release_that_was_promoted_here_needs_no_approval() {
    let mut machine = EnvMachine::open(UID, None, 1);
    let approved = |promotion| decided(promotion, EnvTransition::APPROVE, "bob", None);
    take(
        &mut machine,
        &[
            requested("p", R1, I1),
            approved("p"),
            started("p"),
            promoted("p", I1),
        ],
    );
    // never promoted here: it is as good as any other
    take(&mut machine, &[undo("q", R2, I2)]);
    assert_eq!(
        refusal(&mut machine, &started("q")),
        "promotion q cannot start: 0 of 1 approvals are recorded"
    );
    // promoted here, but not asked for as a way back
    take(&mut machine, &[aborted("q"), requested("r", R1, I1)]);
    assert_eq!(
        refusal(&mut machine, &started("r")),
        "promotion r cannot start: 0 of 1 approvals are recorded"
    );
    take(&mut machine, &[aborted("r"), undo("s", R1, I2)]);
    assert!(machine.current().unwrap().returns());
    let saved = machine.to_value();
    assert_eq!(EnvMachine::restore(UID, saved).unwrap(), machine);
    take(&mut machine, &[started("s"), promoted("s", I2)]);
    // a rejection counts on the way back too
    take(
        &mut machine,
        &[
            undo("t", R1, I1),
            decided("t", EnvTransition::REJECT, "bob", None),
        ],
    );
    assert_eq!(
        refusal(&mut machine, &started("t")),
        "promotion t cannot start: it was rejected"
    );
}

#[test]
fn approvals_before_the_request_or_for_another_promotion_do_not_count() {
    let mut machine = EnvMachine::open(UID, None, 1);
    take(
        &mut machine,
        &[
            decided("p", EnvTransition::APPROVE, "bob", None),
            requested("p", R1, I1),
            decided("q", EnvTransition::APPROVE, "bob", None),
            decided("p", "resume", "bob", None),
        ],
    );
    assert_eq!(
        refusal(&mut machine, &started("p")),
        "promotion p cannot start: 0 of 1 approvals are recorded"
    );
    take(
        &mut machine,
        &[
            decided("p", EnvTransition::APPROVE, "bob", None),
            aborted("p"),
            requested("p", R1, I1),
        ],
    );
    assert_eq!(
        machine.current().unwrap().approvals(),
        0,
        "a new request begins without"
    );
}

#[test]
fn a_release_that_is_held_while_it_waits_does_not_start() {
    let mut machine = EnvMachine::open(UID, None, 0);
    take(&mut machine, &[requested("p", R1, I1), held(I1)]);
    assert!(refusal(&mut machine, &started("p")).contains("is held"));
    take(&mut machine, &[released(I1), started("p")]);
}

#[test]
fn a_rollback_waits_for_nothing() {
    let mut machine = EnvMachine::open(UID, None, 3);
    take(
        &mut machine,
        &[
            requested("p", R1, I1),
            frozen("p"),
            decided("p", EnvTransition::REJECT, "bob", None),
            rolled_back("p", I1),
            held(I1),
        ],
    );
    assert!(machine.is_held(&I1) && machine.current().is_none());
}

#[test]
fn nothing_vouches_for_itself_and_what_is_gone_vouches_for_nothing() {
    for from in [UID, "gone"] {
        let mut machine = EnvMachine::open(UID, Some(from), 0);
        assert_eq!(
            refusal(&mut machine, &requested("p", R1, I1)),
            format!(
                "promotion p cannot ask for its turn: environment {from}, from which releases come, is not open in this project and domain"
            )
        );
    }
}

#[test]
fn going_back_needs_no_other_environment() {
    let asked = Cell::new(0);
    let count = |_: &str, _: &Hash| {
        asked.set(asked.get() + 1);
        Some(asked.get() == 1)
    };
    let mut machine = EnvMachine::open(UID, Some(BEFORE), 0);
    for one in [
        requested("p", R1, I1),
        started("p"),
        promoted("p", I1),
        undo("q", R1, I2),
        aborted("q"),
    ] {
        machine.apply(&one, &count).unwrap();
    }
    assert_eq!(asked.get(), 1);
    assert!(
        machine.apply(&requested("q", R1, I2), &count).is_err(),
        "only with undo"
    );
}
