//! A real node with the real canister, and records to write.
#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, LazyLock, OnceLock},
    time::Duration,
};

use candid::Principal;
use dcanary_ledger::{
    CheckpointStore, IcLedger, IcLedgerConfig, MemoryCheckpoints, Outbox, Outcome, Record, Recorder,
    RecorderOptions, RunKey, Transport, key,
    setup::{FIRST_CANISTER, Grant, Installed, Setup, install},
};
use dcanary_node::{Config, Modules, Node, backup};
use dcanary_types::{
    graph::{GraphDoc, Stage},
    record::{self, Outcome as Ending, Transition},
};
use ic_agent::Identity;
use tempfile::TempDir;
use tokio::{sync::mpsc, time::timeout};

/// The shipped wasm: from `$DCANARY_CANISTERS`, else built once.
pub fn wasm() -> Vec<u8> {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| match std::env::var_os("DCANARY_CANISTERS") {
        Some(folder) => folder.into(),
        None => {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
            let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("canisters");
            let done = Command::new(root.join("canisters/build.sh"))
                .arg(&out)
                .status()
                .unwrap();
            assert!(done.success(), "canisters/build.sh failed");
            out
        }
    });
    std::fs::read(folder.join("orchestrator.wasm")).expect("orchestrator.wasm")
}

pub fn identity() -> Arc<dyn Identity> {
    Arc::new(key::parse(&key::generate().unwrap(), "a test").unwrap())
}

/// A durable node that compiles no module that another test has compiled.
fn config(folder: &Path) -> Config {
    static MODULES: LazyLock<Modules> = LazyLock::new(|| Modules::new().unwrap());
    Config::durable(folder).modules(MODULES.clone())
}

/// A durable node that can be stopped, started at the same address, and given another data folder.
pub struct World {
    pub folder: TempDir,
    pub owner: Arc<dyn Identity>,
    pub root_key: Vec<u8>,
    pub address: SocketAddr,
    node: Option<Node>,
}

impl World {
    /// A node without canister.
    pub async fn bare() -> Self {
        Self::of(|config| config).await
    }

    /// A node without canister that is set up otherwise.
    pub async fn of(set_up: impl FnOnce(Config) -> Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let node = Node::start(set_up(config(folder.path()))).await.unwrap();
        Self {
            owner: identity(),
            root_key: node.root_key().to_vec(),
            address: node.address(),
            node: Some(node),
            folder,
        }
    }

