//! The outbox: the chain is away and comes back, runs and namespaces are deleted meanwhile, and no record is lost.

use dcanary_crds::{ConditionStatus, ConditionType};

use crate::{
    drive::{Event, drive},
    faults::{condition, records},
    replica::{Failpoints, Replica},
    scenario::{Behaviour, Scenario, Stage, stage},
    world::World,
};

#[test]
fn a_run_deleted_while_the_chain_is_away_goes_with_all_records_put_aside() {
    let delete: Event = (2, World::delete_run);
    let scenario = Scenario {
        chain_away: true,
        ..Scenario::of(vec![
            stage("build", &[], &[Behaviour::Hangs]),
            stage("test", &[0], &[]),
        ])
    };
    let result = drive(scenario, &[delete], None);
    let world = result.world;
    assert!(world.run_gone);
    let aside: usize = world.config_maps.values().map(Vec::len).sum();
    assert_eq!(aside, world.log.len());
    assert_eq!(
        records(&world),
        [
            "run_opened",
            "stage_started build",
            "stage_cancelled build",
            "stage_skipped test",
            "run_finished"
        ]
    );
    assert!(world.pods.values().all(|pod| !pod.seen.held));
}

#[test]
fn a_namespace_goes_whenever_it_is_deleted_and_never_waits_for_the_chain() {
    use Behaviour::{Evicted, Fail, Hangs, NeverScheduled, NodeGone, Succeed};
    let shown: fn(&mut World) = |world| {
        world.namespace_shown = true;
        world.delete_namespace();
    };
    for behaviours in [
        vec![Succeed],
        vec![Fail],
        vec![Evicted, Hangs],
        vec![NodeGone],
        vec![NeverScheduled],
    ] {
        for delete in [World::delete_namespace, shown] {
            for round in 0..12 {
                let scenario = Scenario {
                    chain_away: true,
                    ..Scenario::of(vec![
                        stage("build", &[], &behaviours),
                        stage("test", &[0], &behaviours),
                        Stage {
                            finally: true,
                            ..stage("tidy", &[], &behaviours)
                        },
                    ])
                };
                let world = drive(scenario, &[(round, delete)], None).world;
                let what = format!("{behaviours:?}, deleted in round {round}");
                if world.namespace_since.is_none() {
                    assert!(world.finished(), "{what}: it neither ended nor was deleted");
                    continue;
                }
                assert!(world.run_gone, "{what}: the run is still there");
                assert!(world.chain.is_empty());
                let held: Vec<_> = world.pods.values().filter(|pod| pod.seen.held).collect();
                assert!(held.is_empty(), "{what}: {held:?}");
                let aside: usize = world.config_maps.values().map(Vec::len).sum();
                assert_eq!(aside, world.log.len(), "{what}: a record was lost");
                let took = world
                    .namespace_since
                    .map(|since| world.now.duration_since(since).as_secs());
                assert!(took <= Some(300), "{what}: it took {took:?} seconds");
            }
        }
    }
}

#[test]
fn a_long_run_with_the_chain_away_puts_records_aside_and_loses_none() {
    let stages = (0..60)
        .map(|i| stage(&format!("s{i}"), &[], &[Behaviour::Succeed]))
        .collect();
    let scenario = Scenario {
        chain_away: true,
        parallelism: Some(20),
        ..Scenario::of(stages)
    };
    let back: Event = (70, |world| world.chain_away = false);
    let result = drive(scenario, &[back], None);
    let world = result.world;
    assert_eq!(world.log.len(), 122);
    assert!(result.effects["SealOutbox"] >= 2);
    assert_eq!(
        condition(&world, ConditionType::Succeeded).0,
        ConditionStatus::True
    );
}

#[test]
fn two_hundred_stages_cancelled_at_once_never_overfill_the_outbox() {
    let cancel: Event = (1, |world| {
        world.run.spec.cancel = true;
        world.version += 1;
    });
    let stages = (0..200)
        .map(|i| stage(&format!("s{i}"), &[], &[Behaviour::Hangs]))
        .collect();
    let world = drive(
        Scenario {
            parallelism: Some(3),
            ..Scenario::of(stages)
        },
        &[cancel],
        None,
    )
    .world;
    assert_eq!(condition(&world, ConditionType::Succeeded).1, "Cancelled");
    assert_eq!(world.log.len(), 1 + 3 + 200 + 1);
}

