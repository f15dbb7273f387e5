//! A canister as people write them with the official kit: awaits, guards that are released, timers, randomness, cycles, the management
//! canister, stable memory, and every function of the system that the kit can link. `tests/agent/cdk.rs` says what it must do on the node.
#![cfg_attr(
    not(target_family = "wasm"),
    allow(dead_code, reason = "exported methods have no caller outside wasm")
)]

mod answers;
mod calls;
mod management;
mod system;
mod timers;

use candid::CandidType;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;

/// What the canister remembers.
#[derive(Debug, Default, Clone, CandidType, Serialize, Deserialize)]
struct Memory {
    /// From the argument of `init`.
    greeting: String,
    /// What happened, in order.
    events: Vec<String>,
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
}

/// Remembers that something happened.
fn note(event: impl Into<String>) {
    MEMORY.with_borrow_mut(|memory| memory.events.push(event.into()));
}

#[ic_cdk::init]
fn init(greeting: String) {
    MEMORY.with_borrow_mut(|memory| memory.greeting = greeting);
}

#[ic_cdk::pre_upgrade]
fn pre_upgrade() {
    let memory = MEMORY.with_borrow(Clone::clone);
    if let Err(error) = ic_cdk::storage::stable_save((memory,)) {
        ic_cdk::trap(error.to_string());
    }
}

#[ic_cdk::post_upgrade]
fn post_upgrade() {
    match ic_cdk::storage::stable_restore::<(Memory,)>() {
        Ok((memory,)) => MEMORY.set(memory),
        Err(error) => ic_cdk::trap(error),
    }
    note("upgraded");
}

/// Only what is for everybody.
#[ic_cdk::inspect_message]
fn inspect() {
    if ic_cdk::api::msg_method_name() != "only_for_canisters" {
        ic_cdk::api::accept_message();
    }
}

#[ic_cdk::update]
fn only_for_canisters() -> &'static str {
    "let in"
}

#[ic_cdk::query]
fn greeting() -> String {
    MEMORY.with_borrow(|memory| memory.greeting.clone())
}

#[ic_cdk::query]
fn events() -> Vec<String> {
    MEMORY.with_borrow(|memory| memory.events.clone())
}

fn main() {}
