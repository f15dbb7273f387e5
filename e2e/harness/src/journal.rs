//! The journal as an export holds it.

use anyhow::{Context, Result, ensure};
use dcanary_types::{
    Hash,
    block::Block,
    environment::EnvTransition,
    record::{Body, LedgerEvent, Transition},
    value::Value,
};
use dcanary_verifier::ExportReader;

use crate::{
    Namespace, RunView,
    cli::{dcanary, said},
    fixtures::LIMIT,
};

/// The whole journal as `dcanary ledger export` writes it.
///
/// # Errors
/// When it cannot be exported.
pub async fn export() -> Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("journal.cbor");
    let name = file.to_str().context("path")?;
    let output = dcanary(&["ledger", "export", "-o", name]).await?;
    ensure!(
        output.status.success(),
        "dcanary ledger export: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(tokio::fs::read(&file).await?)
}

/// Block type, stage and attempt of every record of a run, in the order of the ledger.
///
/// # Errors
/// When the journal cannot be exported or read.
pub async fn records(run_uid: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for block in blocks(&export().await?)? {
        if Transition::TYPES.contains(&block.btype.as_str()) && text(&block, "run") == run_uid {
            let stage = text(&block, "stage");
            let attempt = match block.body.get("attempt") {
                Some(Value::Nat(attempt)) => format!("#{attempt}"),
                _ => String::new(),
            };
            found.push(format!("{} {stage}{attempt}", block.btype).trim_end().to_owned());
        }
    }
    Ok(found)
}

/// What happened to an environment, in the order of the ledger.
///
/// # Errors
/// When the journal cannot be exported or read, or its numbers have a gap.
pub async fn transitions(environment_uid: &str) -> Result<Vec<EnvTransition>> {
    let mut found = Vec::new();
    for block in blocks(&export().await?)? {
        if text(&block, "run") != environment_uid {
            continue;
        }
        if let Some(record) = Body::of(&block)?.into_environment() {
            ensure!(
                usize::try_from(record.n) == Ok(found.len()),
                "record {} after {} others: {:?}",
                record.n,
                found.len(),
                record.transition
            );
            found.push(record.transition);
        }
    }
    Ok(found)
}

/// A record of an environment in a line: what happened, to which promotion or identity, and how.
pub fn told(transition: &EnvTransition) -> String {
    use EnvTransition as Of;
    let on =
        |evidence: Option<&Hash>| evidence.map_or_else(String::new, |hash| format!(" on {}", digest(hash)));
    let how = match transition {
        Of::Opened { name, .. } => name.clone(),
        Of::DeployRequested { identity, by, .. } => format!("{} by {by}", digest(identity)),
        Of::Decided { verb, by, .. } => format!("{verb} by {by}"),
        Of::StepReached { weight, .. } => format!("{weight} %"),
        Of::AnalysisVerdict {
            verdict, evidence, ..
        } => format!("{}{}", verdict.as_str(), on(Some(evidence))),
        Of::Promoted {
            identity, evidence, ..
        } => format!("{}{}", digest(identity), on(evidence.as_ref())),
        Of::Aborted { reason, .. } => reason.clone(),
        Of::RolledBack {
            identity,
            to,
            reason,
            evidence,
            ..
        } => {
            let to = to.as_ref().map_or_else(|| "nothing".to_owned(), digest);
            format!("{} to {to}: {reason}{}", digest(identity), on(evidence.as_ref()))
        }
        Of::Held { identity, reason, .. } => format!("{}: {reason}", digest(identity)),
        Of::Released { identity, .. } => digest(identity),
        Of::Frozen { window, .. } => window.clone(),
        Of::Overridden { by, .. } => format!("by {by}"),
        Of::RecordRefused { reason, .. } => reason.clone(),
        Of::Changed { .. } | Of::DeployStarted { .. } | Of::Closed => String::new(),
    };
    let what = transition.btype().trim_start_matches("dcanary_");
    let words = [what, transition.promotion().unwrap_or_default(), &how];
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// A digest as a status spells it.
pub fn digest(hash: &Hash) -> String {
    format!("sha256:{}", hex::encode(hash))
}

impl Namespace {
    /// Waits until the ledger holds every record of an Environment.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn environment_recorded(&self, name: &str) -> Result<RunView> {
        self.environment_until(name, LIMIT, |view| {
            let journal = &view.status()["journal"];
            view.state("Recorded").0 == "True"
                && journal["next"].is_i64()
                && journal["next"] == journal["recorded"]
        })
        .await
    }

    /// Verifies a run or an environment (`kind`) against a key that is pinned now.
    ///
    /// # Errors
    /// When something is false or cannot be checked, with what was said.
    pub async fn verifies(&self, kind: &str, name: &str) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let trust = folder.path().join("trust.json");
        let trust = trust.to_str().context("a path that is text")?;
        let pinned = dcanary(&["trust", "pin", "--yes", "--trust", trust]).await?;
        ensure!(pinned.status.success(), "{}", said(&pinned));
        let checked = dcanary(&["-n", &self.name, "verify", kind, name, "--trust", trust]).await?;
        ensure!(checked.status.code() == Some(0), "{}", said(&checked));
        Ok(())
    }
}

/// Numbers for which the ledger has noted that other content was offered for a run.
///
/// # Errors
/// When the journal cannot be exported or read.
pub async fn conflicts(run_uid: &str) -> Result<Vec<u64>> {
    let all = blocks(&export().await?)?;
    let mine = all
        .iter()
        .filter(|block| block.btype == LedgerEvent::CONFLICT && text(block, "run") == run_uid);
    Ok(mine
        .filter_map(|block| match block.body.get("n") {
            Some(Value::Nat(n)) => Some(*n),
            _ => None,
        })
        .collect())
}

fn blocks(export: &[u8]) -> Result<Vec<Block>> {
    let mut reader = ExportReader::new(export)?;
    let mut blocks = Vec::new();
    while let Some(value) = reader.next_block()? {
        blocks.push(Block::from_value(value)?);
    }
    Ok(blocks)
}

fn text(block: &Block, field: &str) -> String {
    match block.body.get(field) {
        Some(Value::Text(text)) => text.clone(),
        _ => String::new(),
    }
}
