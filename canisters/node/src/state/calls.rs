//! What is under way: messages of users and calls between canisters that wait to be executed, and calls that wait for an answer.
//!
//! Source: IC interface specification, "Call contexts" and "Message execution". Everything has a number from one counter, and is
//! found by the canister that it belongs to and that number. The tries hash what they hold, so [`Calls::hash`] covers it all.

use super::ingress::Ingress;
use super::request::Outcome;
use crate::cert::trie::{Hash, Subtree, Trie};
use ic_principal::Principal;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Who waits for the answer of a call context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// The sender of an ingress message, by its request id.
    Ingress(Hash),
    /// A canister, by its callback.
    Canister {
        /// The canister.
        caller: Principal,
        /// Its callback.
        callback: u64,
        /// When the call times out; 0 when it never does.
        deadline: u64,
    },
    /// Nobody: a timer.
    System,
}

impl Origin {
    /// When the call times out; 0 when it never does.
    pub fn deadline(&self) -> u64 {
        match self {
            Self::Canister { deadline, .. } => *deadline,
            Self::Ingress(_) | Self::System => 0,
        }
    }
}

/// A call that waits to be executed by its receiver. Its number is that of the caller's callback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Who calls.
    pub caller: Principal,
    /// The caller's version, as its code saw it when it made the call.
    pub version: u64,
    /// What.
    pub method: String,
    /// With which argument.
    #[serde(with = "serde_bytes")]
    pub payload: Vec<u8>,
    /// With how many cycles.
    pub cycles: u128,
    /// When it times out; 0 when it never does.
    pub deadline: u64,
}

impl Request {
    /// What it takes while it waits, in bytes.
    pub fn size(&self) -> u64 {
        weight(self.method.len(), self.payload.len())
    }
}

/// What the records of a call take that is under way, in bytes: its callback, and the context that waits with it.
pub const RECORDS: u64 = 1_024;

/// What a waiting call takes with its callback, in bytes; empty ones are not free, or nothing would bound their number.
pub fn weight(method: usize, payload: usize) -> u64 {
    RECORDS + method as u64 + payload as u64
}

/// An answer that waits to be executed by the caller. Its number is that of the callback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The answer.
    pub outcome: Outcome,
    /// Cycles that come back.
    pub refund: u128,
}

/// A call that has begun to be executed and has an answer to give or answers to wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// Who called.
    pub caller: Principal,
    /// Who waits for the answer.
    pub origin: Origin,
    /// Whether the answer has been given, or none is due.
    pub answered: bool,
    /// Whether the code that began it was uninstalled: its callbacks are not called any more.
    pub deleted: bool,
    /// Cycles that came with the call and were not accepted yet.
    pub available: u128,
    /// Instructions used so far.
    pub instructions: u64,
    /// Calls made that are not answered yet.
    pub outstanding: u64,
}

/// A function of the module's table, and what it is called with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Its place in the table.
    pub index: u64,
    /// Its argument.
    pub environment: u64,
}

impl Function {
    /// Whether it stands for no function: so whoever makes a one-way call says that nobody waits for the answer (ic-cdk, `Call::oneway`).
    pub fn is_nobody(&self) -> bool {
        self.index == u64::from(u32::MAX) || self.index == u64::MAX
    }
}

/// What a canister does when a call that it made is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    /// The context in which the call was made.
    pub context: u64,
    /// Who was called.
    pub callee: Principal,
    /// When the call times out; 0 when it never does.
    pub deadline: u64,
    /// Whether it timed out: the answer that comes later is dropped.
    pub expired: bool,
    /// Called with a reply.
    pub reply: Function,
    /// Called with a rejection.
    pub reject: Function,
    /// Called when the one of them that was called trapped.
    pub cleanup: Option<Function>,
}

/// A `stop_canister` that waits until no context is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Who waits.
    pub origin: Origin,
    /// Cycles that came with the call, and go back with the answer.
    pub cycles: u128,
    /// Until when.
    pub deadline: u64,
}

/// A `raw_rand` that waits for the seed of the next batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draw {
    /// Who waits.
    pub origin: Origin,
    /// Cycles that came with the call, and go back with the answer.
    pub cycles: u128,
}

/// What is due between canisters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// An answer, by its label.
    Response(Vec<u8>),
    /// A call, by its label.
    Request(Vec<u8>),
}

/// The label of what belongs to a canister and has a number. All of one canister are together, in the order of the numbers.
pub fn label(owner: &Principal, number: u64) -> Vec<u8> {
    let mut label = prefix(owner);
    label.extend_from_slice(&number.to_be_bytes());
    label
}

