//! `run`: a script in a shell of the image.

use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use dcanary_protocol::frame::{StepEnd, Stream};
use dcanary_protocol::report::StepOutcome;
use thiserror::Error;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Context, Done, step_timeout, stopped, timed_out};
use crate::environment::BadVariable;
use crate::output;
use crate::process::reaper::{Exit, Running};
use crate::process::{family, memory};
use crate::results::{self, ResultsError, StepResult};
use crate::spool::SpoolError;
use crate::stop::StopReason;
use crate::workspace::PathError;

const REASON: &str = "StepFailed";
/// Reason of a step whose processes live on.
const PROCESSES_LEFT: &str = "ProcessesLeft";
/// After every process is gone the pipes end at once; a process that cannot be killed must not hold the stage.
const DRAIN: Duration = Duration::from_mins(1);

/// Why a script was not started.
#[derive(Debug, Error)]
pub(crate) enum RunError {
    #[error("working directory: {0}")]
    Directory(#[from] PathError),
    #[error(transparent)]
    Variable(#[from] BadVariable),
    #[error("the files of the step cannot be written: {0}")]
    Files(#[source] std::io::Error),
    #[error("the shell `{0}` does not exist in this image")]
    NoShell(String),
    #[error("the shell `{shell}` cannot be started: {source}")]
    Start { shell: String, source: std::io::Error },
}

enum Ended {
    Exit(Exit),
    TimedOut,
    Stopped(StopReason),
}

type Reader = JoinHandle<Result<(), SpoolError>>;

/// Runs a script to its end, and ends whatever it leaves behind.
pub(crate) async fn run(context: &Context, script: &str, shell: &[String]) -> Done {
    let folder = context.workspace.own("steps").join(context.index.to_string());
    let results_file = folder.join("results");
    let kills = memory::kills();
    let started = start(context, script, shell, &folder, &results_file);
    let (mut running, readers) = match started {
        Ok(started) => started,
        Err(error) => return Done::failed(REASON, error.to_string()),
    };
    let grace = Duration::from_secs(context.plan.grace_seconds);
    let ended = tokio::select! {
        exit = &mut running.exit => Ended::Exit(exit.unwrap_or(Exit::Signal(0))),
        () = step_timeout(context.step.timeout_seconds) => Ended::TimedOut,
        reason = context.stop.requested() => Ended::Stopped(reason),
    };
    if !matches!(ended, Ended::Exit(_)) {
        family::terminate(&context.reaper, running.pid, grace).await;
    }
    let group = matches!(ended, Ended::Exit(_)).then_some(running.pid);
    let swept = family::sweep(&context.reaper, group).await;
    for reader in readers {
        // A reader fails only when the attempt cannot report any more, and then the sender says why.
        let _ = timeout(DRAIN, reader).await;
    }
    let killed = swept.found.saturating_sub(swept.left);
    if killed > 0 && matches!(ended, Ended::Exit(_)) {
        let _ = context
            .journal
            .note(
                context.index,
                &format!("killed {} that the step left behind", processes(killed)),
            )
            .await;
    }
    let done = match ended {
        Ended::Exit(exit) => with_memory(finished(exit), memory::kills() > kills),
        Ended::TimedOut => timed_out(context.step.timeout_seconds),
        Ended::Stopped(reason) => stopped(&reason),
    };
    if swept.left > 0 {
        // What it wrote can be written anew at any time.
        return processes_left(swept.left);
    }
    let limit = context.plan.limits.result_bytes;
    // The file may be large and its disk slow.
    let reading = tokio::task::spawn_blocking(move || results::read(&results_file, limit));
    match reading.await {
        Ok(results) => with_results(done, results),
        Err(error) => with_results(done, Err(ResultsError::Read(error.to_string()))),
    }
}

fn processes(count: usize) -> String {
    format!("{count} process{}", if count == 1 { "" } else { "es" })
}

fn processes_left(left: usize) -> Done {
    let message = format!(
        "{} that it started cannot be ended: no step runs beside them",
        processes(left)
    );
    Done {
        goes_on: true,
        ..Done::failed(PROCESSES_LEFT, message)
    }
}

fn start(
    context: &Context,
    script: &str,
    shell: &[String],
    folder: &Path,
    results_file: &Path,
) -> Result<(Running, Vec<Reader>), RunError> {
    let directory = context.workspace.directory(context.step.working_dir.as_deref())?;
    let environment = context.environment.of_step(&context.step, results_file)?;
    context.workspace.make_own().map_err(RunError::Files)?;
    let script_file = write_files(folder, script, results_file).map_err(RunError::Files)?;
    let default = ["/bin/sh".to_owned(), "-eu".to_owned()];
    let words = if shell.is_empty() {
        default.as_slice()
    } else {
        shell
    };
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .arg(script_file)
        .current_dir(directory)
        .env_clear()
        .envs(environment.variables());
    let mut running = context.reaper.spawn(&mut command).map_err(|source| {
        if source.kind() == std::io::ErrorKind::NotFound {
            RunError::NoShell(words[0].clone())
        } else {
            RunError::Start {
                shell: words[0].clone(),
                source,
            }
        }
    })?;
    let outputs: [(Option<OwnedFd>, Stream); 2] = [
        (running.stdout.take().map(Into::into), Stream::Stdout),
        (running.stderr.take().map(Into::into), Stream::Stderr),
    ];
    let readers = outputs.into_iter().filter_map(|(pipe, stream)| {
        let journal = context.journal.clone();
        pipe.map(|pipe| tokio::spawn(output::forward(pipe, journal, context.index, stream)))
    });
    Ok((running, readers.collect()))
}

/// The script is written anew for each step; what an earlier step put in its place is removed.
fn write_files(folder: &Path, script: &str, results_file: &Path) -> std::io::Result<PathBuf> {
    use std::io::Write;
    if std::fs::symlink_metadata(folder).is_ok_and(|metadata| !metadata.is_dir()) {
        std::fs::remove_file(folder)?;
    } else if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder)?;
    let script_file = folder.join("script");
    let create = |path: &Path, mode| {
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)
    };
    create(&script_file, 0o700)?.write_all(script.as_bytes())?;
    create(results_file, 0o600)?;
    Ok(script_file)
}

fn finished(exit: Exit) -> Done {
    match exit {
        Exit::Code(0) => {
            let mut done = Done::succeeded();
            done.end.exit_code = Some(0);
            done
        }
        Exit::Code(code) => {
            let mut done = Done::failed(REASON, format!("exit code {code}"));
            done.end.exit_code = Some(code);
            done
        }
        Exit::Signal(signal) => Done {
            end: StepEnd {
                outcome: StepOutcome::Killed,
                exit_code: None,
                signal: Some(signal),
                message: Some(killed_by(signal)),
            },
            reason: "StepKilled",
            results: Vec::new(),
            artifact: None,
            goes_on: false,
        },
    }
}

/// A failure after the kernel has killed a process of the step for memory.
fn with_memory(mut done: Done, killed: bool) -> Done {
    if killed && done.end.outcome != StepOutcome::Succeeded {
        done.reason = "OutOfMemory";
        let said = done.end.message.take().unwrap_or_default();
        let limit = memory::limit().map_or_else(String::new, |limit| format!(" of {limit}"));
        done.end.message = Some(format!(
            "{said}: the container used more memory than its limit{limit}, and a process was killed"
        ));
    }
    done
}

fn killed_by(signal: i32) -> String {
    let name = nix::sys::signal::Signal::try_from(signal).map_or("unknown", nix::sys::signal::Signal::as_str);
    if signal == nix::sys::signal::Signal::SIGKILL as i32 {
        format!("killed by signal {signal} ({name}), which is what happens when memory runs out")
    } else {
        format!("killed by signal {signal} ({name})")
    }
}

/// Results count whatever the outcome is; a file that is not understood fails a step that succeeded.
fn with_results(mut done: Done, results: Result<Vec<StepResult>, ResultsError>) -> Done {
    match results {
        Ok(results) => done.results = results,
        Err(error) => done.fail("ResultsInvalid", &error.to_string()),
    }
    done
}
