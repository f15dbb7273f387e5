//! One fault, one test: what the run ends as, and what is recorded.

use dcanary_core::{
    Observed, next,
    observed::{CreateAnswer, Creation, SeenReport},
};
use dcanary_crds::{AttemptOutcome, Condition, ConditionStatus, ConditionType, StageState, labels};
use dcanary_protocol::report::Outcome;

use crate::{
    drive::{Event, drive},
    kubelet::claim,
    scenario::{Behaviour, Scenario, Stage, stage},
    world::World,
};

pub fn condition(world: &World, kind: ConditionType) -> (ConditionStatus, String) {
    let status = world.status();
    let found = status
        .conditions
        .iter()
        .find(|condition| condition.kind == kind)
        .unwrap();
    (found.status, found.reason.clone())
}

fn states(world: &World) -> Vec<(String, StageState, String)> {
    world
        .status()
        .stages
        .into_iter()
        .map(|stage| (stage.name, stage.state, stage.reason))
        .collect()
}

pub fn records(world: &World) -> Vec<String> {
    world
        .log
        .values()
        .map(|record| {
            let record = dcanary_core::journal::read::<dcanary_types::record::Transition>(record).unwrap();
            let stage = record
                .transition
                .stage()
                .map(|stage| format!(" {stage}"))
                .unwrap_or_default();
            format!("{}{stage}", record.btype().trim_start_matches("dcanary_"))
        })
        .collect()
}

fn one(behaviours: &[Behaviour]) -> World {
    drive(Scenario::of(vec![stage("build", &[], behaviours)]), &[], None).world
}

#[test]
fn one_stage_that_succeeds_takes_six_api_writes_and_the_release_of_the_run() {
    let result = drive(
        Scenario::of(vec![stage("build", &[], &[Behaviour::Succeed])]),
        &[],
        None,
    );
    let world = &result.world;
    assert_eq!(
        condition(world, ConditionType::Succeeded),
        (ConditionStatus::True, "Succeeded".into())
    );
    assert_eq!(condition(world, ConditionType::Finished).0, ConditionStatus::True);
    assert_eq!(condition(world, ConditionType::Recorded).0, ConditionStatus::True);
    assert_eq!(
        records(world),
        [
            "run_opened",
            "stage_started build",
            "stage_succeeded build",
            "run_finished"
        ]
    );
    let attempt = &world.status().stages[0].attempts[0];
    assert!(attempt.confirmed && attempt.exit_code == Some(0) && attempt.disputed.is_none());
    // hold, three status writes, create, release of the Pod; the release of the run is the seventh
    assert_eq!(world.writes, 3);
    for (effect, times) in [
        ("HoldRun", 1),
        ("CreatePod", 1),
        ("ReleasePod", 1),
        ("ReleaseRun", 1),
    ] {
        assert_eq!(result.effects.get(effect), Some(&times), "{effect}");
    }
    assert_eq!(result.effects.get("DeletePod"), None);
}

#[test]
fn a_diamond_with_condition_results_retry_optional_and_finally() {
    let skipped = Stage {
        when: Some("params.nothing == 'x'".into()),
        ..stage("docs", &[0], &[])
    };
    let skipped = Stage {
        when: Some("stages.build.results.version == '9'".into()),
        ..skipped
    };
    let world = drive(
        Scenario::of(vec![
            stage("build", &[], &[Behaviour::Succeed]),
            Stage {
                retries: 2,
                ..stage("unit", &[0], &[Behaviour::Fail, Behaviour::Succeed])
            },
            Stage {
                optional: true,
                ..stage("lint", &[0], &[Behaviour::Fail])
            },
            skipped,
            stage("package", &[1, 2, 3], &[Behaviour::Succeed]),
            Stage {
                finally: true,
                ..stage("notify", &[], &[Behaviour::Succeed])
            },
        ]),
        &[],
        None,
    )
    .world;
    assert_eq!(
        condition(&world, ConditionType::Succeeded).0,
        ConditionStatus::True
    );
    let states: Vec<_> = states(&world)
        .into_iter()
        .map(|(name, state, _)| (name, state))
        .collect();
    let expect = [
        ("build", StageState::Succeeded),
        ("unit", StageState::Succeeded),
        ("lint", StageState::Failed),
        ("docs", StageState::Skipped),
        ("package", StageState::Succeeded),
        ("notify", StageState::Succeeded),
    ];
    assert_eq!(states, expect.map(|(name, state)| (name.to_owned(), state)));
    assert_eq!(world.status().stages[1].attempts.len(), 2);
}

