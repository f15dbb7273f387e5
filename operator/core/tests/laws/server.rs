//! The server away, for a while or for ever, and processes that have not read its list yet.

use dcanary_crds::{AttemptOutcome, ConditionType, StageState};

use crate::{
    drive::{Event, drive},
    faults::condition,
    replica::{Failpoints, Replica},
    scenario::{Behaviour, Scenario, Stage, stage},
    world::World,
};

/// Everything that a process does without news of the server.
fn settle(replica: &mut Replica, world: &mut World) {
    for _ in 0..6 {
        replica.sync_run(world);
        replica.sync_pods(world);
        replica.reconcile(world, &mut Failpoints::default()).unwrap();
    }
}

fn advance(world: &mut World) {
    for name in world.pods.keys().cloned().collect::<Vec<_>>() {
        world.advance(&name);
    }
}

/// A run whose only stage runs, and the process that began it.
fn under_way(behaviour: Behaviour) -> (World, Replica) {
    let mut world = World::new(Scenario::of(vec![stage("build", &[], &[behaviour])]));
    let mut replica = Replica::started(&world);
    replica.poll(&world);
    settle(&mut replica, &mut world);
    advance(&mut world);
    settle(&mut replica, &mut world);
    (world, replica)
}

#[test]
fn a_process_that_has_just_started_never_takes_a_success_for_a_failure() {
    let (mut world, _) = under_way(Behaviour::Succeed);
    // it reports and ends, and no operator is there to see it for an hour
    advance(&mut world);
    advance(&mut world);
    assert_eq!(world.reports.len(), 1);
    world.pass(3600);
    let mut replica = Replica::started(&world);
    for _ in 0..3 {
        settle(&mut replica, &mut world);
        assert_eq!(world.status().stages[0].state, StageState::Running);
        world.pass(60);
    }
    replica.poll(&world);
    settle(&mut replica, &mut world);
    assert_eq!(world.status().stages[0].state, StageState::Succeeded);
}

#[test]
fn an_outage_of_five_minutes_turns_no_success_into_a_failure() {
    let (mut world, mut replica) = under_way(Behaviour::Succeed);
    advance(&mut world);
    advance(&mut world);
    world.server_away_since = Some(world.now);
    for _ in 0..5 {
        replica.poll(&world);
        settle(&mut replica, &mut world);
        assert_eq!(world.status().stages[0].state, StageState::Running);
        world.pass(60);
    }
    world.server_away_since = None;
    replica.poll(&world);
    settle(&mut replica, &mut world);
    assert_eq!(world.status().stages[0].state, StageState::Succeeded);
}

#[test]
fn a_report_that_is_missing_is_found_out_only_by_a_list_that_was_read_after_the_end() {
    let (mut world, mut replica) = under_way(Behaviour::SilentZero);
    advance(&mut world);
    replica.poll(&world);
    settle(&mut replica, &mut world);
    world.pass(3600);
    settle(&mut replica, &mut world);
    assert_eq!(world.status().stages[0].state, StageState::Running);
    replica.poll(&world);
    settle(&mut replica, &mut world);
    let attempt = &world.status().stages[0].attempts[0];
    assert_eq!(
        (attempt.outcome, attempt.reason.as_str()),
        (Some(AttemptOutcome::Failed), "ReportMissing")
    );
}

#[test]
fn no_stage_begins_while_the_server_is_away_and_the_run_says_so() {
    let mut world = World::new(Scenario::of(vec![
        stage("build", &[], &[Behaviour::Succeed]),
        stage("test", &[0], &[Behaviour::Succeed]),
    ]));
    world.server_away_since = Some(world.now);
    let mut replica = Replica::started(&world);
    let mut message = String::new();
    for _ in 0..20 {
        replica.poll(&world);
        settle(&mut replica, &mut world);
        assert!(
            world
                .status()
                .stages
                .iter()
                .all(|stage| stage.attempts.is_empty())
        );
        let status = world.status();
        let succeeded = status
            .conditions
            .iter()
            .find(|condition| condition.kind == ConditionType::Succeeded);
        message.clone_from(&succeeded.unwrap().message);
        world.pass(60);
    }
    assert!(message.contains("ServerUnavailable"), "{message}");
    // not a second after it is back is any of it lost
    world.server_away_since = None;
    replica.poll(&world);
    settle(&mut replica, &mut world);
    assert_eq!(world.status().stages[0].state, StageState::Running);
    let told = condition(&world, ConditionType::Succeeded);
    assert_eq!(told.1, "Running");
}

#[test]
fn with_the_server_away_for_ever_cancel_still_deletes_the_pod_and_a_deleted_run_still_goes() {
    let away: Event = (1, |world| world.server_away_since = Some(world.now));
    let cancel: Event = (3, |world| {
        world.run.spec.cancel = true;
        world.version += 1;
    });
    for behaviour in [Behaviour::Hangs, Behaviour::Succeed, Behaviour::IgnoresSigterm] {
        let scenario = Scenario::of(vec![stage("build", &[], &[behaviour]), stage("test", &[0], &[])]);
        let world = drive(scenario.clone(), &[away, cancel], None).world;
        let attempt = &world.status().stages[0].attempts[0];
        assert_eq!(attempt.outcome, Some(AttemptOutcome::Cancelled), "{behaviour:?}");
        assert!(
            world
                .pods
                .values()
                .all(|pod| pod.seen.deleting_since.is_some() && !pod.seen.held),
            "{behaviour:?}: {:?}",
            world.pods
        );
        for delete in [World::delete_run, World::delete_namespace] {
            let world = drive(scenario.clone(), &[away, (3, delete)], None).world;
            assert!(world.run_gone, "{behaviour:?}");
            assert!(world.pods.values().all(|pod| !pod.seen.held), "{behaviour:?}");
        }
    }
}

#[test]
fn with_the_server_away_for_ever_a_run_ends_by_its_own_timeout() {
    let away: Event = (1, |world| world.server_away_since = Some(world.now));
    let scenario = Scenario::of(vec![
        stage("build", &[], &[Behaviour::Hangs]),
        Stage {
            finally: true,
            ..stage("tidy", &[], &[Behaviour::Succeed])
        },
    ]);
    let world = drive(scenario, &[away], None).world;
    let attempts = &world.status().stages[0].attempts;
    assert_eq!(attempts.len(), 1, "nothing is repeated while the server is away");
    assert_eq!(attempts[0].reason, "ServerUnavailable");
    assert_eq!(condition(&world, ConditionType::Succeeded).1, "TimedOut");
}
