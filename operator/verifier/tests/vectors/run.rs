//! One run verified by inclusion proofs: what the vectors of `proofs.rs` do not say.

use dcanary_types::record::Outcome;
use dcanary_verifier::{Check, ExpectedRun, Report, Status, verify_run};

use crate::proofs::{MINUTE, evidence, expected};
use crate::records::{NOW, operator};
use crate::world::World;

fn failed(report: &Report) -> Vec<Check> {
    report.failed().map(|f| f.check).collect()
}

fn detail(report: &Report, check: Check) -> String {
    let of = |f: &&dcanary_verifier::Finding| f.check == check;
    report.findings().iter().find(of).unwrap().detail.clone()
}

#[test]
fn a_run_is_verified_from_its_own_blocks_once_the_caller_has_added_what_it_knows() {
    let world = World::full();
    let (mut report, run) = verify_run(
        &evidence(&world),
        &expected(),
        Some(&world.trust()),
        Some(NOW + MINUTE),
    );
    let open: Vec<Check> = report.open().map(|f| f.check).collect();
    assert_eq!(
        (failed(&report), open),
        (vec![], vec![Check::Consistency, Check::Cluster])
    );
    assert_eq!(report.exit_code(), 2);
    report.record(Check::Consistency, Status::NotApplicable, "a first look");
    report.record(Check::Cluster, Status::Passed, "agrees");
    assert_eq!(report.exit_code(), 0);
    let run = run.unwrap();
    assert_eq!(
        (run.project(), run.domain(), run.records().len()),
        ("shop", "east", 13)
    );
    assert_eq!(run.run(), expected().run);
    assert_eq!(run.outcome(), Some(Outcome::Failed));
    assert_eq!(run.head().size(), world.blocks.len() as u64);
}

#[test]
fn evidence_of_another_run_fails_blocks_and_names_both() {
    let world = World::full();
    let verify = |expected: &ExpectedRun| {
        let (report, run) = verify_run(&evidence(&world), expected, Some(&world.trust()), None);
        assert!(run.is_none(), "a run was returned that nobody asked for");
        assert_eq!((failed(&report), report.exit_code()), (vec![Check::Blocks], 1));
        detail(&report, Check::Blocks)
    };
    let other = |change: &dyn Fn(&mut ExpectedRun)| {
        let mut other = expected();
        change(&mut other);
        verify(&other)
    };
    let said = other(&|e| "another".clone_into(&mut e.run));
    assert!(
        said.contains(&expected().run) && said.contains("not of another"),
        "{said}"
    );
    let said = other(&|e| "docs".clone_into(&mut e.project));
    assert!(said.contains("project shop, not of docs"), "{said}");
    let said = other(&|e| e.domain = Some("west".to_owned()));
    assert!(said.contains("domain east, not of west"), "{said}");
}

#[test]
fn without_trust_file_no_run_is_returned_and_the_exit_code_is_2() {
    let world = World::full();
    let (report, run) = verify_run(&evidence(&world), &expected(), None, Some(NOW + MINUTE));
    assert_eq!(failed(&report), []);
    assert_eq!((report.exit_code(), run.is_none()), (2, true));
    for begins in ["ledger: ", "module hash: "] {
        assert!(report.to_pin().iter().any(|line| line.starts_with(begins)));
    }
}

#[test]
fn without_graph_a_run_is_returned_but_the_exit_code_says_that_not_all_was_checked() {
    let world = World::full();
    let mut evidence = evidence(&world);
    evidence.graph = None;
    let (mut report, run) = verify_run(&evidence, &expected(), Some(&world.trust()), None);
    assert!(run.is_some());
    for check in [Check::Consistency, Check::Cluster] {
        report.record(check, Status::Passed, "");
    }
    assert_eq!(
        (report.status(Check::Transitions), report.exit_code()),
        (Status::Unchecked, 2)
    );
    assert!(detail(&report, Check::Transitions).contains("not at hand"));
}

#[test]
fn a_run_whose_last_records_are_withheld_has_no_outcome() {
    let world = World::full();
    let mut evidence = evidence(&world);
    evidence.blocks.truncate(5);
    let (_, run) = verify_run(&evidence, &expected(), Some(&world.trust()), None);
    assert_eq!(run.unwrap().outcome(), None);
}

#[test]
fn a_writer_whose_role_is_gone_leaves_policy_unchecked_and_the_exit_code_2() {
    let mut world = World::full();
    world.revoke(&operator(), "shop", "east");
    let (mut report, _) = verify_run(&evidence(&world), &expected(), Some(&world.trust()), None);
    for check in [Check::Consistency, Check::Cluster] {
        report.record(check, Status::Passed, "");
    }
    assert_eq!(
        (failed(&report), report.status(Check::Policy), report.exit_code()),
        (vec![], Status::Unchecked, 2)
    );
}

#[test]
fn what_the_caller_records_decides_like_every_other_check() {
    let world = World::full();
    let (mut report, _) = verify_run(&evidence(&world), &expected(), Some(&world.trust()), None);
    report.record(Check::Consistency, Status::Failed, "LedgerForked");
    assert_eq!(report.exit_code(), 1);
}
