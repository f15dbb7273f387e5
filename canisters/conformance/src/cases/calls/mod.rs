//! "Inter-canister method calls", with cycles, and composite queries.

mod assembling;
mod awaiting;
mod bounded;
mod cleanup;
mod composite;
mod cycles;
mod management;
mod order;
mod outcomes;

use crate::case::Case;

pub fn cases() -> Vec<Case> {
    [
        outcomes::CASES,
        awaiting::CASES,
        cleanup::CASES,
        assembling::CASES,
        order::CASES,
        cycles::CASES,
        bounded::CASES,
        management::CASES,
        composite::CASES,
    ]
    .concat()
}
