//! Canisters that call each other and themselves, and are flooded at once: when the crash comes, calls and answers wait for the same canister, and
//! messages of users in several queues. The canisters count, so that no call and no answer of a pair is lost, doubled or overtaken.

use super::rig::{canister, creation, message};
use crate::exec::batch::Ingress;
use crate::exec::call::{Call, Executor};
use crate::exec::machine::Machine;
use crate::state::State;
use crate::state::request::Outcome;
use crate::wire::hash::Hash;
use candid::Encode;
use ic_management_canister_types::CanisterIdRecord;
use ic_principal::Principal;
use rand::Rng;
use rand::rngs::StdRng;
use std::collections::{BTreeMap, BTreeSet};

const PEER: &str = include_str!("peer.wat");
/// How many there are; `peer.wat` has places for as many.
const PEERS: u8 = 3;
/// While more calls are under way, users send nothing: after each crash all that is left is carried out, to see its end.
const UNDER_WAY: usize = 4;
/// Words that a peer shows.
const WORDS: usize = 11;

fn peer(number: u8) -> Principal {
    Principal::from_slice(&[0, 0, 0, 9, 0, 0, 1, number, 1, 1])
}

pub fn module() -> Vec<u8> {
    wat::parse_str(PEER).unwrap()
}

/// The messages that make the peers.
pub fn setup() -> Vec<Ingress> {
    let wasm = module();
    let made = (0..PEERS).map(|number| creation(u64::MAX - 20 - 2 * u64::from(number), peer(number), &wasm));
    made.flatten().collect()
}

/// What users sent to the peers.
pub struct Peers {
    made: BTreeSet<Hash>,
    /// How many calls follow from each message in all.
    flooded: BTreeMap<Hash, u64>,
    managed: BTreeSet<Hash>,
}

impl Peers {
    pub fn three() -> Self {
        Self {
            made: setup().iter().map(|message| message.id).collect(),
            flooded: BTreeMap::new(),
            managed: BTreeSet::new(),
        }
    }

    /// Whether a user sent this.
    pub fn sent(&self, id: &[u8]) -> bool {
        self.made.contains(id) || self.flooded.contains_key(id) || self.managed.contains(id)
    }

    /// Messages to all of them at once, and management calls of several senders. None while enough is under way.
    pub fn messages(&mut self, state: &State, random: &mut StdRng) -> Vec<Ingress> {
        let mut messages = Vec::new();
        if state.calls.callbacks.iter().count() > UNDER_WAY {
            return messages;
        }
        for number in 0..PEERS {
            for _ in 0..random.random_range(0..3) {
                messages.push(self.flood(number, random));
            }
            if random.random_bool(0.3) {
                messages.push(self.manage(number));
            }
        }
        messages
    }

    fn flood(&mut self, to: u8, random: &mut StdRng) -> Ingress {
        let number = self.flooded.len() as u64 + 1;
        let hops = random.random_range(0..2_u8);
        let callees: Vec<u8> = (0..random.random_range(1..4))
            .map(|_| random.random_range(0..PEERS))
            .collect();
        let mut arg = number.to_le_bytes().to_vec();
        arg.push(hops);
        arg.extend_from_slice(&callees);
        let calls = callees.len() as u64 * (u64::from(hops) + 1);
        let message = message((1 << 41) + number, peer(to), "flood", arg);
        self.flooded.insert(message.id, calls);
        message
    }

    /// A call that is refused when its turn comes, and waits for that in the queue of its sender.
    fn manage(&mut self, sender: u8) -> Ingress {
        let about = Encode!(&CanisterIdRecord {
            canister_id: canister()
        })
        .unwrap();
        let number = (1 << 42) + self.managed.len() as u64;
        let mut message = message(number, Principal::management_canister(), "start_canister", about);
        message.sender = Principal::from_slice(&[7, sender]);
        self.managed.insert(message.id);
        message
    }

    /// Whether every call and answer of a pair came once and in the order in which it was sent, and in the end all of them.
    pub fn verify(&self, state: &State, end: &Machine) -> Result<(), String> {
        let now = words(&end.executor, state);
        let then = words(&end.executor, end.state());
        let wrong = |all: &[Vec<u64>]| all.iter().map(|words| words[0]).sum::<u64>();
        if wrong(&now) + wrong(&then) > 0 {
            return Err(format!(
                "numbers are missing, doubled or overtaken: {now:?}, in the end {then:?}"
            ));
        }
        let pair = |all: &[Vec<u64>], from: usize, to: usize| {
            (all[from][1 + to], all[to][4 + from], all[from][7 + to])
        };
        let numbers = 0..usize::from(PEERS);
        for (from, to) in numbers
            .clone()
            .flat_map(|from| numbers.clone().map(move |to| (from, to)))
        {
            let (sent, got, answered) = pair(&now, from, to);
            if answered > got || got > sent {
                return Err(format!(
                    "{from} sent {to} {sent} calls, {got} came, {answered} are answered"
                ));
            }
            let (sent, got, answered) = pair(&then, from, to);
            if (got, answered) != (sent, sent) {
                return Err(format!(
                    "{from} sent {to} {sent} calls, in the end {got} came and {answered} are answered"
                ));
            }
        }
        let known = self.flooded.iter();
        let known = known.filter(|(id, _)| state.requests.get(*id).is_some());
        let due: u64 = known.map(|(_, calls)| *calls).sum();
        let sent: u64 = then.iter().flat_map(|words| &words[1..4]).sum();
        if sent != due {
            return Err(format!(
                "{due} calls follow from what users sent, and {sent} were made"
            ));
        }
        let requests = self.flooded.keys().filter_map(|id| end.state().requests.get(id));
        let silent = requests.filter(|record| !matches!(record.outcome, Some(Outcome::Replied(_))));
        match silent.count() {
            0 => Ok(()),
            silent => Err(format!("{silent} messages to the peers were not replied to")),
        }
    }
}

/// What each peer has counted; nothing before it is there.
fn words(executor: &Executor, state: &State) -> Vec<Vec<u64>> {
    let shown = |number| -> Option<Vec<u64>> {
        let canister = state.canister(&peer(number))?;
        let call = Call {
            caller: Principal::anonymous(),
            method: "show".into(),
            arg: [].into(),
            time: state.time,
        };
        let reply = executor.query(state, canister, &call, None).unwrap();
        let words = reply
            .chunks(8)
            .map(|word| u64::from_le_bytes(word.try_into().unwrap()));
        Some(words.collect())
    };
    (0..PEERS)
        .map(|number| shown(number).unwrap_or_else(|| vec![0; WORDS]))
        .collect()
}
