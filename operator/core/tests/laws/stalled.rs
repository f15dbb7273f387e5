//! What is wrong with a journal is shown on active and on ended runs.

use dcanary_core::observed::{Conflict, JournalSeen, Sealing};
use dcanary_crds::{ConditionStatus, ConditionType};

use crate::{
    drive::drive,
    faults::condition,
    replica::{Failpoints, Replica},
    scenario::{Behaviour, Scenario, stage},
    world::World,
};

fn turn(replica: &mut Replica, world: &mut World) {
    for _ in 0..4 {
        replica.sync_run(world);
        replica.sync_pods(world);
        replica.poll(world);
        replica.reconcile(world, &mut Failpoints::default()).unwrap();
    }
}

fn runs() -> Vec<(&'static str, World)> {
    let mut active = World::new(Scenario {
        chain_away: true,
        ..Scenario::of(vec![stage("build", &[], &[Behaviour::Hangs])])
    });
    let mut replica = Replica::started(&active);
    replica.poll(&active);
    turn(&mut replica, &mut active);
    assert!(!active.finished());
    let ended = |behaviour| {
        let scenario = Scenario {
            chain_away: true,
            ..Scenario::of(vec![stage("build", &[], &[behaviour])])
        };
        let mut world = drive(scenario, &[], None).world;
        // what it ended as must stay; what is told about its journal may change
        world.ended = None;
        world
    };
    vec![
        ("active", active),
        ("succeeded", ended(Behaviour::Succeed)),
        ("failed", ended(Behaviour::Fail)),
    ]
}

fn told(world: &World, reason: &str) -> JournalSeen {
    let journal = world.status().journal.unwrap();
    match reason {
        "LedgerConflict" => JournalSeen {
            conflict: Some(Conflict { n: 1, have: 7 }),
            ..JournalSeen::default()
        },
        "LedgerAhead" => JournalSeen {
            ahead: Some(u64::try_from(journal.next).unwrap() + 1),
            ..JournalSeen::default()
        },
        "SealedRecordsSwapped" => JournalSeen {
            sealings: vec![Sealing::Swapped {
                config_map: "dcanary-journal-x-0".into(),
            }],
            ..JournalSeen::default()
        },
        "JournalRefused" => {
            let first = dcanary_core::journal::read::<dcanary_types::record::Transition>(&journal.pending[0])
                .unwrap();
            JournalSeen {
                refused: vec![dcanary_core::observed::Refusal {
                    n: first.n,
                    hash: first.content_hash(),
                    reason: "no role".into(),
                }],
                ..JournalSeen::default()
            }
        }
        other => unreachable!("{other}"),
    }
}

#[test]
fn each_trouble_with_the_journal_stalls_active_and_ended_runs_by_its_name() {
    for reason in [
        "LedgerConflict",
        "LedgerAhead",
        "JournalRefused",
        "SealedRecordsSwapped",
    ] {
        for (what, mut world) in runs() {
            let before = condition(&world, ConditionType::Succeeded);
            let finished = condition(&world, ConditionType::Finished);
            let mut replica = Replica::started(&world);
            replica.told = told(&world, reason);
            turn(&mut replica, &mut world);
            assert_eq!(
                condition(&world, ConditionType::Stalled),
                (ConditionStatus::True, reason.to_owned()),
                "{what}"
            );
            assert_eq!(
                condition(&world, ConditionType::Recorded),
                (ConditionStatus::False, reason.to_owned()),
                "{what}"
            );
            assert_eq!(
                condition(&world, ConditionType::Reconciling).0,
                ConditionStatus::False,
                "{what}"
            );
            // the run itself is what it was
            assert_eq!(condition(&world, ConditionType::Succeeded), before, "{what}");
            assert_eq!(condition(&world, ConditionType::Finished), finished, "{what}");
        }
    }
}

#[test]
fn a_chain_that_was_ahead_of_a_stale_status_only_is_ahead_no_more_when_the_run_has_come_as_far() {
    let (_, mut world) = runs().swap_remove(1);
    let next = u64::try_from(world.status().journal.unwrap().next).unwrap();
    let mut replica = Replica::started(&world);
    // told while this process had an older status
    replica.told = JournalSeen {
        ahead: Some(next),
        ..JournalSeen::default()
    };
    world.chain_away = false;
    world.record();
    replica.sync_recorder(&world);
    turn(&mut replica, &mut world);
    assert_eq!(
        condition(&world, ConditionType::Stalled).0,
        ConditionStatus::False
    );
    assert_eq!(
        condition(&world, ConditionType::Recorded).0,
        ConditionStatus::True
    );
    let journal = world.status().journal.unwrap();
    assert_eq!(journal.recorded, journal.next);
}

#[test]
fn recorded_is_not_false_before_thirty_seconds_and_false_after_them() {
    let (_, mut world) = runs().swap_remove(0);
    let began = world.status().started_at.unwrap();
    let mut replica = Replica::started(&world);
    for (age, expected) in [
        (0, ConditionStatus::Unknown),
        (29, ConditionStatus::Unknown),
        (30, ConditionStatus::False),
    ] {
        let ago = world.now.duration_since(began).as_secs();
        world.pass(age - ago);
        turn(&mut replica, &mut world);
        let status = world.status();
        let recorded = status
            .conditions
            .iter()
            .find(|condition| condition.kind == ConditionType::Recorded);
        assert_eq!(
            recorded.map(|condition| condition.status),
            Some(expected),
            "after {age} s"
        );
    }
    assert_eq!(condition(&world, ConditionType::Recorded).1, "Lagging");
}
