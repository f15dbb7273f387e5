//! Drives journal, machine and checkpoints as the replica's threads do, in one thread and with a faulty disk, and checks
//! after each crash what clients had been told.

use super::disk::FaultyDisk;
use super::end::{in_the_end, incremented};
pub use super::made::{canister, counter, creation, message, prepare, setup};
use super::peers::{self, Peers};
use super::relays;
use crate::exec::batch::{Batch, Ingress, Permissions};
use crate::exec::call::{Call, Executor, Network};
use crate::exec::limits::Limits;
use crate::exec::machine::Machine;
use crate::log::codec::Entry;
use crate::log::disk::Disk;
use crate::log::journal::AppendError;
use crate::log::replay::{Recovered, ReplayError, recover, recover_when};
use crate::state::State;
use crate::state::request::Outcome;
use crate::wasm::engine::{Compiled, Engine};
use crate::wire::hash::Hash;
use candid::Encode;
use ic_management_canister_types::{CanisterIdRecord, UploadChunkArgs};
use ic_principal::Principal;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

pub fn executor() -> Executor {
    executor_with(Limits::default())
}

/// One engine for all tests; it holds the compiled code of the canisters.
fn executor_with(limits: Limits) -> Executor {
    static ENGINE: OnceLock<(Arc<Engine>, [Arc<Compiled>; 3])> = OnceLock::new();
    let (engine, _) = ENGINE.get_or_init(|| {
        let engine = Engine::new().unwrap();
        let modules = [counter(), relays::module(), peers::module()];
        let compiled = modules.map(|module| engine.compile(&module).unwrap());
        (Arc::new(engine), compiled)
    });
    let network = Network {
        subnet: Principal::management_canister(),
        root_key: [].into(),
    };
    Executor {
        engine: engine.clone(),
        network,
        limits,
    }
}

/// The counter as a query shows it; `None` before the canister is installed.
pub fn shown(executor: &Executor, state: &State) -> Option<u64> {
    let canister = state.canister(&canister())?;
    let call = Call {
        caller: Principal::anonymous(),
        method: "get".into(),
        arg: [].into(),
        time: state.time,
    };
    let reply = executor.query(state, canister, &call, None).ok()?;
    let counts: Vec<u64> = reply
        .chunks(8)
        .map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
        .collect();
    assert!(
        counts.windows(2).all(|pair| pair[0] == pair[1]),
        "heap, global and stable memory differ: {counts:?}"
    );
    Some(counts[0])
}

/// The counter after a restart.
pub fn recovered_count(disk: &FaultyDisk) -> Option<u64> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    shown(&executor(), recover(&disk, executor()).unwrap().machine.state())
}

/// What clients know.
#[derive(Default)]
pub struct Clients {
    /// Replies they got.
    acknowledged: BTreeMap<Hash, Outcome>,
    /// Increments they sent.
    sent: BTreeSet<Hash>,
    /// What else they sent.
    others: BTreeSet<Hash>,
    /// Calls they sent that a canister passes on.
    relayed: BTreeSet<Hash>,
    /// The largest counter anybody saw.
    seen: u64,
    /// State roots by round, as they were before crashes.
    roots: BTreeMap<u64, Hash>,
    next: u64,
}

pub struct Rig {
    pub disk: FaultyDisk,
    pub clients: Clients,
    /// Whether there are canisters that call each other.
    relays: bool,
    /// Those that call each other in both directions and count.
    peers: Option<Peers>,
    random: StdRng,
}

impl Rig {
    pub fn new(seed: u64) -> Self {
        Self {
            disk: FaultyDisk::new(seed),
            clients: Clients::default(),
            relays: false,
            peers: None,
            random: StdRng::seed_from_u64(seed ^ 0x00c0_ffee),
        }
    }

    /// With canisters that call each other, so slowly that calls are under way at every crash.
    pub fn with_relays(mut self) -> Self {
        self.relays = true;
        self
    }

    /// With more of them, flooded at once, so that calls and answers wait for the same ones.
    pub fn with_peers(mut self) -> Self {
        self.peers = Some(Peers::three());
        self
    }

    pub fn recover(&self) -> Result<Recovered, ReplayError> {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let mut limits = Limits::default();
        if self.relays {
            limits.messages = 2;
            // One message of a user that uses instructions, so that some wait at every crash.
            limits.ingress_instructions = 1;
        }
        // Some of those that replay write checkpoints while they do.
        let mut random = StdRng::seed_from_u64(self.disk.operations());
        let mut due = |_, _| self.relays && random.random_bool(0.2);
        recover_when(&disk, executor_with(limits), &mut due)
    }

