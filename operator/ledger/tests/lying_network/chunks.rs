//! A module that is larger than a message, in chunks: what is sent, and what is believed of the answers.

use candid::Decode;
use dcanary_ledger::deploy::code::put;
use dcanary_types::value::sha256;
use ic_management_canister_types::{
    CanisterIdRecord, CanisterInstallMode, ChunkHash, InstallChunkedCodeArgs, UploadChunkArgs,
};

use super::*;

const MIB: usize = 1024 * 1024;

/// Installs three chunks that are alike on a network that says that it stored `hash`.
async fn install(hash: [u8; 32]) -> (Network, Result<(), LedgerError>) {
    let network = Network::new().await;
    let stored = ChunkHash { hash: hash.to_vec() };
    network.says("upload_chunk", Encode!(&stored).unwrap());
    for method in ["clear_chunk_store", "install_chunked_code", "install_code"] {
        network.says(method, Encode!(&()).unwrap());
    }
    let mode = CanisterInstallMode::Upgrade(None);
    let done = put(&client(&network), mode, vec![7; 3 * MIB], vec![1, 2], 2 * MIB).await;
    (network, done)
}

#[tokio::test]
async fn a_module_that_is_too_large_for_a_message_is_installed_from_chunks_and_the_store_is_left_empty() {
    let chunk = sha256(&vec![7; MIB]);
    let (network, done) = install(chunk).await;
    done.unwrap();
    let called = network.called();
    let methods: Vec<&str> = called.iter().map(|(method, _)| method.as_str()).collect();
    assert_eq!(
        methods,
        [
            "clear_chunk_store",
            "upload_chunk",
            "upload_chunk",
            "upload_chunk",
            "install_chunked_code",
            "clear_chunk_store"
        ]
    );
    let sent = Decode!(&called[1].1, UploadChunkArgs).unwrap();
    assert_eq!((sent.canister_id, sent.chunk.len()), (LEDGER, MIB));
    let install = Decode!(&called[4].1, InstallChunkedCodeArgs).unwrap();
    assert_eq!(install.target_canister, LEDGER);
    assert_eq!(install.mode, CanisterInstallMode::Upgrade(None));
    assert_eq!(install.wasm_module_hash, sha256(&vec![7; 3 * MIB]));
    let hashes: Vec<Vec<u8>> = install
        .chunk_hashes_list
        .into_iter()
        .map(|chunk| chunk.hash)
        .collect();
    assert_eq!(hashes, vec![chunk.to_vec(); 3]);
    assert_eq!(install.arg, [1, 2]);
    let cleared = Decode!(&called[5].1, CanisterIdRecord).unwrap();
    assert_eq!(cleared.canister_id, LEDGER);
}

#[tokio::test]
async fn a_network_that_stores_another_chunk_installs_nothing() {
    let (network, done) = install([9; 32]).await;
    assert!(matches!(done.unwrap_err(), LedgerError::Unproven { .. }));
    let installs = |(method, _): &(String, Vec<u8>)| method.starts_with("install");
    assert!(!network.called().iter().any(installs));
}

#[tokio::test]
async fn a_module_that_fits_into_a_message_needs_no_chunks() {
    let network = Network::new().await;
    network.says("install_code", Encode!(&()).unwrap());
    let done = put(
        &client(&network),
        CanisterInstallMode::Install,
        vec![7; 100],
        vec![1],
        101,
    )
    .await;
    done.unwrap();
    assert_eq!(network.called().len(), 1);
}
