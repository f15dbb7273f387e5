//! The journal as an export holds it.

use anyhow::{Context, Result, ensure};
use dcanary_types::{
    block::Block,
    record::{LedgerEvent, Transition},
    value::Value,
};
use dcanary_verifier::ExportReader;

use crate::cli::dcanary;

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
