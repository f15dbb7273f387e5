//! Starts that are killed while they replay, again and again.

use super::disk::FaultyDisk;
use super::entry;
use super::rig::{canister, executor, message, setup, shown};
use crate::exec::machine::Machine;
use crate::log::disk::Disk;
use crate::log::journal::Journal;
use crate::log::replay::{Recovered, ReplayError, recover_when};
use crate::state::State;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;

/// Records of the log.
const LOGGED: u64 = 60;
/// Records after which a start is killed.
const KILLED: u64 = 10;

/// A log in several segments and no checkpoint, and the state that was shown before the node ended.
fn logged(disk: &FaultyDisk) -> State {
    let executor = executor();
    let mut journal = Journal::new(Arc::new(disk.clone()), executor.limits.fingerprint());
    let mut machine = Machine::new(executor, State::default());
    for round in 1..=LOGGED {
        let messages = if round == 1 {
            setup()
        } else {
            vec![message(round, canister(), "inc", vec![])]
        };
        let entry = entry(round, messages);
        journal.append(&entry).unwrap();
        if round.is_multiple_of(17) {
            journal.rotate();
        }
        machine.apply(&entry.batch);
    }
    machine.state().clone()
}

/// A start that writes a checkpoint after each `every` records. When it has replayed [`KILLED`] records it is killed in the middle of one
/// of its next operations.
fn start(disk: &FaultyDisk, every: u64, operations: u64) -> Result<Recovered, ReplayError> {
    let mut replayed = 0;
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    recover_when(&shared, executor(), &mut |_, _| {
        replayed += 1;
        if replayed == KILLED {
            disk.crash_after(operations);
        }
        replayed % every == 0
    })
}

#[test]
fn a_node_whose_starts_are_killed_gets_up_in_the_end_and_nothing_is_lost() {
    for seed in 0..6 {
        let mut random = StdRng::seed_from_u64(seed);
        let disk = FaultyDisk::new(seed);
        let before = logged(&disk);
        let mut starts = 0;
        let up = loop {
            starts += 1;
            assert!(starts < 60, "it does not get up");
            match start(&disk, 3, random.random_range(0..8)) {
                Ok(up) => break up,
                Err(error) => assert!(disk.crashed(), "{error}"),
            }
            if random.random_bool(0.5) {
                disk.restart();
            } else {
                disk.reboot();
            }
        };
        assert!(starts > 3, "nothing was killed");
        let state = up.machine.state();
        assert_eq!(state.root(), before.root(), "seed {seed}");
        assert_eq!(shown(&executor(), state), Some(LOGGED - 1));
    }
}

#[test]
fn segments_that_a_checkpoint_of_a_replay_covers_are_gone_and_those_that_it_does_not_are_there() {
    let disk = FaultyDisk::new(1);
    logged(&disk);
    start(&disk, 9, 0).unwrap_err();
    disk.reboot();
    start(&disk, 9, 0).unwrap_err();
    disk.restart();
    // Rounds 9 and 18 are covered: the first segment ends with 17.
    let names = disk.list().unwrap();
    let has = |round: u64| names.contains(&format!("log-{round:016x}"));
    assert_eq!([1, 18, 35, 52].map(has), [false, true, true, true], "{names:?}");
}

#[test]
fn a_checkpoint_that_cannot_be_synced_ends_the_start_and_one_that_finds_no_room_does_not() {
    let disk = FaultyDisk::new(1);
    let before = logged(&disk);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut replayed = 0;
    let mut start = |fail: fn(&FaultyDisk)| {
        replayed = 0;
        recover_when(&shared, executor(), &mut |_, _| {
            replayed += 1;
            if replayed == 3 {
                fail(&disk);
            }
            replayed == 3
        })
    };
    let failed = start(FaultyDisk::fail_next_sync).unwrap_err();
    assert!(matches!(failed, ReplayError::Checkpoint(_)), "{failed}");
    let up = start(|disk| disk.fill(1)).unwrap();
    assert_eq!(up.machine.state().root(), before.root());
    assert_eq!(up.checkpoints.round(), 0);
}

#[test]
fn no_loss_of_power_keeps_a_checkpoint_without_the_one_that_it_is_the_difference_to() {
    let mut looked_at = 0;
    for (first, second) in (0..8).flat_map(|first| (0..8).map(move |second| (first, second))) {
        let disk = FaultyDisk::new(1);
        let before = logged(&disk);
        // the first checkpoint is written when it is to be killed
        start(&disk, KILLED, first).unwrap_err();
        disk.restart();
        let has = |round: u64| disk.list().unwrap().contains(&format!("checkpoint-{round:016x}"));
        // killed after the name was given
        if !has(KILLED) {
            continue;
        }
        start(&disk, KILLED, second).unwrap_err();
        disk.restart();
        if !has(2 * KILLED) {
            continue;
        }
        for left in disk.losses() {
            let up = recover_when(&(Arc::new(left) as Arc<dyn Disk>), executor(), &mut |_, _| false);
            let up = up.unwrap_or_else(|error| panic!("{first}, {second}: {error}"));
            assert_eq!(up.machine.state().root(), before.root());
            looked_at += 1;
        }
    }
    assert!(looked_at > 8, "only {looked_at} were looked at");
}