    /// A node with the ledger; the owner's key is operator of project `shop`, domain `east`.
    pub async fn new() -> Self {
        let world = Self::bare().await;
        world.install(wasm(), false).await.unwrap();
        world
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Patient: an unoptimised compiler takes a minute for the canister.
    pub fn transport(&self) -> Transport {
        Transport {
            url: self.url(),
            timeout: Duration::from_secs(300),
        }
    }

    pub async fn install(
        &self,
        wasm: Vec<u8>,
        upgrade: bool,
    ) -> Result<Installed, dcanary_ledger::LedgerError> {
        install(Setup {
            transport: self.transport(),
            root_key: self.root_key.clone(),
            owner: self.owner.clone(),
            wasm,
            ledger: FIRST_CANISTER,
            upgrade,
            grants: vec![Grant {
                principal: self.owner.sender().unwrap(),
                project: "shop".to_owned(),
                domain: "east".to_owned(),
            }],
        })
        .await
    }

    pub fn client(&self, checkpoints: Arc<dyn CheckpointStore>) -> IcLedger {
        self.client_with(self.root_key.clone(), FIRST_CANISTER, checkpoints)
    }

    pub fn client_with(
        &self,
        root_key: Vec<u8>,
        ledger: Principal,
        checkpoints: Arc<dyn CheckpointStore>,
    ) -> IcLedger {
        let mut config = IcLedgerConfig::new(self.url(), root_key, ledger, self.owner.clone(), checkpoints);
        config.transport.timeout = Duration::from_secs(20);
        config.save_every = Duration::ZERO;
        IcLedger::connect(config).unwrap()
    }

    pub async fn stop(&mut self) {
        self.node.take().unwrap().shutdown().await.unwrap();
    }

    pub async fn start(&mut self) {
        let config = config(self.folder.path()).listen(self.address);
        // The address may stay taken for a moment after the stop.
        for _ in 0..100 {
            match Node::start(config.clone()).await {
                Ok(node) => {
                    self.node = Some(node);
                    return;
                }
                Err(error) => {
                    eprintln!("not yet: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        panic!("the node does not start again");
    }

    /// A copy of the data folder of a stopped node.
    pub fn backup(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(self.folder.path(), copy.path());
        copy
    }

    /// Puts a backup of a stopped node's folder, with its keys, in its place.
    pub fn restore_backup(&self) {
        let mut bytes = Vec::new();
        backup::take(self.folder.path(), true, &mut bytes).unwrap();
        std::fs::remove_dir_all(self.folder.path()).unwrap();
        backup::restore(self.folder.path(), 0, bytes.as_slice()).unwrap();
    }

    pub fn restore(&self, backup: &TempDir) {
        std::fs::remove_dir_all(self.folder.path()).unwrap();
        copy_folder(backup.path(), self.folder.path());
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub fn key_of(run: &str) -> RunKey {
    RunKey::new("shop", "east", run)
}

pub fn graph() -> GraphDoc {
    let stage = Stage {
        name: "build".to_owned(),
        needs: vec![],
        attempts: 1,
        optional: false,
        finally: false,
    };
    GraphDoc::new(vec![stage]).unwrap()
}

fn records(run: &str, transitions: Vec<Transition>) -> Vec<Record> {
    transitions
        .into_iter()
        .zip(0..)
        .map(|(transition, n)| {
            (&record::Record {
                run: run.to_owned(),
                n,
                claimed_ts: 1_000 + n,
                transition,
            })
                .into()
        })
        .collect()
}

fn opened(run: &str) -> Transition {
    Transition::RunOpened {
        name: format!("team/{run}"),
        definition: [1; 32],
        graph: graph().digest(),
        params: [2; 32],
        source: None,
    }
}

/// Four records: opened, started, succeeded, finished.
pub fn whole_run(run: &str) -> Vec<Record> {
    records(
        run,
        vec![
            opened(run),
            Transition::StageStarted {
                stage: "build".to_owned(),
                attempt: 1,
                image: "busybox".to_owned(),
            },
            Transition::StageSucceeded {
                stage: "build".to_owned(),
                attempt: 1,
                outputs: [3; 32],
                artifacts: None,
            },
            Transition::RunFinished {
                outcome: Ending::Succeeded,
            },
        ],
    )
}

/// A run opened, and notes after it.
pub fn long_run(run: &str, length: u64) -> Vec<Record> {
    let note = |n: u64| Transition::RecordRefused {
        hash: [7; 32],
        reason: format!("note {n}"),
    };
    records(
        run,
        std::iter::once(opened(run))
            .chain((1..length).map(note))
            .collect(),
    )
}

pub fn outbox(run: &str, records: Vec<Record>) -> Outbox {
    Outbox {
        key: key_of(run),
        records,
        graph: Some(graph().encode()),
    }
}

pub fn quick() -> RecorderOptions {
    RecorderOptions {
        min_pause: Duration::from_millis(50),
        max_pause: Duration::from_millis(500),
        ..RecorderOptions::default()
    }
}

pub fn memory() -> Arc<MemoryCheckpoints> {
    Arc::new(MemoryCheckpoints::default())
}

/// A recorder and what it tells.
pub struct Desk {
    pub recorder: Recorder,
    pub outcomes: mpsc::UnboundedReceiver<Outcome>,
}

impl Desk {
    pub fn new(ledger: IcLedger) -> Self {
        let (recorder, outcomes) = Recorder::start(Arc::new(ledger), quick());
        Self { recorder, outcomes }
    }

    pub async fn next(&mut self) -> Outcome {
        timeout(Duration::from_secs(60), self.outcomes.recv())
            .await
            .expect("an outcome in time")
            .unwrap()
    }

    /// Blocks of a run by number, once records up to `n` are recorded; what else was told goes to `others`.
    pub async fn until(&mut self, run: &str, n: u64, others: &mut Vec<Outcome>) -> Vec<u64> {
        let mut blocks = Vec::new();
        loop {
            match self.next().await {
                Outcome::Recorded {
                    key,
                    first,
                    blocks: more,
                } if key == key_of(run) => {
                    assert_eq!(first, blocks.len() as u64, "in order and without a gap");
                    blocks.extend(more);
                    if blocks.len() as u64 > n {
                        return blocks;
                    }
                }
                other => others.push(other),
            }
        }
    }
}
