//! Environments: their records, replayed in the ledger's order, and one environment proved by its evidence.

use std::collections::{BTreeMap, BTreeSet};

use dcanary_types::block::Block;
use dcanary_types::environment::{EnvMachine, EnvRecord, EnvTransition};
use dcanary_types::record::Body;

use crate::evidence::{ExpectedRun, RunEvidence};
use crate::head::CertifiedHead;
use crate::proved::{self, Kind, ProvedBlock};
use crate::report::{Check, Report};
use crate::run::VerifiedRecord;
use crate::transitions::IllegalRecord;
use crate::trust::TrustFile;

/// The environments of one project and domain, as far as their records were taken.
#[derive(Debug, Default)]
pub(crate) struct Environments {
    machines: BTreeMap<String, (u64, EnvMachine)>,
}

impl Environments {
    /// Whether an environment has a record.
    pub(crate) fn has(&self, uid: &str) -> bool {
        self.machines.contains_key(uid)
    }

    /// How many have one.
    pub(crate) fn len(&self) -> usize {
        self.machines.len()
    }

    /// Takes the next record. `unknown` is asked whether an environment that has no record has promoted a release.
    pub(crate) fn apply(
        &mut self,
        record: &EnvRecord,
        unknown: &dyn Fn(&str) -> Option<bool>,
    ) -> Result<(), String> {
        let opens = matches!(record.transition, EnvTransition::Opened { .. });
        if opens != (record.n == 0) {
            return Err("an environment begins with env_opened, and only once".to_owned());
        }
        let due = self.machines.get(&record.run).map_or(0, |(next, _)| *next);
        if record.n != due {
            return Err("a number of the environment is missing or repeated".to_owned());
        }
        if let EnvTransition::Opened { from, approvals, .. } = &record.transition {
            let machine = EnvMachine::open(&record.run, from.as_deref(), *approvals);
            self.machines.insert(record.run.clone(), (1, machine));
            return Ok(());
        }
        let Some((next, mut machine)) = self.machines.remove(&record.run) else {
            return Err("an environment begins with env_opened, and only once".to_owned());
        };
        let answer = machine.apply(&record.transition, &|uid, release| match self.machines.get(uid) {
            Some((_, other)) => (!other.is_closed()).then(|| other.has_promoted(release)),
            None => unknown(uid),
        });
        self.machines.insert(record.run.clone(), (next + 1, machine));
        answer.map_err(|why| why.to_string())
    }
}

/// Replays records of the environments of one project and domain in the order of the ledger: their numbers and the state
/// machine of section 12. An environment without a record among them counts as not open.
///
/// # Errors
/// The first record that may not come where it does.
pub fn check_environments<'a>(records: impl IntoIterator<Item = &'a EnvRecord>) -> Result<(), IllegalRecord> {
    let mut environments = Environments::default();
    for (position, record) in records.into_iter().enumerate() {
        environments
            .apply(record, &|_| None)
            .map_err(|why| IllegalRecord { position, why })?;
    }
    Ok(())
}

/// An environment of which nothing failed, under a trust file.
#[derive(Debug, Clone)]
pub struct VerifiedEnvironment {
    head: CertifiedHead,
    project: String,
    domain: String,
    records: Vec<VerifiedRecord<EnvTransition>>,
}

impl VerifiedEnvironment {
    /// The head that certifies the environment.
    pub fn head(&self) -> &CertifiedHead {
        &self.head
    }

    /// Project of the environment.
    pub fn project(&self) -> &str {
        &self.project
    }

    /// Executor domain of the environment.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Its records in order, at least one; not those of the environments that it rests on.
    pub fn records(&self) -> &[VerifiedRecord<EnvTransition>] {
        &self.records
    }

    /// UID of the environment.
    pub fn uid(&self) -> &str {
        self.records.first().map_or("", |first| first.record.run.as_str())
    }
}

