//! Stable memory.

use super::Execution;
use super::access::{Call, charge, contract, define, range, split};
use super::context::Contexts as C;
use crate::heap::wasm_memory::WASM_PAGE;
use wasmtime::Linker;

pub fn link(linker: &mut Linker<Execution>) -> wasmtime::Result<()> {
    define!(linker, "stable64_size", C::ALWAYS, |call| -> u64 {
        Ok(call.data().stable.size())
    });
    define!(linker, "stable64_grow", C::ALWAYS, |call, by: u64| -> u64 {
        Ok(grow(&mut call, by).unwrap_or(u64::MAX))
    });
    define!(linker, "stable64_read", C::ALWAYS, |call,
                                                 to: u64,
                                                 offset: u64,
                                                 size: u64|
     -> () {
        read(&mut call, to, offset, size)
    });
    define!(linker, "stable64_write", C::ALWAYS, |call,
                                                  offset: u64,
                                                  from: u64,
                                                  size: u64|
     -> () {
        write(&mut call, offset, from, size)
    });
    Ok(())
}

pub fn grow(call: &mut Call<'_>, by: u64) -> Option<u64> {
    let execution = call.data_mut();
    let (size, left) = (execution.stable.size(), execution.budget.growth);
    let spare = left.node.min(left.canister) / WASM_PAGE;
    let limit = execution.budget.stable_pages.min(size.saturating_add(spare));
    let before = execution.stable.grow(by, limit)?;
    execution.budget.growth.node -= by * WASM_PAGE;
    execution.budget.growth.canister -= by * WASM_PAGE;
    Some(before)
}

pub fn read(call: &mut Call<'_>, to: u64, offset: u64, size: u64) -> wasmtime::Result<()> {
    charge(call, size)?;
    let (memory, execution) = split(call);
    let to = range(memory, to, size)?;
    execution
        .stable
        .read(offset, &mut memory[to])
        .map_err(|error| contract(error.to_string()))
}

pub fn write(call: &mut Call<'_>, offset: u64, from: u64, size: u64) -> wasmtime::Result<()> {
    charge(call, size)?;
    let (memory, execution) = split(call);
    let from = range(memory, from, size)?;
    let fresh = execution.stable.fresh(offset, from.len());
    let Some(left) = execution.budget.dirty.checked_sub(fresh) else {
        return Err(contract(format!(
            "the execution changes more of the stable memory than the node has memory for: {fresh} bytes, and {} are left",
            execution.budget.dirty
        )));
    };
    execution.budget.dirty = left;
    execution
        .stable
        .write(offset, &memory[from])
        .map_err(|error| contract(error.to_string()))
}
