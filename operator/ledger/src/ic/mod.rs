//! The ledger as a canister, reached with `ic-agent`.
//!
//! Every certificate is checked by `dcanary-verifier`, which knows whose it is and how old it may be, what the certified
//! labels mean, and whether the head extends the checkpoint. Query signatures are verified and prove nothing
//! here: whatever a decision rests on is tied to the certified head.

mod admin;
mod call;
mod control;
mod delegation;
mod head;
mod read;
mod send;

pub use read::CertifiedCode;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use candid::Principal;
use dcanary_types::{Hash, api, tree};
use dcanary_verifier::{certificate::RootKey, head::Anchors};
use ic_agent::{Agent, Identity};
use tokio::sync::Mutex;

use crate::{
    checkpoint::{CheckpointStore, MemoryCheckpoints},
    error::LedgerError,
    key,
    ledger::{Appended, Head, Ledger, Position},
    record::{Answer, RunKey, Segment},
    transport::{self, Transport, Wire},
};

/// Version of the canister's interface that this client speaks.
pub const PROTOCOL: u32 = 1;

/// What is needed to speak with a ledger.
pub struct IcLedgerConfig {
    /// Where the network is.
    pub transport: Transport,
    /// DER-encoded root key of the network, 133 bytes: given by an administrator, never fetched.
    pub root_key: Vec<u8>,
    /// Canister id of the ledger.
    pub ledger: Principal,
    /// Who calls.
    pub identity: Arc<dyn Identity>,
    /// Where the last verified head is kept.
    pub checkpoints: Arc<dyn CheckpointStore>,
    /// How often at most the checkpoint is written down. It moves in memory with every head.
    pub save_every: Duration,
    /// Set where others own the ledger's code: the caller must not be one of its controllers, and nothing is appended
    /// unless the network certified that no longer ago than this. `None` = not asked.
    pub disown_every: Option<Duration>,
}

impl IcLedgerConfig {
    /// A configuration with the usual time-outs.
    pub fn new(
        url: impl Into<String>,
        root_key: Vec<u8>,
        ledger: Principal,
        identity: Arc<dyn Identity>,
        checkpoints: Arc<dyn CheckpointStore>,
    ) -> Self {
        let transport = Transport::new(url);
        Self {
            transport,
            root_key,
            ledger,
            identity,
            checkpoints,
            save_every: Duration::from_secs(30),
            disown_every: None,
        }
    }

    /// The same for a writer on a network of others: its key must not be a controller of the ledger.
    #[must_use]
    pub fn of_others(self) -> Self {
        Self {
            disown_every: Some(control::DISOWN_EVERY),
            ..self
        }
    }
}

/// The ledger canister.
pub struct IcLedger {
    agent: Agent,
    wire: Wire,
    anchors: Anchors,
    ledger: Principal,
    caller: Principal,
    checkpoints: Arc<dyn CheckpointStore>,
    save_every: Duration,
    disowned: Option<control::Disowned>,
    memory: Mutex<head::Memory>,
    latest: std::sync::Mutex<head::Latest>,
    delegations: delegation::Delegations,
}

impl IcLedger {
    /// Sets everything up; nothing is sent yet.
    ///
    /// # Errors
    /// When the URL, the root key or the identity cannot be used.
    pub fn connect(config: IcLedgerConfig) -> Result<Self, LedgerError> {
        let root_key = RootKey::from_der(&config.root_key)
            .map_err(|source| LedgerError::of_certificate(source, config.ledger))?;
        let caller = key::principal_of(config.identity.as_ref())?;
        let wire = Wire::new(&config.transport)?;
        Ok(Self {
            agent: transport::agent_over(&wire, &config.transport, &config.root_key, config.identity)?,
            wire,
            anchors: Anchors {
                root_key,
                ledger: config.ledger.as_slice().to_vec(),
            },
            ledger: config.ledger,
            caller,
            checkpoints: config.checkpoints,
            save_every: config.save_every,
            disowned: config.disown_every.map(control::Disowned::new),
            memory: Mutex::default(),
            latest: std::sync::Mutex::default(),
            delegations: delegation::Delegations::default(),
        })
    }

    /// A client that remembers nothing: for who sets a ledger up, looks at it and ends.
    ///
    /// # Errors
    /// As for [`IcLedger::connect`].
    pub fn forgetful(
        transport: Transport,
        root_key: Vec<u8>,
        ledger: Principal,
        identity: Arc<dyn Identity>,
    ) -> Result<Self, LedgerError> {
        let checkpoints = Arc::new(MemoryCheckpoints::default());
        Self::connect(IcLedgerConfig {
            transport,
            ..IcLedgerConfig::new("", root_key, ledger, identity, checkpoints)
        })
    }

