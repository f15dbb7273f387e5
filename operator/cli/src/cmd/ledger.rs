//! `ledger export`, `ledger init-key`; the others are beside.

mod backup;
mod deploy;
mod installation;
mod parts;
mod person;
mod restore;
mod shipped;
mod standing;
mod status;

use std::{
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use dcanary_ledger::{Ledger as _, LedgerError, key};
use dcanary_verifier::{
    ExportError, ExportWriter,
    export::{Header, Trailer},
};

use crate::{
    args::{Global, LedgerAt, LedgerCommand},
    cluster::Cluster,
    exit::{Exit, Failure},
    journal::{self, Access, place::Unnamed},
    output::{note, print},
    render::pin::unpinned,
    trust_file::{self, Folders},
    whole_file::{Readers, WholeFile},
};

/// Blocks asked for at once; the ledger gives fewer where they are large.
const AT_ONCE: u64 = 500;

/// Runs the subcommand.
pub async fn run(global: &Global, command: LedgerCommand) -> Result<Exit, Failure> {
    match command {
        LedgerCommand::InitKey { file } => {
            global.form("dcanary ledger init-key", &[])?;
            let made = key::create(&file).map_err(|source| Failure::usage(source.to_string()))?;
            print(&format!("{made}\n"));
            Ok(Exit::Succeeded)
        }
        LedgerCommand::Status { at, identity, wasm } => {
            status::run(global, &at, identity.as_deref(), wasm.as_deref()).await
        }
        LedgerCommand::Deploy(args) => deploy::deploy(global, &args).await,
        LedgerCommand::Upgrade(args) => deploy::upgrade(global, &args).await,
        LedgerCommand::Backup => backup::run(global).await,
        LedgerCommand::Restore(args) => restore::run(global, &args).await,
        LedgerCommand::Export { at } => export(global, &at).await,
    }
}

async fn reach(global: &Global, at: &LedgerAt) -> Result<Access, Failure> {
    let folders = Folders::of_process();
    let pinned = trust_file::load(at.trust.as_deref(), &folders)?;
    let trust = pinned.as_ref().map(|(_, trust)| trust);
    let network = at.network.as_deref();
    // The cluster is asked only for what is not known without it.
    let (cluster, hints) = if trust.is_some() && network.is_some() {
        (None, None)
    } else {
        let usual = folders.trust_file(at.trust.as_deref())?;
        let known = pinned
            .as_ref()
            .map(|(path, trust)| (path.as_path(), trust.ledger));
        let (cluster, hints) = Cluster::with_ledger(global)
            .await
            .map_err(|cause| Unnamed::to_read(known, &usual, network, cause))?;
        (Some(cluster), Some(hints))
    };
    let target = journal::target(trust, hints.as_ref(), network)?;
    if trust.is_none() {
        note(&unpinned(&target.root_key));
    }
    let path = pinned.as_ref().map(|(path, _)| path.as_path());
    journal::access(&target, cluster.as_ref(), &folders, path).await
}

fn explain(access: &Access, source: &LedgerError) -> Failure {
    failure(source, access.told(source))
}

/// What an error of the ledger's client means for the exit code.
fn failure(source: &LedgerError, told: String) -> Failure {
    match journal::failed_check(source) {
        Some(check) => Failure::failed(format!("{}: {told}", check.as_str())),
        None => Failure::cannot_tell(told),
    }
}

async fn export(global: &Global, at: &LedgerAt) -> Result<Exit, Failure> {
    let file = global
        .output
        .as_deref()
        .filter(|name| *name != "-")
        .map(PathBuf::from);
    let access = reach(global, at).await?;
    match file {
        Some(path) => {
            let cannot =
                |source: std::io::Error| Failure::usage(format!("cannot write {}: {source}", path.display()));
            // A half-written export never stands under the name that was asked for.
            let mut output = WholeFile::create(&path, Readers::All).map_err(cannot)?;
            let size = write(&access, BufWriter::new(&mut output)).await?;
            output.finish().map_err(cannot)?;
            note(&written(size, &path, at.trust.as_deref()));
        }
        None => {
            write(&access, BufWriter::new(std::io::stdout())).await?;
        }
    }
    Ok(Exit::Succeeded)
}

/// What an export is, and how to check it: by the same trust file. Pure.
fn written(size: u64, path: &Path, trust: Option<&Path>) -> String {
    let by = trust.map_or_else(String::new, |trust| format!(" --trust {}", trust.display()));
    format!(
        "{size} blocks in {path}; check it with `dcanary verify export {path}{by}`",
        path = path.display()
    )
}

/// Writes the journal up to the present head.
async fn write(access: &Access, output: impl Write) -> Result<u64, Failure> {
    let broken = |source: ExportError| Failure::cannot_tell(source.to_string());
    let refused = |source: LedgerError| explain(access, &source);
    let ledger = &access.ledger;
    ledger.ready().await.map_err(refused)?;
    let (head, policy) = journal::head::with_policy(ledger.as_ref())
        .await
        .map_err(refused)?;
    let code = ledger.code_certificate().await.map_err(refused)?;
    let header = Header {
        ledger: ledger.id().as_slice().to_vec(),
        size: head.size,
    };
    let mut export = ExportWriter::new(output, &header).map_err(broken)?;
    let mut next = 0;
    while next < head.size {
        let blocks = ledger
            .blocks(next, AT_ONCE.min(head.size - next))
            .await
            .map_err(refused)?;
        if blocks.is_empty() {
            return Err(Failure::cannot_tell(format!(
                "the ledger hands out no block {next} though it has {}",
                head.size
            )));
        }
        for block in blocks
            .iter()
            .take(usize::try_from(head.size - next).unwrap_or(usize::MAX))
        {
            export.block(block).map_err(broken)?;
            next += 1;
        }
    }
    let trailer = Trailer {
        certificate: head.certificate,
        hash_tree: head.hash_tree,
        policy,
        code: Some(code),
    };
    export.finish(&trailer).map_err(broken)?;
    Ok(head.size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_check_an_export_names_the_trust_file_that_was_given() {
        let journal = Path::new("journal.cbor");
        assert_eq!(
            written(5, journal, None),
            "5 blocks in journal.cbor; check it with `dcanary verify export journal.cbor`"
        );
        assert!(
            written(5, journal, Some(Path::new("t.json")))
                .ends_with("`dcanary verify export journal.cbor --trust t.json`")
        );
    }
}
