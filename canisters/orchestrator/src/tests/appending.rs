use dcanary_types::{
    api::AppendError,
    record::{Body, LedgerEvent, Outcome, Transition},
};
use serde_bytes::ByteBuf;

use super::world::*;

#[test]
fn block_0_names_the_first_owner() {
    let world = world();
    let first = world.block(0);
    assert_eq!((first.phash, first.policy, first.project.as_str()), (None, 0, ""));
    let owner = principal(OWNER).as_slice().to_vec();
    assert_eq!(
        world.body(0),
        Body::Ledger(LedgerEvent::Opened {
            owner,
            incarnation: 0
        })
    );
}

#[test]
fn a_run_is_recorded_from_its_opening_to_its_end_with_a_receipt_for_each_record() {
    let mut world = world();
    let first = world.size();
    let receipt = world.append(EAST, segment("r1", 0, &story())).unwrap();
    assert_eq!(receipt, (first..first + 6).collect::<Vec<u64>>());
    for (n, (index, transition)) in receipt.iter().zip(story()).enumerate() {
        let block = world.block(*index);
        let Body::Run(record) = world.body(*index) else {
            panic!("a record of a run")
        };
        assert_eq!(
            (record.run.as_str(), record.n, &record.transition),
            ("r1", n as u64, &transition)
        );
        assert_eq!(
            (block.project.as_str(), block.domain.as_str(), block.policy),
            ("shop", "east", 4)
        );
        assert_eq!((block.ts, block.claimed_ts), (world.now, START + n as u64));
        assert_eq!(block.caller, principal(EAST).as_slice());
        assert_eq!(block.phash, Some(world.block(index - 1).hash()));
    }
}

#[test]
fn a_repeated_segment_gets_its_first_receipt_and_writes_nothing() {
    let mut world = world();
    let first = world.append(EAST, segment("r1", 0, &story()[..3])).unwrap();
    let size = world.size();
    assert_eq!(
        world.append(EAST, segment("r1", 0, &story()[..3])).unwrap(),
        first
    );
    assert_eq!(
        world.append(EAST, segment("r1", 1, &story()[1..2])).unwrap(),
        first[1..2]
    );
    assert_eq!(world.size(), size);
}

#[test]
fn a_segment_whose_beginning_is_recorded_appends_only_its_rest() {
    let mut world = world();
    let first = world.append(EAST, segment("r1", 0, &story()[..2])).unwrap();
    let size = world.size();
    let whole = world.append(EAST, segment("r1", 0, &story())).unwrap();
    assert_eq!(whole[..2], first);
    assert_eq!(whole[2..], (size..size + 4).collect::<Vec<u64>>());
}

#[test]
fn receipts_do_not_expire_with_the_run_nor_with_an_upgrade() {
    let mut world = world();
    let first = world.append(EAST, segment("r1", 0, &story())).unwrap();
    world.upgrade();
    assert_eq!(world.append(EAST, segment("r1", 0, &story())).unwrap(), first);
}

#[test]
fn another_principal_of_the_domain_gets_the_same_receipts() {
    let mut world = world();
    let first = world.append(EAST, segment("r1", 0, &story()[..2])).unwrap();
    assert_eq!(
        world.append(EAST_TOO, segment("r1", 0, &story()[..2])).unwrap(),
        first
    );
    world.append(EAST_TOO, segment("r1", 2, &story()[2..])).unwrap();
}

#[test]
fn other_content_at_a_taken_number_is_a_conflict_and_one_audit_block() {
    let mut world = world();
    let first = world.append(EAST, segment("r1", 0, &story()[..2])).unwrap();
    let mut other = segment("r1", 0, &story()[..3]);
    other.records[1].claimed_ts += 1;
    let size = world.size();
    for _ in 0..3 {
        let refused = world.append(EAST, other.clone()).unwrap_err();
        assert_eq!(refused, AppendError::Conflict { n: 1, have: first[1] });
    }
    assert_eq!(world.size(), size + 1, "one block, however often it is offered");
    let Body::Ledger(LedgerEvent::Conflict { run, n, have, .. }) = world.body(size) else {
        panic!("a conflict")
    };
    assert_eq!((run.as_str(), n, have), ("r1", 1, first[1]));
    let block = world.block(size);
    assert_eq!((block.project.as_str(), block.domain.as_str()), ("shop", "east"));

    other.records[1].claimed_ts += 1;
    world.append(EAST, other).unwrap_err();
    assert_eq!(world.size(), size + 2, "another content is another conflict");
    world.append(EAST, segment("r1", 2, &story()[2..])).unwrap();
}

#[test]
fn a_number_left_out_is_a_gap() {
    let mut world = world();
    assert_eq!(
        world.append(EAST, segment("r1", 1, &story()[1..2])),
        Err(AppendError::Gap { expected: 0 })
    );
    world.append(EAST, segment("r1", 0, &story()[..2])).unwrap();
    assert_eq!(
        world.append(EAST, segment("r1", 3, &story()[3..4])),
        Err(AppendError::Gap { expected: 2 })
    );
}