#[test]
fn without_ledger_nothing_is_recorded_and_the_run_is_held_until_its_pods_are_released() {
    let scenario = Scenario {
        ledger_off: true,
        ..Scenario::of(vec![stage("build", &[], &[Behaviour::Succeed])])
    };
    let result = drive(scenario.clone(), &[], None);
    assert!(result.world.status().journal.is_none());
    assert_eq!(result.effects.get("HoldRun"), Some(&1));
    assert_eq!(result.effects.get("ReleaseRun"), Some(&1));
    assert_eq!(
        condition(&result.world, ConditionType::Succeeded).0,
        ConditionStatus::True
    );
    // dies where the run goes if a Pod is left that nobody releases
    for round in 0..8 {
        for behaviour in [Behaviour::Hangs, Behaviour::Succeed, Behaviour::NeverScheduled] {
            let delete: Event = (round, World::delete_run);
            let stages = vec![stage("build", &[], &[behaviour]), stage("test", &[0], &[])];
            let scenario = Scenario {
                stages,
                ..scenario.clone()
            };
            let world = drive(scenario, &[delete], None).world;
            assert!(world.run_gone || world.finished(), "{behaviour:?}, round {round}");
        }
    }
}

#[test]
fn a_run_deleted_after_its_end_while_the_chain_is_away_leaves_its_records() {
    for count in [1, 30] {
        let stages = (0..count)
            .map(|i| stage(&format!("s{i}"), &[], &[Behaviour::Succeed]))
            .collect();
        let scenario = Scenario {
            chain_away: true,
            ..Scenario::of(stages)
        };
        let mut world = drive(scenario, &[], None).world;
        assert!(world.finished() && world.chain.is_empty());
        world.delete_run();
        assert!(!world.run_gone, "nothing holds its records");
        let mut replica = Replica::started(&world);
        for _ in 0..8 {
            replica.poll(&world);
            replica.sync_run(&world);
            replica.reconcile(&mut world, &mut Failpoints::default()).unwrap();
        }
        assert!(world.run_gone);
    }
}

#[test]
fn a_namespace_that_is_going_ends_a_run_before_anybody_deletes_it() {
    let terminating: Event = (1, |world| world.namespace_since = Some(world.now));
    let world = drive(
        Scenario::of(vec![
            stage("build", &[], &[Behaviour::Succeed]),
            stage("test", &[0], &[Behaviour::Succeed]),
        ]),
        &[terminating],
        None,
    )
    .world;
    assert_eq!(condition(&world, ConditionType::Succeeded).1, "Deleted");
}

#[test]
fn records_that_were_put_aside_while_the_chain_was_quicker_are_dropped_in_the_end() {
    let stages = (0..60)
        .map(|i| stage(&format!("s{i}"), &[], &[Behaviour::Succeed]))
        .collect();
    let mut world = World::new(Scenario {
        chain_away: true,
        ..Scenario::of(stages)
    });
    let turn = |replica: &mut Replica, world: &mut World| {
        replica.sync_run(world);
        replica.sync_pods(world);
        replica.sync_recorder(world);
        replica.poll(world);
        replica.reconcile(world, &mut Failpoints::default()).unwrap();
    };
    let mut first = Replica::started(&world);
    while world.config_maps.is_empty() {
        turn(&mut first, &mut world);
    }
    // its records reach the chain, and another process writes that down, before a status names the ConfigMap
    assert!(world.status().journal.unwrap().sealed.is_empty());
    world.chain_away = false;
    world.record();
    let mut second = Replica::started(&world);
    turn(&mut second, &mut world);
    assert!(world.status().journal.unwrap().recorded >= 32);
    for _ in 0..60 {
        world.record();
        turn(&mut first, &mut world);
        for name in world.pods.keys().cloned().collect::<Vec<_>>() {
            world.advance(&name);
        }
    }
    assert!(world.finished());
    assert!(
        world.config_maps.is_empty(),
        "{:?}",
        world.config_maps.keys().collect::<Vec<_>>()
    );
}
