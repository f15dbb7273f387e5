//! Fetches what proves an environment, and compares it with the environment's status.

use std::collections::BTreeSet;

use dcanary_crds::Environment;
use dcanary_ledger::{Ledger as _, LedgerError, RunKey};
use dcanary_types::{
    Hash,
    block::Block,
    environment::{EnvRecord, EnvTransition},
    record::Body,
};
use dcanary_verifier::{Report, RunEvidence, Status, TrustFile, VerifiedEnvironment, verify_environment};

use super::{Access, compare_names, evidence};
use crate::cluster::ledger_config::LedgerConfig;

/// Blocks asked for at once.
const BLOCKS: u64 = 1;

/// What came out of a verification.
pub struct Verification {
    /// The findings.
    pub report: Report,
    /// The environment, when nothing failed.
    pub environment: Option<VerifiedEnvironment>,
    /// Why not everything could be checked, in one sentence.
    pub incomplete: Option<String>,
    /// What was handed in by the ledger.
    pub evidence: Option<RunEvidence>,
}

/// Fetches and verifies the environment that `key` names. Failures become findings wherever they say something about the ledger.
pub async fn verify(
    access: &Access,
    key: &RunKey,
    trust: Option<&TrustFile>,
    hints: &LedgerConfig,
    now: u64,
) -> Verification {
    let mut early = Report::new(trust);
    if let Some(trust) = trust {
        compare_names(&mut early, trust, hints, &key.project);
    }
    let before = access.checkpoints.load(access.ledger.id()).await.ok().flatten();
    let without = |report, incomplete| Verification {
        report,
        environment: None,
        incomplete,
        evidence: None,
    };
    let code = match access.ledger.code_certificate().await {
        Ok(code) => code,
        Err(error) => {
            let incomplete = evidence::blame(&mut early, access, &error);
            return without(early, incomplete);
        }
    };
    evidence::judge_code(&mut early, access, trust).await;
    match fetch(access, key, hints, code).await {
        Ok(None) => without(
            early,
            Some(format!("environment {} is not in the ledger", key.run)),
        ),
        Ok(Some(found)) => {
            let (mut report, environment) =
                verify_environment(&found, &evidence::expected(key), trust, Some(now));
            evidence::seen_before(&mut report, &early, before.as_ref());
            let environment = environment.filter(|_| report.failed().next().is_none());
            Verification {
                report,
                environment,
                incomplete: None,
                evidence: Some(found),
            }
        }
        Err(error) => {
            let incomplete = evidence::blame(&mut early, access, &error);
            without(early, incomplete)
        }
    }
}

/// All blocks of the environment and of those that it names in `from`.
async fn fetch(
    access: &Access,
    key: &RunKey,
    hints: &LedgerConfig,
    code: Vec<u8>,
) -> Result<Option<RunEvidence>, LedgerError> {
    let ledger = &access.ledger;
    ledger.ready().await?;
    let own = ledger.run_blocks(key).await?;
    if own.is_empty() {
        // a ledger that was put back to an older state does not have it: its head tells that by name
        ledger.head().await?;
        return Ok(None);
    }
    let mut indexes: BTreeSet<u64> = own.iter().copied().collect();
    for uid in sources(access, &own).await? {
        let source = RunKey::new(key.project.clone(), key.domain.clone(), uid);
        indexes.extend(ledger.run_blocks(&source).await?);
    }
    let indexes = indexes.into_iter().collect();
    evidence::proved(access, indexes, hints, None, code)
        .await
        .map(Some)
}

/// The environments that some blocks name in `from`: a hint where to look, checked by the verifier.
async fn sources(access: &Access, own: &[u64]) -> Result<BTreeSet<String>, LedgerError> {
    let mut found = BTreeSet::new();
    for index in own {
        let blocks = access.ledger.blocks(*index, BLOCKS).await?;
        let block = blocks.first().and_then(|bytes| Block::decode(bytes).ok());
        let body = block.and_then(|block| Body::of(&block).ok());
        if let Some(Body::Environment(record)) = body {
            found.extend(named(&record));
        }
    }
    Ok(found)
}

fn named(record: &EnvRecord) -> Option<String> {
    match &record.transition {
        EnvTransition::Opened { from, .. } | EnvTransition::Changed { from, .. } => from.clone(),
        _ => None,
    }
}

/// Compares an environment's object with its verified records.
///
/// The status may be ahead (records wait in the outbox); it may never contradict.
pub fn compare(environment: &Environment, records: &[EnvRecord]) -> (Status, String) {
    match differences(environment, records) {
        Ok(0) => (
            Status::Passed,
            format!("the status agrees with all {} records", records.len()),
        ),
        Ok(waiting) => (
            Status::Unchecked,
            format!("{waiting} records are not in the ledger yet"),
        ),
        Err(difference) => (Status::Failed, difference),
    }
}

