//! Stages with an `environment`: one Promotion an attempt, and the stage ends as it does.

use dcanary_core::conditions;
use dcanary_crds::{AttemptOutcome, ConditionStatus, ConditionType, Promotion, StageState};

use crate::{
    drive::{Event, drive},
    faults::{condition, records},
    promotions::tell,
    replica::{Failpoints, Replica},
    scenario::{Behaviour, Scenario, Stage, stage},
    world::World,
};

fn builds(name: &str, behaviour: Behaviour) -> Stage {
    Stage {
        builds: true,
        ..stage(name, &[], &[behaviour])
    }
}

fn deploys(name: &str, needs: &[usize], behaviours: &[Behaviour]) -> Stage {
    Stage {
        deploys: true,
        ..stage(name, needs, behaviours)
    }
}

fn one(behaviour: Behaviour) -> World {
    let stages = vec![
        builds("web", Behaviour::Succeed),
        deploys("production", &[0], &[behaviour]),
    ];
    drive(Scenario::of(stages), &[], None).world
}

fn only(world: &World) -> &Promotion {
    assert_eq!(world.promotions.len(), 1);
    &world.promotions.values().next().unwrap().promotion
}

#[test]
fn a_stage_with_an_environment_brings_the_image_of_the_run_there_and_ends_as_its_promotion() {
    let world = one(Behaviour::Succeed);
    assert_eq!(
        condition(&world, ConditionType::Succeeded),
        (ConditionStatus::True, "Succeeded".into())
    );
    assert_eq!(
        records(&world),
        [
            "run_opened",
            "stage_started web",
            "stage_succeeded web",
            "stage_started production",
            "stage_succeeded production",
            "run_finished"
        ]
    );
    let promotion = only(&world);
    assert_eq!(
        promotion.spec.requested_by.as_deref(),
        Some("ann"),
        "whoever started the run"
    );
    assert_eq!(promotion.spec.environment_ref.name, "production");
    let release = &world.releases[&promotion.spec.release_ref.name].spec;
    let image = format!("r.example.com/web@sha256:{}", "cd".repeat(32));
    assert_eq!(release.images.get("web"), Some(&image));
    assert_eq!(release.artifacts.keys().collect::<Vec<_>>(), ["out"]);
    let source = release.source.as_ref().unwrap();
    assert_eq!(source.repo, "https://git.example.com/web.git");
    assert_eq!(release.run.as_ref().unwrap().name, "web-1");
    let stage = &world.status().stages[1];
    let asked = stage.attempts[0].promotion.clone().unwrap();
    assert_eq!(Some(&asked.name), promotion.metadata.name.as_ref());
    assert_eq!(asked.uid, promotion.metadata.uid);
    let results: Vec<_> = stage.results.iter().map(|result| result.name.as_str()).collect();
    assert_eq!(results, ["promotion", "release"]);
}

#[test]
fn each_end_of_a_promotion_is_the_end_of_its_stage_with_reason_and_message() {
    use AttemptOutcome::{Failed, Refused, Succeeded, TimedOut};
    for (behaviour, outcome, reason, says, made) in [
        (Behaviour::Succeed, Succeeded, "Succeeded", "release is stable", 1),
        (Behaviour::Fail, Failed, "AnalysisFailed", "too many errors", 1),
        (
            Behaviour::Hangs,
            TimedOut,
            "StageTimedOut",
            "WaitingForApproval: 0 of 2",
            1,
        ),
        (
            Behaviour::Refused,
            Refused,
            "PromotionForbidden",
            "denied by policy",
            0,
        ),
        (
            Behaviour::NeverScheduled,
            Refused,
            "EnvironmentNotFound",
            "no Environment production",
            0,
        ),
    ] {
        let world = one(behaviour);
        let stage = &world.status().stages[1];
        let last = stage.attempts.last().unwrap();
        assert_eq!(
            (last.outcome, last.reason.as_str()),
            (Some(outcome), reason),
            "{behaviour:?}"
        );
        assert!(last.message.contains(says), "{}", last.message);
        assert_eq!(world.promotions.len(), made, "{behaviour:?}");
        let state = if outcome == Succeeded {
            StageState::Succeeded
        } else {
            StageState::Failed
        };
        assert_eq!((stage.state, stage.attempts.len()), (state, 1), "{behaviour:?}");
    }
}

