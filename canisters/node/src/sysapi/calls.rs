//! Functions that this version only names: inter-canister calls and timers.
//!
//! They are linked so that modules instantiate, and stop the execution with a message that says what is missing.

use super::access::{contract, define};
use super::context::{CALLBACKS, Contexts as C};
use super::{Execution, Index};
use wasmtime::{Error, Linker};

fn unsupported(name: &str) -> Error {
    contract(format!(
        "ic0.{name} is not supported by this version of dcanary-node"
    ))
}

#[allow(clippy::too_many_arguments)] // The signature is the specification's.
pub fn link<I: Index>(linker: &mut Linker<Execution>) -> wasmtime::Result<()> {
    let calling = C::U.or(C::CQ).or(CALLBACKS).or(C::T);
    linker.func_wrap(
        "ic0",
        "call_new",
        |_: I, _: I, _: I, _: I, _: I, _: I, _: I, _: I| -> wasmtime::Result<()> {
            Err(unsupported("call_new"))
        },
    )?;
    define!(linker, "call_on_cleanup", calling, |_call,
                                                 _function: I,
                                                 _environment: I|
     -> () {
        Err(unsupported("call_on_cleanup"))
    });
    define!(linker, "call_data_append", calling, |_call,
                                                  _from: I,
                                                  _size: I|
     -> () {
        Err(unsupported("call_data_append"))
    });
    define!(
        linker,
        "call_with_best_effort_response",
        calling,
        |_call, _seconds: i32| -> () { Err(unsupported("call_with_best_effort_response")) }
    );
    define!(linker, "call_cycles_add128", calling, |_call,
                                                    _high: u64,
                                                    _low: u64|
     -> () {
        Err(unsupported("call_cycles_add128"))
    });
    define!(linker, "call_perform", calling, |_call| -> i32 {
        Err(unsupported("call_perform"))
    });
    let timing = C::I.or(C::G).or(C::U).or(C::RY).or(C::RT).or(C::C).or(C::T);
    define!(linker, "global_timer_set", timing, |_call, _time: u64| -> u64 {
        Err(unsupported("global_timer_set"))
    });
    Ok(())
}
