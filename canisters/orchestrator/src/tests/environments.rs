//! Environments: what is recorded of them, what is refused, and what stays.

use dcanary_types::{
    Hash,
    api::{self, AppendError, Segment},
    environment::{EnvMachine, EnvRecord, EnvTransition, Verdict},
    record::{Body, Record, Transition},
};

use super::world::*;
use crate::{Ceilings, StoreError};

/// The release that is promoted, and its identities in the environments.
const RELEASE: Hash = [1; 32];
const OTHER: Hash = [2; 32];
const IDENTITY: Hash = [11; 32];

pub fn env_segment(uid: &str, first: u64, transitions: &[EnvTransition]) -> Segment {
    let records = transitions
        .iter()
        .zip(first..)
        .map(|(transition, n)| {
            let record = EnvRecord {
                run: uid.to_owned(),
                n,
                claimed_ts: START + n,
                transition: transition.clone(),
            };
            api::Record::from(&record)
        })
        .collect();
    Segment {
        project: "shop".to_owned(),
        run: uid.to_owned(),
        graph: None,
        records,
    }
}

pub fn env_opened(from: Option<&str>, approvals: u64) -> EnvTransition {
    EnvTransition::Opened {
        name: "shop/env".to_owned(),
        from: from.map(str::to_owned),
        approvals,
        rules: [5; 32],
    }
}

pub fn requested(promotion: &str, release: Hash, identity: Hash) -> EnvTransition {
    EnvTransition::DeployRequested {
        promotion: promotion.to_owned(),
        release,
        identity,
        by: "ann".to_owned(),
        undo: false,
    }
}

fn approved(promotion: &str, by: &str) -> EnvTransition {
    EnvTransition::Decided {
        promotion: Some(promotion.to_owned()),
        decision: format!("d-{by}"),
        verb: EnvTransition::APPROVE.to_owned(),
        by: by.to_owned(),
        identity: Some(IDENTITY),
    }
}

fn began(promotion: &str) -> EnvTransition {
    EnvTransition::DeployStarted {
        promotion: promotion.to_owned(),
    }
}

fn step(promotion: &str, step: u64, weight: u64) -> EnvTransition {
    EnvTransition::StepReached {
        promotion: promotion.to_owned(),
        step,
        weight,
    }
}

fn judged(promotion: &str, verdict: Verdict) -> EnvTransition {
    EnvTransition::AnalysisVerdict {
        promotion: promotion.to_owned(),
        analysis: "step-1".to_owned(),
        verdict,
        evidence: [9; 32],
    }
}

fn promoted(promotion: &str) -> EnvTransition {
    EnvTransition::Promoted {
        promotion: promotion.to_owned(),
        identity: IDENTITY,
        evidence: Some([9; 32]),
    }
}

fn rolled_back(promotion: &str) -> EnvTransition {
    EnvTransition::RolledBack {
        promotion: promotion.to_owned(),
        identity: IDENTITY,
        to: None,
        reason: "AnalysisFailed".to_owned(),
        evidence: Some([9; 32]),
    }
}

fn held() -> EnvTransition {
    EnvTransition::Held {
        identity: IDENTITY,
        reason: "RolledBack".to_owned(),
        decision: None,
    }
}

/// A good canary.
pub fn canary(promotion: &str) -> Vec<EnvTransition> {
    vec![
        requested(promotion, RELEASE, IDENTITY),
        began(promotion),
        step(promotion, 0, 10),
        judged(promotion, Verdict::Passed),
        step(promotion, 1, 100),
        promoted(promotion),
    ]
}

fn refused(answer: Result<Vec<u64>, AppendError>) -> (u64, String) {
    match answer {
        Err(AppendError::Illegal { n, reason }) => (n, reason),
        other => panic!("{other:?}"),
    }
}

fn position(world: &World, uid: &str) -> (u64, Option<String>) {
    let position = world.ledger.run_position("shop", "east", uid).unwrap().unwrap();
    (position.next, position.outcome)
}

