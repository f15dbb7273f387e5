//! The first outcome that is persisted decides, for attempts and for runs; and reports are not lost before.

use dcanary_crds::{AttemptOutcome, StageState};

use crate::{
    drive::drive,
    replica::{Failpoints, Replica},
    scenario::{Behaviour, Scenario, Stage, stage},
    world::World,
};

fn reconcile(replica: &mut Replica, world: &mut World) {
    replica.reconcile(world, &mut Failpoints::default()).unwrap();
}

/// One step of the operator with everything up to date, then one of every Pod.
fn turn(replica: &mut Replica, world: &mut World) {
    for _ in 0..4 {
        replica.sync_run(world);
        replica.sync_pods(world);
        replica.poll(world);
        reconcile(replica, world);
    }
    for name in world.pods.keys().cloned().collect::<Vec<_>>() {
        world.advance(&name);
    }
}

#[test]
fn a_terminal_run_never_changes() {
    for behaviour in Behaviour::ALL {
        let scenario = Scenario::of(vec![
            stage("build", &[], &[behaviour]),
            Stage {
                optional: true,
                ..stage("lint", &[], &[behaviour])
            },
            stage("test", &[0], &[]),
        ]);
        let mut world = drive(scenario, &[], None).world;
        let ended = world.status();
        let reports = world.reports.clone();
        let disturbances: [fn(&mut World); 6] = [
            |world| {
                world.run.spec.cancel = true;
                world.run.metadata.generation = Some(2);
                world.version += 1;
            },
            |world| world.pass(30 * 24 * 3600),
            |world| world.server_away_since = Some(world.now),
            |world| {
                for name in world.pods.keys().cloned().collect::<Vec<_>>() {
                    world.delete_pod(&name);
                }
            },
            |world| world.pods.clear(),
            World::delete_run,
        ];
        for (i, disturb) in disturbances.into_iter().enumerate() {
            disturb(&mut world);
            // everything that was reported comes once more, and says something else
            for entry in &reports {
                let mut again = entry.clone();
                again.cursor = world.reports.len() as u64 + 1;
                again.second_trade = true;
                world.reports.push(again);
            }
            let mut replica = Replica::started(&world);
            for _ in 0..4 {
                reconcile(&mut replica, &mut world);
                replica.poll(&world);
            }
            assert_eq!(world.status(), ended, "{behaviour:?}, disturbance {i}");
        }
    }
}

#[test]
fn a_report_that_is_there_when_the_run_is_cancelled_counts() {
    let mut world = World::new(Scenario::of(vec![
        stage("build", &[], &[Behaviour::Succeed]),
        stage("test", &[0], &[]),
        stage("slow", &[], &[Behaviour::Hangs]),
        stage("last", &[1, 2], &[]),
    ]));
    let mut replica = Replica::started(&world);
    turn(&mut replica, &mut world);
    turn(&mut replica, &mut world);
    assert_eq!(world.reports.len(), 1);
    world.run.spec.cancel = true;
    world.version += 1;
    replica.sync_run(&world);
    replica.sync_pods(&world);
    replica.poll(&world);
    reconcile(&mut replica, &mut world);
    let states: Vec<_> = world
        .status()
        .stages
        .into_iter()
        .map(|stage| stage.state)
        .collect();
    assert_eq!(
        states,
        [
            StageState::Succeeded,
            StageState::Skipped,
            StageState::Cancelled,
            StageState::Skipped
        ]
    );
}

#[test]
fn a_report_of_an_attempt_that_a_stale_view_does_not_have_is_kept() {
    let mut world = World::new(Scenario::of(vec![
        stage("first", &[], &[Behaviour::Succeed]),
        stage("second", &[0], &[Behaviour::Succeed]),
    ]));
    let mut ahead = Replica::started(&world);
    let mut behind = Replica::started(&world);
    turn(&mut ahead, &mut world);
    turn(&mut ahead, &mut world);
    behind.sync_pods(&world);
    // `behind` still has a status in which only the first stage was begun
    behind.sync_run(&world);
    let reports = |world: &World| world.reports.len();
    while reports(&world) < 2 {
        turn(&mut ahead, &mut world);
    }
    behind.poll(&world);
    // dies here if the second report is thrown away
    reconcile(&mut behind, &mut world);
    assert!(!world.acked.contains(&2));
    turn(&mut ahead, &mut world);
    turn(&mut ahead, &mut world);
    assert!(world.acked.contains(&2));
    assert_eq!(world.status().stages[1].state, StageState::Succeeded);
}

#[test]
fn a_pod_that_somebody_tears_out_is_not_made_again() {
    let mut world = World::new(Scenario::of(vec![stage(
        "build",
        &[],
        &[Behaviour::Hangs, Behaviour::Succeed],
    )]));
    let mut replica = Replica::started(&world);
    turn(&mut replica, &mut world);
    world.pass(6);
    turn(&mut replica, &mut world);
    assert!(world.status().stages[0].attempts[0].pod_uid.is_some());
    world.pods.clear();
    // a process that knows only what is persisted
    let mut replica = Replica::started(&world);
    for _ in 0..4 {
        world.pass(30);
        // dies here if the steps begin a second time
        turn(&mut replica, &mut world);
    }
    let attempts = &world.status().stages[0].attempts;
    assert_eq!(attempts[0].outcome, Some(AttemptOutcome::Lost));
    assert_eq!(attempts.len(), 2);
}
