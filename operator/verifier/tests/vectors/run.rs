//! One run verified by inclusion proofs.

use dcanary_types::record::Outcome;
use dcanary_types::tree;
use dcanary_types::{Value, cbor};
use dcanary_verifier::{Check, Report, RootKey, RunEvidence, Status, TrustFile, verify_run};

use crate::forge::{Key, Ranges};
use crate::heads::nodes;
use crate::records::{NOW, graph, operator, other_operator};
use crate::world::{World, role};

const MINUTE: u64 = 60_000_000_000;

/// The evidence for the first run of a world: the blocks of project `shop`.
fn evidence(world: &World) -> RunEvidence {
    let nodes = nodes(world);
    let size = world.blocks.len() as u64;
    let is_record = |v: &Value| {
        let block = v.as_map().unwrap();
        block["project"].as_text() == Some("shop")
            && block["body"].as_map().unwrap().contains_key("n")
            && block["btype"].as_text() != Some("dcanary_conflict")
    };
    let proved = |(index, value): (usize, &Value)| {
        let index = index as u64;
        (
            index,
            cbor::encode(value),
            tree::inclusion(&nodes, index, size).unwrap(),
        )
    };
    RunEvidence {
        ledger: world.ledger.clone(),
        root_key: Some(world.network.root.der()),
        certificate: world.certificate(),
        hash_tree: world.hash_tree().tagged(),
        blocks: world
            .blocks
            .iter()
            .enumerate()
            .filter(|(_, v)| is_record(v))
            .map(proved)
            .collect(),
        graph: Some(graph().encode()),
        policy: world.policy_bytes(),
        code: Some(world.good_code()),
    }
}

fn failed(report: &Report) -> Vec<Check> {
    report.failed().map(|f| f.check).collect()
}

/// What fails when the evidence is changed in one place.
fn bad(change: impl FnOnce(&mut RunEvidence)) -> Vec<Check> {
    let world = World::full();
    let mut evidence = evidence(&world);
    change(&mut evidence);
    let (report, run) = verify_run(&evidence, Some(&world.trust()), Some(NOW + MINUTE));
    assert!(run.is_none(), "a run was returned: {:#?}", report.findings());
    failed(&report)
}

fn rewrite(evidence: &mut RunEvidence, at: usize, change: impl FnOnce(&mut dcanary_types::Map)) {
    let Value::Map(mut block) = cbor::decode(&evidence.blocks[at].1).unwrap() else {
        panic!("no block")
    };
    change(&mut block);
    evidence.blocks[at].1 = cbor::encode_map(&block);
}

#[test]
fn a_run_is_verified_from_its_own_blocks() {
    let world = World::full();
    let (report, run) = verify_run(&evidence(&world), Some(&world.trust()), Some(NOW + MINUTE));
    assert_eq!(failed(&report), []);
    assert_eq!(report.exit_code(), 0);
    let run = run.unwrap();
    assert_eq!(
        (run.project(), run.domain(), run.records().len()),
        ("shop", "east", 13)
    );
    assert_eq!(run.outcome(), Some(Outcome::Failed));
    assert_eq!(run.head().size(), world.blocks.len() as u64);
    for check in [Check::Consistency, Check::Cluster] {
        assert_eq!(report.status(check), Status::Unchecked);
    }
}

#[test]
fn without_trust_file_no_run_is_returned_and_the_exit_code_is_2() {
    let world = World::full();
    let (report, run) = verify_run(&evidence(&world), None, Some(NOW + MINUTE));
    assert_eq!(failed(&report), []);
    assert_eq!((report.exit_code(), run.is_none()), (2, true));
    assert!(report.to_pin().iter().any(|line| line.starts_with("ledger: ")));
    assert!(
        report
            .to_pin()
            .iter()
            .any(|line| line.starts_with("module hash: "))
    );
}

#[test]
fn without_graph_a_run_is_verified_and_the_report_says_what_is_not() {
    let world = World::full();
    let evidence = RunEvidence {
        graph: None,
        ..evidence(&world)
    };
    let (report, run) = verify_run(&evidence, Some(&world.trust()), None);
    assert!(run.is_some());
    let transitions = report
        .findings()
        .iter()
        .find(|f| f.check == Check::Transitions)
        .unwrap();
    assert!(
        transitions.detail.contains("not at hand"),
        "{}",
        transitions.detail
    );
}

