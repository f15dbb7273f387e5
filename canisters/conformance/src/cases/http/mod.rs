//! "HTTPS Interface".

mod calls;
mod cbor;
mod delegations;
mod effective;
mod envelope;
mod queries;
mod read_state;
mod replay;
mod signatures;

use crate::case::Case;

pub fn cases() -> Vec<Case> {
    [
        envelope::CASES,
        signatures::CASES,
        delegations::CASES,
        cbor::CASES,
        calls::CASES,
        replay::CASES,
        queries::CASES,
        read_state::CASES,
        effective::CASES,
    ]
    .concat()
}
