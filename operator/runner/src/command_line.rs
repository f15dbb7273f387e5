//! Subcommands and the order of the first moments: nothing is read before the process is not dumpable.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use dcanary_protocol::exit;

use crate::process::guard;
use crate::{run, termination};

const USAGE: &str = "usage: dcanary-runner [copy DEST | probe | --version]";

/// Runs the program; its exit code is one of `dcanary_protocol::exit`.
pub fn main() -> ExitCode {
    if let Err(error) = guard::hide_memory() {
        return runner_error(&format!("cannot make the process not dumpable: {error}"));
    }
    std::panic::set_hook(Box::new(|info| {
        // The payload may hold data of steps, the place never does.
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        eprintln!("dcanary-runner: internal error at {place}");
        termination::leave(&format!("internal error at {place}"));
        std::process::exit(exit::RUNNER_ERROR);
    }));
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let words: Vec<&str> = arguments
        .iter()
        .map(|word| word.to_str().unwrap_or_default())
        .collect();
    match words.as_slice() {
        [] => {
            termination::clear();
            match run::run() {
                Ok(code) => {
                    termination::clear();
                    u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
                }
                Err(message) => runner_error(&message),
            }
        }
        ["copy", _] => match copy(Path::new(&arguments[1])) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => runner_error(&format!("cannot copy the runner: {error}")),
        },
        ["probe"] => print("ok"),
        ["--version" | "-V"] => print(concat!("dcanary-runner ", env!("CARGO_PKG_VERSION"))),
        _ => runner_error(USAGE),
    }
}

fn print(text: &str) -> ExitCode {
    use std::io::Write;
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn runner_error(message: &str) -> ExitCode {
    eprintln!("dcanary-runner: {message}");
    termination::leave(message);
    u8::try_from(exit::RUNNER_ERROR).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// The message of an error followed by those of its sources.
pub(crate) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let message = inner.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        source = inner.source();
    }
    text
}

/// Copies the running program to `destination`, which may be a directory. The file appears complete or not at all.
fn copy(destination: &Path) -> std::io::Result<()> {
    let target: PathBuf = if destination.is_dir() {
        destination.join("dcanary-runner")
    } else {
        destination.to_path_buf()
    };
    let partial = target.with_extension("partial");
    std::fs::copy(std::env::current_exe()?, &partial)?;
    std::fs::set_permissions(&partial, std::fs::Permissions::from_mode(0o755))?;
    std::fs::rename(&partial, &target)
}