#[test]
fn a_run_whose_last_records_are_withheld_has_no_outcome() {
    let world = World::full();
    let mut evidence = evidence(&world);
    evidence.blocks.truncate(5);
    let (_, run) = verify_run(&evidence, Some(&world.trust()), None);
    assert_eq!(run.unwrap().outcome(), None);
}

#[test]
fn bytes_that_are_not_deterministic_fail_format() {
    assert_eq!(bad(|e| e.blocks[0].1.push(0)), [Check::Format]);
    assert_eq!(bad(|e| e.policy.push(0)), [Check::Format]);
    assert_eq!(bad(|e| e.graph.as_mut().unwrap().push(0)), [Check::Format]);
}

#[test]
fn ids_that_the_cluster_names_otherwise_fail_trust() {
    assert_eq!(bad(|e| e.ledger[3] ^= 1), [Check::Trust]);
    assert_eq!(
        bad(|e| e.root_key = Some(RootKey::mainnet().to_der())),
        [Check::Trust]
    );
}

#[test]
fn a_run_of_another_project_fails_trust() {
    let world = World::full();
    let trust = TrustFile {
        project: Some("docs".to_owned()),
        ..world.trust()
    };
    let (report, run) = verify_run(&evidence(&world), Some(&trust), None);
    assert_eq!((failed(&report), run.is_none()), (vec![Check::Trust], true));
}

#[test]
fn certificates_that_are_stale_or_ahead_fail_age() {
    let world = World::full();
    for (now, fails) in [
        (NOW + 3 * MINUTE, vec![]),
        (NOW + 4 * MINUTE, vec![Check::Age, Check::Code]),
        (NOW - MINUTE + 5, vec![]),
        (NOW - 2 * MINUTE, vec![Check::Age, Check::Code]),
    ] {
        let (report, run) = verify_run(&evidence(&world), Some(&world.trust()), Some(now));
        assert_eq!(
            (failed(&report), run.is_some()),
            (fails.clone(), fails.is_empty())
        );
    }
}

#[test]
fn certificates_of_strangers_fail_their_checks() {
    let world = World::full();
    let tree = world.state_tree();
    let stranger = Key::seeded(9);
    assert_eq!(
        bad(|e| e.certificate = stranger.certify(&tree, None)),
        [Check::Certificate]
    );
    let n = &world.network;
    let forged = stranger.certify(&n.subnet_tree(Ranges::Both, NOW), None);
    let delegated = n.subnet.certify(&tree, Some((&n.subnet_id, &forged)));
    assert_eq!(bad(|e| e.certificate = delegated), [Check::Delegation]);
    let elsewhere = n.delegated(&tree, Ranges::Elsewhere, NOW);
    assert_eq!(bad(|e| e.certificate = elsewhere), [Check::Range]);
}

#[test]
fn a_witness_that_is_not_certified_fails_labels() {
    let mut other = World::full();
    other.set_label("dcanary_policy", &[1; 32]);
    let witness = other.hash_tree().tagged();
    let fails = bad(|e| e.hash_tree = witness);
    assert_eq!(fails, [Check::Labels, Check::Policy]);
}

#[test]
fn blocks_that_are_not_of_the_run_fail_blocks() {
    let world = World::full();
    let stranger = (
        0,
        cbor::encode(&world.blocks[0]),
        tree::inclusion(&nodes(&world), 0, world.blocks.len() as u64).unwrap(),
    );
    assert_eq!(bad(|e| e.blocks.insert(0, stranger)), [Check::Blocks]);
    assert_eq!(bad(|e| e.blocks.swap(3, 4)), [Check::Blocks]);
    assert_eq!(bad(|e| e.blocks.clear()), [Check::Blocks]);
}

#[test]
fn a_record_of_another_run_fails_blocks() {
    let world = World::full();
    let index = world
        .blocks
        .iter()
        .position(|b| b.as_map().unwrap()["project"].as_text() == Some("docs"));
    let index = index.unwrap() + 7;
    let Value::Map(block) = &world.blocks[index] else {
        panic!("no block")
    };
    assert_eq!(block["domain"].as_text(), Some("west"));
    let proof = tree::inclusion(&nodes(&world), index as u64, world.blocks.len() as u64).unwrap();
    let stranger = (index as u64, cbor::encode(&world.blocks[index]), proof);
    let at = |e: &RunEvidence| e.blocks.iter().position(|(i, _, _)| *i > index as u64).unwrap();
    assert_eq!(bad(|e| e.blocks.insert(at(e), stranger)), [Check::Blocks]);
}

