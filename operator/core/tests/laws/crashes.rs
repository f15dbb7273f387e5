//! A process that dies before or after any effect or status write: the same final status, the same journal.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    drive::{Event, drive},
    replica::EFFECTS,
    scenario::{Behaviour, Scenario, Stage, stage},
    world::World,
};

fn scenarios() -> Vec<(&'static str, Scenario, Vec<Event>)> {
    let cancel: Event = (1, |world| {
        world.run.spec.cancel = true;
        world.version += 1;
    });
    let delete: Event = (1, World::delete_run);
    let finally = || Stage {
        finally: true,
        ..stage("tidy", &[], &[Behaviour::Succeed])
    };
    let away = Scenario {
        chain_away: true,
        parallelism: Some(20),
        ..Scenario::of(
            (0..30)
                .map(|i| stage(&format!("s{i}"), &[], &[Behaviour::Succeed]))
                .collect(),
        )
    };
    let back: Event = (40, |world| world.chain_away = false);
    let gone = Scenario {
        chain_away: true,
        ..Scenario::of(vec![stage("a", &[], &[Behaviour::Hangs]), stage("b", &[0], &[])])
    };
    let namespace: Event = (2, World::delete_namespace);
    vec![
        (
            "one stage",
            Scenario::of(vec![stage("a", &[], &[Behaviour::Succeed])]),
            vec![],
        ),
        (
            "three in a row",
            Scenario::of(vec![
                stage("a", &[], &[]),
                stage("b", &[0], &[]),
                stage("c", &[1], &[]),
                finally(),
            ]),
            vec![],
        ),
        (
            "retries and losses",
            Scenario::of(vec![
                Stage {
                    retries: 2,
                    ..stage(
                        "a",
                        &[],
                        &[
                            Behaviour::Fail,
                            Behaviour::Evicted,
                            Behaviour::Killed,
                            Behaviour::Succeed,
                        ],
                    )
                },
                Stage {
                    optional: true,
                    ..stage("b", &[], &[Behaviour::OutOfMemory])
                },
                stage("c", &[0, 1], &[Behaviour::Disputed]),
                stage("d", &[2], &[Behaviour::Refused]),
                stage("e", &[3], &[]),
                finally(),
            ]),
            vec![],
        ),
        (
            "cancelled",
            Scenario::of(vec![
                stage("a", &[], &[Behaviour::Hangs]),
                stage("b", &[0], &[]),
                finally(),
            ]),
            vec![cancel],
        ),
        (
            "deleted",
            Scenario::of(vec![stage("a", &[], &[Behaviour::Hangs]), stage("b", &[0], &[])]),
            vec![delete],
        ),
        (
            "deployments",
            Scenario::of(vec![
                Stage {
                    builds: true,
                    ..stage("a", &[], &[Behaviour::Succeed])
                },
                Stage {
                    deploys: true,
                    ..stage("b", &[0], &[Behaviour::Succeed])
                },
                Stage {
                    deploys: true,
                    retries: 1,
                    ..stage("c", &[1], &[Behaviour::Fail, Behaviour::Succeed])
                },
                Stage {
                    deploys: true,
                    ..stage("d", &[2], &[Behaviour::Hangs])
                },
                finally(),
            ]),
            vec![],
        ),
        ("chain away", away, vec![back]),
        ("namespace deleted", gone, vec![namespace]),
        (
            "without ledger",
            Scenario {
                ledger_off: true,
                ..Scenario::of(vec![stage("a", &[], &[Behaviour::Hangs]), stage("b", &[0], &[])])
            },
            vec![delete],
        ),
    ]
}

/// What must be equal whatever died: everything but which report cursors were seen first, and times. A new process waits for a report
/// from when it saw an end itself.
fn essence(world: &World) -> (Value, Vec<(i64, String, String)>) {
    let mut status = world.status();
    if let Some(journal) = &mut status.journal {
        journal.block = None;
    }
    let mut status = serde_json::to_value(status).unwrap();
    blur(&mut status);
    let journal = world
        .log
        .values()
        .map(|record| (record.n, record.btype.clone(), record.body.clone()))
        .collect();
    (status, journal)
}

fn blur(value: &mut Value) {
    match value {
        Value::String(text) if text.parse::<Timestamp>().is_ok() => "some time".clone_into(text),
        Value::Array(list) => list.iter_mut().for_each(blur),
        Value::Object(map) => map.values_mut().for_each(blur),
        _ => {}
    }
}

#[test]
fn a_crash_at_any_boundary_gives_the_same_final_status_and_journal() {
    let mut all = 0;
    let mut hit = BTreeSet::new();
    println!("{:<20} {:>10} {:>9}", "scenario", "boundaries", "outcomes");
    for (name, scenario, events) in scenarios() {
        let undisturbed = drive(scenario.clone(), &events, None);
        let expected = essence(&undisturbed.world);
        hit.extend(undisturbed.effects.keys().copied());
        let mut outcomes = BTreeSet::from([format!("{expected:?}")]);
        for die_at in 0..undisturbed.boundaries {
            let world = drive(scenario.clone(), &events, Some(die_at)).world;
            let found = essence(&world);
            assert_eq!(
                found.1, expected.1,
                "{name}: journal after a crash at boundary {die_at}"
            );
            assert_eq!(
                found.0, expected.0,
                "{name}: status after a crash at boundary {die_at}"
            );
            outcomes.insert(format!("{found:?}"));
        }
        println!("{name:<20} {:>10} {:>9}", undisturbed.boundaries, outcomes.len());
        all += undisturbed.boundaries;
    }
    println!("{:<20} {all:>10}", "together");
    assert_eq!(
        hit,
        BTreeSet::from(EFFECTS),
        "a kind of effect at which no process dies"
    );
}
