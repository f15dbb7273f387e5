//! Two processes with caches that are behind by any amount: no attempt's steps run twice, and the journal stays whole.

use proptest::prelude::*;

use crate::{
    random::scenario,
    replica::{Failpoints, Replica},
    scenario::{Behaviour, Scenario, stage},
    world::World,
};

#[derive(Debug, Clone, Copy)]
enum Move {
    SyncRun(usize),
    SyncPods(usize),
    SyncRecorder(usize),
    Poll(usize),
    Reconcile(usize),
    Stall(usize),
    GoOn(usize),
    Crash(usize, usize),
    Advance(prop::sample::Index),
    AdvancePromotions,
    DeletePod(prop::sample::Index),
    Record,
    Pass(i64),
    Cancel,
    ChainAway(bool),
    Delete,
    DeleteNamespace,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let replica = || 0_usize..2;
    let one = prop_oneof![
        6 => replica().prop_map(Move::SyncRun),
        6 => replica().prop_map(Move::SyncPods),
        2 => replica().prop_map(Move::SyncRecorder),
        8 => replica().prop_map(Move::Poll),
        14 => replica().prop_map(Move::Reconcile),
        3 => replica().prop_map(Move::Stall),
        3 => replica().prop_map(Move::GoOn),
        2 => (replica(), 0_usize..6).prop_map(|(replica, at)| Move::Crash(replica, at)),
        12 => any::<prop::sample::Index>().prop_map(Move::Advance),
        3 => Just(Move::AdvancePromotions),
        1 => any::<prop::sample::Index>().prop_map(Move::DeletePod),
        2 => Just(Move::Record),
        4 => (1_i64..90).prop_map(Move::Pass),
        1 => Just(Move::Cancel),
        2 => any::<bool>().prop_map(Move::ChainAway),
        1 => Just(Move::Delete),
        1 => Just(Move::DeleteNamespace),
    ];
    proptest::collection::vec(one, 20..160)
}

fn play(scenario: Scenario, moves: &[Move]) -> World {
    let mut world = World::new(scenario);
    let mut replicas = [Replica::started(&world), Replica::started(&world)];
    for replica in &mut replicas {
        replica.poll(&world);
    }
    for one in moves {
        match *one {
            Move::SyncRun(i) => replicas[i].sync_run(&world),
            Move::SyncPods(i) => replicas[i].sync_pods(&world),
            Move::SyncRecorder(i) => replicas[i].sync_recorder(&world),
            Move::Poll(i) => {
                replicas[i].poll(&world);
            }
            Move::Reconcile(i) => {
                replicas[i]
                    .reconcile(&mut world, &mut Failpoints::default())
                    .unwrap();
            }
            Move::Stall(i) => replicas[i].stall(&mut world),
            Move::GoOn(i) => replicas[i].go_on(&mut world, &mut Failpoints::default()).unwrap(),
            Move::Crash(i, at) => {
                let mut points = Failpoints {
                    done: 0,
                    die_at: Some(at),
                };
                if replicas[i].reconcile(&mut world, &mut points).is_err() {
                    replicas[i] = Replica::started(&world);
                }
            }
            Move::Advance(index) if !world.pods.is_empty() => {
                let name = index.get(&world.pods.keys().cloned().collect::<Vec<_>>()).clone();
                world.advance(&name);
            }
            Move::DeletePod(index) if !world.pods.is_empty() => {
                let name = index.get(&world.pods.keys().cloned().collect::<Vec<_>>()).clone();
                world.delete_pod(&name);
            }
            Move::Advance(_) | Move::DeletePod(_) => {}
            Move::AdvancePromotions => world.advance_promotions(),
            Move::Record => world.record(),
            Move::Pass(seconds) => world.pass(seconds),
            Move::Cancel => {
                world.run.spec.cancel = true;
                world.version += 1;
            }
            Move::ChainAway(away) => world.chain_away = away,
            Move::Delete => world.delete_run(),
            Move::DeleteNamespace => world.delete_namespace(),
        }
    }
    world.check_journal();
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_replicas_with_delayed_caches_never_run_an_attempt_twice(scenario in scenario(), moves in moves()) {
        let world = play(scenario, &moves);
        prop_assert!(world.executions.values().all(|times| *times == 1));
        prop_assert!(world.promotions_made.values().all(|times| *times == 1));
    }
}

#[test]
fn a_pod_that_is_made_anew_after_its_attempt_ended_counts_for_nothing_and_holds_up_neither_run_nor_namespace()
{
    let mut world = World::new(Scenario::of(vec![stage("build", &[], &[Behaviour::Hangs])]));
    // records stay in the status, so the run is held to its end
    world.chain_away = true;
    let (mut one, mut other) = (Replica::started(&world), Replica::started(&world));
    one.poll(&world);
    // held; then the attempt is written down, and the process stands still before it makes the Pod
    one.reconcile(&mut world, &mut Failpoints::default()).unwrap();
    one.sync_run(&world);
    one.stall(&mut world);
    assert!(world.pods.is_empty());
    let turn = |other: &mut Replica, world: &mut World| {
        other.sync_run(world);
        other.sync_pods(world);
        other.poll(world);
        other.reconcile(world, &mut Failpoints::default()).unwrap();
        for name in world.pods.keys().cloned().collect::<Vec<_>>() {
            world.advance(&name);
        }
        world.pass(5);
    };
    turn(&mut other, &mut world);
    turn(&mut other, &mut world);
    assert_eq!(
        world.executions.len(),
        1,
        "the other one made it, and its steps run"
    );
    world.run.spec.cancel = true;
    world.version += 1;
    for _ in 0..40 {
        turn(&mut other, &mut world);
    }
    assert!(world.finished() && world.pods.is_empty(), "{world:?}");
    let ended = world.status().stages;
    one.go_on(&mut world, &mut Failpoints::default()).unwrap();
    assert_eq!(world.pods.len(), 1, "made once more");
    for _ in 0..4 {
        turn(&mut other, &mut world);
    }
    assert!(world.pods.is_empty(), "{:?}", world.pods);
    assert_eq!(world.status().stages, ended);
    world.delete_run();
    for _ in 0..4 {
        turn(&mut other, &mut world);
    }
    assert!(world.run_gone);
}
