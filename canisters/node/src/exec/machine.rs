//! The state machine: batches in, states out. Replaying the same batches gives the same states.

use super::batch::{Batch, Permissions};
use super::call::{Changed, Executor};
use super::effects::hash_kept;
use super::index::Index;
use super::memory::{Memory, footprint};
use crate::faults::{Fault, broken};
use crate::heap::pages::{PageMap, ZEROS};
use crate::state::canister::Canister;
use crate::state::{State, canister_id};
use crate::wire::hash::Hash;
use ic_principal::Principal;
use sha2::{Digest, Sha256};
use std::sync::Arc;

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
    pub(super) late: Vec<Hash>,
    /// Instructions that the present batch has used for messages of users, then for timers, and then for messages between canisters.
    pub(super) used: u64,
    /// Bytes of what messages of the present batch ended with.
    pub(super) told_now: u64,
}

impl Machine {
    /// Continues from a state.
    pub fn new(executor: Executor, state: State) -> Self {
        Self {
            executor,
            index: Index::of(&state),
            memory: Memory::of(&state, u64::MAX),
            state,
            canister_limit: u64::MAX,
            permissions: Permissions::ALL,
            late: Vec::new(),
            used: 0,
            told_now: 0,
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
        self.ingress(&batch.messages);
        self.run_timers();
        self.work();
        self.give_up();
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
        self.state.delete(id);
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
            let id = canister_id(self.state.next_number);
            // asked before it is counted, because what is counted was given out
            let free = self.state.canister(&id).is_none() && !self.state.was_deleted(&id);
            self.state.next_number += 1;
            if free {
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
