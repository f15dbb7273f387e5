//! A status always fits, whatever runners report and however many attempts there are. The world checks every write.

use dcanary_crds::{AttemptOutcome, StageState};
use proptest::prelude::*;

use crate::{
    drive::{Event, drive},
    scenario::{Behaviour, Scenario, Stage, stage},
    world::World,
};

fn huge(count: usize, behaviours: &[Behaviour]) -> Scenario {
    Scenario::of(
        (0..count)
            .map(|i| Stage {
                retries: 10,
                ..stage(&format!("s{i}-{}", "n".repeat(58)), &[], behaviours)
            })
            .collect(),
    )
}

/// Everything but what must be kept was given up before anything was refused.
fn trimmed(world: &World) -> bool {
    let status = world.status();
    let mut attempts = status.stages.iter().flat_map(|stage| &stage.attempts);
    attempts.all(|attempt| attempt.steps.is_empty())
}

#[test]
fn step_lists_go_first_and_a_stage_whose_results_do_not_fit_fails_by_name() {
    let world = drive(huge(6, &[Behaviour::Huge]), &[], None).world;
    let status = world.status();
    let failed: Vec<_> = status
        .stages
        .iter()
        .filter(|stage| stage.state == StageState::Failed)
        .collect();
    assert!(!failed.is_empty() && failed.len() < status.stages.len());
    for stage in failed {
        assert_eq!(stage.reason, "ResultsTooLarge");
        let last = stage.attempts.last().unwrap();
        // a refusal of ours is no contradiction between runner and kubelet
        assert_eq!(last.disputed, None);
    }
    assert!(trimmed(&world));
}

#[test]
fn attempts_without_number_end_with_a_stage_that_says_that_there_is_no_room() {
    let mut scenario = Scenario {
        chain_away: true,
        ..huge(30, &[Behaviour::HugeFailure])
    };
    // takes most of the status for itself
    scenario.stages[0].behaviours = vec![Behaviour::Huge];
    let world = drive(scenario, &[], None).world;
    let stages = world.status().stages;
    assert!(world.finished());
    assert_eq!(stages[0].state, StageState::Succeeded);
    assert!(stages[1..].iter().all(|stage| stage.state == StageState::Failed));
    let full: Vec<_> = stages
        .iter()
        .filter(|stage| stage.reason == "StatusFull")
        .collect();
    assert!(!full.is_empty());
    for stage in full {
        assert!(stage.attempts.len() < 11);
        let last = stage.attempts.last().unwrap();
        assert_eq!(last.outcome, Some(AttemptOutcome::Failed));
        assert_eq!(last.disputed, None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_status_has_at_most_512_kib(
        count in 1_usize..30,
        behaviours in proptest::collection::vec(
            proptest::sample::select(vec![
                Behaviour::Huge, Behaviour::HugeFailure, Behaviour::HugeFailure, Behaviour::Evicted, Behaviour::Killed,
                Behaviour::ImageMissing, Behaviour::Succeed,
            ]),
            1..6,
        ),
        chain_away in any::<bool>(),
        cancelled in proptest::option::of(1_usize..20),
    ) {
        let cancel: fn(&mut World) = |world| {
            world.run.spec.cancel = true;
            world.version += 1;
        };
        let events: Vec<Event> = cancelled.map(|round| (round, cancel)).into_iter().collect();
        let world = drive(Scenario { chain_away, ..huge(count, &behaviours) }, &events, None).world;
        prop_assert!(world.finished());
    }
}
