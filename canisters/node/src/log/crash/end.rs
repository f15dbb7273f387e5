//! What has become of a state, and what becomes of it.

use crate::exec::batch::{Batch, Permissions};
use crate::exec::call::Executor;
use crate::exec::machine::Machine;
use crate::state::State;
use crate::state::request::Record;
use crate::wire::hash::Hash;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How many of these increments are executed.
pub fn incremented(state: &State, sent: &BTreeSet<Hash>) -> u64 {
    let executed = |record: &Arc<Record>| record.outcome.is_some();
    let requests = state.requests.iter();
    requests
        .filter(|(id, record)| sent.contains(*id) && executed(record))
        .count() as u64
}

/// A machine that has done all that was left to do after a state.
pub fn in_the_end(executor: &Executor, state: &State) -> Machine {
    let mut machine = Machine::new(executor.clone(), state.clone());
    while machine.agenda().busy {
        machine.apply(&Batch {
            round: machine.state().round + 1,
            time: machine.state().time + 1,
            memory_limit: u64::MAX,
            canister_limit: u64::MAX,
            permissions: Permissions::ALL,
            seed: [0; 32],
            messages: vec![],
        });
    }
    machine
}