#[test]
fn a_failed_stage_skips_what_needs_it_and_finally_still_runs() {
    let world = drive(
        Scenario::of(vec![
            stage("build", &[], &[Behaviour::Fail]),
            stage("test", &[0], &[]),
            stage("other", &[], &[Behaviour::Succeed]),
            Stage {
                finally: true,
                ..stage("tidy", &[], &[Behaviour::Succeed])
            },
        ]),
        &[],
        None,
    )
    .world;
    assert_eq!(
        condition(&world, ConditionType::Succeeded),
        (ConditionStatus::False, "Failed".into())
    );
    assert_eq!(condition(&world, ConditionType::Stalled).0, ConditionStatus::True);
    let reasons: Vec<_> = states(&world)
        .into_iter()
        .map(|(name, _, reason)| format!("{name} {reason}"))
        .collect();
    assert_eq!(reasons, ["build StepFailed", "test Needs", "other ", "tidy "]);
}

#[test]
fn each_end_of_an_attempt_has_its_outcome_reason_and_number_of_attempts() {
    use AttemptOutcome::{Failed, Lost, Refused, Succeeded, TimedOut};
    for (behaviour, outcome, reason, attempts) in [
        (Behaviour::Succeed, Succeeded, "Succeeded", 1),
        (Behaviour::Fail, Failed, "StepFailed", 1),
        (Behaviour::RunnerError, Lost, "Spool", 3),
        (Behaviour::Disputed, Succeeded, "Succeeded", 1),
        (Behaviour::SilentZero, Failed, "ReportMissing", 1),
        (Behaviour::Killed, Failed, "RunnerKilled", 1),
        (Behaviour::OutOfMemory, Failed, "OutOfMemory", 1),
        (Behaviour::Evicted, Lost, "Evicted", 3),
        (Behaviour::SecondTrade, Succeeded, "Succeeded", 1),
        (Behaviour::NodeGone, Lost, "DeletionByTaintManager", 3),
        (Behaviour::Hangs, TimedOut, "StageTimedOut", 1),
        (Behaviour::IgnoresSigterm, TimedOut, "StageTimedOut", 1),
        (Behaviour::ImageMissing, Refused, "ImagePullFailed", 1),
        (Behaviour::NeverScheduled, TimedOut, "PendingTimedOut", 1),
        (Behaviour::Refused, Refused, "PodForbidden", 1),
        (Behaviour::Nonsense, Failed, "ReportInvalid", 1),
    ] {
        let world = one(&[behaviour]);
        let status = world.status();
        let last = status.stages[0].attempts.last().unwrap();
        assert_eq!(
            (last.outcome, last.reason.as_str()),
            (Some(outcome), reason),
            "{behaviour:?}"
        );
        assert_eq!(status.stages[0].attempts.len(), attempts, "{behaviour:?}");
        let succeeded = if outcome == Succeeded {
            ConditionStatus::True
        } else {
            ConditionStatus::False
        };
        assert_eq!(
            condition(&world, ConditionType::Succeeded).0,
            succeeded,
            "{behaviour:?}"
        );
        let disputed = match behaviour {
            Behaviour::Disputed | Behaviour::SilentZero => Some("OutcomeDisputed"),
            Behaviour::SecondTrade => Some("SecondTrade"),
            _ => None,
        };
        assert_eq!(last.disputed.as_deref(), disputed, "{behaviour:?}");
        let noted = records(&world)
            .iter()
            .any(|record| record.starts_with("stage_disputed"));
        assert_eq!(noted, disputed.is_some(), "{behaviour:?}: {:?}", records(&world));
    }
}

