//! The counter canister, and messages.

use super::disk::FaultyDisk;
use super::rig::executor;
use crate::exec::batch::{Batch, Ingress, Permissions};
use crate::log::disk::Disk;
use crate::log::replay::recover;
use crate::wire::hash::sha256;
use candid::{CandidType, Encode};
use ic_management_canister_types::CanisterInstallMode;
use ic_principal::Principal;
use std::sync::Arc;

const COUNTER: &str = include_str!("../../../tests/canisters/counter.wat");

pub fn canister() -> Principal {
    Principal::from_slice(&[0, 0, 0, 9, 0, 0, 0, 0, 1, 1])
}

pub fn counter() -> Vec<u8> {
    wat::parse_str(COUNTER).unwrap()
}

#[derive(CandidType)]
struct Create {
    specified_id: Option<Principal>,
}

#[derive(CandidType)]
struct Install<'a> {
    mode: CanisterInstallMode,
    canister_id: Principal,
    wasm_module: &'a serde_bytes::Bytes,
    arg: &'a serde_bytes::Bytes,
}

pub fn message(number: u64, target: Principal, method: &str, arg: Vec<u8>) -> Ingress {
    Ingress {
        id: sha256(&number.to_le_bytes()),
        sender: Principal::anonymous(),
        canister: target,
        effective: canister(),
        method: method.to_owned(),
        arg: arg.into(),
        expiry: u64::MAX,
    }
}

/// The messages that make the counter canister.
pub fn setup() -> Vec<Ingress> {
    creation(u64::MAX - 1, canister(), &counter())
}

/// The messages that make a canister. They have this number and the next one.
pub fn creation(number: u64, id: Principal, wasm: &[u8]) -> Vec<Ingress> {
    let create = Encode!(&Create {
        specified_id: Some(id)
    })
    .unwrap();
    let install = Encode!(&Install {
        mode: CanisterInstallMode::Install,
        canister_id: id,
        wasm_module: serde_bytes::Bytes::new(wasm),
        arg: serde_bytes::Bytes::new(b""),
    })
    .unwrap();
    let management = Principal::management_canister();
    vec![
        message(
            number + 1,
            management,
            "provisional_create_canister_with_cycles",
            create,
        ),
        message(number, management, "install_code", install),
    ]
}

/// Lays out a disk whose node has the counter canister, and what more these messages make.
pub fn prepare(disk: &FaultyDisk, more: Vec<Ingress>) {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut node = recover(&disk, executor()).unwrap();
    let batch = Batch {
        round: 1,
        time: 1,
        memory_limit: u64::MAX,
        canister_limit: u64::MAX,
        permissions: Permissions::ALL,
        seed: [1; 32],
        messages: setup().into_iter().chain(more).collect(),
    };
    node.machine.apply(&batch);
    node.checkpoints.write(node.machine.state()).unwrap();
}
