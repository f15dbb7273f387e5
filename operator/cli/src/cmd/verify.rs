//! `verify run NAME`, `verify environment NAME` and `verify export FILE`

mod environment;

use std::{
    fs::{self, File},
    io::{self, BufReader, Read, stdin},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use dcanary_core::definition::Definition;
use dcanary_crds::PipelineRun;
use dcanary_ledger::RunKey;
use dcanary_types::record::Record;
use dcanary_verifier::{
    Check, ExportError, ExportReader, Report, RunEvidence, Status, TrustFile, VerifiedRecord,
};
use serde_json::Value;

use crate::{
    args::{Format, Global, Verify},
    cluster::Cluster,
    exit::{Exit, Failure},
    journal::{self, attempts::disputes, compare::compare, evidence},
    output::{Style, machine, note, print},
    render::{ending, journal as table, pin::unpinned, report},
    trust_file::{self, Folders},
};

/// Verifies and prints.
pub async fn run(global: &Global, verify: Verify) -> Result<Exit, Failure> {
    let folders = Folders::of_process();
    match verify {
        Verify::Export { file, trust } => {
            let form = global.form("dcanary verify export", &[Format::Json, Format::Yaml])?;
            let pinned = trust_file::load(trust.trust.as_deref(), &folders)?;
            let Checked { report, none } = export(&file, pinned.as_ref().map(|(_, trust)| trust))?;
            if form.is_none()
                && let Some(why) = none
            {
                // no list of checks, of which none could begin
                return Err(Failure::failed(format!("{}: {why}", file.display())));
            }
            let subject = format!("Export {}", file.display());
            show(
                &report,
                &subject,
                None,
                &Journal::none(),
                form,
                Style::detect(global),
            )
        }
        Verify::Run {
            name,
            trust,
            network,
            evidence,
        } => {
            let known = [Format::Json, Format::Yaml, Format::Wide];
            let form = global.form("dcanary verify run", &known)?;
            let pinned = trust_file::load(trust.trust.as_deref(), &folders)?;
            // Whatever keeps it from being checked is exit code 2 here.
            let found = live(global, &name, pinned.as_ref(), network.as_deref(), &folders)
                .await
                .map_err(|failure| failure.with(Exit::Unchecked))?;
            if let Some(path) = evidence {
                save(&path, found.evidence.as_ref().map(RunEvidence::to_json), "run")?;
            }
            show(
                &found.report,
                &format!("Run {name}"),
                found.incomplete,
                &Journal {
                    table: table::journal(&found.records),
                    records: table::machine(&found.records),
                    disputes: disputes(found.records.iter().map(|one| &one.record)),
                },
                form,
                Style::detect(global),
            )
        }
        Verify::Environment {
            name,
            trust,
            network,
            evidence,
        } => environment::run(global, &name, &trust, network.as_deref(), evidence.as_deref()).await,
    }
}

/// What was found out about a file.
#[derive(Debug)]
struct Checked {
    report: Report,
    /// Why it has not even the beginning of an export.
    none: Option<ExportError>,
}

fn export(file: &Path, trust: Option<&TrustFile>) -> Result<Checked, Failure> {
    let unread =
        |source| Failure::usage(format!("cannot read {}: {source}", file.display())).with(Exit::Unchecked);
    let input: Box<dyn Read> = if file == Path::new("-") {
        Box::new(stdin().lock())
    } else {
        Box::new(File::open(file).map_err(unread)?)
    };
    let mut broken = None;
    let input = Unbroken {
        input,
        broken: &mut broken,
    };
    let checked = match ExportReader::new(BufReader::with_capacity(1 << 16, input)) {
        Ok(export) => Checked {
            report: export.verify(trust),
            none: None,
        },
        Err(error) => Checked {
            report: error.report(trust),
            none: Some(error),
        },
    };
    broken.map_or(Ok(checked), |source| Err(unread(source)))
}

/// Keeps the error of an input that cannot be read: what was not read is not false.
struct Unbroken<'a, R> {
    input: R,
    broken: &'a mut Option<io::Error>,
}

