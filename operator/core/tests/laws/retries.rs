//! What is repeated, how often, and reports that come when everything was decided.

use dcanary_crds::{AttemptOutcome, ConditionStatus, ConditionType, StageState};
use dcanary_protocol::report::Outcome;

use crate::{
    drive::drive,
    faults::{condition, records},
    kubelet::claim,
    replica::{Failpoints, Replica},
    scenario::{Behaviour, Scenario, Stage, stage},
    world::World,
};

#[test]
fn only_the_ends_that_are_listed_are_repeated() {
    use Behaviour::{Fail, Hangs, OutOfMemory};
    for (on, repeated) in [
        (vec![], [true, true, false]),
        (vec!["Failed"], [true, false, false]),
        (vec!["TimedOut"], [false, true, false]),
        (vec!["OutOfMemory"], [false, false, true]),
        (vec!["OutOfMemory", "Failed", "TimedOut"], [true, true, true]),
    ] {
        for (behaviour, repeated) in [Fail, Hangs, OutOfMemory].into_iter().zip(repeated) {
            let one = Stage {
                retries: 1,
                retry_on: on.clone(),
                ..stage("build", &[], &[behaviour])
            };
            let world = drive(Scenario::of(vec![one]), &[], None).world;
            let attempts = world.status().stages[0].attempts.len();
            assert_eq!(attempts, 1 + usize::from(repeated), "{on:?}, {behaviour:?}");
        }
    }
}

#[test]
fn lost_attempts_do_not_use_up_the_retries_of_the_user() {
    use Behaviour::{Evicted, Fail, Succeed};
    let one = Stage {
        retries: 1,
        ..stage("build", &[], &[Evicted, Fail, Evicted, Succeed])
    };
    let world = drive(Scenario::of(vec![one]), &[], None).world;
    assert_eq!(
        condition(&world, ConditionType::Succeeded).0,
        ConditionStatus::True
    );
    assert_eq!(world.status().stages[0].attempts.len(), 4);
    // and failures do not use up the repetitions of what is lost
    let one = Stage {
        retries: 1,
        ..stage("build", &[], &[Fail, Evicted, Evicted, Evicted])
    };
    let world = drive(Scenario::of(vec![one]), &[], None).world;
    let stage = &world.status().stages[0];
    assert_eq!((stage.attempts.len(), stage.state), (4, StageState::Failed));
}

#[test]
fn a_finally_stage_out_of_time_is_stopped_and_says_so() {
    let scenario = Scenario {
        finally_timeout: Some("1m"),
        ..Scenario::of(vec![
            stage("build", &[], &[Behaviour::Succeed]),
            Stage {
                finally: true,
                ..stage("tidy", &[], &[Behaviour::Hangs])
            },
        ])
    };
    let world = drive(scenario, &[], None).world;
    let tidy = &world.status().stages[1];
    assert_eq!(
        (tidy.state, tidy.reason.as_str()),
        (StageState::Cancelled, "FinallyTimedOut")
    );
    assert_eq!(condition(&world, ConditionType::Succeeded).1, "TimedOut");
}

#[test]
fn a_report_that_comes_after_the_decision_changes_nothing_and_is_noted_when_it_says_something_else() {
    for (outcome, disputed) in [
        (Outcome::Succeeded, Some("LateReport")),
        (Outcome::Failed, None),
        (Outcome::Cancelled, None),
    ] {
        let mut world = World::new(Scenario::of(vec![
            stage("build", &[], &[Behaviour::Killed]),
            stage("slow", &[], &[Behaviour::Hangs]),
        ]));
        let mut replica = Replica::started(&world);
        for _ in 0..6 {
            for _ in 0..4 {
                replica.sync_run(&world);
                replica.sync_pods(&world);
                replica.poll(&world);
                replica.reconcile(&mut world, &mut Failpoints::default()).unwrap();
            }
            for name in world.pods.keys().cloned().collect::<Vec<_>>() {
                world.advance(&name);
            }
            world.pass(10);
        }
        let attempt = world.status().stages[0].attempts[0].clone();
        assert_eq!(attempt.reason, "RunnerKilled");
        assert_eq!(attempt.disputed, None);
        let uid = attempt.pod_uid.clone().unwrap();
        world.say(&attempt.pod, &uid, claim(outcome, "Late", Behaviour::Succeed));
        replica.poll(&world);
        for _ in 0..3 {
            replica.sync_run(&world);
            replica.reconcile(&mut world, &mut Failpoints::default()).unwrap();
        }
        let after = &world.status().stages[0].attempts[0];
        assert_eq!(after.outcome, Some(AttemptOutcome::Failed));
        assert_eq!(after.disputed.as_deref(), disputed, "{outcome:?}");
        let noted = records(&world)
            .iter()
            .any(|record| record == "stage_disputed build");
        assert_eq!(noted, disputed.is_some(), "{outcome:?}");
        assert!(world.acked.contains(&1), "it would come again for ever");
    }
}
