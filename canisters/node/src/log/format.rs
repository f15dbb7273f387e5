//! The bytes of a checkpoint: description (CBOR), modules, pages; a SHA-256 over everything at the end.

mod blobs;
mod calls;
#[cfg(test)]
pub mod held;
mod kept;
mod read;
mod write;

pub use read::{base, read};
pub use write::write;

use crate::heap::pages::PAGE;
use crate::heap::wasm_memory::GlobalValue;
use crate::state::canister::Status;
use crate::state::request::Record;
use crate::wasm::inspect::ModuleError;
use crate::wire::hash::Hash;
use ic_principal::Principal;
use kept::Kept;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::io;
use std::sync::Arc;
use thiserror::Error;

const MAGIC: &[u8; 8] = b"DCNCKP4\n";
/// The formats before it, which are read and not written: they have fewer fields.
const OLD_MAGICS: [&[u8; 8]; 3] = [b"DCNCKP1\n", b"DCNCKP2\n", b"DCNCKP3\n"];

/// Why the bytes of a checkpoint are not usable.
#[derive(Debug, Error)]
pub enum FormatError {
    /// The file ends early or cannot be read.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    /// Not a checkpoint of this version.
    #[error("it is not a checkpoint of this format")]
    Magic,
    /// It is a difference to a checkpoint that cannot be before it.
    #[error("it names a wrong checkpoint as the one before it")]
    Base,
    /// A memory is larger than any canister's can be.
    #[error("a memory of canister {0} is too large")]
    MemorySize(Principal),
    /// The check sum is wrong.
    #[error("its check sum is wrong")]
    Checksum,
    /// The description cannot be decoded.
    #[error("its description is malformed: {0}")]
    Description(String),
    /// It refers to something that is missing.
    #[error("it refers to {0}, which is missing")]
    Missing(&'static str),
    /// A module that was accepted once is refused now.
    #[error("the module of canister {0} is refused: {1}")]
    Module(Principal, #[source] ModuleError),
}

#[derive(Serialize, Deserialize)]
struct Description {
    base: Option<u64>,
    round: u64,
    time: u64,
    next_number: u64,
    /// None in a checkpoint of a version that did not keep them.
    #[serde(default)]
    deleted: Vec<ByteBuf>,
    effects: Hash,
    #[serde(default)]
    seed: Hash,
    #[serde(default)]
    draws: u64,
    canisters: Vec<CanisterDescription>,
    requests: Vec<(ByteBuf, Record)>,
    #[serde(default)]
    calls: calls::CallsDescription,
}

#[derive(Serialize, Deserialize)]
struct CanisterDescription {
    id: Principal,
    /// Candid, because its types are made for it.
    settings: ByteBuf,
    status: Status,
    version: u64,
    cycles: ByteBuf,
    #[serde(default)]
    timer: u64,
    certified: ByteBuf,
    module: Option<Hash>,
    heap_size: u64,
    globals: Vec<(u8, ByteBuf)>,
    stable_size: u64,
    #[serde(default)]
    kept: Kept,
}

type PageChange = (u64, Option<Arc<[u8; PAGE]>>);

fn encode_global(global: GlobalValue) -> (u8, ByteBuf) {
    let (tag, bytes) = match global {
        GlobalValue::I32(value) => (0, value.to_le_bytes().to_vec()),
        GlobalValue::I64(value) => (1, value.to_le_bytes().to_vec()),
        GlobalValue::F32(bits) => (2, bits.to_le_bytes().to_vec()),
        GlobalValue::F64(bits) => (3, bits.to_le_bytes().to_vec()),
        GlobalValue::V128(value) => (4, value.to_le_bytes().to_vec()),
    };
    (tag, ByteBuf::from(bytes))
}

fn decode_global((tag, bytes): &(u8, ByteBuf)) -> Option<GlobalValue> {
    Some(match tag {
        0 => GlobalValue::I32(i32::from_le_bytes(bytes.as_slice().try_into().ok()?)),
        1 => GlobalValue::I64(i64::from_le_bytes(bytes.as_slice().try_into().ok()?)),
        2 => GlobalValue::F32(u32::from_le_bytes(bytes.as_slice().try_into().ok()?)),
        3 => GlobalValue::F64(u64::from_le_bytes(bytes.as_slice().try_into().ok()?)),
        4 => GlobalValue::V128(u128::from_le_bytes(bytes.as_slice().try_into().ok()?)),
        _ => return None,
    })
}