    /// Whether every increment that is in a state is executed in the end, and once.
    fn verify_end(&self, state: &State, end: &Machine) -> Result<(), String> {
        let sent = &self.clients.sent;
        let requests = state.requests.iter();
        let known = requests.filter(|(id, _)| sent.contains(*id)).count() as u64;
        let count = shown(&end.executor, end.state()).unwrap_or(0);
        if (incremented(end.state(), sent), count) != (known, known) {
            return Err(format!("of {known} increments {count} are executed in the end"));
        }
        Ok(())
    }

    fn batch(&mut self, state: &State, ahead: u64) -> Vec<Ingress> {
        if state.round == 0 && ahead == 0 {
            let mut messages = setup();
            if self.relays {
                messages.extend(relays::setup());
            }
            if self.peers.is_some() {
                messages.extend(peers::setup());
            }
            return messages;
        }
        let mut messages = self.increments();
        if self.relays {
            for _ in 0..self.random.random_range(0..3) {
                let call = relays::call(self.clients.relayed.len() as u64);
                self.clients.relayed.insert(call.id);
                messages.push(call);
            }
        }
        if let Some(peers) = &mut self.peers {
            messages.extend(peers.messages(state, &mut self.random));
        }
        messages
    }

    /// A few increments, some of them sent before, and now and then something else that changes the state.
    pub fn increments(&mut self) -> Vec<Ingress> {
        let mut messages = self.only_increments();
        if self.random.random_bool(0.2) {
            let other = self.other();
            self.clients.others.insert(other.id);
            messages.push(other);
        }
        messages
    }

    /// Something that changes the chunk store, the history or what the canister printed.
    fn other(&mut self) -> Ingress {
        self.clients.next += 1;
        let number = u64::MAX / 2 + self.clients.next;
        let management = Principal::management_canister();
        let about = Encode!(&CanisterIdRecord {
            canister_id: canister()
        })
        .unwrap();
        match self.random.random_range(0..8) {
            0 => message(number, management, "clear_chunk_store", about),
            1 => message(number, management, "start_canister", about),
            2..5 => message(number, canister(), "inc_then_trap", vec![]),
            _ => {
                let chunk: Vec<u8> = (0..self.random.random_range(0..3_000))
                    .map(|_| self.random.random())
                    .collect();
                let upload = UploadChunkArgs {
                    canister_id: canister(),
                    chunk,
                };
                message(number, management, "upload_chunk", Encode!(&upload).unwrap())
            }
        }
    }

    fn only_increments(&mut self) -> Vec<Ingress> {
        (0..self.random.random_range(1..4))
            .map(|_| {
                // Now and then a client repeats itself.
                let number = if self.clients.next > 0 && self.random.random_bool(0.1) {
                    self.random.random_range(0..self.clients.next)
                } else {
                    self.clients.next += 1;
                    self.clients.next - 1
                };
                let message = message(
                    number,
                    canister(),
                    "inc",
                    vec![7; self.random.random_range(0..300)],
                );
                self.clients.sent.insert(message.id);
                message
            })
            .collect()
    }

