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

use crate::cert::trie::{Hash, Subtree, Trie};
use calls::Calls;
use canister::Canister;
use ic_principal::Principal;
use request::Record;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// First number of canister ids that the node gives out; those below are left to well-known canisters.
pub const FIRST_NUMBER: u64 = 1 << 32;

/// What is after the number in a canister id that the node gives out.
const TAIL: [u8; 2] = [1, 1];

/// The canister id with a number.
pub fn canister_id(number: u64) -> Principal {
    let mut bytes = [0; 10];
    let (head, tail) = bytes.split_at_mut(8);
    head.copy_from_slice(&number.to_be_bytes());
    tail.copy_from_slice(&TAIL);
    Principal::from_slice(&bytes)
}

/// The number in a canister id; `None` when no number has it.
fn number(id: &Principal) -> Option<u64> {
    let (head, tail) = id.as_slice().split_first_chunk::<8>()?;
    (tail == TAIL).then(|| u64::from_be_bytes(*head))
}

/// A canister that is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deleted;

impl Subtree for Deleted {
    fn hash(&self) -> Hash {
        // there is nothing to tell of it but its id
        [0; 32]
    }
}

/// See the module documentation.
#[derive(Debug, Clone)]
pub struct State {
    /// The batch after which this is the state.
    pub round: u64,
    /// The time of that batch, nanoseconds since 1970.
    pub time: u64,
    /// The number of the next canister.
    pub next_number: u64,
    /// Ids of canisters that were made under an id of somebody's choice and are deleted, where `next_number` does not tell it.
    pub deleted: Trie<Deleted>,
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
            deleted: Trie::default(),
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

    /// Whether a canister had this id and is deleted. No other one ever gets it: whoever trusts the id would trust that one.
    pub fn was_deleted(&self, id: &Principal) -> bool {
        self.canister(id).is_none() && (self.was_given_out(id) || self.deleted.get(id.as_slice()).is_some())
    }

    /// Whether the count of ids is past this one: it was given out, or a canister had it by then.
    fn was_given_out(&self, id: &Principal) -> bool {
        number(id).is_some_and(|number| (FIRST_NUMBER..self.next_number).contains(&number))
    }

    /// Takes a canister out for good.
    pub fn delete(&mut self, id: &Principal) {
        self.canisters.remove(id.as_slice());
        if !self.was_given_out(id) {
            self.deleted.insert(id.as_slice(), Deleted);
        }
    }

    /// The hash that must be the same whenever the same batches are applied.
    pub fn root(&self) -> Hash {
        let mut hasher = Sha256::new();
        for number in [self.round, self.time, self.next_number, self.draws] {
            hasher.update(number.to_le_bytes());
        }
        hasher.update(self.deleted.hash());
        hasher.update(self.canisters.hash());
        hasher.update(self.requests.hash());
        hasher.update(self.calls.hash());
        hasher.update(self.effects);
        hasher.update(self.seed);
        hasher.finalize().into()
    }
}
