//! What the evidence of a run and of an environment have in common: blocks that are proved to be in the ledger.

use std::collections::BTreeMap;

use dcanary_types::block::Block;
use dcanary_types::labels::Labels;
use dcanary_types::policy::Policy;
use dcanary_types::record::{Body, Record};
use dcanary_types::tree::verify_inclusion;
use dcanary_types::{Hash, Value};
use ic_principal::Principal;

use crate::checks;
use crate::evidence::RunEvidence;
use crate::head::{Anchors, CertifiedHead, check_head};
use crate::replay::{is_accepted, read_block};
use crate::report::{Check, Report, Status};
use crate::trust::TrustFile;

/// A block of the evidence and the record in it.
pub(crate) struct ProvedBlock<T> {
    pub(crate) index: u64,
    pub(crate) hash: Hash,
    pub(crate) block: Block,
    pub(crate) record: Record<T>,
}

/// What is about records of one kind.
pub(crate) trait Kind {
    /// What the records say.
    type Transition;
    /// How messages call what the records are about.
    const NAME: &'static str;

    /// The record in a body, if it is one of the kind.
    fn record(body: Body) -> Option<Record<Self::Transition>>;
    /// Whether the record is one that was asked for; else what it is instead.
    fn holds(&self, block: &Block, record: &Record<Self::Transition>) -> Result<(), String>;
    /// What is to be said of all blocks together.
    fn whole(&self, blocks: &[ProvedBlock<Self::Transition>]) -> Result<(), String>;
    /// Fills `transitions`.
    fn transitions(&self, report: &mut Report, blocks: &[ProvedBlock<Self::Transition>]);
}

/// Fills every check that evidence can have.
pub(crate) fn check<K: Kind>(
    kind: &K,
    evidence: &RunEvidence,
    trust: Option<&TrustFile>,
    now: Option<u64>,
) -> (Report, Vec<ProvedBlock<K::Transition>>) {
    let mut report = Report::new(trust);
    let values = match read_values(evidence) {
        Ok(values) => values,
        Err(error) => {
            report.fail(Check::Format, error);
            return (report, Vec::new());
        }
    };
    report.pass(Check::Format, "deterministic encoding");
    let ledger = trust.map_or(evidence.ledger.as_slice(), |trust| trust.ledger.as_slice());
    match trust {
        Some(trust) => report.settle(Check::Trust, named_ids(evidence, trust)),
        None => report.unchecked(Check::Trust, "no trust file"),
    }
    let labels = checks::head(
        &mut report,
        &evidence.certificate,
        &evidence.hash_tree,
        trust,
        ledger,
        now,
    );
    inclusion(&mut report, evidence, &values, labels.as_ref());
    let policy = checks::policy(&mut report, &evidence.policy, labels.as_ref());
    report.unchecked(Check::Consistency, "no checkpoint was given");
    let blocks = match read_blocks(kind, evidence, values) {
        Ok(blocks) => blocks,
        Err(error) => {
            report.fail(Check::Blocks, error);
            for check in [Check::HashLinks, Check::Transitions] {
                report.unchecked(check, "a block is malformed");
            }
            Vec::new()
        }
    };
    if let Some(first) = blocks.first() {
        report.pass(Check::Blocks, format!("{} blocks", blocks.len()));
        if trust
            .and_then(|trust| trust.project.as_ref())
            .is_some_and(|project| *project != first.block.project)
        {
            let why = format!("the {} is of another project than the trust file", K::NAME);
            report.fail(Check::Trust, why);
        }
        links(&mut report, &blocks, labels.as_ref());
        kind.transitions(&mut report, &blocks);
        if let Some(policy) = &policy {
            writers(&mut report, &blocks, policy, trust);
        }
    }
    checks::code_and_hints(
        &mut report,
        evidence.code.as_deref(),
        trust,
        ledger,
        policy.as_ref(),
        now,
    );
    report.unchecked(Check::Cluster, "nothing of the cluster was given");
    (report, blocks)
}

fn read_values(evidence: &RunEvidence) -> Result<Vec<Value>, String> {
    checks::value(&evidence.policy, "the policy document")?;
    if let Some(graph) = &evidence.graph {
        checks::value(graph, "the graph document")?;
    }
    evidence
        .blocks
        .iter()
        .map(|(index, bytes, _)| checks::value(bytes, &format!("block {index}")))
        .collect()
}

fn named_ids(evidence: &RunEvidence, trust: &TrustFile) -> Result<String, String> {
    if evidence.ledger != trust.ledger.as_slice() {
        let named = Principal::try_from_slice(&evidence.ledger)
            .map_or_else(|_| hex::encode(&evidence.ledger), |id| id.to_text());
        return Err(format!(
            "another ledger is named, {named}, than the trust file's {}",
            trust.ledger
        ));
    }
    if evidence
        .root_key
        .as_ref()
        .is_some_and(|key| *key != trust.root_key.to_der())
    {
        return Err("another root key is named than the trust file's".to_owned());
    }
    Ok("the ids are the trust file's".to_owned())
}

