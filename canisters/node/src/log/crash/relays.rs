//! Calls between canisters that are under way when the crash comes: each is carried out to its end, and once.

use super::rig::{self, message};
use crate::exec::batch::Ingress;
use crate::exec::call::{Call, Executor};
use crate::exec::machine::Machine;
use crate::state::State;
use crate::state::request::Outcome;
use crate::wire::hash::Hash;
use ic_principal::Principal;
use std::collections::BTreeSet;

const RELAY: &str = include_str!("../../exec/tests/relay.wat");

/// The relay that is called by users, and the one that it calls.
pub fn relays() -> [Principal; 2] {
    [1, 2].map(|number| Principal::from_slice(&[0, 0, 0, 9, 0, 0, 0, number, 1, 1]))
}

pub fn module() -> Vec<u8> {
    wat::parse_str(RELAY).unwrap()
}

/// The messages that make the relays.
pub fn setup() -> Vec<Ingress> {
    let wasm = module();
    let mut messages = Vec::new();
    for (number, relay) in (0..).zip(relays()) {
        messages.extend(rig::creation(u64::MAX - 10 - 2 * number, relay, &wasm));
    }
    messages
}

/// A call that the first relay passes on.
pub fn call(number: u64) -> Ingress {
    let [first, second] = relays();
    message(
        (1 << 40) + number,
        first,
        "relay",
        forward(second, "echo", b"again"),
    )
}

/// The argument that makes a relay call a method.
pub fn forward(callee: Principal, method: &str, payload: &[u8]) -> Vec<u8> {
    let mut arg = Vec::new();
    for part in [callee.as_slice(), method.as_bytes()] {
        arg.push(u8::try_from(part.len()).unwrap());
        arg.extend_from_slice(part);
    }
    arg.extend_from_slice(payload);
    arg
}

/// How many calls the second relay has executed.
fn counted(executor: &Executor, state: &State) -> u64 {
    let Some(canister) = state.canister(&relays()[1]) else {
        return 0;
    };
    let call = Call {
        caller: Principal::anonymous(),
        method: "show".into(),
        arg: [].into(),
        time: state.time,
    };
    let reply = executor.query(state, canister, &call, None);
    reply.map_or(0, |reply| u64::from_le_bytes(reply[..8].try_into().unwrap()))
}

/// Whether what was sent is under way or answered, and in the end all of it has been executed once and answered.
pub fn verify(end: &Machine, state: &State, sent: &BTreeSet<Hash>) -> Result<(), String> {
    let executor = &end.executor;
    let answered = |state: &State| {
        let known = state.requests.iter().filter(|(id, _)| sent.contains(*id));
        let outcomes: Vec<_> = known.map(|(_, record)| record.outcome.clone()).collect();
        let known = outcomes.len() as u64;
        let wrong: Vec<_> = outcomes
            .iter()
            .flatten()
            .filter(|outcome| **outcome != Outcome::Replied(b"Ragain".to_vec()))
            .cloned()
            .collect();
        let answered = outcomes.iter().flatten().count() as u64;
        (known, answered, wrong)
    };
    let (known, done, wrong) = answered(state);
    let count = counted(executor, state);
    if !wrong.is_empty() || !(done..=known).contains(&count) {
        return Err(format!(
            "{known} calls, {done} answered, {count} executed; {wrong:?}"
        ));
    }
    let (_, done, wrong) = answered(end.state());
    let count = counted(executor, end.state());
    if !wrong.is_empty() || (done, count) != (known, known) {
        return Err(format!(
            "of {known} calls {done} were answered and {count} executed; {wrong:?}"
        ));
    }
    Ok(())
}
