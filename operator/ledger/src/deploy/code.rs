//! Installing a module: in one message, or in chunks where it is larger than a message may be.

use candid::Encode;
use dcanary_types::{api, value};
use ic_management_canister_types::{
    CanisterIdRecord, CanisterInstallMode, ChunkHash, InstallChunkedCodeArgs, InstallCodeArgs,
    UploadChunkArgs,
};

use crate::{error::LedgerError, ic::IcLedger};

/// Largest ingress message of the Internet Computer, 2 MiB, less what an envelope and its candid header need.
pub const MESSAGE_BYTES: usize = 2 * 1024 * 1024 - 4 * 1024;

/// Largest chunk of the interface specification (IC method `upload_chunk`).
const CHUNK_BYTES: usize = 1024 * 1024;

/// Installs the ledger, or upgrades it, in messages of any network ([`MESSAGE_BYTES`]).
///
/// # Errors
/// When the network refuses a step.
pub(crate) async fn put_ledger(
    client: &IcLedger,
    mode: CanisterInstallMode,
    wasm: Vec<u8>,
    argument: &api::InitArg,
) -> Result<(), LedgerError> {
    let arg = Encode!(argument)
        .map_err(|source| LedgerError::decode("the argument of the installation", source))?;
    put(client, mode, wasm, arg, MESSAGE_BYTES).await
}

/// Installs or upgrades, with at most `message_bytes` in a message ([`MESSAGE_BYTES`] on any network).
///
/// # Errors
/// When the network refuses a step, or stores another chunk than it was sent.
pub async fn put(
    client: &IcLedger,
    mode: CanisterInstallMode,
    wasm: Vec<u8>,
    arg: Vec<u8>,
    message_bytes: usize,
) -> Result<(), LedgerError> {
    let canister_id = client.id();
    if wasm.len() + arg.len() <= message_bytes {
        let arguments = InstallCodeArgs {
            mode,
            canister_id,
            wasm_module: wasm,
            arg,
            sender_canister_version: None,
        };
        return client.manage("install_code", &arguments).await;
    }
    let store = CanisterIdRecord { canister_id };
    // chunks of an attempt that broke off cost memory, and there is room for 100 only
    client.manage::<()>("clear_chunk_store", &store).await?;
    let mut chunk_hashes_list = Vec::new();
    for chunk in wasm.chunks(CHUNK_BYTES) {
        let arguments = UploadChunkArgs {
            canister_id,
            chunk: chunk.to_vec(),
        };
        let stored: ChunkHash = client.manage("upload_chunk", &arguments).await?;
        if stored.hash != value::sha256(chunk) {
            return Err(LedgerError::unproven(
                "the answer of `upload_chunk`",
                "its hash is not that of the chunk",
            ));
        }
        chunk_hashes_list.push(stored);
    }
    let arguments = InstallChunkedCodeArgs {
        mode,
        target_canister: canister_id,
        store_canister: None,
        chunk_hashes_list,
        wasm_module_hash: value::sha256(&wasm).to_vec(),
        arg,
        sender_canister_version: None,
    };
    client.manage::<()>("install_chunked_code", &arguments).await?;
    client.manage("clear_chunk_store", &store).await
}