#[test]
fn a_canary_is_recorded_from_its_request_to_its_promotion_with_a_receipt_for_each_record() {
    let mut world = world();
    let all = [&[env_opened(None, 0)][..], &canary("p")].concat();
    let first = world.size();
    let receipt = world.append(EAST, env_segment("prod", 0, &all)).unwrap();
    assert_eq!(receipt, (first..first + 7).collect::<Vec<u64>>());
    for (n, (index, transition)) in receipt.iter().zip(&all).enumerate() {
        let Body::Environment(record) = world.body(*index) else {
            panic!("a record of an environment")
        };
        assert_eq!(
            (record.run.as_str(), record.n, &record.transition),
            ("prod", n as u64, transition)
        );
        let block = world.block(*index);
        assert_eq!((block.project.as_str(), block.domain.as_str()), ("shop", "east"));
        assert_eq!(block.claimed_ts, START + n as u64);
    }
    assert_eq!(position(&world, "prod"), (7, None));
    assert_eq!(
        world.ledger.run_blocks("shop", "east", "prod", 0, 100).unwrap(),
        receipt
    );
    assert_eq!(world.ledger.run_graph("shop", "east", "prod").unwrap(), None);
}

#[test]
fn a_bad_canary_is_rolled_back_and_held_and_does_not_come_again_until_it_is_released() {
    let mut world = world();
    let bad = [
        env_opened(None, 0),
        requested("p", RELEASE, IDENTITY),
        began("p"),
        step("p", 0, 10),
        judged("p", Verdict::Failed),
        rolled_back("p"),
        held(),
    ];
    world.append(EAST, env_segment("prod", 0, &bad)).unwrap();
    let again = [requested("q", RELEASE, IDENTITY)];
    let size = world.size();
    let (n, reason) = refused(world.append(EAST, env_segment("prod", 7, &again)));
    assert_eq!(n, 7);
    assert!(
        reason.contains("promotion q") && reason.contains("is held"),
        "{reason}"
    );
    assert_eq!(world.size(), size, "nothing of it is written");
    let released = EnvTransition::Released {
        identity: IDENTITY,
        decision: "d".to_owned(),
    };
    world
        .append(EAST, env_segment("prod", 7, &[released, again[0].clone()]))
        .unwrap();
}

#[test]
fn a_release_comes_only_after_the_environment_before_has_promoted_it() {
    let mut world = world();
    world
        .append(EAST, env_segment("prod", 0, &[env_opened(Some("staging"), 0)]))
        .unwrap();
    let wanted = env_segment("prod", 1, &[requested("p", RELEASE, IDENTITY)]);
    let (_, reason) = refused(world.append(EAST, wanted.clone()));
    assert!(
        reason.contains("staging") && reason.contains("is not open"),
        "{reason}"
    );
    world
        .append(EAST, env_segment("staging", 0, &[env_opened(None, 0)]))
        .unwrap();
    let (_, reason) = refused(world.append(EAST, wanted.clone()));
    assert!(reason.contains("has not promoted"), "{reason}");
    // Requested, started and stepped there is not promoted there.
    world
        .append(EAST, env_segment("staging", 1, &canary("s")[..5]))
        .unwrap();
    refused(world.append(EAST, wanted.clone()));
    // In one batch, one after the other.
    let batch = vec![env_segment("staging", 6, &canary("s")[5..]), wanted];
    let results = world.batch(EAST, batch).unwrap();
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    // Another release is another matter.
    let other = [
        EnvTransition::Aborted {
            promotion: "p".to_owned(),
            reason: "Superseded".to_owned(),
        },
        requested("q", OTHER, [12; 32]),
    ];
    let (n, _) = refused(world.append(EAST, env_segment("prod", 2, &other)));
    assert_eq!(n, 3);
}

#[test]
fn an_environment_of_another_project_or_domain_vouches_for_nothing() {
    let mut world = world();
    let all = [&[env_opened(None, 0)][..], &canary("s")].concat();
    world.append(WEST, env_segment("staging", 0, &all)).unwrap();
    let mut bank = env_segment("staging", 0, &all);
    bank.project = "bank".to_owned();
    world.append(BANK, bank).unwrap();
    let prod = [env_opened(Some("staging"), 0), requested("p", RELEASE, IDENTITY)];
    let (_, reason) = refused(world.append(EAST, env_segment("prod", 0, &prod)));
    assert!(
        reason.contains("is not open in this project and domain"),
        "{reason}"
    );
}