fn prefix(owner: &Principal) -> Vec<u8> {
    let owner = owner.as_slice();
    let mut label = Vec::with_capacity(owner.len() + 9);
    // A principal has 29 bytes at most. The length in front keeps the labels of one apart from those of its extensions.
    label.push(u8::try_from(owner.len()).unwrap_or(u8::MAX));
    label.extend_from_slice(owner);
    label
}

/// The canister and the number of a label; `None` when it is no label.
pub fn parse(label: &[u8]) -> Option<(Principal, u64)> {
    let (len, rest) = label.split_first()?;
    let (owner, number) = rest.split_last_chunk::<8>()?;
    if owner.len() != usize::from(*len) {
        return None;
    }
    let owner = Principal::try_from_slice(owner).ok()?;
    Some((owner, u64::from_be_bytes(*number)))
}

/// See the module documentation.
#[derive(Debug, Clone)]
pub struct Calls {
    /// The next number.
    pub next: u64,
    /// Who executed the last call or answer: the one after it has its turn.
    pub turn: Principal,
    /// The canister whose timer was run last: the one after it has its turn.
    pub timer_turn: Principal,
    /// The queue of the last waiting message of a user that was executed: the one after it has its turn.
    pub ingress_turn: Principal,
    /// Calls that wait, by receiver.
    pub requests: Trie<Arc<Request>>,
    /// Answers that wait, by caller.
    pub responses: Trie<Arc<Response>>,
    /// Open contexts, by canister.
    pub contexts: Trie<Arc<Context>>,
    /// Callbacks, by caller.
    pub callbacks: Trie<Arc<Callback>>,
    /// Those who wait for a canister to stop, by canister.
    pub stops: Trie<Arc<Stop>>,
    /// Those who wait for randomness, all of the management canister.
    pub draws: Trie<Arc<Draw>>,
    /// Messages of users that are ordered and wait for their turn, by their queues ([`Ingress::queue`]).
    pub ingress: Trie<Arc<Ingress>>,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            next: 0,
            turn: Principal::management_canister(),
            timer_turn: Principal::management_canister(),
            ingress_turn: Principal::management_canister(),
            requests: Trie::default(),
            responses: Trie::default(),
            contexts: Trie::default(),
            callbacks: Trie::default(),
            stops: Trie::default(),
            draws: Trie::default(),
            ingress: Trie::default(),
        }
    }
}

impl Calls {
    /// Gives out the next number.
    pub fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// The answer or call whose turn it is: of the canister after the one that had the last turn, what belongs to the call that was made first.
    /// So the answer to an old call comes before new calls, and neither can keep the other waiting for ever: numbers only grow.
    pub fn next_due(&self) -> Option<Due> {
        let response = next(&self.responses, &self.turn);
        let request = next(&self.requests, &self.turn);
        match (response, request) {
            (Some(response), Some(request)) if request < response => Some(Due::Request(request.1)),
            (Some(response), _) => Some(Due::Response(response.1)),
            (None, request) => request.map(|(_, label)| Due::Request(label)),
        }
    }

    /// The message of a user whose turn it is: the oldest one of the queue after the one that had the last turn.
    pub fn next_ingress(&self) -> Option<Vec<u8>> {
        next(&self.ingress, &self.ingress_turn).map(|(_, label)| label)
    }

    /// Whether a canister has open contexts.
    pub fn is_open(&self, canister: &Principal) -> bool {
        of(&self.contexts, canister).next().is_some()
    }

    /// A hash over everything.
    pub fn hash(&self) -> Hash {
        let mut hasher = Sha256::new();
        hasher.update(self.next.to_le_bytes());
        hasher.update(prefix(&self.turn));
        hasher.update(prefix(&self.timer_turn));
        hasher.update(prefix(&self.ingress_turn));
        for hash in [
            self.requests.hash(),
            self.responses.hash(),
            self.contexts.hash(),
            self.callbacks.hash(),
            self.stops.hash(),
            self.draws.hash(),
            self.ingress.hash(),
        ] {
            hasher.update(hash);
        }
        hasher.finalize().into()
    }
}

/// What a canister has of something, by number.
pub fn of<'a, V>(trie: &'a Trie<V>, owner: &Principal) -> impl Iterator<Item = (u64, &'a V)> {
    let owner = *owner;
    let mut last = prefix(&owner);
    std::iter::from_fn(move || {
        let (label, value) = trie.after(&last)?;
        let (found, number) = parse(label)?;
        if found != owner {
            return None;
        }
        last = label.to_vec();
        Some((number, value))
    })
}

