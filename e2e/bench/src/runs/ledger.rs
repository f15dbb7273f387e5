//! The shipped ledger canister on a node of its own.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result};
use dcanary_ledger::{
    IcLedger, Transport, key,
    setup::{FIRST_CANISTER, Grant, Setup, install},
};

use crate::node::program::Program;

/// Project of the bench's records.
pub const PROJECT: &str = "bench";
/// Domain of the bench's records.
pub const DOMAIN: &str = "local";

/// A node with the ledger; it ends, and its data is deleted, when this is dropped.
pub struct Ledger {
    node: Program,
    key: String,
}

impl Ledger {
    /// Starts the node's program and installs the ledger.
    ///
    /// # Errors
    /// When the program or the wasm is missing, or the node does not serve in time.
    pub async fn start(program: &Path, wasm: &Path) -> Result<Self> {
        let wasm = std::fs::read(wasm).with_context(|| format!("read {}", wasm.display()))?;
        let ledger = Self {
            node: Program::start(program).await?,
            key: key::generate()?,
        };
        let owner = Arc::new(key::parse(&ledger.key, "the bench's key")?);
        install(Setup {
            transport: Transport::new(ledger.node.url()),
            root_key: ledger.node.root_key()?,
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
        Ok(ledger)
    }

    /// A client of it that may write records of [`PROJECT`] and [`DOMAIN`].
    ///
    /// # Errors
    /// When the node announced something that is no address or key.
    pub fn client(&self) -> Result<IcLedger> {
        Ok(IcLedger::forgetful(
            Transport::new(self.node.url()),
            self.node.root_key()?,
            FIRST_CANISTER,
            Arc::new(key::parse(&self.key, "the bench's key")?),
        )?)
    }
}
