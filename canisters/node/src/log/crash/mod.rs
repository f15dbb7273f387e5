//! Crashes, thousands of them, and damage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod disk;
pub mod end;
mod made;
mod peers;
mod queues;
pub mod relays;
pub mod rig;
mod starts;
mod whole;

use super::codec::Entry;
use super::disk::{Disk, write_atomically};
use super::format::held;
use super::journal::{AppendError, Journal};
use super::replay::ReplayError;
use crate::exec::batch::{Batch, Permissions};
use crate::exec::limits::Limits;
use crate::wire::hash::sha256;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rig::{Rig, executor, setup, shown};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Lives of one seed. Many, because making canisters takes longer than a life with them.
const LIVES: u32 = 8;

/// One seed: several lives, each ended by a crash, each begun by looking at what the one before left. Returns how many crashes
/// there were.
fn crashes(seed: u64, lying: bool) -> Result<u64, String> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut rig = Rig::new(seed).with_relays();
    // They take longer.
    if seed.is_multiple_of(4) {
        rig = rig.with_peers();
    }
    if lying {
        rig.disk.lie();
    }
    let mut crashes = 0;
    let broken = |error| format!("does not start after a crash: {error}");
    for _ in 0..LIVES {
        rig.disk.crash_after(random.random_range(0..40));
        match rig.recover() {
            Ok(node) => {
                rig.verify(&node)?;
                rig.saw(node.machine.state());
                rig.live(node, 12);
            }
            // Recovering may crash too; the next life looks at what is left.
            Err(_) if rig.disk.crashed() => {}
            Err(error) => return Err(broken(error)),
        }
        crashes += u64::from(rig.disk.crashed());
        // A kill, or a loss of power.
        if random.random_bool(0.3) {
            rig.disk.restart();
        } else {
            rig.disk.reboot();
        }
    }
    rig.disk.reboot();
    let node = rig.recover().map_err(broken)?;
    rig.verify(&node)?;
    Ok(crashes)
}

/// `DCANARY_NODE_CRASHES` sets how many crashes a run makes; `make soak` makes many more. `DCANARY_NODE_SEED` is the first seed, to see one again.
#[test]
fn every_acknowledged_reply_survives_every_crash() {
    let wanted: u64 = std::env::var("DCANARY_NODE_CRASHES").map_or(10_000, |text| text.parse().unwrap());
    let first = std::env::var("DCANARY_NODE_SEED").map_or(0, |text| text.parse().unwrap());
    let (next, made) = (AtomicU64::new(first), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while made.load(Ordering::Relaxed) < wanted {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let crashes = crashes(seed, false).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
                    made.fetch_add(crashes, Ordering::Relaxed);
                }
            });
        }
    });
    println!(
        "{} crashes with {} seeds",
        made.into_inner(),
        next.into_inner() - first
    );
}

#[test]
fn a_disk_that_only_pretends_to_sync_is_noticed() {
    let noticed = (0..40).filter(|seed| crashes(*seed, true).is_err()).count();
    assert!(noticed > 30, "only {noticed} of 40");
}

/// A record as a node of these semantics writes it.
pub fn entry(round: u64, messages: Vec<crate::exec::batch::Ingress>) -> Entry {
    let fingerprint = Limits::default().fingerprint();
    let batch = Batch {
        round,
        time: round * 10,
        memory_limit: u64::MAX,
        canister_limit: u64::MAX,
        permissions: Permissions::ALL,
        seed: sha256(&round.to_le_bytes()),
        messages,
    };
    Entry {
        semantics: std::array::from_fn(|at| fingerprint[at]),
        checked: None,
        batch,
    }
}

/// A log of several increments, and the length of the file after each record.
fn logged(rig: &Rig, records: u64) -> Vec<usize> {
    let mut journal = Journal::new(Arc::new(rig.disk.clone()), executor().limits.fingerprint());
    let mut lengths = Vec::new();
    for round in 1..=records {
        let messages = if round == 1 {
            setup()
        } else {
            vec![rig::message(round, rig::canister(), "inc", vec![])]
        };
        journal.append(&entry(round, messages)).unwrap();
        lengths.push(rig.disk.len(FIRST));
    }
    lengths
}

