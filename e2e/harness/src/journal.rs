//! The journal as an export holds it.

use anyhow::{Context, Result, ensure};
use dcanary_types::{block::Block, record::Transition, value::Value};
use dcanary_verifier::ExportReader;

use crate::cli::dcanary;

/// Block type, stage and attempt of every record of a run, in the order of the ledger.
///
/// # Errors
/// When the journal cannot be exported or read.
pub async fn records(run_uid: &str) -> Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("journal.cbor");
    let name = file.to_str().context("path")?;
    let output = dcanary(&["ledger", "export", "-o", name]).await?;
    ensure!(
        output.status.success(),
        "dcanary ledger export: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut reader = ExportReader::new(std::io::BufReader::new(std::fs::File::open(&file)?))?;
    let mut found = Vec::new();
    while let Some(value) = reader.next_block()? {
        let block = Block::from_value(value)?;
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

fn text(block: &Block, field: &str) -> String {
    match block.body.get(field) {
        Some(Value::Text(text)) => text.clone(),
        _ => String::new(),
    }
}