/// When somebody has their turn: whether in the next round only, and the prefix of their labels.
type Turn = (bool, Vec<u8>);

/// The first of whoever has the turn after this one, and when that is.
fn next<V>(trie: &Trie<V>, turn: &Principal) -> Option<(Turn, Vec<u8>)> {
    let (is_later, (label, _)) = match after(trie, turn) {
        Some(found) => (false, found),
        None => (true, trie.iter().next()?),
    };
    let owner = label.get(..label.len().saturating_sub(8)).unwrap_or_default();
    Some(((is_later, owner.to_vec()), label.to_vec()))
}

/// The first that belongs to a canister after this one.
fn after<'a, V>(trie: &'a Trie<V>, owner: &Principal) -> Option<(&'a [u8], &'a V)> {
    // Not below any label of the owner.
    let mut last = label(owner, u64::MAX);
    last.push(0);
    trie.after(&last)
}

/// The hash of the value's CBOR encoding.
fn hash_of(value: &impl Serialize) -> Hash {
    let mut hasher = Sha256::new();
    // Hashing never fails, and neither does encoding plain structures.
    let _ = ciborium::into_writer(value, &mut hasher);
    hasher.finalize().into()
}

macro_rules! hashed {
    ($($kind:ty)*) => {$(
        impl Subtree for Arc<$kind> {
            fn hash(&self) -> Hash {
                hash_of(&**self)
            }
        }
    )*};
}
hashed!(Request Response Context Callback Stop Draw Ingress);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::state::request::Reject;
    use ic_error_types::ErrorCode;
    use proptest::prelude::*;

    fn principal() -> impl Strategy<Value = Principal> {
        proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(255)], 0..4)
            .prop_map(|bytes| Principal::from_slice(&bytes))
    }

    fn context(outstanding: u64) -> Arc<Context> {
        Arc::new(Context {
            caller: Principal::anonymous(),
            origin: Origin::System,
            answered: true,
            deleted: false,
            available: 0,
            instructions: 0,
            outstanding,
        })
    }

    proptest! {
        #[test]
        fn a_label_is_read_back_and_nothing_else_is_one(owner in principal(), number: u64, cut in 1usize..9) {
            let label = label(&owner, number);
            prop_assert_eq!(parse(&label), Some((owner, number)));
            prop_assert_eq!(parse(&label[..label.len() - cut]), None);
        }

        #[test]
        fn a_canister_has_what_is_its_own_in_the_order_of_the_numbers(
            all in proptest::collection::btree_set((principal(), 0u64..4), 0..20),
            owner in principal(),
        ) {
            let mut trie = Trie::default();
            for (owner, number) in &all {
                trie.insert(&label(owner, *number), context(*number));
            }
            let mine: Vec<u64> = of(&trie, &owner).map(|(number, _)| number).collect();
            let expected: Vec<u64> = all.iter().filter(|(other, _)| *other == owner).map(|(_, number)| *number).collect();
            prop_assert_eq!(mine, expected);
        }
    }

    #[test]
    fn canisters_take_turns_and_each_one_has_answers_and_calls_in_the_order_in_which_the_calls_were_made() {
        let mut calls = Calls::default();
        let [one, two] = [[1u8; 10], [2; 10]].map(|bytes| Principal::from_slice(&bytes));
        for (owner, number) in [(one, 1), (one, 2), (one, 3), (two, 4), (two, 5)] {
            let request = Request {
                caller: one,
                version: 0,
                method: String::new(),
                payload: Vec::new(),
                cycles: 0,
                deadline: 0,
            };
            calls.requests.insert(&label(&owner, number), Arc::new(request));
        }
        let mut order = Vec::new();
        let reject = Reject::new(ErrorCode::DeadlineExpired, "");
        for (owner, number) in [(one, 6), (two, 7), (two, 8), (two, 9)] {
            let response = Response {
                outcome: Outcome::Rejected(reject.clone()),
                refund: 0,
            };
            calls.responses.insert(&label(&owner, number), Arc::new(response));
        }
        while let Some(next) = calls.next_due() {
            let (Due::Response(at) | Due::Request(at)) = &next;
            let (owner, number) = parse(at).unwrap();
            match &next {
                Due::Response(at) => drop(calls.responses.remove(at)),
                Due::Request(at) => drop(calls.requests.remove(at)),
            }
            calls.turn = owner;
            order.push(number);
        }
        assert_eq!(order, [1, 4, 2, 5, 3, 7, 6, 8, 9]);
    }
}