impl<R: Read> Read for Unbroken<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.read(buffer).inspect_err(|source| {
            if source.kind() != io::ErrorKind::Interrupted {
                // the error itself goes on to the verifier
                *self.broken = Some(copy(source));
            }
        })
    }
}

fn copy(source: &io::Error) -> io::Error {
    match source.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(source.kind(), source.to_string()),
    }
}

/// What is known about a run in the cluster and in the ledger.
struct Live {
    report: Report,
    /// Why not everything could be checked.
    incomplete: Option<String>,
    /// The verified records; empty when something is false.
    records: Vec<VerifiedRecord>,
    /// What the ledger handed in.
    evidence: Option<RunEvidence>,
}

/// Writes what proves a run or an environment, true or false, for another verifier.
fn save(path: &Path, evidence: Option<Value>, what: &str) -> Result<(), Failure> {
    let Some(evidence) = evidence else {
        note(&format!(
            "{} is not written: the ledger handed in nothing about the {what}",
            path.display()
        ));
        return Ok(());
    };
    let text = machine(&evidence, Format::Json)?;
    fs::write(path, text).map_err(|source| {
        Failure::usage(format!("cannot write {}: {source}", path.display())).with(Exit::Unchecked)
    })
}

/// The graph document of a run, as its own definition has it.
fn graph(run: &PipelineRun) -> Option<Vec<u8>> {
    let status = run.status.as_ref()?;
    let definition = Definition::decode(status.resolved.as_deref(), status.definition.as_deref()).ok()?;
    Some(definition.graph().ok()?.encode())
}

async fn live(
    global: &Global,
    name: &str,
    pinned: Option<&(PathBuf, TrustFile)>,
    network: Option<&str>,
    folders: &Folders,
) -> Result<Live, Failure> {
    let trust = pinned.map(|(_, trust)| trust);
    let path = pinned.map(|(path, _)| path.as_path());
    let cluster = Cluster::connect(global).await?;
    let run = cluster.run_or(name, RECORDED).await?;
    let hints = cluster.ledger_config().await?;
    let target = journal::target(trust, Some(&hints), network)?;
    if trust.is_none() {
        note(&unpinned(&target.root_key));
    }
    let access = journal::access(&target, Some(&cluster), folders, path).await?;
    let uid =
        run.metadata.uid.clone().ok_or_else(|| {
            Failure::cannot_tell(format!("the cluster's run {name} has no UID to look for"))
        })?;
    let project = run
        .status
        .as_ref()
        .and_then(|status| status.project.clone())
        .unwrap_or_else(|| hints.project.clone());
    let key = RunKey::new(project, hints.domain.clone(), uid);
    let found = evidence::verify(&access, &key, trust, &hints, graph(&run), now()).await;
    let evidence::Verification {
        mut report,
        run: verified,
        mut incomplete,
        evidence,
    } = found;
    let mut records = Vec::new();
    if let Some(verified) = verified {
        records = verified.records().to_vec();
        let said: Vec<Record> = records.iter().map(|one| one.record.clone()).collect();
        let (status, detail) = compare(&run, &said);
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
        } else if missing.ends_with("is not in the ledger")
            && let Some(why) = run.status.as_ref().and_then(ending::unrecorded)
        {
            incomplete = Some(not_recorded(name, &key.run, &why));
        }
    } else {
        report.record(Check::Cluster, Status::Unchecked, NOT_COMPARED);
    }
    Ok(Live {
        report,
        incomplete,
        records,
        evidence,
    })
}

/// Where the records of a run are that is not in the cluster any more.
pub(super) const RECORDED: &str = "what was recorded of it stays in the ledger; `dcanary ledger export -o journal.cbor` writes that to a file, and `dcanary verify export journal.cbor` verifies it";

/// What a check of the cluster's status says where there are no verified records to compare it with.
const NOT_COMPARED: &str = "its status is compared only with records that are verified, and these are not";

/// Why a run has no records, by its name and by the UID under which the ledger would have them.
fn not_recorded(name: &str, uid: &str, why: &str) -> String {
    format!("run {name} ({uid}) is not in the ledger, and the cluster says why: {why}")
}

