//! One run: its blocks, proved to be in the ledger, and its records, proved to be legal.

use std::collections::BTreeMap;

use dcanary_types::block::Block;
use dcanary_types::labels::Labels;
use dcanary_types::policy::Policy;
use dcanary_types::record::{Body, Outcome, Record, Transition};
use dcanary_types::tree::verify_inclusion;
use dcanary_types::{Hash, Value};
use ic_principal::Principal;

use crate::checks;
use crate::evidence::{ExpectedRun, RunEvidence};
use crate::head::{Anchors, CertifiedHead, check_head};
use crate::replay::{is_accepted, read_block};
use crate::report::{Check, Report, Status};
use crate::transitions::check_transitions;
use crate::trust::TrustFile;

/// A run of which nothing failed, under a trust file.
#[derive(Debug, Clone)]
pub struct VerifiedRun {
    head: CertifiedHead,
    project: String,
    domain: String,
    records: Vec<VerifiedRecord>,
}

/// One record of a verified run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedRecord {
    /// Index of its block in the ledger.
    pub index: u64,
    /// The ledger's time, nanoseconds since 1970.
    pub ts: u64,
    /// Principal that wrote it.
    pub caller: Vec<u8>,
    /// What it says.
    pub record: Record,
}

impl VerifiedRun {
    /// The head that certifies the run.
    pub fn head(&self) -> &CertifiedHead {
        &self.head
    }

    /// Project of the run.
    pub fn project(&self) -> &str {
        &self.project
    }

    /// Executor domain of the run.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The records in order, at least one.
    pub fn records(&self) -> &[VerifiedRecord] {
        &self.records
    }

    /// UID of the run.
    pub fn run(&self) -> &str {
        self.records.first().map_or("", |first| first.record.run.as_str())
    }

    /// How the run ended; `None` when it has not, or when its last records were withheld.
    pub fn outcome(&self) -> Option<Outcome> {
        match self.records.last()?.record.transition {
            Transition::RunFinished { outcome } => Some(outcome),
            _ => None,
        }
    }
}

struct RunBlock {
    index: u64,
    hash: Hash,
    block: Block,
    record: Record,
}

/// Verifies that the evidence proves the `expected` run. With `now`, in nanoseconds since 1970, the certificates must also be fresh.
///
/// The report leaves `consistency` and `cluster` unchecked for the caller, who has the checkpoint and the cluster: see
/// [`Report::record`]. A run is returned only if nothing failed and there is a trust file.
pub fn verify_run(
    evidence: &RunEvidence,
    expected: &ExpectedRun,
    trust: Option<&TrustFile>,
    now: Option<u64>,
) -> (Report, Option<VerifiedRun>) {
    let mut report = Report::new(trust);
    let values = match read_values(evidence) {
        Ok(values) => values,
        Err(error) => {
            report.fail(Check::Format, error);
            return (report, None);
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
    let blocks = match read_blocks(evidence, expected, values) {
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
            report.fail(Check::Trust, "the run is of another project than the trust file");
        }
        links(&mut report, &blocks, labels.as_ref());
        transitions(&mut report, &blocks, evidence.graph.as_deref());
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
    let run = verified(&report, evidence, blocks, trust, now);
    (report, run)
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

/// All blocks must be records of the expected run under one domain, in order.
fn read_blocks(
    evidence: &RunEvidence,
    expected: &ExpectedRun,
    values: Vec<Value>,
) -> Result<Vec<RunBlock>, String> {
    let mut blocks: Vec<RunBlock> = Vec::new();
    for ((index, _, _), value) in evidence.blocks.iter().zip(values) {
        let at = |why: &str| format!("block {index}: {why}");
        let hash = value.hash();
        let (block, body) = read_block(value).map_err(|why| at(&why))?;
        let Body::Run(record) = body else {
            return Err(at("it is no record of a run"));
        };
        if *index == 0 || block.phash.is_none() {
            return Err(at(
                "a record is never block 0 and always links to the block before it",
            ));
        }
        expected.holds(&block, &record).map_err(|why| at(&why))?;
        if let Some(before) = blocks.last() {
            if before.index >= *index {
                return Err(at("the blocks are not in ascending order"));
            }
            // The expected domain may be unknown; a run has one all the same.
            if before.block.domain != block.domain {
                return Err(at("it is of another domain than the block before it"));
            }
        }
        blocks.push(RunBlock {
            index: *index,
            hash,
            block,
            record,
        });
    }
    if blocks.is_empty() {
        Err("there is no block".to_owned())
    } else {
        Ok(blocks)
    }
}

fn links(report: &mut Report, blocks: &[RunBlock], labels: Option<&Labels>) {
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

fn transitions(report: &mut Report, blocks: &[RunBlock], graph: Option<&[u8]>) {
    let records = blocks.iter().map(|b| &b.record);
    if let Err(illegal) = check_transitions(records, graph) {
        let why = match blocks.get(illegal.position) {
            Some(block) => format!("block {}: {}", block.index, illegal.why),
            None => illegal.why,
        };
        report.fail(Check::Transitions, why);
        return;
    }
    let ended = match blocks.last().map(|b| &b.record.transition) {
        Some(Transition::RunFinished { .. }) => "ended",
        _ => "not ended in these records",
    };
    match graph {
        Some(_) => report.pass(Check::Transitions, format!("legal, {ended}")),
        None => report.unchecked(
            Check::Transitions,
            format!("legal, {ended}; the graph is not at hand: needs and attempt limits not checked"),
        ),
    }
}

/// The policy document says who holds a role now; of an older block it may be unknown whether its writer did then.
fn writers(report: &mut Report, blocks: &[RunBlock], policy: &Policy, trust: Option<&TrustFile>) {
    let mut older: BTreeMap<u64, u64> = BTreeMap::new();
    for RunBlock { index, block, .. } in blocks {
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

fn verified(
    report: &Report,
    evidence: &RunEvidence,
    blocks: Vec<RunBlock>,
    trust: Option<&TrustFile>,
    now: Option<u64>,
) -> Option<VerifiedRun> {
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
    let head = check_head(&evidence.certificate, &evidence.hash_tree, &anchors, now).ok()?;
    let first = blocks.first()?;
    let (project, domain) = (first.block.project.clone(), first.block.domain.clone());
    let records = blocks
        .into_iter()
        .map(
            |RunBlock {
                 index, block, record, ..
             }| VerifiedRecord {
                index,
                ts: block.ts,
                caller: block.caller,
                record,
            },
        )
        .collect();
    Some(VerifiedRun {
        head,
        project,
        domain,
        records,
    })
}