const FIRST: &str = "log-0000000000000001";

#[test]
fn damage_in_the_middle_of_the_log_refuses_to_start_and_says_where() {
    let rig = Rig::new(1);
    let lengths = logged(&rig, 5);
    rig.disk.rot(FIRST, lengths[2] + 40);
    let error = rig.recover().unwrap_err();
    let ReplayError::Corrupt { file, offset, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!((file.as_str(), *offset), (FIRST, lengths[2] as u64));
    assert!(error.to_string().contains(FIRST));
}

#[test]
fn damage_in_the_header_of_a_log_refuses_to_start() {
    let rig = Rig::new(1);
    logged(&rig, 2);
    rig.disk.rot(FIRST, 20);
    assert!(matches!(
        rig.recover(),
        Err(ReplayError::Corrupt { offset: 0, .. })
    ));
}

#[test]
fn a_missing_segment_is_a_gap() {
    let rig = Rig::new(1);
    logged(&rig, 2);
    let mut journal = Journal::new(Arc::new(rig.disk.clone()), executor().limits.fingerprint());
    journal.append(&entry(3, vec![])).unwrap();
    rig.disk.remove(FIRST).unwrap();
    assert!(matches!(
        rig.recover(),
        Err(ReplayError::Gap {
            found: 3,
            expected: 1,
            ..
        })
    ));
}

#[test]
fn a_damaged_checkpoint_refuses_to_start() {
    let rig = Rig::new(1);
    logged(&rig, 3);
    let mut node = rig.recover().unwrap();
    node.checkpoints.write(node.machine.state()).unwrap();
    rig.disk.rot("checkpoint-0000000000000003", 300);
    assert!(
        rig.recover()
            .unwrap_err()
            .to_string()
            .contains("checkpoint-0000000000000003")
    );
}

#[test]
fn a_log_of_other_semantics_is_not_replayed_unless_a_checkpoint_covers_it() {
    let rig = Rig::new(1);
    let mut journal = Journal::new(Arc::new(rig.disk.clone()), [9; 32]);
    let other = Entry {
        semantics: [9; 8],
        ..entry(1, setup())
    };
    journal.append(&other).unwrap();
    let unknown = rig.recover().unwrap_err();
    assert!(matches!(&unknown, ReplayError::OtherSemantics { .. }));
    assert!(
        unknown.to_string().contains("by another version of the node"),
        "{unknown}"
    );
    write_atomically(&rig.disk, "version", b"dcanary-node 9.9.9 (its semantics)").unwrap();
    let named = rig.recover().unwrap_err().to_string();
    assert!(named.contains("by dcanary-node 9.9.9 (its semantics)"), "{named}");

    // Stopped cleanly, the other version leaves a checkpoint, and the log only where it could not be removed any more.
    let covered = Rig::new(2);
    logged(&covered, 1);
    let mut node = covered.recover().unwrap();
    node.checkpoints.write(node.machine.state()).unwrap();
    let mut journal = Journal::new(Arc::new(covered.disk.clone()), [9; 32]);
    journal.append(&other).unwrap();
    assert_eq!(covered.recover().unwrap().machine.state().round, 1);
}

#[test]
fn a_log_that_disagrees_with_the_replay_is_refused() {
    let rig = Rig::new(1);
    let mut journal = Journal::new(Arc::new(rig.disk.clone()), executor().limits.fingerprint());
    journal.append(&entry(1, setup())).unwrap();
    journal
        .append(&Entry {
            checked: Some((1, [3; 32])),
            ..entry(2, vec![])
        })
        .unwrap();
    assert!(matches!(rig.recover(), Err(ReplayError::Diverged { round: 1 })));
}

#[test]
fn after_a_failed_sync_nothing_is_written_any_more() {
    let rig = Rig::new(1);
    let mut journal = Journal::new(Arc::new(rig.disk.clone()), executor().limits.fingerprint());
    journal.append(&entry(1, setup())).unwrap();
    rig.disk.fail_next_sync();
    assert!(matches!(
        journal.append(&entry(2, vec![])),
        Err(AppendError::Broken(_))
    ));
    let len = rig.disk.len(FIRST);
    assert!(matches!(
        journal.append(&entry(2, vec![])),
        Err(AppendError::Broken(_))
    ));
    assert_eq!(rig.disk.len(FIRST), len);
}

#[test]
fn a_start_shows_nothing_that_a_loss_of_power_could_take_back() {
    let rig = Rig::new(1);
    let mut journal = Journal::new(Arc::new(rig.disk.clone()), executor().limits.fingerprint());
    journal.append(&entry(1, setup())).unwrap();
    // The process ends before the record is synced.
    rig.disk.fail_next_sync();
    let inc = rig::message(2, rig::canister(), "inc", vec![]);
    journal.append(&entry(2, vec![inc])).unwrap_err();
    rig.disk.restart();
    assert_eq!(rig::recovered_count(&rig.disk), Some(1));
    assert_eq!(rig::recovered_count(&rig.disk.synced()), Some(1));
}

#[test]
fn a_full_disk_refuses_the_batch_and_the_next_one_is_taken() {
    let rig = Rig::new(1);
    let mut journal = Journal::new(Arc::new(rig.disk.clone()), executor().limits.fingerprint());
    journal.append(&entry(1, setup())).unwrap();
    let len = rig.disk.len(FIRST);
    rig.disk.fill(1);
    let inc = |number| vec![rig::message(number, rig::canister(), "inc", vec![])];
    assert!(matches!(
        journal.append(&entry(2, inc(1))),
        Err(AppendError::Full(_))
    ));
    assert_eq!(rig.disk.len(FIRST), len);
    journal.append(&entry(2, inc(2))).unwrap();
    let node = rig.recover().unwrap();
    assert_eq!(shown(&node.machine.executor, node.machine.state()), Some(1));
}

#[test]
fn a_checkpoint_removes_the_log_before_it_and_later_ones_hold_only_changes() {
    let rig = Rig::new(1);
    logged(&rig, 4);
    let mut node = rig.recover().unwrap();
    let whole = node.checkpoints.write(node.machine.state()).unwrap();
    node.journal
        .append(&entry(5, vec![rig::message(5, rig::canister(), "inc", vec![])]))
        .unwrap();
    node.machine
        .apply(&entry(5, vec![rig::message(5, rig::canister(), "inc", vec![])]).batch);
    let difference = node.checkpoints.write(node.machine.state()).unwrap();
    assert!(difference < whole, "{difference} of {whole} bytes");
    let names = rig.disk.list().unwrap();
    assert!(!names.iter().any(|name| name == FIRST), "{names:?}");
    let again = rig.recover().unwrap();
    assert_eq!(
        (again.replayed, again.machine.state().root()),
        (0, node.machine.state().root())
    );
    assert_eq!(shown(&again.machine.executor, again.machine.state()), Some(4));
}

#[test]
fn a_chain_of_checkpoints_is_restored_one_file_at_a_time() {
    let rig = Rig::new(1);
    logged(&rig, 4);
    let mut node = rig.recover().unwrap();
    node.checkpoints.write(node.machine.state()).unwrap();
    let batch = entry(5, vec![rig::message(5, rig::canister(), "inc", vec![])]).batch;
    node.machine.apply(&batch);
    node.checkpoints.write(node.machine.state()).unwrap();
    let files = rig.disk.list().unwrap();
    let chain = files.iter().filter(|name| name.starts_with("checkpoint-"));
    assert_eq!(chain.count(), 2, "{files:?}");
    held::most();
    let again = rig.recover().unwrap();
    assert_eq!(held::most(), 1);
    assert_eq!(again.machine.state().root(), node.machine.state().root());
    assert_eq!(again.checkpoints.round(), 5);
}

#[test]
fn a_missing_link_in_a_chain_of_checkpoints_refuses_to_start() {
    let rig = Rig::new(1);
    logged(&rig, 4);
    let mut node = rig.recover().unwrap();
    node.checkpoints.write(node.machine.state()).unwrap();
    let batch = entry(5, vec![rig::message(5, rig::canister(), "inc", vec![])]).batch;
    node.machine.apply(&batch);
    node.checkpoints.write(node.machine.state()).unwrap();
    rig.disk.remove("checkpoint-0000000000000004").unwrap();
    assert!(matches!(rig.recover(), Err(ReplayError::Checkpoint(_))));
}