#[test]
fn a_record_that_links_to_nothing_fails_blocks() {
    let mut world = World::full();
    let last = world.blocks.len() - 2;
    world.change(last, |block| drop(block.remove("phash")));
    let (report, run) = verify_run(&evidence(&world), Some(&world.trust()), None);
    assert_eq!((failed(&report), run.is_none()), (vec![Check::Blocks], true));
}

#[test]
fn a_writer_who_is_no_operator_under_the_certified_policy_fails_policy() {
    let mut world = World::full();
    world.blocks.pop();
    world.policy.grant(role(&other_operator(), "docs", "west"));
    world.policy.version = 2;
    let last = world.blocks.len() - 1;
    world.change(last, |block| {
        drop(block.insert("caller".to_owned(), vec![1].into()))
    });
    let (report, run) = verify_run(&evidence(&world), Some(&world.bare_trust()), None);
    assert_eq!((failed(&report), run.is_none()), (vec![Check::Policy], true));
}

#[test]
fn a_block_that_is_not_in_the_tree_fails_root() {
    let fails = bad(|e| rewrite(e, 12, |block| drop(block.insert("ts".to_owned(), 1.into()))));
    assert_eq!(fails, [Check::Root]);
    assert_eq!(bad(|e| e.blocks[5].2[0][0] ^= 1), [Check::Root]);
    assert_eq!(bad(|e| e.blocks[5].2.truncate(1)), [Check::Root]);
    assert_eq!(bad(|e| e.blocks[5].0 += 1), [Check::Root]);
}

#[test]
fn neighbours_that_do_not_link_fail_hash_links() {
    let mut world = World::full();
    world.change(4, |block| {
        drop(block.insert("phash".to_owned(), vec![9; 32].into()))
    });
    let (report, run) = verify_run(&evidence(&world), Some(&world.trust()), None);
    assert_eq!((failed(&report), run.is_none()), (vec![Check::HashLinks], true));
}

#[test]
fn records_left_out_or_another_graph_fail_transitions() {
    assert_eq!(bad(|e| drop(e.blocks.remove(4))), [Check::Transitions]);
    assert_eq!(bad(|e| drop(e.blocks.remove(0))), [Check::Transitions]);
    let other = dcanary_types::graph::GraphDoc::new(vec![]).unwrap().encode();
    assert_eq!(bad(|e| e.graph = Some(other)), [Check::Transitions]);
}

#[test]
fn writers_without_role_or_trust_fail_policy() {
    let world = World::full();
    let mut trust = world.trust();
    trust.domains.as_mut().unwrap().remove(0);
    let (report, _) = verify_run(&evidence(&world), Some(&trust), None);
    assert_eq!(failed(&report), [Check::Policy]);
    assert_eq!(
        bad(|e| e.policy = dcanary_types::policy::Policy::opened(vec![1]).encode()),
        [Check::Policy]
    );
    let mut ahead = World::full();
    let last = ahead.blocks.len() - 2;
    ahead.change(last, |block| drop(block.insert("policy".to_owned(), 99.into())));
    let (report, _) = verify_run(&evidence(&ahead), Some(&ahead.trust()), None);
    assert_eq!(failed(&report), [Check::Policy]);
}

#[test]
fn a_writer_whose_role_is_gone_leaves_policy_unchecked() {
    let mut world = World::full();
    world.revoke(&operator(), "shop", "east");
    let (report, _) = verify_run(&evidence(&world), Some(&world.trust()), None);
    assert_eq!(
        (failed(&report), report.status(Check::Policy)),
        (vec![], Status::Unchecked)
    );
}

#[test]
fn code_that_is_demanded_and_not_shown_fails_code() {
    assert_eq!(bad(|e| e.code = None), [Check::Code]);
}

#[test]
fn what_the_caller_records_decides_like_every_other_check() {
    let world = World::full();
    let (mut report, _) = verify_run(&evidence(&world), Some(&world.trust()), None);
    report.record(Check::Consistency, Status::Failed, "LedgerForked");
    assert_eq!(report.exit_code(), 1);
}
