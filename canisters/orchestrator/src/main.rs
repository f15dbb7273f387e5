//! The exported methods of the journal canister. Each takes apart its message, asks the library, and answers; a
//! broken store traps, so that nothing of the message stays.
#![cfg_attr(
    not(target_family = "wasm"),
    allow(dead_code, reason = "exported methods have no caller outside wasm")
)]

mod endpoints;

fn main() {}
