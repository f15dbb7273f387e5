//! `verify run NAME` and `verify export FILE`

use std::{
    fs::File,
    io::{BufReader, Read, stdin},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use dcanary_ledger::RunKey;
use dcanary_types::record::Record;
use dcanary_verifier::{Check, Report, Status, TrustFile, verify_export};

use crate::{
    args::{Format, Global, Verify},
    cluster::Cluster,
    exit::{Exit, Failure},
    journal::{self, compare::compare, evidence},
    output::{Style, machine, print},
    render::report,
    trust_file::{self, Folders},
};

/// Verifies and prints.
pub async fn run(global: &Global, verify: Verify) -> Result<Exit, Failure> {
    let folders = Folders::of_process();
    match verify {
        Verify::Export { file, trust } => {
            let pinned = trust_file::load(trust.trust.as_deref(), &folders)?;
            let report = export(&file, pinned.as_ref().map(|(_, trust)| trust))?;
            show(global, &report, &format!("Export {}", file.display()), None)
        }
        Verify::Run { name, trust, network } => {
            let pinned = trust_file::load(trust.trust.as_deref(), &folders)?;
            let trust = pinned.as_ref().map(|(_, trust)| trust);
            // Whatever keeps it from being checked is exit code 2 here.
            let (report, incomplete) = live(global, &name, trust, network.as_deref(), &folders)
                .await
                .map_err(|failure| failure.with(Exit::Unchecked))?;
            show(global, &report, &format!("Run {name}"), incomplete)
        }
    }
}

fn export(file: &Path, trust: Option<&TrustFile>) -> Result<Report, Failure> {
    let input: Box<dyn Read> = if file == Path::new("-") {
        Box::new(stdin().lock())
    } else {
        let opened = File::open(file).map_err(|source| {
            Failure::usage(format!("cannot read {}: {source}", file.display())).with(Exit::Unchecked)
        })?;
        Box::new(opened)
    };
    Ok(verify_export(BufReader::with_capacity(1 << 16, input), trust))
}

async fn live(
    global: &Global,
    name: &str,
    trust: Option<&TrustFile>,
    network: Option<&str>,
    folders: &Folders,
) -> Result<(Report, Option<String>), Failure> {
    let cluster = Cluster::connect(global).await?;
    let run = cluster.run(name).await?;
    let hints = cluster.ledger_config().await?;
    let target = journal::target(trust, Some(&hints), network)?;
    let access = journal::access(&target, Some(&cluster), folders).await?;
    let uid = run.metadata.uid.clone().unwrap_or_default();
    let project = run
        .status
        .as_ref()
        .and_then(|status| status.project.clone())
        .unwrap_or_else(|| hints.project.clone());
    let key = RunKey::new(project, hints.domain.clone(), uid);
    let found = evidence::verify(&access, &key, trust, &hints, now()).await;
    let evidence::Verification {
        mut report,
        run: verified,
        mut incomplete,
    } = found;
    if let Some(verified) = verified {
        let records: Vec<Record> = verified.records().iter().map(|one| one.record.clone()).collect();
        let (status, detail) = compare(&run, &records);
        if status == Status::Unchecked {
            incomplete = Some(detail.clone());
        }
        report.record(Check::Cluster, status, detail);
    } else if let Some(missing) = &incomplete {
        let claimed = run
            .status
            .as_ref()
            .and_then(|status| status.journal.as_ref())
            .map_or(0, |journal| journal.recorded);
        if claimed > 0 && missing.ends_with("is not in the ledger") {
            let detail = format!("the status says {claimed} records are recorded, the ledger holds none");
            report.record(Check::Cluster, Status::Failed, detail);
        }
    }
    Ok((report, incomplete))
}

fn show(global: &Global, found: &Report, subject: &str, incomplete: Option<String>) -> Result<Exit, Failure> {
    let exit = match (found.exit_code(), &incomplete) {
        (1, _) => Exit::Failed,
        (0, None) => Exit::Succeeded,
        _ => Exit::Unchecked,
    };
    match global.format()? {
        Some(format @ (Format::Json | Format::Yaml)) => {
            let mut value = report::machine(found, subject);
            if let Some(object) = value.as_object_mut() {
                object.insert("verified".to_owned(), (exit == Exit::Succeeded).into());
                object.insert("exitCode".to_owned(), exit.code().into());
                object.insert("incomplete".to_owned(), incomplete.into());
            }
            print(&machine(&value, format)?);
        }
        Some(Format::Name | Format::Wide) | None => {
            print(&report::report(
                found,
                subject,
                incomplete.as_deref(),
                Style::detect(global),
            ));
        }
    }
    Ok(exit)
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