#[test]
fn a_run_or_a_closed_environment_vouches_for_nothing() {
    let mut world = world();
    world.append(EAST, segment("r", 0, &story()[..2])).unwrap();
    let gone = [&[env_opened(None, 0)][..], &canary("s"), &[EnvTransition::Closed]].concat();
    world.append(EAST, env_segment("gone", 0, &gone)).unwrap();
    for from in ["r", "gone", "prod"] {
        let prod = [env_opened(Some(from), 0), requested("p", RELEASE, IDENTITY)];
        let (_, reason) = refused(world.append(EAST, env_segment("prod", 0, &prod)));
        assert!(reason.contains("is not open"), "{from}: {reason}");
    }
}

#[test]
fn nothing_starts_without_its_approvals() {
    let mut world = world();
    let begun = [
        env_opened(None, 2),
        requested("p", RELEASE, IDENTITY),
        approved("p", "bob"),
    ];
    world.append(EAST, env_segment("prod", 0, &begun)).unwrap();
    let (n, reason) = refused(world.append(EAST, env_segment("prod", 3, &[began("p")])));
    assert_eq!(
        (n, reason.as_str()),
        (3, "promotion p cannot start: 1 of 2 approvals are recorded")
    );
    // The same person again is no second one.
    let again = [approved("p", "bob"), began("p")];
    assert_eq!(refused(world.append(EAST, env_segment("prod", 3, &again))).0, 4);
    world
        .append(EAST, env_segment("prod", 3, &[approved("p", "cid"), began("p")]))
        .unwrap();
}

#[test]
fn a_repeated_segment_gets_its_first_receipt_and_other_content_is_a_conflict() {
    let mut world = world();
    let all = [&[env_opened(None, 0)][..], &canary("p")].concat();
    let first = world.append(EAST, env_segment("prod", 0, &all)).unwrap();
    let size = world.size();
    assert_eq!(world.append(EAST, env_segment("prod", 0, &all)).unwrap(), first);
    assert_eq!(
        world
            .append(EAST_TOO, env_segment("prod", 2, &all[2..4]))
            .unwrap(),
        first[2..4]
    );
    assert_eq!(world.size(), size);
    let other = [EnvTransition::Closed];
    for _ in 0..2 {
        assert_eq!(
            world.append(EAST, env_segment("prod", 3, &other)),
            Err(AppendError::Conflict { n: 3, have: first[3] })
        );
    }
    assert_eq!(world.size(), size + 1, "one block, however often it is offered");
    assert!(matches!(
        world.append(EAST, env_segment("prod", 9, &other)),
        Err(AppendError::Gap { expected: 7 })
    ));
}

#[test]
fn a_uid_is_a_runs_or_an_environments_and_never_both() {
    let mut world = world();
    world
        .append(EAST, env_segment("e", 0, &[env_opened(None, 0)]))
        .unwrap();
    world.append(EAST, segment("r", 0, &story()[..1])).unwrap();
    let (_, reason) = refused(world.append(EAST, segment("e", 1, &story()[1..2])));
    assert_eq!(reason, "this UID is an environment's, the record a run's");
    let (_, reason) = refused(world.append(EAST, env_segment("r", 1, &[held()])));
    assert_eq!(reason, "this UID is a run's, the record an environment's");
    // At number 0 the other kind is other content.
    assert!(matches!(
        world.append(EAST, env_segment("r", 0, &[env_opened(None, 0)])),
        Err(AppendError::Conflict { n: 0, .. })
    ));
}

#[test]
fn an_environment_begins_with_its_opening() {
    let mut world = world();
    let (_, reason) = refused(world.append(EAST, env_segment("e", 0, &[held()])));
    assert_eq!(reason, "an environment begins with `dcanary_env_opened`");
    let note = EnvTransition::RecordRefused {
        hash: [1; 32],
        reason: "Illegal".to_owned(),
    };
    refused(world.append(EAST, env_segment("e", 0, &[note])));
    assert_eq!(world.ledger.run_position("shop", "east", "e").unwrap(), None);
}

