//! Fetches what proves a run.

use dcanary_ledger::{Checkpoint, Ledger as _, LedgerError, RunKey};
use dcanary_verifier::{Check, ExpectedRun, Report, RunEvidence, Status, TrustFile, VerifiedRun, verify_run};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{Access, compare_names, failed_check, head};
use crate::cluster::ledger_config::LedgerConfig;

/// Proofs asked for at once.
const AT_ONCE: usize = 8;

/// What came out of a verification.
pub struct Verification {
    /// The findings.
    pub report: Report,
    /// The run, when nothing failed.
    pub run: Option<VerifiedRun>,
    /// Why not everything could be checked, in one sentence.
    pub incomplete: Option<String>,
    /// What was handed in by the ledger.
    pub evidence: Option<RunEvidence>,
}

impl Verification {
    fn without_run(report: Report, incomplete: Option<String>) -> Self {
        Self {
            report,
            run: None,
            incomplete,
            evidence: None,
        }
    }
}

/// The run or environment that is asked for, in the verifier's words.
pub(super) fn expected(key: &RunKey) -> ExpectedRun {
    ExpectedRun {
        project: key.project.clone(),
        domain: Some(key.domain.clone()),
        run: key.run.clone(),
    }
}

/// Fetches and verifies the run that `key` names. Failures become findings wherever they say something about the ledger.
///
/// `graph` is the graph document as the run's object has it, for the time after the run's end, when the ledger does not keep it any more:
/// the digest in the first record decides whether it is the right one.
pub async fn verify(
    access: &Access,
    key: &RunKey,
    trust: Option<&TrustFile>,
    hints: &LedgerConfig,
    graph: Option<Vec<u8>>,
    now: u64,
) -> Verification {
    let mut early = Report::new(trust);
    if let Some(trust) = trust {
        compare_names(&mut early, trust, hints, &key.project);
    }
    let before = access.checkpoints.load(access.ledger.id()).await.ok().flatten();
    let code = match access.ledger.code_certificate().await {
        Ok(code) => code,
        Err(error) => return broken(early, access, &error),
    };
    judge_code(&mut early, access, trust).await;
    match fetch(access, key, hints, graph, code).await {
        Ok(None) => {
            let incomplete = format!("run {} is not in the ledger", key.run);
            Verification::without_run(early, Some(incomplete))
        }
        Ok(Some(evidence)) => {
            let (mut report, run) = verify_run(&evidence, &expected(key), trust, Some(now));
            seen_before(&mut report, &early, before.as_ref());
            let run = run.filter(|_| report.failed().next().is_none());
            Verification {
                report,
                run,
                incomplete: None,
                evidence: Some(evidence),
            }
        }
        Err(error) => broken(early, access, &error),
    }
}

/// What was found before the evidence was there, and what was remembered of the ledger.
pub(super) fn seen_before(report: &mut Report, early: &Report, before: Option<&Checkpoint>) {
    for finding in early.failed() {
        report.record(finding.check, Status::Failed, finding.detail.clone());
    }
    match before {
        Some(before) => report.record(
            Check::Consistency,
            Status::Passed,
            format!("extends the {} blocks that were verified before", before.size),
        ),
        None => report.record(
            Check::Consistency,
            Status::NotApplicable,
            "first look at this ledger from here; remembered for the next",
        ),
    }
}

fn broken(mut report: Report, access: &Access, error: &LedgerError) -> Verification {
    let incomplete = blame(&mut report, access, error);
    Verification::without_run(report, incomplete)
}

/// The check that an error fails; else why nothing could be checked.
pub(super) fn blame(report: &mut Report, access: &Access, error: &LedgerError) -> Option<String> {
    let told = access.told(error);
    let Some(check) = failed_check(error) else {
        return Some(told);
    };
    report.record(check, Status::Failed, told);
    None
}

/// Another wasm under the ledger's id answers nothing that a ledger would, so its code is judged before it is asked.
pub(super) async fn judge_code(report: &mut Report, access: &Access, trust: Option<&TrustFile>) {
    let Some(trust) = trust.filter(|trust| !trust.module_hashes.is_empty()) else {
        return;
    };
    let Ok(found) = access.ledger.module_hash().await else {
        return;
    };
    if !found.is_some_and(|hash| trust.module_hashes.contains(&hash)) {
        let shown = found.map_or_else(|| "no module".to_owned(), hex::encode);
        report.record(
            Check::Code,
            Status::Failed,
            format!(
                "canister {} runs {shown}, which is not among the accepted modules",
                trust.ledger
            ),
        );
    }
}

async fn fetch(
    access: &Access,
    key: &RunKey,
    hints: &LedgerConfig,
    graph: Option<Vec<u8>>,
    code: Vec<u8>,
) -> Result<Option<RunEvidence>, LedgerError> {
    let ledger = &access.ledger;
    ledger.ready().await?;
    let indexes = ledger.run_blocks(key).await?;
    if indexes.is_empty() {
        // a ledger that was put back to an older state does not have the run: its head tells that by name
        ledger.head().await?;
        return Ok(None);
    }
    let graph = ledger.run_graph(key).await?.or(graph);
    proved(access, indexes, hints, graph, code).await.map(Some)
}

/// Blocks with their proofs, and what certifies them.
pub(super) async fn proved(
    access: &Access,
    indexes: Vec<u64>,
    hints: &LedgerConfig,
    graph: Option<Vec<u8>>,
    code: Vec<u8>,
) -> Result<RunEvidence, LedgerError> {
    let ledger = &access.ledger;
    let (head, policy) = head::with_policy(ledger.as_ref()).await?;
    let indexes: Vec<u64> = indexes.into_iter().filter(|index| *index < head.size).collect();
    let size = head.size;
    let blocks = stream::iter(indexes)
        .map(|index| async move {
            let block = ledger
                .blocks(index, 1)
                .await?
                .into_iter()
                .next()
                .unwrap_or_default();
            Ok::<_, LedgerError>((index, block, ledger.inclusion(index, size).await?))
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(RunEvidence {
        ledger: hints.ledger.as_slice().to_vec(),
        root_key: Some(hints.root_key.clone()),
        certificate: head.certificate,
        hash_tree: head.hash_tree,
        blocks,
        graph,
        policy,
        code: Some(code),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifier_is_told_project_domain_and_uid_of_the_run_that_is_asked_for() {
        let expected = expected(&RunKey::new("shop", "east", "uid-1"));
        assert_eq!(
            (
                expected.project.as_str(),
                expected.domain.as_deref(),
                expected.run.as_str()
            ),
            ("shop", Some("east"), "uid-1")
        );
    }
}
