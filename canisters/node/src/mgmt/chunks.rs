//! The chunk store, and modules put together from it.
//!
//! Source: IC interface specification, "IC method `upload_chunk`" and the three after it.

use super::{decode, encode, nothing};
use crate::exec::call::{Call, not_found};
use crate::exec::machine::Machine;
use crate::faults::{Fault, broken};
use crate::state::State;
use crate::state::canister::Canister;
use crate::state::chunks::{Chunks, MAX_CHUNK, MAX_CHUNKS};
use crate::state::request::Reject;
use crate::wasm::packed::MAX_MODULE;
use crate::wire::hash::{Hash, sha256};
use candid::{CandidType, Deserialize};
use ic_error_types::ErrorCode;
use ic_management_canister_types::{CanisterInstallMode, ChunkHash};
use ic_principal::Principal;
use serde_bytes::ByteBuf;
use std::sync::Arc;

#[derive(CandidType, Deserialize)]
struct UploadArgs {
    chunk: ByteBuf,
}

/// The argument of `install_chunked_code`.
#[derive(CandidType, Deserialize)]
pub struct ChunkedArgs {
    pub mode: CanisterInstallMode,
    pub target_canister: Principal,
    store_canister: Option<Principal>,
    chunk_hashes_list: Vec<ChunkHash>,
    wasm_module_hash: ByteBuf,
    pub arg: ByteBuf,
}

fn refused(message: impl Into<String>) -> Reject {
    Reject::new(ErrorCode::CanisterContractViolation, message)
}

/// `upload_chunk`.
pub fn upload(machine: &mut Machine, canister: &Canister, call: &Call) -> Result<Vec<u8>, Reject> {
    let args: UploadArgs = decode(&call.arg)?;
    let mut next = canister.clone();
    let hash = next
        .chunks
        .insert(&args.chunk)
        .map_err(|error| refused(format!("Error from Wasm chunk store: {error}")))?;
    if next.chunks.len() > canister.chunks.len() {
        machine.memory().need(MAX_CHUNK as u64)?;
        machine.check_quota(canister, &next)?;
        machine.commit(next, &(Vec::new(), Vec::new()));
    }
    let hash = if broken(Fault::CarelessChunks) {
        Vec::new()
    } else {
        hash.to_vec()
    };
    encode(&ChunkHash { hash })
}

/// `clear_chunk_store`.
pub fn clear(machine: &mut Machine, canister: &Canister) -> Result<Vec<u8>, Reject> {
    if canister.chunks.len() > 0 && !broken(Fault::CarelessChunks) {
        let mut next = canister.clone();
        next.chunks = Chunks::default();
        machine.commit(next, &(Vec::new(), Vec::new()));
    }
    nothing()
}

/// `stored_chunks`.
pub fn stored(canister: &Canister) -> Result<Vec<u8>, Reject> {
    let hashes: Vec<ChunkHash> = canister
        .chunks
        .iter()
        .map(|(hash, _)| ChunkHash { hash: hash.to_vec() })
        .collect();
    encode(&hashes)
}

/// The chunks of a module in order, from a store that the caller may use. Looks and adds up, and copies nothing.
fn find<'a>(state: &'a State, caller: &Principal, args: &ChunkedArgs) -> Result<Vec<&'a Arc<[u8]>>, Reject> {
    let other = args.store_canister.filter(|_| !broken(Fault::CarelessChunks));
    let id = other.unwrap_or(args.target_canister);
    let store = state.canister(&id).ok_or_else(|| not_found(id))?;
    if !store.is_controlled_by(caller) && *caller != id {
        return Err(Reject::new(
            ErrorCode::CanisterInvalidController,
            format!(
                "Only controllers of canister {id} and the canister itself can install from its chunk store"
            ),
        ));
    }
    if args.chunk_hashes_list.len() > MAX_CHUNKS {
        return Err(refused(format!(
            "Error from Wasm chunk store: a module has at most {MAX_CHUNKS} chunks"
        )));
    }
    let mut total = 0;
    let mut chunks = Vec::with_capacity(args.chunk_hashes_list.len());
    for ChunkHash { hash } in &args.chunk_hashes_list {
        let chunk = Hash::try_from(hash.as_slice())
            .ok()
            .and_then(|hash| store.chunks.get(&hash))
            .ok_or_else(|| {
                refused(format!(
                    "Error from Wasm chunk store: chunk {} is not in the store of canister {id}",
                    hex::encode(hash)
                ))
            })?;
        total += chunk.len() as u64;
        chunks.push(chunk);
    }
    if total > MAX_MODULE {
        return Err(refused(format!(
            "Error from Wasm chunk store: a module has at most {MAX_MODULE} bytes"
        )));
    }
    Ok(chunks)
}

/// Whether a chunked install can find its chunks, so that a refusal comes before ordering.
pub fn check(state: &State, call: &Call) -> Result<(), Reject> {
    find(state, &call.caller, &decode(&call.arg)?).map(drop)
}

/// How large the module of a chunked install is, as it was uploaded.
pub fn bytes(state: &State, caller: &Principal, args: &ChunkedArgs) -> Result<u64, Reject> {
    let chunks = find(state, caller, args)?;
    Ok(chunks.iter().map(|chunk| chunk.len() as u64).sum())
}

/// The module that a chunked install is about.
pub fn assemble(state: &State, caller: &Principal, args: &ChunkedArgs) -> Result<Vec<u8>, Reject> {
    let chunks = find(state, caller, args)?;
    let mut module = Vec::with_capacity(chunks.iter().map(|chunk| chunk.len()).sum());
    for chunk in chunks {
        module.extend_from_slice(chunk);
    }
    let hash = sha256(&module);
    if args.wasm_module_hash.as_slice() != hash && !broken(Fault::ChunkHashUnchecked) {
        return Err(refused(format!(
            "Error from Wasm chunk store: the chunks are a module with the hash {}, and the call names {}",
            hex::encode(hash),
            hex::encode(&args.wasm_module_hash)
        )));
    }
    Ok(module)
}