#[test]
fn a_refused_record_is_noted_in_an_environment_as_in_a_run() {
    let mut world = world();
    let open = [env_opened(None, 0)];
    world.append(EAST, env_segment("e", 0, &open)).unwrap();
    let record = Record {
        run: "e".to_owned(),
        n: 1,
        claimed_ts: START,
        transition: Transition::RecordRefused {
            hash: [1; 32],
            reason: "Illegal".to_owned(),
        },
    };
    let mut noted = env_segment("e", 1, &[]);
    noted.records = vec![api::Record::from(&record)];
    world.append(EAST, noted).unwrap();
    world.append(EAST, env_segment("e", 2, &[held()])).unwrap();
}

#[test]
fn nothing_follows_the_closing_and_its_receipts_stay() {
    let mut world = world();
    let all = [env_opened(None, 0), held(), EnvTransition::Closed];
    let first = world.append(EAST, env_segment("e", 0, &all)).unwrap();
    assert_eq!(position(&world, "e"), (3, Some(EnvMachine::OUTCOME.to_owned())));
    let (_, reason) = refused(world.append(EAST, env_segment("e", 3, &[held()])));
    assert_eq!(reason, "the environment is closed");
    assert_eq!(world.append(EAST, env_segment("e", 0, &all)).unwrap(), first);
}

#[test]
fn an_upgrade_keeps_environments_and_they_go_on() {
    let mut world = world();
    let staging = [&[env_opened(None, 0)][..], &canary("s")].concat();
    let prod = [
        env_opened(Some("staging"), 1),
        requested("p", RELEASE, IDENTITY),
        approved("p", "bob"),
    ];
    world.append(EAST, env_segment("staging", 0, &staging)).unwrap();
    let first = world.append(EAST, env_segment("prod", 0, &prod)).unwrap();
    world.upgrade();
    assert_eq!(world.append(EAST, env_segment("prod", 0, &prod)).unwrap(), first);
    let rest = [began("p"), promoted("p"), requested("q", RELEASE, IDENTITY)];
    world.append(EAST, env_segment("prod", 3, &rest)).unwrap();
    world.upgrade();
    let (_, reason) = refused(world.append(EAST, env_segment("prod", 6, &[began("q")])));
    assert!(reason.contains("0 of 1 approvals"), "{reason}");
}

#[test]
fn environments_have_their_own_ceiling_and_leave_that_of_the_runs_alone() {
    let mut world = world_with(Ceilings {
        open_runs: 1,
        open_environments: 2,
        ..Ceilings::default()
    });
    let open = [env_opened(None, 0)];
    for uid in ["a", "b"] {
        world.append(EAST, env_segment(uid, 0, &open)).unwrap();
    }
    assert_eq!(
        world.append(EAST, env_segment("c", 0, &open)),
        Err(AppendError::RunLimit { limit: 2 })
    );
    world.append(EAST, segment("r", 0, &story()[..1])).unwrap();
    assert_eq!(
        world.append(EAST, segment("s", 0, &story()[..1])),
        Err(AppendError::RunLimit { limit: 1 })
    );
    // Another principal closes it; it was the opener's.
    world
        .append(EAST_TOO, env_segment("a", 1, &[EnvTransition::Closed]))
        .unwrap();
    world.append(EAST, segment("r", 1, &story()[1..])).unwrap();
    world.append(EAST, env_segment("c", 0, &open)).unwrap();
    assert_eq!(
        world.append(EAST, env_segment("d", 0, &open)),
        Err(AppendError::RunLimit { limit: 2 })
    );
    world.append(EAST, segment("s", 0, &story()[..1])).unwrap();
}

#[test]
fn a_stored_environment_that_cannot_be_read_stops_everything_that_rests_on_it() {
    let mut world = world();
    let prod = [env_opened(Some("staging"), 0)];
    world
        .append(EAST, env_segment("staging", 0, &[env_opened(None, 0)]))
        .unwrap();
    world.append(EAST, env_segment("prod", 0, &prod)).unwrap();
    let mut broken = EnvMachine::open("staging", None, 0).to_value();
    if let dcanary_types::Value::Map(saved) = &mut broken {
        saved.insert("v".to_owned(), 9.into());
    }
    world.ledger.store.set_machine(0, &broken);
    let message = world.message(EAST);
    let batch = api::Batch {
        segments: vec![env_segment("prod", 1, &[requested("p", RELEASE, IDENTITY)])],
    };
    assert!(matches!(
        world.ledger.append(&message, batch),
        Err(StoreError::Corrupt { .. })
    ));
}