#[test]
fn a_later_deployment_brings_the_same_release_and_another_attempt_is_another_promotion() {
    let world = drive(
        Scenario::of(vec![
            builds("web", Behaviour::Succeed),
            deploys("staging", &[0], &[Behaviour::Succeed]),
            stage("check", &[1], &[Behaviour::Succeed]),
            Stage {
                retries: 1,
                ..deploys("production", &[2], &[Behaviour::Fail, Behaviour::Succeed])
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
    assert_eq!((world.promotions.len(), world.releases.len()), (3, 1));
}

#[test]
fn a_cancelled_run_waits_no_more_and_says_that_its_promotion_goes_on() {
    let cancel: Event = (4, |world| {
        world.run.spec.cancel = true;
        world.version += 1;
    });
    let stages = vec![
        builds("web", Behaviour::Succeed),
        deploys("production", &[0], &[Behaviour::Hangs]),
        stage("after", &[1], &[]),
    ];
    let world = drive(Scenario::of(stages), &[cancel], None).world;
    assert_eq!(condition(&world, ConditionType::Succeeded).1, "Cancelled");
    let stage = &world.status().stages[1];
    assert_eq!(
        (stage.state, stage.reason.as_str()),
        (StageState::Cancelled, "RunCancelled")
    );
    let name = only(&world).metadata.name.clone().unwrap();
    assert!(
        stage.message.contains(&format!("dcanary abort {name}")),
        "{}",
        stage.message
    );
}

#[test]
fn nothing_is_deployed_on_what_runner_and_kubelet_disagree_about() {
    for (behaviour, reason) in [
        (Behaviour::Disputed, "OutcomeDisputed"),
        (Behaviour::SecondTrade, "OutcomeDisputed"),
    ] {
        let stages = vec![
            builds("web", behaviour),
            deploys("production", &[0], &[Behaviour::Succeed]),
        ];
        let world = drive(Scenario::of(stages), &[], None).world;
        let stage = &world.status().stages[1];
        assert_eq!(
            (stage.state, stage.reason.as_str()),
            (StageState::Failed, reason),
            "{behaviour:?}"
        );
        assert!(world.promotions.is_empty() && world.releases.is_empty());
    }
}

#[test]
fn a_run_whose_stage_built_no_image_says_what_to_do() {
    let skipped = Stage {
        when: Some("false".into()),
        ..builds("web", Behaviour::Succeed)
    };
    let stages = vec![skipped, deploys("production", &[0], &[Behaviour::Succeed])];
    let world = drive(Scenario::of(stages), &[], None).world;
    let stage = &world.status().stages[1];
    assert_eq!(
        (stage.state, stage.reason.as_str()),
        (StageState::Failed, "NoImages")
    );
    assert!(stage.message.contains("add an `image` step"), "{}", stage.message);
}

/// A world whose promotion waits for approval, and the process that made it.
fn waiting() -> (World, Replica) {
    let mut world = World::new(Scenario::of(vec![
        builds("web", Behaviour::Succeed),
        deploys("production", &[0], &[Behaviour::Hangs]),
    ]));
    let mut replica = Replica::started(&world);
    for _ in 0..8 {
        turn(&mut world, &mut replica);
    }
    assert_eq!(world.promotions.len(), 1);
    (world, replica)
}

fn turn(world: &mut World, replica: &mut Replica) {
    for _ in 0..4 {
        replica.sync_run(world);
        replica.sync_pods(world);
        replica.poll(world);
        replica.reconcile(world, &mut Failpoints::default()).unwrap();
    }
    for name in world.pods.keys().cloned().collect::<Vec<_>>() {
        world.advance(&name);
    }
    world.advance_promotions();
}

#[test]
fn a_run_says_for_whose_approval_it_waits_and_how_many_are_there() {
    let (mut world, mut replica) = waiting();
    let says = |world: &World| {
        let status = world.status();
        conditions::find(&status.conditions, ConditionType::Succeeded)
            .unwrap()
            .message
            .clone()
    };
    assert!(
        says(&world).contains("stage production waits: WaitingForApproval: 0 of 2"),
        "{}",
        says(&world)
    );
    let now = world.now;
    let status = world
        .promotions
        .values_mut()
        .next()
        .unwrap()
        .promotion
        .status
        .as_mut()
        .unwrap();
    tell(
        status,
        ConditionStatus::Unknown,
        "WaitingForApproval",
        "1 of 2 have approved",
        now,
    );
    turn(&mut world, &mut replica);
    assert!(says(&world).contains("1 of 2"), "{}", says(&world));
}

#[test]
fn a_promotion_that_somebody_deletes_is_not_made_again() {
    for restarted in [false, true] {
        let (mut world, mut replica) = waiting();
        world.delete_promotions();
        if restarted {
            // a process that knows only what is persisted
            replica = Replica::started(&world);
        }
        for _ in 0..4 {
            world.pass(30);
            // dies here if it is made a second time
            turn(&mut world, &mut replica);
        }
        let last = world.status().stages[1].attempts[0].clone();
        assert_eq!(
            (last.outcome, last.reason.as_str()),
            (Some(AttemptOutcome::Failed), "PromotionGone")
        );
    }
}

#[test]
fn a_promotion_of_that_name_that_asks_for_something_else_is_not_taken_for_ours() {
    let (known, _) = waiting();
    let mut foreign = known.promotions.clone();
    for one in foreign.values_mut() {
        one.promotion.spec.requested_by = Some("mallory".into());
        one.promotion.status = None;
    }
    let mut world = World::new(known.scenario.clone());
    world.promotions = foreign;
    let mut replica = Replica::started(&world);
    for _ in 0..8 {
        turn(&mut world, &mut replica);
    }
    let last = world.status().stages[1].attempts[0].clone();
    assert_eq!(
        (last.outcome, last.reason.as_str()),
        (Some(AttemptOutcome::Refused), "NameTaken")
    );
}

#[test]
fn a_release_of_a_run_has_as_position_when_that_was_created_in_whole_seconds() {
    let world = one(Behaviour::Succeed);
    let release = &world.releases[&only(&world).spec.release_ref.name].spec;
    let created = world.run.metadata.creation_timestamp.as_ref().unwrap().0;
    assert!(created.as_second() > 1_000_000_000);
    let source = release.source.as_ref().unwrap();
    assert_eq!(source.position, Some(created.as_second()));
}
