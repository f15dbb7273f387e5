#![allow(clippy::unwrap_used)]

use dcanary_types::record::{Outcome, Transition};
use jiff::Timestamp;

use super::*;

fn filled(count: usize) -> JournalStatus {
    let mut journal = JournalStatus::default();
    for _ in 0..count {
        push(
            &mut journal,
            "run",
            Transition::RunFinished {
                outcome: Outcome::Failed,
            },
            Timestamp::UNIX_EPOCH,
        );
    }
    journal
}

#[test]
fn at_48_the_oldest_32_are_put_aside_and_leave_only_when_they_are_known_to_be() {
    assert_eq!(to_seal(&filled(47), "run", false), None);
    let mut journal = filled(48);
    let seal = to_seal(&journal, "run", false).unwrap();
    assert_eq!((seal.first, seal.last, seal.records.len()), (0, 31, 32));
    let ack = Sealing::Sealed {
        first: 0,
        last: 31,
        hash: seal.hash.clone(),
    };
    let wrong = Sealing::Sealed {
        first: 0,
        last: 31,
        hash: "sha256:00".into(),
    };
    update(
        &mut journal,
        &JournalSeen {
            sealings: vec![wrong],
            ..JournalSeen::default()
        },
        "run",
        Timestamp::UNIX_EPOCH,
    );
    assert_eq!(journal.pending.len(), 48);
    update(
        &mut journal,
        &JournalSeen {
            sealings: vec![ack],
            ..JournalSeen::default()
        },
        "run",
        Timestamp::UNIX_EPOCH,
    );
    assert_eq!(
        (journal.pending.len(), journal.sealed.len(), journal.pending[0].n),
        (16, 1, 32)
    );
    let recorded = JournalSeen {
        recorded: 40,
        block: Some(99),
        ..JournalSeen::default()
    };
    assert_eq!(
        update(&mut journal, &recorded, "run", Timestamp::UNIX_EPOCH),
        ["dcanary-journal-run-0"]
    );
    assert_eq!(
        (journal.pending.len(), journal.sealed.len(), journal.block),
        (8, 0, Some(99))
    );
}

#[test]
fn a_refused_record_is_replaced_at_its_number_once_and_shown() {
    let mut journal = filled(3);
    let hash = read::<Transition>(&journal.pending[1]).unwrap().content_hash();
    let seen = JournalSeen {
        refused: vec![Refusal {
            n: 1,
            hash,
            reason: "started before its needs".into(),
        }],
        ..JournalSeen::default()
    };
    update(&mut journal, &seen, "run", Timestamp::UNIX_EPOCH);
    assert_eq!(journal.pending[1].btype, "dcanary_record_refused");
    assert_eq!(
        journal.pending.iter().map(|record| record.n).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    assert!(
        journal
            .refused
            .as_ref()
            .unwrap()
            .contains("started before its needs")
    );
    // the same refusal again is about the old content
    let once = journal.clone();
    update(&mut journal, &seen, "run", Timestamp::MAX);
    assert_eq!(journal, once);
}

#[test]
fn a_first_record_that_is_refused_stays_and_is_shown_because_nothing_begins_with_a_note() {
    let mut journal = filled(2);
    let pending = journal.pending.clone();
    let seen = JournalSeen {
        refused: vec![Refusal {
            n: 0,
            hash: read::<Transition>(&pending[0]).unwrap().content_hash(),
            reason: "it begins with something else".into(),
        }],
        ..JournalSeen::default()
    };
    update(&mut journal, &seen, "run", Timestamp::UNIX_EPOCH);
    assert_eq!(journal.pending, pending);
    assert!(journal.refused.as_ref().unwrap().contains("something else"));
    let once = journal.clone();
    update(&mut journal, &seen, "run", Timestamp::MAX);
    assert_eq!(journal, once, "nothing is tried in its place");
}

#[test]
fn a_conflict_or_a_chain_that_is_ahead_moves_nothing() {
    let mut journal = filled(3);
    let ahead = JournalSeen {
        recorded: 9,
        ahead: Some(9),
        ..JournalSeen::default()
    };
    update(&mut journal, &ahead, "run", Timestamp::UNIX_EPOCH);
    assert_eq!((journal.recorded, journal.pending.len()), (0, 3));
}

#[test]
fn a_record_that_somebody_changed_is_not_read() {
    let mut journal = filled(1);
    assert!(read::<Transition>(&journal.pending[0]).is_some());
    journal.pending[0].n = 5;
    assert!(read::<Transition>(&journal.pending[0]).is_none());
}
