//! What is read from the journal, and how a claim is tied to the head.

use candid::Principal;
use dcanary_types::{Hash, api, block::Block};
use dcanary_verifier::tree::Lookup;
use serde_bytes::ByteBuf;

use super::{IcLedger, call, check_inclusion};
use crate::{
    error::LedgerError,
    ledger::{Head, Ledger as _, Position},
    record::RunKey,
};

/// Indexes asked for at once.
const INDEXES: u64 = 10_000;

impl IcLedger {
    pub(super) async fn proof(&self, method: &str, a: u64, b: u64) -> Result<Vec<Hash>, LedgerError> {
        let proof: api::ProofResult = self.query(method, (a, b)).await?;
        let proof = proof.map_err(|api::ProofError::OutOfRange { size }| {
            LedgerError::unproven(
                format!("{method} of {a} and {b}"),
                format!("the ledger says that it has {size} blocks"),
            )
        })?;
        let hash = |bytes: &ByteBuf| Hash::try_from(bytes.as_slice()).ok();
        proof
            .iter()
            .map(hash)
            .collect::<Option<_>>()
            .ok_or_else(|| LedgerError::decode("a proof", "not 32 bytes"))
    }

    pub(super) async fn read_blocks(&self, start: u64, length: u64) -> Result<Vec<Vec<u8>>, LedgerError> {
        let blocks: Vec<ByteBuf> = self.query("blocks", (start, length)).await?;
        Ok(blocks.into_iter().map(ByteBuf::into_vec).collect())
    }

    pub(super) async fn read_run_blocks(&self, key: &RunKey) -> Result<Vec<u64>, LedgerError> {
        let mut indexes: Vec<u64> = Vec::new();
        loop {
            let from = indexes.len() as u64;
            let more: Vec<u64> = self
                .query("run_blocks", (&key.project, &key.domain, &key.run, from, INDEXES))
                .await?;
            let last = (more.len() as u64) < INDEXES;
            indexes.extend(more);
            if last {
                return Ok(indexes);
            }
        }
    }

    pub(super) async fn read_run_graph(&self, key: &RunKey) -> Result<Option<Vec<u8>>, LedgerError> {
        let graph: Option<ByteBuf> = self
            .query("run_graph", (&key.project, &key.domain, &key.run))
            .await?;
        Ok(graph.map(ByteBuf::into_vec))
    }

    pub(super) async fn read_policy(&self) -> Result<Vec<u8>, LedgerError> {
        let policy: ByteBuf = self.query("policy", ()).await?;
        Ok(policy.into_vec())
    }

    pub(super) async fn proven_position(&self, key: &RunKey) -> Result<Position, LedgerError> {
        let claimed: Option<api::RunPosition> = self
            .query("run_position", (&key.project, &key.domain, &key.run))
            .await?;
        let Some(claimed) = claimed.filter(|claimed| claimed.next > 0) else {
            return Ok(Position::default());
        };
        let index = claimed.last_block;
        let head = self.head_over(index).await?;
        let block = self.proven_block(index, &head).await?;
        let body = |field: &str| block.body.get(field);
        let is_it = block.project == key.project
            && block.domain == key.domain
            && body("run").and_then(dcanary_types::Value::as_text) == Some(key.run.as_str())
            && body("n").and_then(dcanary_types::Value::as_nat) == Some(claimed.next - 1);
        if !is_it {
            return Err(LedgerError::unproven(
                format!("position {} of run {key}", claimed.next),
                format!("block {index} holds something else"),
            ));
        }
        Ok(Position {
            next: claimed.next,
            last: Some((index, block.content_hash())),
        })
    }

    /// One block, with its inclusion proof under `head` checked.
    ///
    /// # Errors
    /// When the ledger does not hand it out or the proof does not hold.
    pub async fn proven_block(&self, index: u64, head: &Head) -> Result<Block, LedgerError> {
        let blocks = self.read_blocks(index, 1).await?;
        let bytes = blocks
            .first()
            .ok_or_else(|| LedgerError::unproven(format!("block {index}"), "the ledger hands out none"))?;
        let block =
            Block::decode(bytes).map_err(|source| LedgerError::decode(format!("block {index}"), source))?;
        let proof = self.inclusion(index, head.size).await?;
        check_inclusion(&block.hash(), index, head, &proof)?;
        Ok(block)
    }

    /// A fresh certificate of the ledger's module hash and controllers, as the network gave it.
    ///
    /// # Errors
    /// When it cannot be had or is not certified for the ledger.
    pub async fn code_certificate(&self) -> Result<Vec<u8>, LedgerError> {
        let path = |leaf: &str| {
            vec![
                "canister".into(),
                ic_certification::Label::from_bytes(self.ledger.as_slice()),
                leaf.into(),
            ]
        };
        let paths = vec![path("module_hash"), path("controllers")];
        let certificate = self
            .agent
            .read_state_raw(paths, self.ledger)
            .await
            .map_err(|source| call::explain(source, "read_state", self.ledger, &self.wire))?;
        let mut bytes = Vec::new();
        ciborium::into_writer(&certificate, &mut bytes)
            .map_err(|source| LedgerError::decode("the certificate of the code", source))?;
        self.decode(&bytes)?;
        Ok(bytes)
    }

    /// The certified code of the ledger.
    ///
    /// # Errors
    /// When it cannot be had or is not certified.
    pub async fn code(&self) -> Result<CertifiedCode, LedgerError> {
        let certificate = self.code_certificate().await?;
        let verified = self.decode(&certificate)?;
        let look = |leaf: &[u8]| verified.lookup(&[b"canister", self.ledger.as_slice(), leaf]);
        let unrevealed = || LedgerError::unproven("the ledger's code", "the certificate does not reveal it");
        let module_hash = match look(b"module_hash") {
            Lookup::Found(hash) => {
                Some(Hash::try_from(hash).map_err(|_| LedgerError::decode("a module hash", "not 32 bytes"))?)
            }
            Lookup::Absent => None,
            Lookup::Unknown | Lookup::NotLeaf => return Err(unrevealed()),
        };
        let controllers = match look(b"controllers") {
            Lookup::Found(bytes) => Some(principals(bytes)?),
            Lookup::Absent => None,
            Lookup::Unknown | Lookup::NotLeaf => return Err(unrevealed()),
        };
        Ok(CertifiedCode {
            certificate,
            module_hash,
            controllers,
        })
    }

    /// The certified module hash of the ledger, `None` when nothing is installed.
    ///
    /// # Errors
    /// When it cannot be had or is not certified.
    pub async fn module_hash(&self) -> Result<Option<Hash>, LedgerError> {
        Ok(self.code().await?.module_hash)
    }
}

/// What runs under the ledger's id, and who may change it, as the network certifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertifiedCode {
    /// The certificate, as received.
    pub certificate: Vec<u8>,
    /// Hash of the installed module.
    pub module_hash: Option<Hash>,
    /// Controllers; `None` when there is no such canister.
    pub controllers: Option<Vec<Principal>>,
}

fn principals(bytes: &[u8]) -> Result<Vec<Principal>, LedgerError> {
    let malformed = |reason: String| LedgerError::decode("the controllers", reason);
    let ids: Vec<ByteBuf> = ciborium::from_reader(bytes).map_err(|source| malformed(source.to_string()))?;
    ids.iter()
        .map(|id| Principal::try_from_slice(id).map_err(|source| malformed(source.to_string())))
        .collect()
}
