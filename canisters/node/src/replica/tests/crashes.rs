//! Crashes under the real threads: what was told, shown and certified is there afterwards.

use crate::cert::keys::Keys;
use crate::cert::view::{View, Views};
use crate::log::crash::rig::{Rig, executor, setup, shown};
use crate::log::replay::Recovered;
use crate::replica::{Durability, Policy, Refused, Replica};
use crate::wire::hash::Hash;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::{Arc, OnceLock};
use tokio::sync::oneshot::Receiver;

type Answer = Receiver<Result<Arc<View>, Refused>>;

fn keys() -> Arc<Keys> {
    static KEYS: OnceLock<Arc<Keys>> = OnceLock::new();
    KEYS.get_or_init(|| Arc::new(Keys::generate().unwrap())).clone()
}

/// Takes an answer down as a client would.
fn note(rig: &mut Rig, id: Hash, answer: Answer) {
    if let Ok(Ok(view)) = answer.blocking_recv() {
        assert!(!view.request_certificate(&id).is_empty());
        rig.told(&id, &view.state);
        rig.saw(&view.state);
    }
}

/// Lives until the disk crashes or the calls are done, and ends the threads.
fn live(rig: &mut Rig, node: Recovered, random: &mut StdRng) {
    let views = Arc::new(Views::new(keys(), node.machine.state().clone(), 0).unwrap());
    let durability = Durability {
        journal: node.journal,
        checkpoints: node.checkpoints,
        segment_bytes: random.random_range(500..6_000),
    };
    let replica = Replica::start(node.machine, views.clone(), Some(durability), Policy::default()).unwrap();
    let mut waiting: Vec<(Hash, Answer)> = Vec::new();
    // One after the other until the canister is there: an earlier life may have done a part of it.
    for message in setup() {
        let id = message.id;
        if let Ok(answer) = replica.submit(message, None) {
            note(rig, id, answer);
        }
    }
    if shown(&executor(), &views.latest().state).is_none() {
        replica.stop();
        return;
    }
    for _ in 0..12 {
        for message in rig.increments() {
            let id = message.id;
            waiting.extend(replica.submit(message, None).ok().map(|answer| (id, answer)));
        }
        if random.random_bool(0.05) {
            rig.disk.fill(1);
        }
        if random.random_bool(0.5) {
            for (id, answer) in waiting.drain(..) {
                note(rig, id, answer);
            }
        }
        rig.saw(&views.latest().state);
    }
    replica.stop();
    for (id, answer) in waiting {
        note(rig, id, answer);
    }
    rig.saw(&views.latest().state);
}

/// One seed: several lives, each ended by a crash. Returns how many crashes there were.
fn crashes(seed: u64, lying: bool) -> Result<u64, String> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut rig = Rig::new(seed);
    if lying {
        rig.disk.lie();
    }
    let mut crashes = 0;
    for _ in 0..4 {
        rig.disk.crash_after(random.random_range(0..60));
        if let Ok(node) = rig.recover() {
            live(&mut rig, node, &mut random);
        }
        crashes += u64::from(rig.disk.crashed());
        rig.disk.reboot();
        let node = rig
            .recover()
            .map_err(|error| format!("does not start after a crash: {error}"))?;
        rig.verify(&node)?;
    }
    Ok(crashes)
}

/// A tenth of `DCANARY_NODE_CRASHES`, because threads take longer than their imitation.
#[test]
fn what_the_running_replica_told_and_showed_survives_every_crash() {
    let wanted: u64 =
        std::env::var("DCANARY_NODE_CRASHES").map_or(300, |text| text.parse::<u64>().unwrap() / 10);
    let (mut seed, mut made) = (0, 0);
    while made < wanted {
        made += crashes(seed, false).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        seed += 1;
    }
}

#[test]
fn the_running_replica_on_a_disk_that_only_pretends_to_sync_is_noticed() {
    let noticed = (0..20).filter(|seed| crashes(*seed, true).is_err()).count();
    assert!(noticed > 12, "only {noticed} of 20");
}
