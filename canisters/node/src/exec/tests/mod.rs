//! What executions may do, and what is left of them, on canisters written in wat.
#![allow(clippy::unwrap_used, clippy::panic)]

mod chunks;
mod heap;
mod history;
mod install;
mod kept;
mod logs;
mod memory;
mod messages;
mod modules;
mod random;
mod replay;
mod settings;
mod versions;

use super::batch::{Batch, Ingress};
use super::call::{Call, Executor, Network};
use super::limits::Limits;
use super::machine::Machine;
use crate::mgmt::{self, Sender};
use crate::state::State;
use crate::state::canister::Canister;
use crate::state::request::{Outcome, Reject};
use crate::wasm::engine::Engine;
use crate::wire::hash::sha256;
use candid::{CandidType, Encode};
use ic_management_canister_types::{CanisterIdRecord, CanisterInstallMode, CanisterSettings};
use ic_principal::Principal;
use std::sync::{Arc, OnceLock};

fn executor(limits: Limits) -> Executor {
    static ENGINE: OnceLock<Arc<Engine>> = OnceLock::new();
    let engine = ENGINE.get_or_init(|| Arc::new(Engine::new().unwrap())).clone();
    Executor {
        engine,
        network: Network {
            subnet: Principal::from_slice(&[7]),
            root_key: [1, 2].into(),
        },
        limits,
    }
}

fn id() -> Principal {
    Principal::from_slice(&[0, 0, 0, 8, 0, 0, 0, 0, 1, 1])
}

fn owner() -> Principal {
    Principal::from_slice(&[1, 2, 3])
}

/// A machine with one canister, driven one message at a time.
struct World {
    machine: Machine,
    batches: Vec<Batch>,
    memory_limit: u64,
    /// What came back of the cycles of the last call as a canister makes it.
    refunded: u128,
}

#[derive(CandidType)]
struct Create {
    specified_id: Option<Principal>,
    settings: Option<CanisterSettings>,
}

#[derive(CandidType)]
struct Install<'a> {
    mode: CanisterInstallMode,
    canister_id: Principal,
    wasm_module: &'a serde_bytes::Bytes,
    arg: &'a serde_bytes::Bytes,
}

impl World {
    fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    fn with_limits(limits: Limits) -> Self {
        let mut world = Self {
            machine: Machine::new(executor(limits), State::default()),
            batches: vec![],
            memory_limit: u64::MAX,
            refunded: 0,
        };
        let create = Encode!(&Create {
            specified_id: Some(id()),
            settings: None
        })
        .unwrap();
        world
            .manage(owner(), "provisional_create_canister_with_cycles", &create)
            .unwrap();
        world
    }

    /// A world whose canister has this code.
    fn running(wat: &str) -> Self {
        let mut world = Self::new();
        world.install(wat, CanisterInstallMode::Install, b"").unwrap();
        world
    }

    fn send(
        &mut self,
        sender: Principal,
        canister: Principal,
        method: &str,
        arg: &[u8],
    ) -> Result<Vec<u8>, Reject> {
        let number = self.batches.len() as u64 + 1;
        let message = Ingress {
            id: sha256(&number.to_le_bytes()),
            sender,
            canister,
            effective: id(),
            method: method.to_owned(),
            arg: arg.into(),
            expiry: u64::MAX,
        };
        let request = message.id;
        self.apply(vec![message]);
        match self
            .machine
            .state()
            .requests
            .get(&request)
            .unwrap()
            .outcome
            .clone()
        {
            Outcome::Replied(reply) => Ok(reply),
            Outcome::Rejected(reject) => Err(reject),
        }
    }

    fn apply(&mut self, messages: Vec<Ingress>) {
        let round = self.batches.len() as u64 + 1;
        let batch = Batch {
            round,
            time: round * 1_000,
            memory_limit: self.memory_limit,
            seed: sha256(&(!round).to_le_bytes()),
            messages,
        };
        self.machine.apply(&batch);
        self.batches.push(batch);
    }

    fn manage(&mut self, sender: Principal, method: &str, arg: impl AsRef<[u8]>) -> Result<Vec<u8>, Reject> {
        self.send(sender, Principal::management_canister(), method, arg.as_ref())
    }

    /// A management call as a canister makes it.
    fn manage_by(
        &mut self,
        canister: Principal,
        cycles: u128,
        method: &str,
        arg: impl AsRef<[u8]>,
    ) -> Result<Vec<u8>, Reject> {
        let version = self
            .machine
            .state()
            .canister(&canister)
            .map_or(0, |caller| caller.version);
        let call = Call {
            caller: canister,
            arg: arg.as_ref().into(),
            ..self.call(method)
        };
        let mut sender = Sender {
            version: Some(version),
            cycles,
        };
        let result = mgmt::execute(&mut self.machine, &call, &mut sender);
        self.refunded = sender.cycles;
        result
    }

    /// A query of the management canister.
    fn ask(&self, sender: Principal, method: &str, arg: impl AsRef<[u8]>) -> Result<Vec<u8>, Reject> {
        let call = Call {
            caller: sender,
            arg: arg.as_ref().into(),
            ..self.call(method)
        };
        mgmt::query(self.machine.state(), &call)
    }

    /// Creates another canister.
    fn create(&mut self, controller: Principal) -> Principal {
        let arg = Encode!(&Create {
            specified_id: None,
            settings: None
        })
        .unwrap();
        let reply = self
            .manage(controller, "provisional_create_canister_with_cycles", arg)
            .unwrap();
        candid::decode_one::<CanisterIdRecord>(&reply)
            .unwrap()
            .canister_id
    }

    fn install(&mut self, wat: &str, mode: CanisterInstallMode, arg: &[u8]) -> Result<Vec<u8>, Reject> {
        self.install_bytes(&wat::parse_str(wat).unwrap(), mode, arg)
    }

    fn install_bytes(
        &mut self,
        wasm: &[u8],
        mode: CanisterInstallMode,
        arg: &[u8],
    ) -> Result<Vec<u8>, Reject> {
        let arg = Encode!(&Install {
            mode,
            canister_id: id(),
            wasm_module: serde_bytes::Bytes::new(wasm),
            arg: serde_bytes::Bytes::new(arg),
        })
        .unwrap();
        self.manage(owner(), "install_code", &arg)
    }

    fn update(&mut self, method: &str) -> Result<Vec<u8>, Reject> {
        self.send(owner(), id(), method, b"")
    }

    fn call(&self, method: &str) -> Call {
        Call {
            caller: owner(),
            method: method.into(),
            arg: [].into(),
            time: self.machine.state().time,
        }
    }

    fn query(&self, method: &str) -> Result<Vec<u8>, Reject> {
        self.machine
            .executor
            .query(self.canister(), &self.call(method), None)
    }

    fn canister(&self) -> &Canister {
        self.machine.state().canister(&id()).unwrap()
    }
}

/// A number of cases, or what `PROPTEST_CASES` says.
fn cases(usual: u32) -> proptest::test_runner::Config {
    let wanted = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|text| text.parse().ok());
    proptest::test_runner::Config::with_cases(wanted.unwrap_or(usual))
}

fn stranger() -> Principal {
    Principal::from_slice(&[9])
}

/// The argument of methods that are only about a canister.
fn about(canister: Principal) -> Vec<u8> {
    Encode!(&CanisterIdRecord {
        canister_id: canister
    })
    .unwrap()
}

/// The error code of a rejection.
fn code<T: std::fmt::Debug>(result: Result<T, Reject>) -> String {
    result.unwrap_err().error.to_string()
}
