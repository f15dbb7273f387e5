//! A ledger that contradicts what was verified before: both certificates are kept, so that others can see it too.

use std::{
    fs,
    path::{Path, PathBuf},
};

use dcanary_ledger::{Checkpoint, ForkEvidence};
use ic_agent::export::Principal;
use serde_json::{Value, json};

use crate::whole_file::{Readers, WholeFile};

/// Keeps the evidence and says where; what cannot be written is told too.
pub fn told(folder: Option<&Path>, ledger: Principal, fork: &ForkEvidence) -> String {
    match folder.map(|folder| keep(folder, ledger, fork)) {
        Some(Ok(path)) => format!(
            "{fork}; both certificates are in {}: show them to the ledger's owner and to whoever else verifies it",
            path.display()
        ),
        Some(Err(source)) => format!("{fork}; the certificates cannot be kept: {source}"),
        None => {
            format!(
                "{fork}; the certificates are not kept: there is no home folder, name a trust file with --trust FILE"
            )
        }
    }
}

/// How a reader goes on with a ledger of which its owner says that an older state of it was restored on purpose.
pub fn way_on(memory: &Path) -> String {
    format!(
        "If the owner has restored an older backup on purpose, remove {} to go on from what is there now",
        memory.display()
    )
}

/// Writes the evidence. The same fork is always the same file.
fn keep(folder: &Path, ledger: Principal, fork: &ForkEvidence) -> std::io::Result<PathBuf> {
    let path = folder.join(name(ledger, fork));
    let text = serde_json::to_string_pretty(&document(ledger, fork)).map_err(std::io::Error::other)?;
    fs::create_dir_all(folder)?;
    WholeFile::keep(&path, Readers::All, (text + "\n").as_bytes())?;
    Ok(path)
}

fn name(ledger: Principal, fork: &ForkEvidence) -> String {
    let short = hex::encode(&fork.id()[..4]);
    format!(
        "fork-{ledger}-{}-{}-{short}.json",
        fork.seen.size, fork.shown.size
    )
}

fn document(ledger: Principal, fork: &ForkEvidence) -> Value {
    let side = |head: &Checkpoint| {
        json!({
            "blocks": head.size,
            "certificate": hex::encode(&head.certificate),
            "hash_tree": hex::encode(&head.hash_tree),
        })
    };
    json!({
        "format": "dcanary-fork/1",
        "ledger": ledger.to_text(),
        "why": fork.why.to_string(),
        "verified": side(&fork.seen),
        "shown": side(&fork.shown),
        // what a larger ledger begins with instead of the verified blocks
        "prefix": fork.prefix,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use dcanary_ledger::Fork;

    fn fork() -> ForkEvidence {
        let side = |size: u64, byte: u8| Checkpoint {
            ledger: vec![1],
            size,
            root: [byte; 32],
            time: 1,
            certificate: vec![byte; 3],
            hash_tree: vec![byte + 1; 2],
        };
        ForkEvidence {
            why: Fork::Smaller,
            seen: side(9, 1),
            shown: side(4, 7),
            prefix: None,
        }
    }

    #[test]
    fn both_certificates_of_a_fork_are_kept_in_a_file_that_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("dcanary");
        let ledger = Principal::from_slice(&[1]);
        let said = told(Some(&place), ledger, &fork());
        let files: Vec<PathBuf> = fs::read_dir(&place)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(files.len(), 1, "{files:?}");
        assert!(
            said.starts_with("LedgerForked: ") && said.contains(files[0].to_str().unwrap()),
            "{said}"
        );
        let kept: Value = serde_json::from_slice(&fs::read(&files[0]).unwrap()).unwrap();
        assert_eq!(kept["verified"]["certificate"], "010101");
        assert_eq!(kept["verified"]["hash_tree"], "0202");
        assert_eq!(kept["shown"]["certificate"], "070707");
        assert_eq!(
            (kept["ledger"].as_str(), kept["shown"]["blocks"].as_u64()),
            (Some(ledger.to_text().as_str()), Some(4))
        );
        told(Some(&place), ledger, &fork());
        assert_eq!(fs::read_dir(&place).unwrap().count(), 1, "seen twice, kept once");
    }

    #[test]
    fn what_cannot_be_kept_is_told_with_the_fork() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let said = told(Some(&file), Principal::from_slice(&[1]), &fork());
        assert!(
            said.contains("LedgerForked") && said.contains("cannot be kept"),
            "{said}"
        );
        let said = told(None, Principal::from_slice(&[1]), &fork());
        assert!(said.contains("--trust FILE"), "{said}");
    }
}
