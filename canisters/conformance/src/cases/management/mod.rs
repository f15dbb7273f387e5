//! "The IC management canister" as users call it.

mod access;
mod chunks;
mod creating;
mod installing;
mod logs;
mod settings;
mod status;
mod stopping;
mod uninstalling;

use crate::case::Case;

pub fn cases() -> Vec<Case> {
    [
        creating::CASES,
        installing::CASES,
        settings::CASES,
        status::CASES,
        stopping::CASES,
        uninstalling::CASES,
        chunks::CASES,
        logs::CASES,
        access::CASES,
    ]
    .concat()
}
