//! "Canister interface (System API)": one execution.

mod arguments;
mod atomicity;
mod certified;
mod contexts;
mod environment;
mod inspect;
mod lifecycle;
mod memory;
mod modules;
mod responding;
mod timers;

use crate::case::Case;

pub fn cases() -> Vec<Case> {
    [
        responding::CASES,
        arguments::CASES,
        atomicity::CASES,
        memory::CASES,
        lifecycle::CASES,
        certified::CASES,
        environment::CASES,
        contexts::CASES,
        inspect::CASES,
        timers::CASES,
        modules::CASES,
    ]
    .concat()
}