    /// Lives until the disk crashes or `batches` are done.
    pub fn live(&mut self, node: Recovered, batches: u64) {
        let Recovered {
            mut machine,
            mut journal,
            mut checkpoints,
            ..
        } = node;
        let fingerprint = machine.executor.limits.fingerprint();
        let mut waiting: Option<Batch> = None;
        let (mut round, mut time) = (machine.state().round, machine.state().time);
        let mut checked = None;
        for _ in 0..batches {
            let mut messages = self.batch(machine.state(), u64::from(waiting.is_some()));
            // While some of a queue wait, the orderer orders no further ones of it.
            let backlog = machine.agenda().backlog;
            messages.retain(|message| !backlog.holds(&message.queue()));
            let batch = Batch {
                round: round + 1,
                time: time + 1,
                memory_limit: u64::MAX,
                canister_limit: u64::MAX,
                permissions: Permissions::ALL,
                seed: self.random.random(),
                messages,
            };
            let entry = Entry {
                semantics: std::array::from_fn(|at| fingerprint[at]),
                checked,
                batch,
            };
            if self.random.random_bool(0.05) {
                self.disk.fill(1);
            }
            if self.random.random_bool(0.02) {
                self.disk.fail_next_sync();
            }
            let written = match journal.write(&entry) {
                Err(AppendError::Full(_)) => continue,
                written => written,
            };
            // Who executes is sometimes faster than the sync, sometimes slower, sometimes one batch behind. It shows nothing before.
            let early = waiting.is_none() && written.is_ok() && self.random.random_bool(0.5);
            if early {
                machine.apply(&entry.batch);
            }
            if written.and_then(|()| journal.sync()).is_err() {
                // The thread that executes may still work on a batch that was synced before.
                if let Some(batch) = waiting.take() {
                    self.execute(&mut machine, &batch);
                }
                return;
            }
            (round, time) = (round + 1, time + 1);
            if early {
                checked = Some(self.show(&machine, &entry.batch));
            } else if let Some(before) = waiting.replace(entry.batch) {
                checked = Some(self.execute(&mut machine, &before));
            }
            let keeps_up = self.random.random_bool(0.7);
            if let Some(batch) = waiting.take_if(|_| keeps_up) {
                checked = Some(self.execute(&mut machine, &batch));
            }
            if self.random.random_bool(0.2) {
                journal.rotate();
                // Errors other than a crash leave the log longer, nothing else.
                let _ = checkpoints.write(machine.state());
            }
        }
    }

    fn execute(&mut self, machine: &mut Machine, batch: &Batch) -> (u64, Hash) {
        machine.apply(batch);
        self.show(machine, batch)
    }

    /// Tells clients what became of a batch. Its round and state root, to be logged with a later one.
    fn show(&mut self, machine: &Machine, batch: &Batch) -> (u64, Hash) {
        let state = machine.state();
        for id in batch
            .messages
            .iter()
            .map(|message| &message.id)
            .chain(machine.late())
        {
            self.told(id, state);
        }
        self.saw(state);
        (state.round, state.root())
    }

    /// A client got its answer with this state.
    pub fn told(&mut self, id: &Hash, state: &State) {
        if let Some(outcome) = state.requests.get(id).unwrap().outcome.clone() {
            self.clients.acknowledged.insert(*id, outcome);
        }
    }

    /// Somebody looked at this state.
    pub fn saw(&mut self, state: &State) {
        self.clients.roots.insert(state.round, state.root());
        if let Some(count) = shown(&executor(), state) {
            self.clients.seen = self.clients.seen.max(count);
        }
    }

    /// Whether a recovered node keeps every promise.
    pub fn verify(&mut self, node: &Recovered) -> Result<(), String> {
        let state = node.machine.state();
        for (id, outcome) in &self.clients.acknowledged {
            match state.requests.get(id) {
                Some(record) if record.outcome.as_ref() == Some(outcome) => {}
                other => return Err(format!("acknowledged {outcome:?}, now {other:?}")),
            }
        }
        let executed = incremented(state, &self.clients.sent);
        let count = shown(&node.machine.executor, state).unwrap_or(0);
        if count != executed {
            return Err(format!(
                "{executed} increments are recorded, the counter is {count}"
            ));
        }
        if count < self.clients.seen {
            return Err(format!("somebody saw {}, now it is {count}", self.clients.seen));
        }
        let end = in_the_end(&node.machine.executor, state);
        relays::verify(&end, state, &self.clients.relayed)?;
        let peers = self.peers.as_ref();
        peers.map_or(Ok(()), |peers| peers.verify(state, &end))?;
        self.verify_end(state, &end)?;
        let made: BTreeSet<Hash> = setup()
            .into_iter()
            .chain(relays::setup())
            .map(|message| message.id)
            .collect();
        let clients = &self.clients;
        let sent = |id: &[u8]| {
            let all = [&clients.sent, &clients.others, &clients.relayed, &made];
            all.iter().any(|known| known.contains(id)) || peers.is_some_and(|peers| peers.sent(id))
        };
        if state.requests.iter().any(|(id, _)| !sent(id)) {
            return Err("a request that nobody sent".to_owned());
        }
        if self
            .clients
            .roots
            .get(&state.round)
            .is_some_and(|root| *root != state.root())
        {
            return Err(format!(
                "the state of round {} is another one after replay",
                state.round
            ));
        }
        // Rounds after this one were never acknowledged; other batches may take their numbers.
        let _ = self.clients.roots.split_off(&(state.round + 1));
        Ok(())
    }
}
