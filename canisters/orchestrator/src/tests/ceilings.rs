use dcanary_types::{
    api::{AppendError, BatchError, RoleError},
    limits::{MAX_BATCH_BYTES, MAX_BATCH_RECORDS},
};

use super::world::*;
use crate::Ceilings;

const HOUR_NS: u64 = 3_600_000_000_000;

#[test]
fn a_batch_takes_500_records() {
    let mut world = world();
    let segments = |records: usize| -> Vec<_> {
        (0..records / 2)
            .map(|i| segment(&format!("r{i}"), 0, &story()[..2]))
            .collect()
    };
    let results = world.batch(EAST, segments(500)).unwrap();
    assert!(results.iter().all(Result::is_ok));
    let limit = MAX_BATCH_RECORDS as u64;
    assert_eq!(
        world.batch(EAST, segments(502)),
        Err(BatchError::TooManyRecords { limit })
    );
    let empty = vec![segment("r", 0, &[]); 501];
    assert_eq!(
        world.batch(EAST, empty),
        Err(BatchError::TooManyRecords { limit })
    );
}

#[test]
fn a_batch_takes_a_mebibyte() {
    let mut world = world();
    let mut fat = segment("r", 0, &story());
    fat.records[0].body = vec![0; MAX_BATCH_BYTES].into();
    let limit = MAX_BATCH_BYTES as u64;
    assert_eq!(
        world.batch(EAST, vec![fat]),
        Err(BatchError::TooManyBytes { limit })
    );
}

#[test]
fn messages_an_hour_are_counted_per_principal_and_start_anew_each_hour() {
    let mut world = world_with(Ceilings {
        messages_an_hour: 2,
        ..Ceilings::default()
    });
    world.now = 5 * HOUR_NS;
    for n in 0..2 {
        world
            .append(
                EAST,
                segment("r1", n, &story()[usize::try_from(n).unwrap()..][..1]),
            )
            .unwrap();
    }
    world.now = 6 * HOUR_NS - 90_000_000_000;
    assert_eq!(
        world.batch(EAST, vec![]),
        Err(BatchError::RateLimited { retry_after_s: 90 })
    );
    assert!(world.batch(EAST_TOO, vec![]).is_ok());
    world.now = 6 * HOUR_NS;
    assert!(world.batch(EAST, vec![]).is_ok());
}

#[test]
fn bytes_an_hour_refuse_the_segment_that_is_too_much_and_take_the_rest() {
    let mut world = world_with(Ceilings {
        bytes_an_hour: 700,
        ..Ceilings::default()
    });
    world.now = 5 * HOUR_NS;
    let results = world
        .batch(
            EAST,
            vec![
                segment("r1", 0, &story()[..1]),
                segment("r2", 0, &story()),
                segment("r3", 0, &story()[..1]),
            ],
        )
        .unwrap();
    assert!(results[0].is_ok() && results[2].is_ok());
    assert!(matches!(
        results[1],
        Err(AppendError::RateLimited { retry_after_s: 3_600 })
    ));
}

#[test]
fn open_runs_are_counted_until_they_end() {
    let mut world = world_with(Ceilings {
        open_runs: 2,
        ..Ceilings::default()
    });
    for run in ["r1", "r2"] {
        world.append(EAST, segment(run, 0, &story()[..5])).unwrap();
    }
    let refused = world.append(EAST, segment("r3", 0, &story()));
    assert_eq!(refused, Err(AppendError::RunLimit { limit: 2 }));
    assert_eq!(world.ledger.run_position("shop", "east", "r3").unwrap(), None);
    // Another principal ends it; it was the opener's.
    world.append(EAST_TOO, segment("r1", 5, &story()[5..])).unwrap();
    for run in ["r3", "r4", "r5"] {
        world.append(EAST, segment(run, 0, &story())).unwrap();
    }
    world.append(EAST, segment("r6", 0, &story()[..1])).unwrap();
    assert_eq!(
        world.append(EAST, segment("r7", 0, &story()[..1])),
        Err(AppendError::RunLimit { limit: 2 })
    );
}

#[test]
fn a_full_journal_refuses_records_and_still_takes_roles_conflicts_and_restores() {
    // Five blocks are there; two records fit, three blocks are kept back.
    let ceilings = Ceilings {
        journal_blocks: 10,
        journal_reserve: 3,
        ..Ceilings::default()
    };
    let mut world = world_with(ceilings);
    assert_eq!(
        world.append(EAST, segment("r1", 0, &story()[..3])),
        Err(AppendError::JournalFull)
    );
    let first = world.append(EAST, segment("r1", 0, &story()[..2])).unwrap();
    assert_eq!(
        world.append(EAST, segment("r1", 2, &story()[2..3])),
        Err(AppendError::JournalFull)
    );
    assert_eq!(
        world.append(EAST, segment("r1", 0, &story()[..2])).unwrap(),
        first,
        "repeats are answered"
    );

    world.grant(OWNER, &operator(STRANGER, "shop", "east")).unwrap();
    let mut other = segment("r1", 0, &story()[..1]);
    other.records[0].claimed_ts += 1;
    world.append(EAST, other.clone()).unwrap_err();
    let message = world.message(OWNER);
    world.ledger.mark_restored(&message).unwrap().unwrap();
    assert_eq!(world.size(), 10);

    other.records[0].claimed_ts += 1;
    assert!(matches!(
        world.append(EAST, other),
        Err(AppendError::Conflict { n: 0, .. })
    ));
    assert_eq!(
        world.revoke(OWNER, &operator(BANK, "bank", "east")),
        Err(RoleError::JournalFull)
    );
    assert_eq!(world.size(), 10);
}

#[test]
fn a_journal_full_of_bytes_refuses_records() {
    let mut world = world_with(Ceilings {
        journal_bytes: 3_000,
        ..Ceilings::default()
    });
    assert_eq!(
        world.append(EAST, segment("r1", 0, &story())),
        Err(AppendError::JournalFull)
    );
}
