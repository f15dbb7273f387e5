//! The replicated state: everything that messages can change, and nothing else.
//!
//! A value of [`State`] is a snapshot: cloning costs pointers, so readers keep the version they began with.

pub mod calls;
pub mod canister;
pub mod chunks;
pub mod history;
pub mod ingress;
pub mod logs;
pub mod request;

use crate::cert::trie::{Hash, Trie};
use calls::Calls;
use canister::Canister;
use ic_principal::Principal;
use request::Record;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// First number of canister ids that the node gives out; those below are left to well-known canisters.
pub const FIRST_NUMBER: u64 = 1 << 32;

/// See the module documentation.
#[derive(Debug, Clone)]
pub struct State {
    /// The batch after which this is the state.
    pub round: u64,
    /// The time of that batch, nanoseconds since 1970.
    pub time: u64,
    /// The number of the next canister.
    pub next_number: u64,
    /// All canisters by id.
    pub canisters: Trie<Arc<Canister>>,
    /// Requests by id: those that are finished, and those that are still processed.
    pub requests: Trie<Arc<Record>>,
    /// Calls between canisters.
    pub calls: Calls,
    /// A running hash over everything written to memories, which the certified tree does not cover.
    pub effects: Hash,
    /// The seed of that batch. What is drawn from it is known only to those who may know it; it is in no certificate.
    pub seed: Hash,
    /// How many times randomness was drawn, ever: no two draws are the same.
    pub draws: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            round: 0,
            time: 0,
            next_number: FIRST_NUMBER,
            canisters: Trie::default(),
            requests: Trie::default(),
            calls: Calls::default(),
            effects: [0; 32],
            seed: [0; 32],
            draws: 0,
        }
    }
}

impl State {
    /// A canister.
    pub fn canister(&self, id: &Principal) -> Option<&Arc<Canister>> {
        self.canisters.get(id.as_slice())
    }

    /// The hash that must be the same whenever the same batches are applied.
    pub fn root(&self) -> Hash {
        let mut hasher = Sha256::new();
        for number in [self.round, self.time, self.next_number, self.draws] {
            hasher.update(number.to_le_bytes());
        }
        hasher.update(self.canisters.hash());
        hasher.update(self.requests.hash());
        hasher.update(self.calls.hash());
        hasher.update(self.effects);
        hasher.update(self.seed);
        hasher.finalize().into()
    }
}