fn inclusion(report: &mut Report, evidence: &RunEvidence, values: &[Value], labels: Option<&Labels>) {
    let Some(labels) = labels else {
        report.unchecked(Check::Root, "the labels cannot be read");
        return;
    };
    for ((index, _, proof), value) in evidence.blocks.iter().zip(values) {
        if let Err(error) = verify_inclusion(&value.hash(), *index, labels.size, proof, &labels.root) {
            report.fail(Check::Root, format!("block {index}: {error}"));
            return;
        }
    }
    report.pass(Check::Root, "every block is in the certified tree");
}

/// All blocks must be records of what was asked for under one domain, in order.
fn read_blocks<K: Kind>(
    kind: &K,
    evidence: &RunEvidence,
    values: Vec<Value>,
) -> Result<Vec<ProvedBlock<K::Transition>>, String> {
    let mut blocks: Vec<ProvedBlock<K::Transition>> = Vec::new();
    for ((index, _, _), value) in evidence.blocks.iter().zip(values) {
        let at = |why: &str| format!("block {index}: {why}");
        let hash = value.hash();
        let (block, body) = read_block(value).map_err(|why| at(&why))?;
        let Some(record) = K::record(body) else {
            return Err(at(&format!("it is no record of a {}", K::NAME)));
        };
        if *index == 0 || block.phash.is_none() {
            return Err(at(
                "a record is never block 0 and always links to the block before it",
            ));
        }
        kind.holds(&block, &record).map_err(|why| at(&why))?;
        if let Some(before) = blocks.last() {
            if before.index >= *index {
                return Err(at("the blocks are not in ascending order"));
            }
            // The expected domain may be unknown; what was asked for has one all the same.
            if before.block.domain != block.domain {
                return Err(at("it is of another domain than the block before it"));
            }
        }
        blocks.push(ProvedBlock {
            index: *index,
            hash,
            block,
            record,
        });
    }
    if blocks.is_empty() {
        return Err("there is no block".to_owned());
    }
    kind.whole(&blocks)?;
    Ok(blocks)
}

fn links<T>(report: &mut Report, blocks: &[ProvedBlock<T>], labels: Option<&Labels>) {
    let mut neighbours = 0;
    for pair in blocks.windows(2) {
        if let [before, after] = pair
            && before.index + 1 == after.index
        {
            neighbours += 1;
            if after.block.phash != Some(before.hash) {
                report.fail(
                    Check::HashLinks,
                    format!("block {} does not link to the block before it", after.index),
                );
                return;
            }
        }
    }
    if let (Some(labels), Some(last)) = (labels, blocks.last())
        && last.index.checked_add(1) == Some(labels.size)
    {
        neighbours += 1;
        if last.hash != labels.last_block_hash {
            report.fail(Check::HashLinks, "the last block is not the certified one");
            return;
        }
    }
    if neighbours > 0 {
        report.pass(
            Check::HashLinks,
            "neighbouring blocks name each other; the inclusion proofs hold the others",
        );
    } else {
        report.not_applicable(
            Check::HashLinks,
            "no two blocks are neighbours; the inclusion proofs hold them",
        );
    }
}

/// The policy document says who holds a role now; of an older block it may be unknown whether its writer did then.
fn writers<T>(report: &mut Report, blocks: &[ProvedBlock<T>], policy: &Policy, trust: Option<&TrustFile>) {
    let mut older: BTreeMap<u64, u64> = BTreeMap::new();
    for ProvedBlock { index, block, .. } in blocks {
        let holds = policy.operator_domain(&block.project, &block.caller) == Some(block.domain.as_str());
        if block.policy > policy.version {
            report.fail(
                Check::Policy,
                format!("block {index} is under a policy later than the certified one"),
            );
        } else if !is_accepted(trust, block) {
            report.fail(
                Check::Policy,
                format!("block {index}: the writer is not among the trusted domains"),
            );
        } else if !holds && block.policy == policy.version {
            report.fail(
                Check::Policy,
                format!("block {index}: the writer is no operator of that project and domain"),
            );
        } else if !holds {
            older.insert(*index, block.policy);
        }
    }
    match older.first_key_value() {
        None => report.pass(Check::Policy, "the writers hold their roles"),
        Some((index, version)) => report.unchecked(
            Check::Policy,
            format!(
                "block {index} is under policy {version}, which is not at hand; its writer holds no role now; an export of the ledger shows whether it did then"
            ),
        ),
    }
}

/// The head, if it certifies what the report is about: nothing failed, and there is a trust file.
pub(crate) fn certified(
    report: &Report,
    evidence: &RunEvidence,
    trust: Option<&TrustFile>,
    now: Option<u64>,
) -> Option<CertifiedHead> {
    let trust = trust?;
    let proved = [
        Check::Format,
        Check::Trust,
        Check::Labels,
        Check::Blocks,
        Check::Root,
    ];
    if report.failed().next().is_some() || proved.iter().any(|check| report.status(*check) != Status::Passed)
    {
        return None;
    }
    let anchors = Anchors {
        root_key: trust.root_key,
        ledger: trust.ledger.as_slice().to_vec(),
    };
    check_head(&evidence.certificate, &evidence.hash_tree, &anchors, now).ok()
}
