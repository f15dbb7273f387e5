//! What executions may do, and what is left of them, on canisters written in wat.
#![allow(clippy::unwrap_used, clippy::panic)]

mod batches;
mod calls;
mod chunks;
mod composite;
mod cycles;
mod deadlines;
mod deleted;
mod heap;
mod history;
mod ingress;
mod install;
mod kept;
mod logs;
mod machines;
mod memory;
mod messages;
mod modules;
mod named;
mod prices;
mod printed;
mod quota;
mod random;
mod reach;
mod replay;
mod settings;
mod stopping;
mod timers;
mod unkept;
mod versions;

use super::batch::{Batch, Ingress, Permissions};
use super::call::{Call, Executor, Network};
use super::limits::Limits;
use super::machine::Machine;
use crate::garbage::Bytes;
use crate::log::format;
use crate::mgmt::{self, Sender};
use crate::state::State;
use crate::state::calls::Origin;
use crate::state::canister::Canister;
use crate::state::request::{Outcome, Reject};
use crate::wasm::engine::{Compiled, Engine};
use crate::wire::hash::{Hash, sha256};
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

fn second() -> Principal {
    Principal::from_slice(&[0, 0, 0, 8, 0, 0, 0, 1, 1, 1])
}

fn third() -> Principal {
    Principal::from_slice(&[0, 0, 0, 8, 0, 0, 0, 2, 1, 1])
}

const RELAY: &str = include_str!("relay.wat");

/// The argument that makes a relay call a method.
fn forward(callee: Principal, method: &str, payload: &[u8]) -> Vec<u8> {
    let parts = [callee.as_slice(), method.as_bytes()];
    let mut arg = Vec::new();
    for part in parts {
        arg.push(u8::try_from(part.len()).unwrap());
        arg.extend_from_slice(part);
    }
    arg.extend_from_slice(payload);
    arg
}

fn owner() -> Principal {
    Principal::from_slice(&[1, 2, 3])
}

/// A machine with one canister, driven one message at a time.
struct World {
    machine: Machine,
    batches: Vec<Batch>,
    memory_limit: u64,
    canister_limit: u64,
    permissions: Permissions,
    now: u64,
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
            canister_limit: u64::MAX,
            permissions: Permissions::ALL,
            now: 0,
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

    /// Creates another canister with this code.
    fn add(&mut self, other: Principal, wat: &str) {
        let create = Encode!(&Create {
            specified_id: Some(other),
            settings: None
        })
        .unwrap();
        self.manage(owner(), "provisional_create_canister_with_cycles", &create)
            .unwrap();
        let install = Encode!(&Install {
            mode: CanisterInstallMode::Install,
            canister_id: other,
            wasm_module: serde_bytes::Bytes::new(&wat::parse_str(wat).unwrap()),
            arg: serde_bytes::Bytes::new(b""),
        })
        .unwrap();
        self.manage(owner(), "install_code", &install).unwrap();
    }

    /// Three canisters that call each other.
    fn relays(limits: Limits) -> Self {
        // Held, so that it is compiled once.
        static COMPILED: OnceLock<Arc<Compiled>> = OnceLock::new();
        COMPILED.get_or_init(|| {
            let wasm = wat::parse_str(RELAY).unwrap();
            executor(limits).engine.compile(&wasm).unwrap()
        });
        let mut world = Self::with_limits(limits);
        world.install(RELAY, CanisterInstallMode::Install, b"").unwrap();
        world.add(second(), RELAY);
        world.add(third(), RELAY);
        world
    }

    /// Sends a message and returns its request id.
    fn submit(&mut self, canister: Principal, method: &str, arg: &[u8]) -> Hash {
        let number = self.batches.len() as u64 + 1;
        let message = Ingress {
            id: sha256(&number.to_le_bytes()),
            sender: owner(),
            canister,
            effective: id(),
            method: method.to_owned(),
            arg: arg.into(),
            expiry: u64::MAX,
        };
        let request = message.id;
        self.apply(vec![message]);
        request
    }

    /// What became of a request; `None` while it is processed.
    fn outcome(&self, request: &Hash) -> Option<Result<Vec<u8>, Reject>> {
        let record = self.machine.state().requests.get(request).unwrap();
        record.outcome.clone().map(|outcome| match outcome {
            Outcome::Replied(reply) => Ok(reply),
            Outcome::Rejected(reject) => Err(reject),
        })
    }

    /// A batch without messages at a time.
    fn tick(&mut self, time: u64) {
        self.now = time;
        self.apply(vec![]);
    }

    /// Calls the first relay.
    fn relay(
        &mut self,
        how: &str,
        callee: Principal,
        method: &str,
        payload: &[u8],
    ) -> Result<Vec<u8>, Reject> {
        self.send(owner(), id(), how, &forward(callee, method, payload))
    }

    /// The words that a relay shows.
    fn words(&self, canister: Principal) -> [u64; 4] {
        let state = self.machine.state();
        let reply = self
            .machine
            .executor
            .query(
                state,
                state.canister(&canister).unwrap(),
                &self.call("show"),
                None,
            )
            .unwrap();
        std::array::from_fn(|at| u64::from_le_bytes(reply[at * 8..at * 8 + 8].try_into().unwrap()))
    }

    /// The same batches in another machine, and by way of a checkpoint after each one, give the same state.
    fn assert_replayed(&self) {
        let executor = self.machine.executor.clone();
        let mut replayed = Machine::new(executor.clone(), State::default());
        let mut restored = Machine::new(executor.clone(), State::default());
        for batch in &self.batches {
            replayed.apply(batch);
            restored.apply(batch);
            assert_eq!(
                replayed.state().root(),
                restored.state().root(),
                "{}",
                batch.round
            );
            assert_eq!(replayed.agenda(), restored.agenda());
            let mut file = Bytes::default();
            format::write(&mut file, restored.state(), None, &State::default()).unwrap();
            let contents = format::read(file.0.as_slice()).unwrap();
            let state = contents.apply(&State::default(), &executor.engine).unwrap();
            restored = Machine::new(executor.clone(), state);
        }
        assert_eq!(replayed.state().root(), self.machine.state().root());
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
        self.outcome(&request).expect("it is still processed")
    }

    fn apply(&mut self, messages: Vec<Ingress>) {
        let round = self.batches.len() as u64 + 1;
        let batch = Batch {
            round,
            time: self.now.max(round * 1_000),
            memory_limit: self.memory_limit,
            canister_limit: self.canister_limit,
            permissions: self.permissions,
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
        let mut sender = by_canister(canister, version, cycles);
        let result = mgmt::execute(&mut self.machine, &call, &mut sender);
        self.refunded = sender.cycles;
        result.map(|reply| reply.expect("it is answered at once"))
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
            .query(self.machine.state(), self.canister(), &self.call(method), None)
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

/// A canister that waits for the answer to a management call.
fn by_canister(caller: Principal, version: u64, cycles: u128) -> Sender {
    Sender {
        origin: Origin::Canister {
            caller,
            callback: 0,
            deadline: 0,
        },
        version: Some(version),
        cycles,
    }
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
