//! One run: its blocks, proved to be in the ledger, and its records, proved to be legal.

use dcanary_types::block::Block;
use dcanary_types::record::{Body, Outcome, Record, Transition};

use crate::evidence::{ExpectedRun, RunEvidence};
use crate::head::CertifiedHead;
use crate::proved::{self, Kind, ProvedBlock};
use crate::report::{Check, Report};
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

/// One record of a verified run or environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedRecord<T = Transition> {
    /// Index of its block in the ledger.
    pub index: u64,
    /// The ledger's time, nanoseconds since 1970.
    pub ts: u64,
    /// Principal that wrote it.
    pub caller: Vec<u8>,
    /// What it says.
    pub record: Record<T>,
}

impl<T> From<ProvedBlock<T>> for VerifiedRecord<T> {
    fn from(proved: ProvedBlock<T>) -> Self {
        let ProvedBlock {
            index, block, record, ..
        } = proved;
        Self {
            index,
            ts: block.ts,
            caller: block.caller,
            record,
        }
    }
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
    let run = Run {
        expected,
        graph: evidence.graph.as_deref(),
    };
    let (report, blocks) = proved::check(&run, evidence, trust, now);
    let run = verified(&report, evidence, blocks, trust, now);
    (report, run)
}

/// The run that is asked for, and its graph document where that is at hand.
struct Run<'e> {
    expected: &'e ExpectedRun,
    graph: Option<&'e [u8]>,
}

impl Kind for Run<'_> {
    type Transition = Transition;
    const NAME: &'static str = "run";

    fn record(body: Body) -> Option<Record> {
        match body {
            Body::Run(record) => Some(record),
            Body::Environment(_) | Body::Ledger(_) => None,
        }
    }

    fn holds(&self, block: &Block, record: &Record) -> Result<(), String> {
        self.expected.holds("run", block, &record.run)
    }

    fn whole(&self, _: &[ProvedBlock<Transition>]) -> Result<(), String> {
        Ok(())
    }

    fn transitions(&self, report: &mut Report, blocks: &[ProvedBlock<Transition>]) {
        transitions(report, blocks, self.graph);
    }
}

fn transitions(report: &mut Report, blocks: &[ProvedBlock<Transition>], graph: Option<&[u8]>) {
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

fn verified(
    report: &Report,
    evidence: &RunEvidence,
    blocks: Vec<ProvedBlock<Transition>>,
    trust: Option<&TrustFile>,
    now: Option<u64>,
) -> Option<VerifiedRun> {
    let head = proved::certified(report, evidence, trust, now)?;
    let first = blocks.first()?;
    let (project, domain) = (first.block.project.clone(), first.block.domain.clone());
    Some(VerifiedRun {
        head,
        project,
        domain,
        records: blocks.into_iter().map(VerifiedRecord::from).collect(),
    })
}
