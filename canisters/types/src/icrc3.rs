//! The candid types of ICRC-3, as wallets and explorers call the journal.

use candid::{CandidType, Nat, Principal, define_function};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::value;

/// A value as ICRC-3 has it on the wire. The journal never writes `Int`.
#[derive(Debug, Clone, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub enum Value {
    /// Bytes.
    Blob(ByteBuf),
    /// Text.
    Text(String),
    /// A natural number.
    Nat(Nat),
    /// An integer.
    Int(candid::Int),
    /// A list.
    Array(Vec<Value>),
    /// Named fields.
    Map(Vec<(String, Value)>),
}

impl From<value::Value> for Value {
    fn from(value: value::Value) -> Self {
        match value {
            value::Value::Nat(n) => Self::Nat(Nat::from(n)),
            value::Value::Blob(bytes) => Self::Blob(ByteBuf::from(bytes)),
            value::Value::Text(text) => Self::Text(text),
            value::Value::Array(items) => Self::Array(items.into_iter().map(Self::from).collect()),
            value::Value::Map(map) => Self::Map(
                map.into_iter()
                    .map(|(name, value)| (name, Self::from(value)))
                    .collect(),
            ),
        }
    }
}

/// A range of blocks.
#[derive(Debug, Clone, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct GetBlocksRange {
    /// First index.
    pub start: Nat,
    /// How many.
    pub length: Nat,
}

/// A block and its index.
#[derive(Debug, Clone, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct IndexedBlock {
    /// Index.
    pub id: Nat,
    /// Block.
    pub block: Value,
}

pub use callback::GetBlocksCallback;

#[allow(
    missing_docs,
    reason = "the macro writes the items and takes no documentation"
)]
mod callback {
    use super::{GetBlocksRange, GetBlocksResult, define_function};

    define_function!(pub GetBlocksCallback : (Vec<GetBlocksRange>) -> (GetBlocksResult) query);
}

/// Blocks that an archive has. The journal has no archives.
#[derive(Debug, Clone, PartialEq, Eq, CandidType, Deserialize)]
pub struct ArchivedBlocks {
    /// What to ask the archive.
    pub args: Vec<GetBlocksRange>,
    /// Whom to ask.
    pub callback: GetBlocksCallback,
}

/// Answer of `icrc3_get_blocks`.
#[derive(Debug, Clone, PartialEq, Eq, CandidType, Deserialize)]
pub struct GetBlocksResult {
    /// Number of blocks of the journal.
    pub log_length: Nat,
    /// The blocks, as many as fit into an answer.
    pub blocks: Vec<IndexedBlock>,
    /// Always empty.
    pub archived_blocks: Vec<ArchivedBlocks>,
}

/// Argument of `icrc3_get_archives`.
#[derive(Debug, Clone, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct GetArchivesArgs {
    /// The last archive seen.
    pub from: Option<Principal>,
}

/// One archive.
#[derive(Debug, Clone, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Archive {
    /// Its id.
    pub canister_id: Principal,
    /// Its first block.
    pub start: Nat,
    /// Its last block.
    pub end: Nat,
}

/// The certified tip.
#[derive(Debug, Clone, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct DataCertificate {
    /// Certificate, CBOR.
    pub certificate: ByteBuf,
    /// Hash tree of the labels of section 7, CBOR.
    pub hash_tree: ByteBuf,
}

/// A block type and where it is described.
#[derive(Debug, Clone, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct SupportedBlockType {
    /// Block type.
    pub block_type: String,
    /// Description.
    pub url: String,
}