/// Verifies that the evidence proves the `expected` environment. With `now`, in nanoseconds since 1970, the certificates must also be fresh.
///
/// The report leaves `consistency` and `cluster` unchecked for the caller, who has the checkpoint and the cluster, and `transitions`
/// where a release came from an environment whose records are not in the evidence. An environment is returned only if
/// nothing failed and there is a trust file.
pub fn verify_environment(
    evidence: &RunEvidence,
    expected: &ExpectedRun,
    trust: Option<&TrustFile>,
    now: Option<u64>,
) -> (Report, Option<VerifiedEnvironment>) {
    let (report, blocks) = proved::check(&Asked { expected }, evidence, trust, now);
    let environment = verified(&report, evidence, expected, blocks, trust, now);
    (report, environment)
}

/// The environment that is asked for.
struct Asked<'e> {
    expected: &'e ExpectedRun,
}

impl Kind for Asked<'_> {
    type Transition = EnvTransition;
    const NAME: &'static str = "environment";

    fn record(body: Body) -> Option<EnvRecord> {
        body.into_environment()
    }

    fn holds(&self, block: &Block, _: &EnvRecord) -> Result<(), String> {
        self.expected.holds_place(block)
    }

    /// Every record is one of the environment, or of one that it names in `from`.
    fn whole(&self, blocks: &[ProvedBlock<EnvTransition>]) -> Result<(), String> {
        let asked = &self.expected.run;
        let mut named = BTreeSet::from([asked.as_str()]);
        named.extend(sources(blocks, asked));
        for ProvedBlock { index, record, .. } in blocks {
            if !named.contains(record.run.as_str()) {
                return Err(format!(
                    "block {index}: it is of environment {}, which {asked} never names in `from`",
                    record.run
                ));
            }
        }
        if blocks.iter().any(|block| block.record.run == *asked) {
            Ok(())
        } else {
            Err(format!("no block is of environment {asked}"))
        }
    }

    fn transitions(&self, report: &mut Report, blocks: &[ProvedBlock<EnvTransition>]) {
        let asked = &self.expected.run;
        let present: BTreeSet<&str> = blocks.iter().map(|block| block.record.run.as_str()).collect();
        let missing = std::cell::RefCell::new(BTreeSet::new());
        let mut environments = Environments::default();
        for ProvedBlock { index, record, .. } in blocks {
            let unknown = |uid: &str| {
                if present.contains(uid) {
                    return None;
                }
                if record.run == *asked {
                    missing.borrow_mut().insert(uid.to_owned());
                }
                Some(true)
            };
            if let Err(why) = environments.apply(record, &unknown) {
                report.fail(Check::Transitions, format!("block {index}: {why}"));
                return;
            }
        }
        let missing = missing.into_inner();
        if missing.is_empty() {
            report.pass(Check::Transitions, "legal");
        } else {
            let missing: Vec<String> = missing.into_iter().collect();
            report.unchecked(
                Check::Transitions,
                format!(
                    "legal; the records of {} are not at hand: whether what came from there was promoted there is not checked",
                    missing.join(", ")
                ),
            );
        }
    }
}

/// The environments that `asked` names in `from`.
fn sources<'b>(blocks: &'b [ProvedBlock<EnvTransition>], asked: &'b str) -> impl Iterator<Item = &'b str> {
    blocks
        .iter()
        .filter(move |block| block.record.run == asked)
        .filter_map(|block| match &block.record.transition {
            EnvTransition::Opened { from, .. } | EnvTransition::Changed { from, .. } => from.as_deref(),
            _ => None,
        })
}

fn verified(
    report: &Report,
    evidence: &RunEvidence,
    expected: &ExpectedRun,
    blocks: Vec<ProvedBlock<EnvTransition>>,
    trust: Option<&TrustFile>,
    now: Option<u64>,
) -> Option<VerifiedEnvironment> {
    let head = proved::certified(report, evidence, trust, now)?;
    let first = blocks.first()?;
    let (project, domain) = (first.block.project.clone(), first.block.domain.clone());
    let records = blocks
        .into_iter()
        .filter(|block| block.record.run == expected.run)
        .map(VerifiedRecord::from)
        .collect();
    Some(VerifiedEnvironment {
        head,
        project,
        domain,
        records,
    })
}
