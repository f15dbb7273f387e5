//! An embedded node of its own, as a separate process, with the shipped ledger canister.

use std::{path::Path, process::Stdio, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use dcanary_ledger::{
    IcLedger, IcLedgerConfig, MemoryCheckpoints, Transport, key,
    setup::{FIRST_CANISTER, Grant, Setup, install},
};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Project of the bench's records.
pub const PROJECT: &str = "bench";
/// Domain of the bench's records.
pub const DOMAIN: &str = "local";

/// Longest wait for the node to serve.
const START: Duration = Duration::from_secs(30);

/// A running node; it ends, and its data is deleted, when this is dropped.
pub struct Node {
    _process: Child,
    _folder: TempDir,
    ready: Ready,
    key: String,
}

#[derive(Deserialize)]
struct Ready {
    url: String,
    root_key: String,
}

impl Node {
    /// Starts the program on a free port of this machine with durable data in a folder for temporary files, and installs the ledger.
    ///
    /// # Errors
    /// When the program or the wasm is missing, or the node does not serve in time.
    pub async fn start(program: &Path, wasm: &Path) -> Result<Self> {
        let wasm = std::fs::read(wasm).with_context(|| format!("read {}", wasm.display()))?;
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("ready.json");
        let mut process = Command::new(program)
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(folder.path().join("data"))
            .arg("--ready-file")
            .arg(&file)
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let ready = tokio::select! {
            ready = tokio::time::timeout(START, announced(&file)) => ready.context("the node does not serve")??,
            ended = process.wait() => bail!("the node ended: {}", ended?),
        };
        let node = Self {
            _process: process,
            _folder: folder,
            ready,
            key: key::generate()?,
        };
        node.install(wasm).await?;
        Ok(node)
    }

    /// A client of its ledger that may write records of [`PROJECT`] and [`DOMAIN`].
    ///
    /// # Errors
    /// When the node announced something that is no address or key.
    pub fn ledger(&self) -> Result<IcLedger> {
        Ok(IcLedger::connect(IcLedgerConfig::new(
            self.ready.url.clone(),
            self.root_key()?,
            FIRST_CANISTER,
            Arc::new(key::parse(&self.key, "the bench's key")?),
            Arc::new(MemoryCheckpoints::default()),
        ))?)
    }

    async fn install(&self, wasm: Vec<u8>) -> Result<()> {
        let owner = Arc::new(key::parse(&self.key, "the bench's key")?);
        install(Setup {
            transport: Transport::new(self.ready.url.clone()),
            root_key: self.root_key()?,
            owner: owner.clone(),
            wasm,
            ledger: FIRST_CANISTER,
            upgrade: false,
            grants: vec![Grant {
                principal: key::principal_of(owner.as_ref())?,
                project: PROJECT.to_owned(),
                domain: DOMAIN.to_owned(),
            }],
        })
        .await?;
        Ok(())
    }

    fn root_key(&self) -> Result<Vec<u8>> {
        hex::decode(&self.ready.root_key).context("the node's root key")
    }
}

/// What the node announces. The file appears whole.
async fn announced(file: &Path) -> Result<Ready> {
    let mut beat = tokio::time::interval(Duration::from_millis(20));
    loop {
        beat.tick().await;
        match tokio::fs::read(file).await {
            Ok(bytes) => return serde_json::from_slice(&bytes).context("the node's ready file"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).context("read the node's ready file"),
        }
    }
}