/// The verified records, for people and for programs; empty when something is false.
struct Journal {
    table: String,
    records: Value,
    disputes: Vec<String>,
}

impl Journal {
    fn none() -> Self {
        Self {
            table: String::new(),
            records: Value::Array(Vec::new()),
            disputes: Vec::new(),
        }
    }

    fn is_empty(&self) -> bool {
        self.records.as_array().is_none_or(Vec::is_empty)
    }
}

fn show(
    found: &Report,
    subject: &str,
    incomplete: Option<String>,
    journal: &Journal,
    form: Option<Format>,
    style: Style,
) -> Result<Exit, Failure> {
    let exit = match (found.exit_code(), &incomplete) {
        (1, _) => Exit::Failed,
        (0, None) => Exit::Succeeded,
        _ => Exit::Unchecked,
    };
    match form {
        Some(format @ (Format::Json | Format::Yaml)) => {
            let mut value = report::machine(found, subject);
            if let Some(object) = value.as_object_mut() {
                object.insert("verified".to_owned(), (exit == Exit::Succeeded).into());
                object.insert("exitCode".to_owned(), exit.code().into());
                object.insert("incomplete".to_owned(), incomplete.into());
                object.insert("records".to_owned(), journal.records.clone());
                object.insert("disputes".to_owned(), journal.disputes.clone().into());
            }
            print(&machine(&value, format)?);
        }
        form @ (Some(Format::Name | Format::Wide) | None) => {
            if form == Some(Format::Wide) && !journal.is_empty() {
                print(&format!("{}\n", journal.table));
            }
            let incomplete = incomplete.as_deref();
            print(&report::with_disputes(
                found,
                subject,
                incomplete,
                &journal.disputes,
                style,
            ));
        }
    }
    Ok(exit)
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use dcanary_verifier::{ExportWriter, export::Header};

    use super::*;

    #[test]
    fn an_export_that_cannot_be_read_is_not_called_false() {
        let folder = tempfile::tempdir().unwrap();
        let failure = export(folder.path(), None).unwrap_err();
        assert_eq!(failure.exit, Exit::Unchecked);
        let place = format!("cannot read {}: ", folder.path().display());
        assert!(failure.message.starts_with(&place), "{failure}");
        // What was read and ends too early is.
        let short = folder.path().join("short.cbor");
        fs::write(&short, [0xa3]).unwrap();
        assert_eq!(export(&short, None).unwrap().report.exit_code(), 1);
    }

    #[test]
    fn a_file_that_does_not_begin_as_an_export_is_told_in_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notes.txt");
        for bytes in [
            &b"hello, this is a text and no export of anything"[..],
            &[],
            &[0xa0],
            &[0xa3],
        ] {
            fs::write(&file, bytes).unwrap();
            let none = export(&file, None).unwrap().none;
            let said = none.map(|why| why.to_string()).unwrap_or_default();
            assert!(
                said.starts_with("this is no export: ") && !said.contains('\n'),
                "{bytes:?}: {said}"
            );
        }
    }

    #[test]
    fn a_text_whose_bytes_are_a_value_is_told_as_no_export_and_not_by_its_fields() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.yaml");
        fs::write(&file, "apiVersion: dcanary.dev/v1alpha1\nkind: PipelineRun\n").unwrap();
        let none = export(&file, None).unwrap().none;
        let said = none.map(|why| why.to_string()).unwrap_or_default();
        assert!(
            said.starts_with("this is no export: it does not begin with a header"),
            "{said}"
        );
    }

    #[test]
    fn an_export_that_is_cut_short_behind_its_header_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("short.cbor");
        let header = Header {
            ledger: vec![1],
            size: 2,
        };
        ExportWriter::new(File::create(&file).unwrap(), &header).unwrap();
        let Checked { report, none } = export(&file, None).unwrap();
        assert!(none.is_none() && report.exit_code() == 1, "{none:?}");
    }

    #[test]
    fn a_run_without_records_is_named_beside_the_uid_of_the_ledger() {
        let said = not_recorded("m5", "uid-1", "it has not begun");
        assert!(
            said.contains("m5 (uid-1)") && said.ends_with("it has not begun"),
            "{said}"
        );
    }
}