/// How many records wait.
fn differences(environment: &Environment, records: &[EnvRecord]) -> Result<usize, String> {
    let here = format!(
        "{}/{}",
        environment.metadata.namespace.as_deref().unwrap_or_default(),
        environment.metadata.name.as_deref().unwrap_or_default()
    );
    if let Some(EnvTransition::Opened { name, .. }) = records.first().map(|first| &first.transition)
        && *name != here
    {
        return Err(format!(
            "the ledger holds this environment as {name}, the cluster as {here}"
        ));
    }
    let status = environment.status.clone().unwrap_or_default();
    let journal = status.journal.clone().unwrap_or_default();
    let count = |number: i64| usize::try_from(number).unwrap_or(0);
    if count(journal.recorded) > records.len() {
        return Err(format!(
            "the status says {} records are recorded, the ledger holds {}",
            journal.recorded,
            records.len()
        ));
    }
    let waiting = count(journal.next).saturating_sub(records.len());
    // The status was read before the ledger: of what came between it knows nothing.
    if count(journal.next) == records.len() {
        let shown: BTreeSet<&str> = status.held.iter().map(|held| held.identity.as_str()).collect();
        let recorded = held(records);
        let recorded: BTreeSet<&str> = recorded.iter().map(String::as_str).collect();
        if let Some(identity) = recorded.difference(&shown).next() {
            return Err(format!(
                "release {identity} is held in the ledger and not in the cluster"
            ));
        }
    }
    Ok(waiting)
}

/// The identities that are held after the records, as a status names them.
fn held(records: &[EnvRecord]) -> BTreeSet<String> {
    let shown = |hash: &Hash| format!("sha256:{}", hex::encode(hash));
    let mut held = BTreeSet::new();
    for record in records {
        match &record.transition {
            EnvTransition::Held { identity, .. } => {
                held.insert(shown(identity));
            }
            EnvTransition::Released { identity, .. } => {
                held.remove(&shown(identity));
            }
            _ => {}
        }
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;
    use dcanary_crds::{EnvironmentStatus, HeldRelease, JournalStatus};
    use dcanary_types::record::Record;

    fn records() -> Vec<EnvRecord> {
        let all = [
            EnvTransition::Opened {
                name: "team/prod".to_owned(),
                from: Some("staging".to_owned()),
                approvals: 0,
                rules: [1; 32],
            },
            EnvTransition::Held {
                identity: [2; 32],
                reason: "Held".to_owned(),
                decision: None,
            },
        ];
        (0..)
            .zip(all)
            .map(|(n, transition)| Record {
                run: "uid".to_owned(),
                n,
                claimed_ts: 0,
                transition,
            })
            .collect()
    }

    fn environment(name: &str, recorded: i64, next: i64, held: &[&str]) -> Environment {
        let mut environment = Environment::new(name, dcanary_crds::EnvironmentSpec::default());
        environment.metadata.namespace = Some("team".to_owned());
        environment.status = Some(EnvironmentStatus {
            journal: Some(JournalStatus {
                recorded,
                next,
                ..JournalStatus::default()
            }),
            held: held
                .iter()
                .map(|identity| HeldRelease {
                    identity: (*identity).to_owned(),
                    ..HeldRelease::default()
                })
                .collect(),
            ..EnvironmentStatus::default()
        });
        environment
    }

    #[test]
    fn a_status_that_says_what_the_ledger_says_agrees() {
        let identity = format!("sha256:{}", "02".repeat(32));
        let found = compare(&environment("prod", 2, 2, &[&identity]), &records());
        assert_eq!(found.0, Status::Passed, "{}", found.1);
        let waiting = compare(&environment("prod", 2, 3, &[]), &records());
        assert_eq!(waiting.0, Status::Unchecked);
        // Older than the ledger: nothing is concluded from it.
        assert_eq!(
            compare(&environment("prod", 1, 1, &[]), &records()).0,
            Status::Passed
        );
    }

    #[test]
    fn a_status_that_contradicts_the_ledger_fails_and_says_how() {
        for (environment, said) in [
            (environment("other", 2, 2, &[]), "the cluster as team/other"),
            (
                environment("prod", 3, 3, &[]),
                "3 records are recorded, the ledger holds 2",
            ),
            (
                environment("prod", 2, 2, &[]),
                "is held in the ledger and not in the cluster",
            ),
        ] {
            let (status, detail) = compare(&environment, &records());
            assert_eq!(status, Status::Failed);
            assert!(detail.contains(said), "{detail}");
        }
    }

    #[test]
    fn the_environments_before_are_those_of_every_rule() {
        let all = records();
        assert_eq!(named(&all[0]).as_deref(), Some("staging"));
        assert_eq!(named(&all[1]), None);
    }
}
