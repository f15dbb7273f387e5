//! The state machine: batches in, states out. Replaying the same batches gives the same states.

use super::batch::{Batch, Ingress};
use super::call::{Call, Changed, Executor, not_found};
use super::effects::hash_kept;
use super::memory::{Memory, footprint};
use crate::heap::pages::{PageMap, ZEROS};
use crate::mgmt::{self, Sender};
use crate::state::State;
use crate::state::canister::Canister;
use crate::state::request::{Outcome, Record, Reject};
use crate::wire::hash::Hash;
use ic_principal::Principal;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;

/// See the module documentation.
#[derive(Debug)]
pub struct Machine {
    /// What executions share.
    pub executor: Executor,
    state: State,
    /// Finished requests by the time until which they are remembered.
    expiring: BTreeSet<(u64, Hash)>,
    /// What the canisters take.
    memory: Memory,
}

impl Machine {
    /// Continues from a state.
    pub fn new(executor: Executor, state: State) -> Self {
        let expiring = state
            .requests
            .iter()
            .filter_map(|(id, record)| Some((record.expiry, Hash::try_from(id).ok()?)))
            .collect();
        let used = state.canisters.iter().fold(0_u64, |sum, (_, canister)| {
            sum.saturating_add(footprint(canister))
        });
        Self {
            executor,
            state,
            expiring,
            memory: Memory {
                used,
                limit: u64::MAX,
            },
        }
    }

    /// What the canisters take, and may take in the present batch.
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// The state after the last batch.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Applies a batch. Total: whatever is wrong with a message becomes its outcome.
    pub fn apply(&mut self, batch: &Batch) {
        self.state.round = batch.round;
        self.state.time = batch.time;
        self.state.seed = batch.seed;
        self.memory.limit = batch.memory_limit;
        self.forget(batch.time);
        for message in &batch.messages {
            // Executed once: a repetition has its answer already. An expired one could be a repetition of a forgotten one.
            if message.expiry < batch.time || self.state.requests.get(&message.id).is_some() {
                continue;
            }
            let outcome = match self.execute(message) {
                Ok(reply) => Outcome::Replied(reply),
                Err(reject) => Outcome::Rejected(reject),
            };
            let record = Record {
                sender: message.sender,
                effective: message.effective,
                expiry: message.expiry,
                outcome,
            };
            self.expiring.insert((message.expiry, message.id));
            self.state.requests.insert(&message.id, Arc::new(record));
        }
    }

    fn forget(&mut self, now: u64) {
        while let Some((expiry, id)) = self.expiring.first().copied() {
            if expiry >= now {
                break;
            }
            self.expiring.pop_first();
            self.state.requests.remove(&id);
        }
    }

    fn execute(&mut self, message: &Ingress) -> Result<Vec<u8>, Reject> {
        let call = Call {
            caller: message.sender,
            method: message.method.clone(),
            arg: message.arg.clone(),
            time: self.state.time,
        };
        if message.canister == Principal::management_canister() {
            return mgmt::execute(self, &call, &mut Sender::user());
        }
        let canister = self
            .state
            .canister(&message.canister)
            .cloned()
            .ok_or_else(|| not_found(message.canister))?;
        let (answer, next) = self.executor.update(&canister, &call, self.memory.spare());
        if let Some((next, changed)) = next {
            self.commit(next, &changed);
        }
        answer
    }

    /// Makes a canister's next version the current one.
    pub fn commit(&mut self, canister: Canister, changed: &Changed) {
        let mut hasher = Sha256::new();
        hasher.update(self.state.effects);
        hasher.update(canister.id.as_slice());
        for number in [canister.version, canister.heap.size, canister.stable.size] {
            hasher.update(number.to_le_bytes());
        }
        hasher.update(canister.cycles.to_le_bytes());
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
        self.memory.used = self.memory.used.saturating_add(footprint(&canister));
        self.state.canisters.insert(id.as_slice(), Arc::new(canister));
    }

    /// Removes a canister.
    pub fn remove(&mut self, id: &Principal) {
        self.count_out(id);
        self.state.canisters.remove(id.as_slice());
    }

    /// Takes a canister's present version out of the sum.
    fn count_out(&mut self, id: &Principal) {
        let before = self.state.canister(id).map_or(0, |canister| footprint(canister));
        self.memory.used = self.memory.used.saturating_sub(before);
    }

    /// Draws 32 bytes from the seed of the present batch, other ones each time.
    pub fn draw(&mut self) -> Hash {
        let drawn = mgmt::raw_rand(&self.state, self.state.draws);
        self.state.draws += 1;
        drawn
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
