//! Guards and memory access that all functions share.

use super::context::Contexts;
use super::{Execution, SysTrap};
use crate::faults::{Fault, broken};
use ic_principal::Principal;
use wasmtime::{Caller, Error, Result};

/// The caller's side of a system API function.
pub type Call<'a> = Caller<'a, Execution>;

/// Instructions that each call of the system API costs.
const BASE_COST: u64 = 500;

/// Defines one function: guards the context, charges the base cost, runs the body.
macro_rules! define {
    ($linker:expr, $name:literal, $contexts:expr, |$call:ident $(, $parameter:ident: $type:ty)*| -> $result:ty $body:block) => {{
        let contexts = $contexts;
        $linker.func_wrap(
            "ic0",
            $name,
            #[allow(unused_mut)] // Some bodies only read.
            move |mut $call: $crate::sysapi::access::Call<'_> $(, $parameter: $type)*| -> wasmtime::Result<$result> {
                $crate::sysapi::access::enter(&mut $call, $name, contexts)?;
                $body
            },
        )?;
    }};
}
pub(super) use define;

/// A broken rule as an error.
pub fn contract(message: impl Into<String>) -> Error {
    Error::new(SysTrap::Contract(message.into()))
}

/// Checks that a function may be called now, and charges for it.
pub fn enter(call: &mut Call<'_>, name: &str, contexts: Contexts) -> Result<()> {
    if !contexts.allows(call.data().kind) && !broken(Fault::WrongContextAllowed) {
        return Err(contract(format!("\"{name}\" cannot be executed in this context")));
    }
    charge(call, BASE_COST)
}

/// Charges instructions.
pub fn charge(call: &mut Call<'_>, instructions: u64) -> Result<()> {
    match call.get_fuel()?.checked_sub(instructions) {
        Some(rest) => call.set_fuel(rest),
        None => Err(Error::new(SysTrap::OutOfInstructions)),
    }
}

fn out_of_bounds(at: u64, len: u64) -> Error {
    contract(format!(
        "access of {len} bytes at {at} is outside of the canister's memory"
    ))
}

/// The canister's memory and the execution, both writable.
pub fn split<'a>(call: &'a mut Call<'_>) -> (&'a mut [u8], &'a mut Execution) {
    match call.data().memory {
        Some(memory) => memory.data_and_store_mut(call),
        None => (&mut [], call.data_mut()),
    }
}

/// Checks a range of the canister's memory.
pub fn range(memory: &[u8], at: u64, len: u64) -> Result<std::ops::Range<usize>> {
    let end = at
        .checked_add(len)
        .filter(|end| *end <= memory.len() as u64)
        .ok_or_else(|| out_of_bounds(at, len))?;
    let (Ok(at), Ok(end)) = (usize::try_from(at), usize::try_from(end)) else {
        return Err(out_of_bounds(at, len));
    };
    Ok(at..end)
}

/// Reads bytes of the canister's memory, and charges for them.
pub fn read(call: &mut Call<'_>, at: u64, len: u64) -> Result<Vec<u8>> {
    charge(call, len)?;
    let (memory, _) = split(call);
    if range(memory, at, len).is_err() && broken(Fault::LaxMemory) {
        return Ok(Vec::new());
    }
    let range = range(memory, at, len)?;
    Ok(memory[range].to_vec())
}

/// Reads text of the canister's memory.
pub fn read_text(call: &mut Call<'_>, at: u64, len: u64) -> Result<String> {
    if broken(Fault::LossyText) {
        return Ok(String::from_utf8_lossy(&read(call, at, len)?).into_owned());
    }
    String::from_utf8(read(call, at, len)?).map_err(|_| contract("the text is not valid UTF-8"))
}

/// Reads a principal of the canister's memory. What is too long for one is not read at all.
pub fn read_principal(call: &mut Call<'_>, what: &str, at: u64, len: u64) -> Result<Principal> {
    let refused = || contract(format!("{what} is not a principal"));
    if len > Principal::MAX_LENGTH_IN_BYTES as u64 && !broken(Fault::LossyText) {
        return Err(refused());
    }
    match Principal::try_from_slice(&read(call, at, len)?) {
        Err(_) if broken(Fault::LossyText) => Ok(Principal::management_canister()),
        read => read.map_err(|_| refused()),
    }
}

/// Copies a part of what the execution can see into the canister's memory, and charges for it.
pub fn copy(
    call: &mut Call<'_>,
    to: u64,
    offset: u64,
    len: u64,
    source: impl FnOnce(&Execution) -> Result<&[u8]>,
) -> Result<()> {
    charge(call, len)?;
    let offset = if broken(Fault::CopyIgnoresOffset) {
        0
    } else {
        offset
    };
    let (memory, execution) = split(call);
    if range(memory, to, len).is_err() && broken(Fault::LaxMemory) {
        return Ok(());
    }
    let to = range(memory, to, len)?;
    let source = source(execution)?;
    if broken(Fault::CopyBeyondEnd) && range(source, offset, len).is_err() {
        memory[to].fill(0);
        return Ok(());
    }
    let from = range(source, offset, len).map_err(|_| {
        contract(format!(
            "reading {len} bytes at {offset} of a value of {} bytes",
            source.len()
        ))
    })?;
    memory[to].copy_from_slice(&source[from]);
    Ok(())
}

/// Writes a 128-bit number, little endian.
pub fn write_u128(call: &mut Call<'_>, to: u64, value: u128) -> Result<()> {
    let (memory, _) = split(call);
    let to = range(memory, to, 16)?;
    memory[to].copy_from_slice(&value.to_le_bytes());
    Ok(())
}
