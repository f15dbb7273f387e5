//! Cycles: the balance, what messages bring, what calls take along.
//!
//! Source: IC interface specification, "Cycles". Cycles only move: an execution can give away and burn what the canister has, and
//! accept what a message brings.

use super::access::{Call, define, write_u128};
use super::calls::building;
use super::context::Contexts as C;
use super::{Execution, Index, SysTrap};
use crate::faults::{Fault, broken};
use wasmtime::{Error, Linker};

/// From where cycles can be attached to calls.
pub const ATTACHING: C = C::U.or(C::RY).or(C::RT).or(C::T);

fn wide(high: u64, low: u64) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

pub fn link<I: Index>(linker: &mut Linker<Execution>) -> wasmtime::Result<()> {
    define!(linker, "canister_cycle_balance128", C::ANY, |call, to: I| -> () {
        let balance = call.data().balance();
        write_u128(&mut call, to.get(), balance)
    });
    // Nothing is charged here, so a canister needs no reserve against freezing: all of it can be spent.
    define!(linker, "canister_liquid_cycle_balance128", C::ANY, |call,
                                                                 to: I|
     -> () {
        let balance = call.data().balance();
        write_u128(&mut call, to.get(), balance)
    });
    let payable = C::U.or(C::RQ).or(C::RT).or(C::RY);
    define!(linker, "msg_cycles_available128", payable, |call, to: I| -> () {
        let available = call.data().available;
        write_u128(&mut call, to.get(), available)
    });
    define!(linker, "msg_cycles_refunded128", C::RT.or(C::RY), |call,
                                                                to: I|
     -> () {
        let refunded = call.data().view.message.refunded;
        write_u128(&mut call, to.get(), refunded)
    });
    define!(linker, "msg_cycles_accept128", payable, |call,
                                                      high: u64,
                                                      low: u64,
                                                      to: I|
     -> () {
        let accepted = accept(&mut call, wide(high, low));
        write_u128(&mut call, to.get(), accepted)
    });
    let burning = C::I
        .or(C::G)
        .or(C::U)
        .or(C::RQ)
        .or(C::RY)
        .or(C::RT)
        .or(C::C)
        .or(C::T);
    define!(linker, "cycles_burn128", burning, |call,
                                                high: u64,
                                                low: u64,
                                                to: I|
     -> () {
        let burnt = wide(high, low).min(call.data().balance());
        call.data_mut().burnt += burnt;
        write_u128(&mut call, to.get(), burnt)
    });
    define!(linker, "call_cycles_add128", ATTACHING, |call,
                                                      high: u64,
                                                      low: u64|
     -> () {
        attach(&mut call, wide(high, low))
    });
    Ok(())
}

/// Accepts cycles of the message: as many as wanted, as far as they are there and the balance can hold them.
pub fn accept(call: &mut Call<'_>, most: u128) -> u128 {
    let execution = call.data_mut();
    let room = u128::MAX - execution.view.cycles.saturating_add(execution.taken);
    let accepted = if broken(Fault::AcceptTooMuch) {
        most.min(room)
    } else {
        most.min(execution.available).min(room)
    };
    if !broken(Fault::CreateCycles) {
        execution.available = execution.available.saturating_sub(accepted);
    }
    execution.taken += accepted;
    accepted
}

/// Attaches cycles to the call that is being built.
pub fn attach(call: &mut Call<'_>, amount: u128) -> wasmtime::Result<()> {
    let execution = call.data_mut();
    let (balance, canister) = (execution.balance(), execution.view.canister);
    let building = building(execution)?;
    if amount > balance && !broken(Fault::AttachAnything) {
        return Err(Error::new(SysTrap::Cycles(format!(
            "Canister {canister} wants to attach {amount} cycles to a call and has {balance}"
        ))));
    }
    building.cycles += amount;
    Ok(())
}
