//! Deprecated functions of 32-bit canisters, still used by Motoko and older CDKs.
//!
//! Source: IC interface specification, "Deprecated functions".

use super::Execution;
use super::access::{contract, define};
use super::context::{CALLBACKS, Contexts as C};
use super::{canister, stable};
use wasmtime::Linker;

pub fn link(linker: &mut Linker<Execution>) -> wasmtime::Result<()> {
    define!(linker, "stable_size", C::ANY, |call| -> i32 {
        small(call.data().stable.size())
    });
    define!(linker, "stable_grow", C::ANY, |call, by: u32| -> i32 {
        let size = call.data().stable.size();
        small(size)?;
        if size + u64::from(by) > 65_536 {
            return Ok(-1);
        }
        stable::grow(&mut call, u64::from(by)).map_or(Ok(-1), small)
    });
    define!(linker, "stable_read", C::ANY, |call,
                                            to: u32,
                                            offset: u32,
                                            size: u32|
     -> () {
        stable::read(&mut call, u64::from(to), u64::from(offset), u64::from(size))
    });
    define!(linker, "stable_write", C::ANY, |call,
                                             offset: u32,
                                             from: u32,
                                             size: u32|
     -> () {
        stable::write(&mut call, u64::from(offset), u64::from(from), u64::from(size))
    });
    let payable = C::U.or(C::RQ).or(C::RT).or(C::RY);
    define!(linker, "msg_cycles_available", payable, |_call| -> u64 { Ok(0) });
    define!(linker, "msg_cycles_refunded", C::RT.or(C::RY), |_call| -> u64 {
        Ok(0)
    });
    define!(linker, "msg_cycles_accept", payable, |_call, _most: u64| -> u64 {
        Ok(0)
    });
    define!(linker, "canister_cycle_balance", C::ANY, |call| -> u64 {
        u64::try_from(canister::balance(&call))
            .map_err(|_| contract("the cycle balance does not fit into 64 bits"))
    });
    define!(
        linker,
        "call_cycles_add",
        C::U.or(CALLBACKS).or(C::T),
        |_call, _amount: u64| -> () {
            Err(contract(
                "ic0.call_cycles_add is not supported by this version of dcanary-node",
            ))
        }
    );
    Ok(())
}

/// The 32-bit functions trap when stable memory has outgrown them.
fn small(pages: u64) -> wasmtime::Result<i32> {
    i32::try_from(pages)
        .ok()
        .filter(|pages| *pages <= 65_536)
        .ok_or_else(|| contract("stable memory is too large for the 32-bit functions"))
}
