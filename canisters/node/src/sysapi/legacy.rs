//! Deprecated functions of 32-bit canisters, still used by Motoko and older CDKs.
//!
//! Source: IC interface specification, "Deprecated functions".

use super::Execution;
use super::access::{contract, define};
use super::context::Contexts as C;
use super::{cycles, stable};
use wasmtime::Linker;

pub fn link(linker: &mut Linker<Execution>) -> wasmtime::Result<()> {
    define!(linker, "stable_size", C::ALWAYS, |call| -> i32 {
        small(call.data().stable.size())
    });
    define!(linker, "stable_grow", C::ALWAYS, |call, by: u32| -> i32 {
        let size = call.data().stable.size();
        small(size)?;
        if size + u64::from(by) > 65_536 {
            return Ok(-1);
        }
        stable::grow(&mut call, u64::from(by)).map_or(Ok(-1), small)
    });
    define!(linker, "stable_read", C::ALWAYS, |call,
                                               to: u32,
                                               offset: u32,
                                               size: u32|
     -> () {
        stable::read(&mut call, u64::from(to), u64::from(offset), u64::from(size))
    });
    define!(linker, "stable_write", C::ALWAYS, |call,
                                                offset: u32,
                                                from: u32,
                                                size: u32|
     -> () {
        stable::write(&mut call, u64::from(offset), u64::from(from), u64::from(size))
    });
    let payable = C::U.or(C::RQ).or(C::RT).or(C::RY);
    define!(linker, "msg_cycles_available", payable, |call| -> u64 {
        narrow(call.data().available)
    });
    define!(linker, "msg_cycles_refunded", C::RT.or(C::RY), |call| -> u64 {
        narrow(call.data().view.message.refunded)
    });
    define!(linker, "msg_cycles_accept", payable, |call, most: u64| -> u64 {
        // Never more than was asked for, so it fits.
        narrow(cycles::accept(&mut call, u128::from(most)))
    });
    define!(linker, "canister_cycle_balance", C::ANY, |call| -> u64 {
        narrow(call.data().balance())
    });
    define!(linker, "call_cycles_add", cycles::ATTACHING, |call,
                                                           amount: u64|
     -> () {
        cycles::attach(&mut call, u128::from(amount))
    });
    Ok(())
}

/// The 32-bit functions trap when stable memory has outgrown them.
fn small(pages: u64) -> wasmtime::Result<i32> {
    i32::try_from(pages)
        .ok()
        .filter(|pages| *pages <= 65_536)
        .ok_or_else(|| contract("stable memory is too large for the 32-bit functions"))
}

/// The functions of 64 bits trap when there are more cycles than they can say.
fn narrow(cycles: u128) -> wasmtime::Result<u64> {
    u64::try_from(cycles).map_err(|_| contract("the cycles do not fit into 64 bits"))
}
