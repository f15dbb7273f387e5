//! `verify environment NAME`

use std::path::Path;

use dcanary_crds::Environment;
use dcanary_ledger::RunKey;
use dcanary_types::environment::EnvRecord;
use dcanary_verifier::{Check, RunEvidence, Status};

use super::{Journal, NOT_COMPARED, now, save, show};
use crate::{
    args::{Format, Global, TrustArgs},
    cluster::Cluster,
    exit::{Exit, Failure},
    journal::{self, environment},
    output::{Style, note},
    render::{deliveries, pin::unpinned},
    trust_file::{self, Folders},
};

/// Verifies and prints.
pub async fn run(
    global: &Global,
    name: &str,
    trust: &TrustArgs,
    network: Option<&str>,
    evidence: Option<&Path>,
) -> Result<Exit, Failure> {
    let known = [Format::Json, Format::Yaml, Format::Wide];
    let form = global.form("dcanary verify environment", &known)?;
    let folders = Folders::of_process();
    let pinned = trust_file::load(trust.trust.as_deref(), &folders)?;
    // Whatever keeps it from being checked is exit code 2 here.
    let found = live(global, name, pinned.as_ref(), network, &folders)
        .await
        .map_err(|failure| failure.with(Exit::Unchecked))?;
    if let Some(path) = evidence {
        let file = found.evidence.as_ref().map(RunEvidence::to_environment_json);
        save(path, file, "environment")?;
    }
    let records = found
        .environment
        .as_ref()
        .map_or(&[][..], |found| found.records());
    let journal = Journal {
        table: deliveries::journal(records),
        records: deliveries::machine(records),
        disputes: Vec::new(),
    };
    show(
        &found.report,
        &format!("Environment {name}"),
        found.incomplete,
        &journal,
        form,
        Style::detect(global),
    )
}

async fn live(
    global: &Global,
    name: &str,
    pinned: Option<&(std::path::PathBuf, dcanary_verifier::TrustFile)>,
    network: Option<&str>,
    folders: &Folders,
) -> Result<environment::Verification, Failure> {
    let trust = pinned.map(|(_, trust)| trust);
    let path = pinned.map(|(path, _)| path.as_path());
    let cluster = Cluster::connect(global).await?;
    let object: Environment = cluster.read(&cluster.namespace, name).await?;
    let hints = cluster.ledger_config().await?;
    let target = journal::target(trust, Some(&hints), network)?;
    if trust.is_none() {
        note(&unpinned(&target.root_key));
    }
    let access = journal::access(&target, Some(&cluster), folders, path).await?;
    let uid = object.metadata.uid.clone().ok_or_else(|| {
        Failure::cannot_tell(format!("the cluster's environment {name} has no UID to look for"))
    })?;
    let project = object.status.as_ref().and_then(|status| status.project.clone());
    let project = project.unwrap_or_else(|| hints.project.clone());
    let key = RunKey::new(project, hints.domain.clone(), uid);
    let mut found = environment::verify(&access, &key, trust, &hints, now()).await;
    if let Some(verified) = &found.environment {
        let said: Vec<EnvRecord> = verified.records().iter().map(|one| one.record.clone()).collect();
        let (status, detail) = environment::compare(&object, &said);
        if status == Status::Unchecked {
            found.incomplete = Some(detail.clone());
        }
        found.report.record(Check::Cluster, status, detail);
    } else if found.incomplete.is_none() {
        found
            .report
            .record(Check::Cluster, Status::Unchecked, NOT_COMPARED);
    }
    Ok(found)
}