#[test]
fn cancelling_stops_what_runs_skips_the_rest_and_runs_finally() {
    let cancel: Event = (1, |world| {
        world.run.spec.cancel = true;
        world.version += 1;
    });
    let world = drive(
        Scenario::of(vec![
            stage("build", &[], &[Behaviour::Hangs]),
            stage("stubborn", &[], &[Behaviour::IgnoresSigterm]),
            stage("test", &[0], &[]),
            Stage {
                finally: true,
                ..stage("tidy", &[], &[Behaviour::Succeed])
            },
        ]),
        &[cancel],
        None,
    )
    .world;
    assert_eq!(
        condition(&world, ConditionType::Succeeded),
        (ConditionStatus::False, "Cancelled".into())
    );
    let reasons: Vec<_> = states(&world)
        .into_iter()
        .map(|(name, _, reason)| format!("{name} {reason}"))
        .collect();
    assert_eq!(
        reasons,
        [
            "build RunCancelled",
            "stubborn RunCancelled",
            "test Ended",
            "tidy "
        ]
    );
}

#[test]
fn a_cancel_that_comes_while_only_finally_is_left_says_that_it_goes_on_and_what_stops_it() {
    let mut world = World::new(Scenario::of(vec![
        stage("build", &[], &[Behaviour::Succeed]),
        Stage {
            finally: true,
            ..stage("tidy", &[], &[Behaviour::Hangs])
        },
    ]));
    let mut run = world.run.clone();
    run.metadata.finalizers = Some(vec![labels::RECORDED.to_owned()]);
    let mut seen = Observed {
        reports_as_of: Some(world.now),
        ..Observed::default()
    };
    run.status = Some(next(&run, &seen, world.now).status);
    let pod = run.status.as_ref().unwrap().stages[0].attempts[0].pod.clone();
    world.say(
        &pod,
        "pod-1",
        claim(Outcome::Succeeded, "Succeeded", Behaviour::Succeed),
    );
    seen.creations = vec![Creation {
        pod,
        answer: CreateAnswer::Created {
            uid: "pod-1".into(),
            gone: false,
        },
    }];
    seen.reports = vec![SeenReport {
        entry: world.reports[0].clone(),
        received: world.now,
    }];
    run.status = Some(next(&run, &seen, world.now).status);
    assert!(run.status.as_ref().unwrap().finally_at.is_some());
    for cancel in [false, true] {
        run.spec.cancel = cancel;
        let status = next(&run, &seen, world.now).status;
        let meta = &run.metadata;
        let (name, namespace) = (meta.name.as_ref().unwrap(), meta.namespace.as_ref().unwrap());
        let command = format!("`kubectl delete dpr {name} -n {namespace}`");
        let said = |condition: &Condition| condition.message.contains(&command);
        assert_eq!(
            status.conditions.iter().any(said),
            cancel,
            "{:?}",
            status.conditions
        );
        assert_eq!(status.stages[1].state, StageState::Running);
    }
}

#[test]
fn a_run_out_of_time_is_stopped_and_says_so() {
    let late: Event = (3, |world| world.pass(7 * 3600));
    let scenario = Scenario::of(vec![
        stage("build", &[], &[Behaviour::Evicted, Behaviour::Hangs]),
        stage("test", &[0], &[]),
    ]);
    let world = drive(scenario, &[late], None).world;
    assert_eq!(
        condition(&world, ConditionType::Succeeded),
        (ConditionStatus::False, "TimedOut".into())
    );
}

#[test]
fn a_pod_deleted_by_hand_is_lost_and_repeated() {
    let delete: Event = (2, |world| {
        let name = world.pods.keys().next().unwrap().clone();
        world.delete_pod(&name);
    });
    let world = drive(
        Scenario::of(vec![stage("build", &[], &[Behaviour::Hangs, Behaviour::Succeed])]),
        &[delete],
        None,
    )
    .world;
    let status = world.status();
    assert_eq!(status.stages[0].attempts[0].outcome, Some(AttemptOutcome::Lost));
    assert_eq!(status.stages[0].attempts[0].reason, "PodDeleted");
    assert_eq!(
        condition(&world, ConditionType::Succeeded).0,
        ConditionStatus::True
    );
}

#[test]
fn a_quota_delays_and_says_so_without_ending_anything() {
    let scenario = Scenario {
        quota_refusals: 3,
        ..Scenario::of(vec![stage("build", &[], &[Behaviour::Succeed])])
    };
    let result = drive(scenario, &[], None);
    assert_eq!(
        condition(&result.world, ConditionType::Succeeded).0,
        ConditionStatus::True
    );
    assert_eq!(result.effects["CreatePod"], 4);
}
