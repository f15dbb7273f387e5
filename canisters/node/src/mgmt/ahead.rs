//! What is done for an install before it is ordered: compiling takes long and depends on nothing but the module.

use super::method::Method;
use super::{chunks, decode, install};
use crate::exec::call::{Call, Executor};
use crate::exec::memory::{Memory, of_module};
use crate::state::State;
use crate::state::request::Reject;
use crate::wasm::ahead::Held;
use crate::wasm::engine::Compiled;
use crate::wasm::packed::Size;

/// Whether a call installs a module.
pub fn installs(call: &Call) -> bool {
    matches!(
        Method::of(&call.method),
        Ok(Method::Install | Method::InstallChunked)
    )
}

/// Compiles the module that an admitted call installs. `None` when there is none or it is not valid, which is found again, and reported,
/// when the batch is executed. `memory_limit` is that of the next batch.
///
/// At most one large module is unpacked, put together or compiled at a time.
///
/// # Errors
/// The rejection when the node has no memory for it, as it would be in the batch.
pub fn compile(
    executor: &Executor,
    state: &State,
    call: &Call,
    memory_limit: u64,
) -> Result<Option<Held<Compiled>>, Reject> {
    let engine = &executor.engine;
    let Some(bytes) = bytes(state, call) else {
        return Ok(None);
    };
    let turn = engine.turns.ahead(bytes);
    let Some(module) = module(state, call) else {
        return Ok(None);
    };
    let known = engine.known(&module);
    let size = known
        .as_ref()
        .map_or_else(|| Size::of(&module), |known| known.size);
    let needed = of_module(module.len(), size);
    Memory::of(state, memory_limit).need(needed)?;
    if let Some(known) = known {
        return Ok(Some(engine.hold(known, needed)));
    }
    let _turn = turn.or_else(|| engine.turns.ahead(size.unpacked));
    let compiled = engine.compile(&module).ok();
    // Until the batch it must stay: the engine keeps only modules that somebody holds.
    Ok(compiled.map(|compiled| engine.hold(compiled, needed)))
}

/// How many bytes [`module`] copies.
fn bytes(state: &State, call: &Call) -> Option<u64> {
    match Method::of(&call.method).ok()? {
        Method::Install => Some(call.arg.len() as u64),
        Method::InstallChunked => chunks::bytes(state, &call.caller, &decode(&call.arg).ok()?).ok(),
        _ => None,
    }
}

/// The module that an admitted call installs.
pub fn module(state: &State, call: &Call) -> Option<Vec<u8>> {
    match Method::of(&call.method).ok()? {
        Method::Install => install::module(&call.arg),
        Method::InstallChunked => chunks::assemble(state, &call.caller, &decode(&call.arg).ok()?).ok(),
        _ => None,
    }
}