    /// The canister.
    pub fn id(&self) -> Principal {
        self.ledger
    }

    /// The principal that the canister sees.
    pub fn caller(&self) -> Principal {
        self.caller
    }

    fn decode(&self, certificate: &[u8]) -> Result<dcanary_verifier::certificate::Verified, LedgerError> {
        let ledger = self.anchors.ledger.as_slice();
        let light = self.lighten(certificate)?;
        let verified = dcanary_verifier::code::check_read_state(&light.certificate, &light.key, ledger)
            .map_err(|source| LedgerError::of_certificate(source, self.ledger))?;
        check_age(verified.time(), now())?;
        Ok(verified)
    }

    fn lighten(&self, certificate: &[u8]) -> Result<delegation::Light, LedgerError> {
        self.delegations
            .lighten(certificate, &self.anchors)
            .map_err(|source| LedgerError::of_certificate(source, self.ledger))
    }
}

/// Longest age of a live certificate, and how far it may be ahead, in nanoseconds.
const MAX_AGE: u64 = 180 * 1_000_000_000;
const MAX_AHEAD: u64 = 60 * 1_000_000_000;

fn check_age(time: u64, now: u64) -> Result<(), LedgerError> {
    if now.saturating_sub(time) > MAX_AGE || time.saturating_sub(now) > MAX_AHEAD {
        return Err(LedgerError::of_age(time, now));
    }
    Ok(())
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[async_trait]
impl Ledger for IcLedger {
    async fn ready(&self) -> Result<(), LedgerError> {
        self.check_disowned().await?;
        let spoken: api::Protocol = self.query("protocol", ()).await?;
        if (spoken.min..=spoken.max).contains(&u64::from(PROTOCOL)) {
            return Ok(());
        }
        let short = |version| u32::try_from(version).unwrap_or(u32::MAX);
        Err(LedgerError::Version {
            min: short(spoken.min),
            max: short(spoken.max),
            ours: PROTOCOL,
        })
    }

    async fn append(&self, batch: &[Segment]) -> Result<Appended, LedgerError> {
        self.recently_disowned().await?;
        let answers = self.append_batch(batch).await?;
        let head = self.checked_head().await?;
        let last = answers.iter().filter_map(|answer| match answer {
            Answer::Recorded(blocks) => blocks.iter().max(),
            _ => None,
        });
        if let Some(last) = last.max().filter(|last| **last >= head.size) {
            return Err(LedgerError::unproven(
                format!("block {last} of the receipt"),
                format!("the head has {} blocks", head.size),
            ));
        }
        Ok(Appended { answers, head })
    }

    async fn position(&self, key: &RunKey) -> Result<Position, LedgerError> {
        self.proven_position(key).await
    }

    async fn head(&self) -> Result<Head, LedgerError> {
        self.checked_head().await
    }

    async fn blocks(&self, start: u64, length: u64) -> Result<Vec<Vec<u8>>, LedgerError> {
        self.read_blocks(start, length).await
    }

    async fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, LedgerError> {
        self.proof("inclusion", index, size).await
    }

    async fn consistency(&self, from: u64, to: u64) -> Result<Vec<Hash>, LedgerError> {
        self.proof("consistency", from, to).await
    }

    async fn run_blocks(&self, key: &RunKey) -> Result<Vec<u64>, LedgerError> {
        self.read_run_blocks(key).await
    }

    async fn run_graph(&self, key: &RunKey) -> Result<Option<Vec<u8>>, LedgerError> {
        self.read_run_graph(key).await
    }

    async fn policy(&self) -> Result<Vec<u8>, LedgerError> {
        self.read_policy().await
    }

    async fn keep(&self) -> Result<(), LedgerError> {
        self.save_checkpoint().await
    }
}

/// Checks that a block is leaf `index` under a head.
///
/// # Errors
/// When the proof does not lead to the head's root.
pub fn check_inclusion(block: &Hash, index: u64, head: &Head, proof: &[Hash]) -> Result<(), LedgerError> {
    tree::verify_inclusion(block, index, head.size, proof, &head.root)
        .map_err(|source| LedgerError::unproven(format!("block {index}"), source))
}
