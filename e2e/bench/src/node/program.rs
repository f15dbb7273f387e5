//! An embedded node of its own, as a separate process on a folder for temporary files.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::usage::Process;

/// Longest wait for the node to serve, or to end.
const LIMIT: Duration = Duration::from_mins(2);

/// A running node; it ends, and its data is deleted, when this is dropped.
pub struct Program {
    process: Child,
    program: PathBuf,
    folder: TempDir,
    ready: Ready,
}

#[derive(Deserialize)]
struct Ready {
    url: String,
    root_key: String,
}

impl Program {
    /// Starts the program on a free port of this machine with durable data.
    ///
    /// # Errors
    /// When the program is missing, or the node does not serve in time.
    pub async fn start(program: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (process, ready) = started(program, folder.path()).await?;
        Ok(Self {
            process,
            program: program.to_owned(),
            folder,
            ready,
        })
    }

    /// Ends it with SIGTERM, or with SIGKILL, and starts it again on the same data. Returns how long the new one took to serve.
    ///
    /// # Errors
    /// When it does not end or start in time.
    pub async fn restart(&mut self, signal: &str) -> Result<Duration> {
        let pid = self.process.id().context("the node has ended")?.to_string();
        let told = Command::new("kill").args([signal, &pid]).status().await?;
        ensure!(told.success(), "cannot send {signal} to the node");
        tokio::time::timeout(LIMIT, self.process.wait())
            .await
            .context("the node does not end")??;
        // one that was killed could not take it back
        match tokio::fs::remove_file(announcement(self.folder.path())).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context("remove the node's ready file");
            }
            Ok(()) | Err(_) => {}
        }
        let began = Instant::now();
        (self.process, self.ready) = started(&self.program, self.folder.path()).await?;
        Ok(began.elapsed())
    }

    /// Where it serves.
    pub fn url(&self) -> &str {
        &self.ready.url
    }

    /// The key that its certificates verify against.
    ///
    /// # Errors
    /// When it announced something that is no key.
    pub fn root_key(&self) -> Result<Vec<u8>> {
        hex::decode(&self.ready.root_key).context("the node's root key")
    }

    /// Its CPU and memory.
    ///
    /// # Errors
    /// When it has ended.
    pub fn process(&self) -> Result<Process> {
        Ok(Process::of(self.process.id().context("the node has ended")?))
    }
}

fn announcement(folder: &Path) -> PathBuf {
    folder.join("ready.json")
}

async fn started(program: &Path, folder: &Path) -> Result<(Child, Ready)> {
    let file = announcement(folder);
    let mut process = Command::new(program)
        .args(["--listen", "127.0.0.1:0", "--data"])
        .arg(folder.join("data"))
        .arg("--ready-file")
        .arg(&file)
        .env("DCANARY_LOG", "warn")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start {}", program.display()))?;
    let ready = tokio::select! {
        ready = tokio::time::timeout(LIMIT, announced(&file)) => ready.context("the node does not serve")??,
        ended = process.wait() => bail!("the node ended: {}", ended?),
    };
    Ok((process, ready))
}

/// What the node announces. The file appears whole.
async fn announced(file: &Path) -> Result<Ready> {
    let mut beat = tokio::time::interval(Duration::from_millis(1));
    loop {
        beat.tick().await;
        match tokio::fs::read(file).await {
            Ok(bytes) => return serde_json::from_slice(&bytes).context("the node's ready file"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).context("read the node's ready file"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_node_starts_again_on_its_data_however_it_ended() {
        // beside the folder of the tests' programs
        let tests = std::env::current_exe().unwrap();
        let program = tests.parent().unwrap().with_file_name("dcanary-node");
        let mut node = Program::start(&program).await.unwrap();
        let key = node.root_key().unwrap();
        for signal in ["-KILL", "-TERM", "-KILL"] {
            node.restart(signal).await.unwrap();
            assert_eq!(node.root_key().unwrap(), key, "after {signal}");
        }
    }
}