#[test]
fn an_illegal_record_refuses_its_whole_segment_and_no_other() {
    let mut world = world();
    let bad = [opened(), started("build", 1), started("test", 1)];
    let size = world.size();
    let results = world
        .batch(EAST, vec![segment("bad", 0, &bad), segment("good", 0, &story())])
        .unwrap();
    let reason = "cannot start attempt 1 of stage `test`: it needs `build`, and it is running attempt 1";
    assert_eq!(
        results[0],
        Err(AppendError::Illegal {
            n: 2,
            reason: reason.to_owned()
        })
    );
    assert!(results[1].is_ok());
    assert_eq!(world.size(), size + 6);
    assert_eq!(world.ledger.run_position("shop", "east", "bad").unwrap(), None);
}

#[test]
fn nothing_follows_the_end_of_a_run() {
    let mut world = world();
    world.append(EAST, segment("r1", 0, &story())).unwrap();
    let refused = world.append(EAST, segment("r1", 6, &[started("build", 2)]));
    let reason = "the run has ended (succeeded)".to_owned();
    assert_eq!(refused, Err(AppendError::Illegal { n: 6, reason }));
}

#[test]
fn state_carries_over_from_message_to_message_and_over_upgrades() {
    let mut world = world();
    let mut transitions = vec![
        opened(),
        started("build", 1),
        retried("build", 1),
        started("build", 2),
    ];
    transitions.extend([succeeded("build", 2), started("test", 1), succeeded("test", 1)]);
    transitions.push(Transition::RunFinished {
        outcome: Outcome::Succeeded,
    });
    for (n, transition) in transitions.iter().enumerate() {
        if n == 4 {
            let refused = world
                .append(EAST, segment("r1", 4, &[succeeded("build", 1)]))
                .unwrap_err();
            assert!(matches!(refused, AppendError::Illegal { n: 4, .. }));
        }
        world
            .append(EAST, segment("r1", n as u64, std::slice::from_ref(transition)))
            .unwrap();
        world.upgrade();
    }
}

#[test]
fn a_run_needs_the_graph_it_names() {
    let mut world = world();
    let mut without = segment("r1", 0, &story());
    without.graph = None;
    assert_eq!(world.append(EAST, without), Err(AppendError::GraphMissing));
    let mut other = segment("r1", 0, &story());
    other.graph = Some(ByteBuf::from(vec![0xa0]));
    assert_eq!(world.append(EAST, other), Err(AppendError::GraphMismatch));
    let mut long = segment("r1", 0, &story());
    long.graph = Some(ByteBuf::from(vec![0; 32_769]));
    assert!(matches!(
        world.append(EAST, long),
        Err(AppendError::Malformed { n: 0, .. })
    ));
    let refused = world.append(EAST, segment("r1", 0, &[started("build", 1)]));
    assert!(matches!(refused, Err(AppendError::Illegal { n: 0, .. })));
}

#[test]
fn a_graph_that_breaks_a_rule_opens_no_run() {
    let mut world = world();
    let document = vec![0xa0];
    let transition = Transition::RunOpened {
        name: "a/b".to_owned(),
        definition: [0; 32],
        graph: dcanary_types::value::sha256(&document),
        params: [0; 32],
        source: None,
    };
    let mut bad = segment("r1", 0, &[transition]);
    bad.graph = Some(ByteBuf::from(document));
    assert!(matches!(
        world.append(EAST, bad),
        Err(AppendError::Malformed { n: 0, .. })
    ));
}

#[test]
fn a_record_must_say_what_its_segment_says() {
    let mut world = world();
    let malformed = |world: &mut World, segment| {
        let refused = world.append(EAST, segment);
        assert!(
            matches!(refused, Err(AppendError::Malformed { .. })),
            "{refused:?}"
        );
    };
    let good = || segment("r1", 0, &story());
    malformed(
        &mut world,
        dcanary_types::api::Segment {
            run: "r2".to_owned(),
            ..good()
        },
    );
    malformed(
        &mut world,
        dcanary_types::api::Segment {
            run: String::new(),
            ..good()
        },
    );
    malformed(
        &mut world,
        dcanary_types::api::Segment {
            records: vec![],
            ..good()
        },
    );
    for change in [0, 1, 2, 3] {
        let mut bad = good();
        match change {
            0 => bad.records[1].n = 2,
            1 => bad.records[2].n += 1,
            2 => bad.records[1].btype = "dcanary_role_granted".to_owned(),
            _ => bad.records[1].body.push(0),
        }
        malformed(&mut world, bad);
    }
    let mut swapped = good();
    swapped.records.swap(1, 2);
    malformed(&mut world, swapped);
    assert_eq!(world.size(), 5);
}

#[test]
fn projects_and_domains_do_not_see_each_other() {
    let mut world = world();
    world.append(EAST, segment("r1", 0, &story()[..3])).unwrap();
    // The same run under another domain, and in another project, begins anew.
    world.append(WEST, segment("r1", 0, &story()[..1])).unwrap();
    let mut bank = segment("r1", 0, &story()[..2]);
    bank.project = "bank".to_owned();
    world.append(BANK, bank.clone()).unwrap();
    let next = |project: &str, domain: &str| {
        world
            .ledger
            .run_position(project, domain, "r1")
            .unwrap()
            .map(|position| position.next)
    };
    assert_eq!(
        (next("shop", "east"), next("shop", "west"), next("bank", "east")),
        (Some(3), Some(1), Some(2))
    );
    assert_eq!(next("bank", "west"), None);
    // A role in one project is none in another.
    assert_eq!(world.append(EAST, bank), Err(AppendError::NotAuthorised));
    assert_eq!(
        world.append(BANK, segment("r2", 0, &story())),
        Err(AppendError::NotAuthorised)
    );
}
