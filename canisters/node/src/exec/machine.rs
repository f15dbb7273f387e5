//! The state machine: batches in, states out. Replaying the same batches gives the same states.

use super::batch::{Batch, Ingress, Permissions};
use super::call::{Call, Changed, Executor};
use super::effects::hash_kept;
use super::index::Index;
use super::memory::{Memory, footprint};
use crate::faults::{Fault, broken};
use crate::heap::pages::{PageMap, ZEROS};
use crate::mgmt::{self, Sender};
use crate::state::State;
use crate::state::calls::Origin;
use crate::state::canister::Canister;
use crate::state::request::{Outcome, Record};
use crate::wire::hash::Hash;
use ic_principal::Principal;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// How long the outcome of a request is kept at least, from when it is there: 5 minutes, as long as clients ask for it.
const KEEP: u64 = 300 * 1_000_000_000;

/// See the module documentation.
#[derive(Debug)]
pub struct Machine {
    /// What executions share.
    pub executor: Executor,
    pub(super) state: State,
    pub(super) index: Index,
    /// What the canisters take.
    memory: Memory,
    /// What one canister may hold in the present batch.
    canister_limit: u64,
    /// What canisters may do in the present batch.
    permissions: Permissions,
    /// Requests of earlier batches that were answered in the last one.
    late: Vec<Hash>,
    /// Instructions that the present batch has used for messages between canisters.
    pub(super) used: u64,
}

impl Machine {
    /// Continues from a state.
    pub fn new(executor: Executor, state: State) -> Self {
        let used = state.canisters.iter().fold(0_u64, |sum, (_, canister)| {
            sum.saturating_add(footprint(canister))
        });
        Self {
            executor,
            index: Index::of(&state),
            state,
            memory: Memory {
                used,
                limit: u64::MAX,
            },
            canister_limit: u64::MAX,
            permissions: Permissions::ALL,
            late: Vec::new(),
            used: 0,
        }
    }

    /// What the canisters take, and may take in the present batch.
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// Bytes that one canister may hold in the present batch.
    pub fn canister_limit(&self) -> u64 {
        self.canister_limit
    }

    /// What canisters may do in the present batch.
    pub fn permissions(&self) -> Permissions {
        self.permissions
    }

    /// The state after the last batch.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Requests of earlier batches that were answered in the last one.
    pub fn late(&self) -> &[Hash] {
        &self.late
    }

    /// Applies a batch. Total: whatever is wrong with a message becomes its outcome.
    pub fn apply(&mut self, batch: &Batch) {
        self.state.round = batch.round;
        self.state.time = batch.time;
        self.state.seed = batch.seed;
        self.memory.limit = batch.memory_limit;
        self.canister_limit = batch.canister_limit;
        self.permissions = batch.permissions;
        self.late.clear();
        self.forget(batch.time);
        self.expire();
        self.answer_draws();
        for message in &batch.messages {
            self.ingress(message);
        }
        self.run_timers();
        self.work();
    }

    fn ingress(&mut self, message: &Ingress) {
        // Executed once: a repetition has its answer already. An expired one could be a repetition of a forgotten one.
        let repeated = self.state.requests.get(&message.id).is_some() && !broken(Fault::ExecuteRepeated);
        if message.expiry < self.state.time || repeated {
            return;
        }
        let call = Call {
            caller: message.sender,
            method: message.method.clone(),
            arg: message.arg.clone(),
            time: self.state.time,
        };
        let origin = Origin::Ingress(message.id);
        let outcome = if message.canister == Principal::management_canister() {
            let mut sender = Sender::user(message.id);
            mgmt::execute(self, &call, &mut sender).transpose()
        } else {
            self.begin(message.canister, &call, origin, 0)
                .map(|answered| answered.outcome)
        };
        let record = Record {
            sender: message.sender,
            effective: message.effective,
            expiry: message.expiry,
            outcome: outcome.map(Outcome::from),
        };
        if record.outcome.is_some() {
            self.index.expiring.insert((message.expiry, message.id));
        }
        self.state.requests.insert(&message.id, Arc::new(record));
    }

    /// Ends a request that took longer than the batch that ordered it.
    pub(super) fn finish(&mut self, request: &Hash, outcome: Outcome) {
        let Some(record) = self.state.requests.get(request) else {
            return;
        };
        let record = Record {
            expiry: record.expiry.max(self.state.time.saturating_add(KEEP)),
            outcome: Some(outcome),
            ..(**record).clone()
        };
        self.index.expiring.insert((record.expiry, *request));
        self.state.requests.insert(request, Arc::new(record));
        self.late.push(*request);
    }

    fn forget(&mut self, now: u64) {
        while let Some((expiry, id)) = self.index.expiring.first().copied() {
            if expiry >= now {
                break;
            }
            self.index.expiring.pop_first();
            self.state.requests.remove(&id);
        }
    }

    /// Makes a canister's next version the current one.
    pub fn commit(&mut self, mut canister: Canister, changed: &Changed) {
        if broken(Fault::VersionStandsStill) {
            canister.version = 0;
        }
        let mut hasher = Sha256::new();
        hasher.update(self.state.effects);
        hasher.update(canister.id.as_slice());
        for number in [canister.version, canister.heap.size, canister.stable.size] {
            hasher.update(number.to_le_bytes());
        }
        hasher.update(canister.cycles.to_le_bytes());
        hasher.update(canister.timer.to_le_bytes());
        hasher.update([canister.status as u8]);
        hasher.update(format!("{:?}", canister.heap.globals));
        for (pages, changed) in [
            (&canister.heap.pages, &changed.0),
            (&canister.stable.pages, &changed.1),
        ] {
            hash_pages(&mut hasher, pages, changed);
        }
        let before = self.state.canister(&canister.id).map(AsRef::as_ref);
        hash_kept(&mut hasher, before, &canister);
        self.state.effects = hasher.finalize().into();
        let id = canister.id;
        self.count_out(&id);
        self.index.add_timer(&canister);
        self.memory.used = self.memory.used.saturating_add(footprint(&canister));
        self.state.canisters.insert(id.as_slice(), Arc::new(canister));
    }

    /// Removes a canister.
    pub fn remove(&mut self, id: &Principal) {
        self.count_out(id);
        self.state.canisters.remove(id.as_slice());
    }

    /// Takes a canister's present version out of the sum, and its timer out of the index.
    fn count_out(&mut self, id: &Principal) {
        if let Some(before) = self.state.canister(id) {
            self.memory.used = self.memory.used.saturating_sub(footprint(before));
            self.index.remove_timer(before);
        }
    }

    /// Gives out the next free canister id.
    pub fn next_id(&mut self) -> Principal {
        loop {
            let mut bytes = [0; 10];
            bytes[..8].copy_from_slice(&self.state.next_number.to_be_bytes());
            bytes[8..].copy_from_slice(&[1, 1]);
            self.state.next_number += 1;
            let id = Principal::from_slice(&bytes);
            if self.state.canister(&id).is_none() {
                return id;
            }
        }
    }
}

fn hash_pages(hasher: &mut Sha256, pages: &PageMap, changed: &[u64]) {
    hasher.update((changed.len() as u64).to_le_bytes());
    for index in changed {
        hasher.update(index.to_le_bytes());
        hasher.update(pages.get(*index).map_or(ZEROS.as_slice(), |page| page.as_slice()));
    }
}
