//! `kubectl` as a user calls it.

use std::process::{Output, Stdio};

use anyhow::{Context, Result};
use tokio::{io::AsyncWriteExt, process::Command};

/// Runs `kubectl` with arguments and a standard input.
///
/// # Errors
/// When it cannot be started.
pub async fn kubectl(args: &[&str], input: &str) -> Result<Output> {
    let mut child = Command::new("kubectl")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("start kubectl: set PATH with `eval \"$(e2e/cluster/env.sh)\"`")?;
    let mut stdin = child.stdin.take().context("standard input of kubectl")?;
    stdin.write_all(input.as_bytes()).await?;
    drop(stdin);
    Ok(child.wait_with_output().await?)
}
