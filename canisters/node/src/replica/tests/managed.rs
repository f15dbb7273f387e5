//! The management canister through HTTP, with the official agent.

use super::Running;
use crate::log::crash::rig;
use candid::{Decode, Encode};
use ic_agent::AgentError;
use ic_management_canister_types::{
    CanisterIdRecord, CanisterInstallMode, CanisterStatusResult, ChunkHash, FetchCanisterLogsResult,
    InstallChunkedCodeArgs, InstallCodeArgs, UploadChunkArgs, UploadChunkResult,
};
use ic_principal::Principal;

impl Running {
    async fn manage(&self, method: &str, arg: Vec<u8>) -> Result<Vec<u8>, AgentError> {
        self.agent
            .update(&Principal::management_canister(), method)
            .with_effective_canister_id(rig::canister())
            .with_arg(arg)
            .call_and_wait()
            .await
    }

    async fn ask(&self, method: &str, effective: Principal) -> Result<Vec<u8>, AgentError> {
        self.agent
            .query(&Principal::management_canister(), method)
            .with_effective_canister_id(effective)
            .with_arg(about())
            .call()
            .await
    }
}

fn about() -> Vec<u8> {
    Encode!(&CanisterIdRecord {
        canister_id: rig::canister()
    })
    .unwrap()
}

/// Whether the node refused a request as such, rather than answering it.
fn is_bad_request(result: &Result<Vec<u8>, AgentError>) -> bool {
    matches!(result, Err(AgentError::HttpError(payload)) if payload.status == 400)
}

#[tokio::test]
async fn logs_and_status_are_queries_of_the_canister_that_they_are_about() {
    let running = Running::start().await;
    let trapped = running
        .agent
        .update(&rig::canister(), "inc_then_trap")
        .call_and_wait()
        .await;
    trapped.unwrap_err();
    let reply = running.ask("fetch_canister_logs", rig::canister()).await.unwrap();
    let lines = Decode!(&reply, FetchCanisterLogsResult)
        .unwrap()
        .canister_log_records;
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].content, b"[TRAP]: boom");
    let reply = running.ask("canister_status", rig::canister()).await.unwrap();
    let status = Decode!(&reply, CanisterStatusResult).unwrap();
    assert!(status.memory_metrics.log_memory_store_size > 0u8);
    // Through another canister nothing is told, and what is no query is none.
    let other = Principal::from_slice(&[0, 0, 0, 7, 0, 0, 0, 0, 1, 1]);
    for method in ["fetch_canister_logs", "canister_status"] {
        let result = running.ask(method, other).await;
        assert!(is_bad_request(&result), "{method}: {result:?}");
    }
    running.ask("start_canister", rig::canister()).await.unwrap_err();
    running.node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_module_is_uploaded_in_chunks_and_installed_and_the_canister_is_there_after_a_restart() {
    let running = Running::start().await;
    let module = rig::counter();
    let mut chunk_hashes_list = Vec::new();
    for chunk in module.chunks(module.len() / 2 + 1) {
        let upload = UploadChunkArgs {
            canister_id: rig::canister(),
            chunk: chunk.to_vec(),
        };
        let reply = running
            .manage("upload_chunk", Encode!(&upload).unwrap())
            .await
            .unwrap();
        let UploadChunkResult { hash } = Decode!(&reply, ChunkHash).unwrap();
        chunk_hashes_list.push(ChunkHash { hash });
    }
    let install = InstallChunkedCodeArgs {
        mode: CanisterInstallMode::Reinstall,
        target_canister: rig::canister(),
        store_canister: None,
        chunk_hashes_list,
        wasm_module_hash: crate::wire::hash::sha256(&module).to_vec(),
        arg: vec![],
        sender_canister_version: None,
    };
    running
        .manage("install_chunked_code", Encode!(&install).unwrap())
        .await
        .unwrap();
    // The counter begins anew.
    assert_eq!(running.increment().await.0, 200);
    assert_eq!(running.count().await, 1);
    let disk = running.disk.clone();
    running.node.shutdown().await.unwrap();
    assert_eq!(rig::recovered_count(&disk), Some(1));
}

#[tokio::test]
async fn a_module_that_was_compiled_ahead_is_not_held_when_its_install_is_over() {
    let running = Running::start().await;
    let module = wat::parse_str(r#"(module (func (export "canister_init") (unreachable)))"#).unwrap();
    let install = InstallCodeArgs {
        mode: CanisterInstallMode::Reinstall,
        canister_id: rig::canister(),
        wasm_module: module.clone(),
        arg: Vec::new(),
        sender_canister_version: None,
    };
    running
        .manage("install_code", Encode!(&install).unwrap())
        .await
        .unwrap_err();
    let known = running.node.engine().known(&module);
    assert!(known.is_none(), "it is held although nobody has it");
}
