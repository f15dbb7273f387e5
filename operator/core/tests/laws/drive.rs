//! Drives a world to its end with one process, which may be killed at any boundary.

use std::collections::BTreeMap;

use crate::{
    replica::{Failpoints, Replica},
    scenario::Scenario,
    world::World,
};

/// What came out.
#[derive(Debug)]
pub struct Result {
    pub world: World,
    pub boundaries: usize,
    pub effects: BTreeMap<&'static str, u32>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "World at {} {:#?}", self.now, self.status().stages)
    }
}

/// Something that happens from outside, before the n-th round.
pub type Event = (usize, fn(&mut World));

/// Runs until the run has ended and everything is recorded and released. Time passes only when nothing else happens, so that a
/// killed process does not shift it.
pub fn drive(scenario: Scenario, events: &[Event], die_at: Option<usize>) -> Result {
    let mut world = World::new(scenario);
    world.fresh = true;
    let mut points = Failpoints { done: 0, die_at };
    let mut effects: BTreeMap<&'static str, u32> = BTreeMap::new();
    let mut replica = Replica::started(&world);
    // one that has been at work for a while; those that replace it have read nothing yet
    replica.poll(&world);
    for (round, turn) in (0..20_000).enumerate() {
        assert!(turn < 19_999, "it does not come to an end: {world:?}");
        let mut wake = None;
        // everything that the operator can do
        for spin in 0.. {
            assert!(spin < 500, "reconciles without end: {world:?}");
            replica.sync_run(&world);
            replica.sync_pods(&world);
            world.record();
            replica.sync_recorder(&world);
            match replica.reconcile(&mut world, &mut points) {
                Ok(did) => {
                    for effect in &did.effects {
                        *effects.entry(effect).or_insert(0) += 1;
                    }
                    if world.trace {
                        println!("{} round {round}: {did:?}", world.now);
                    }
                    wake = did.wake;
                    let news = replica.poll(&world);
                    if did.nothing && !news || world.run_gone {
                        break;
                    }
                }
                Err(_) => replica = Replica::started(&world),
            }
        }
        check_idempotence(&mut replica, &world);
        if world.run_gone || (world.finished() && settled(&world) && !deleting(&world)) {
            break;
        }
        let at = events.iter().position(|(when, _)| *when == round);
        if let Some(at) = at {
            events[at].1(&mut world);
            continue;
        }
        // then the Pods go on, one step each
        let before = format!("{:?} {:?}", world.pods, world.promotions);
        let names: Vec<String> = world.pods.keys().cloned().collect();
        for name in names {
            world.advance(&name);
        }
        world.advance_promotions();
        if format!("{:?} {:?}", world.pods, world.promotions) == before {
            let pause = wake.map_or(30, |wake| wake.duration_since(world.now).as_secs().clamp(1, 600));
            world.pass(pause);
        }
    }
    world.check_journal();
    if world.finished() && !world.chain_away && !world.run_gone {
        assert_eq!(world.chain.len(), world.log.len(), "the chain lacks a record");
        let held = world.pods.values().any(|pod| pod.seen.held);
        let finalizers = world.run.metadata.finalizers.iter().flatten().count();
        assert!(
            held || finalizers == 0,
            "the run is held and nothing of it can be lost"
        );
        // a process that dies takes along that it filled a ConfigMap, so the chain may be quicker than the status
        assert!(
            points.die_at.is_some() || world.config_maps.is_empty(),
            "records are kept aside that the chain holds"
        );
    }
    Result {
        world,
        boundaries: points.done,
        effects,
    }
}

fn deleting(world: &World) -> bool {
    world.run.metadata.deletion_timestamp.is_some()
}

fn settled(world: &World) -> bool {
    let recorded = world
        .status()
        .journal
        .is_none_or(|journal| journal.recorded >= journal.next);
    (recorded || world.chain_away)
        && world
            .pods
            .values()
            .all(|pod| !pod.seen.held || pod.seen.ended.is_none())
}

/// Deciding again on one's own result changes nothing and records nothing.
fn check_idempotence(replica: &mut Replica, world: &World) {
    if world.run_gone {
        return;
    }
    replica.sync_run(world);
    replica.sync_pods(world);
    let (run, _, plan) = replica.plan(world).unwrap();
    assert!(
        plan.journal.is_empty(),
        "deciding again records {:?}",
        plan.journal
    );
    assert_eq!(
        run.status.unwrap_or_default(),
        plan.status,
        "deciding again changes the status"
    );
}
