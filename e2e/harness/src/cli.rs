//! The `dcanary` program as a user calls it.

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use anyhow::{Context, Result};
use tokio::process::Command;

/// Path of the program that was built: `DCANARY_BIN`, else beside the tests.
pub fn program() -> PathBuf {
    std::env::var_os("DCANARY_BIN").map_or_else(
        || {
            let mut path = std::env::current_exe().unwrap_or_default();
            // <target>/<profile>/deps/<test> → <target>/<profile>/dcanary
            path.pop();
            path.pop();
            path.join("dcanary")
        },
        PathBuf::from,
    )
}

/// Where everything is that `dcanary` keeps for this process.
fn home() -> PathBuf {
    std::env::temp_dir().join(format!("dcanary-e2e-{}", std::process::id()))
}

/// Forgets what every call of [`dcanary`] so far has seen of ledgers.
///
/// # Errors
/// When it cannot be removed.
pub fn forget() -> Result<()> {
    match std::fs::remove_dir_all(home()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

// Trust file and memory of whoever runs the tests are about other ledgers: nothing is configured, and a test that believes something says so
// by `--trust`.
fn command(args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command
        .args(args)
        .env("NO_COLOR", "1")
        .env_remove("DCANARY_TRUST")
        .env("XDG_CONFIG_HOME", home())
        .env("XDG_STATE_HOME", home())
        // there is nobody to ask
        .stdin(Stdio::null());
    command
}

/// Runs `dcanary` with arguments.
///
/// # Errors
/// When it cannot be started.
pub async fn dcanary(args: &[&str]) -> Result<Output> {
    command(args)
        .output()
        .await
        .with_context(|| format!("start {}", program().display()))
}

/// Runs `dcanary` with arguments and a memory of its own: what it has seen of ledgers is kept in `state`.
///
/// # Errors
/// When it cannot be started.
pub async fn dcanary_remembering(state: &Path, args: &[&str]) -> Result<Output> {
    command(args)
        .env("XDG_STATE_HOME", state)
        .output()
        .await
        .with_context(|| format!("start {}", program().display()))
}

/// Everything that a program said.
pub fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
