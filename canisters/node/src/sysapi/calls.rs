//! Making calls to other canisters.
//!
//! Source: IC interface specification, "Inter-canister method calls". A call is put together step by step and takes effect when
//! the entry point has returned; a call that was not performed by then is forgotten, and its cycles never left.

use super::access::{contract, define, read, read_principal, read_text};
use super::context::{CALLBACKS, Contexts as C};
use super::{Execution, Index};
use crate::faults::{Fault, broken};
use crate::mgmt::names_its_version;
use crate::state::calls::{Function, weight};
use ic_principal::Principal;
use wasmtime::Linker;

/// Most calls of one canister to another that are under way. Each answer has a place from the beginning, so an answer is never
/// refused.
pub const MAX_OUTSTANDING: usize = 500;
/// Largest argument of a call within a subnet.
const MAX_PAYLOAD: usize = 10 << 20;
/// Largest argument where a rule is broken.
const SMALL: u64 = 1 << 16;
/// Longest name of a method.
const MAX_METHOD: u64 = 20_000;
/// Longest that a best-effort call waits, in seconds.
const MAX_TIMEOUT: u32 = 300;

/// A call that an execution makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Who is called.
    pub callee: Principal,
    /// What.
    pub method: String,
    /// With which argument.
    pub payload: Vec<u8>,
    /// With how many cycles.
    pub cycles: u128,
    /// Seconds after which the caller gives up; `None` for never.
    pub timeout: Option<u32>,
    /// Called with a reply.
    pub reply: Function,
    /// Called with a rejection.
    pub reject: Function,
    /// Called when one of them trapped.
    pub cleanup: Option<Function>,
}

/// The queue is full: the number that `call_perform` returns (SYS_TRANSIENT).
const REFUSED: i32 = 2;

#[allow(clippy::too_many_arguments)] // The signature is the specification's.
pub fn link<I: Index>(linker: &mut Linker<Execution>) -> wasmtime::Result<()> {
    let calling = C::U.or(C::CQ).or(CALLBACKS).or(C::T);
    define!(linker, "call_new", calling, |call,
                                          callee: I,
                                          callee_size: I,
                                          name: I,
                                          name_size: I,
                                          reply: I,
                                          reply_environment: I,
                                          reject: I,
                                          reject_environment: I|
     -> () {
        #[cfg(feature = "faults")]
        call.data_mut().perform_rest();
        // One that was begun before is forgotten.
        call.data_mut().building = None;
        let callee = read_principal(&mut call, "the callee", callee.get(), callee_size.get())?;
        if name_size.get() > MAX_METHOD {
            return Err(contract(format!(
                "the name of the method is longer than {MAX_METHOD} bytes"
            )));
        }
        let method = read_text(&mut call, name.get(), name_size.get())?;
        // Places outside of the table are no fault here: they stand for calls whose answer nobody wants.
        let outgoing = Outgoing {
            callee,
            method,
            payload: Vec::new(),
            cycles: 0,
            timeout: None,
            reply: Function {
                index: reply.get(),
                environment: reply_environment.get(),
            },
            reject: Function {
                index: reject.get(),
                environment: reject_environment.get(),
            },
            cleanup: None,
        };
        call.data_mut().building = Some(outgoing);
        Ok(())
    });
    define!(linker, "call_on_cleanup", calling, |call,
                                                 function: I,
                                                 environment: I|
     -> () {
        let cleanup = Function {
            index: function.get(),
            environment: environment.get(),
        };
        let set = building(call.data_mut())?.cleanup.replace(cleanup).is_some();
        if set && !broken(Fault::LaxBuilding) {
            return Err(contract("the cleanup of the call is already set"));
        }
        Ok(())
    });
    define!(linker, "call_data_append", calling, |call,
                                                  from: I,
                                                  size: I|
     -> () {
        let present = building(call.data_mut())?.payload.len() as u64;
        let small = broken(Fault::SmallMessages) && size.get() > SMALL;
        if small || present.saturating_add(size.get()) > MAX_PAYLOAD as u64 {
            return Err(contract(format!(
                "the argument of the call is larger than {MAX_PAYLOAD} bytes"
            )));
        }
        let data = read(&mut call, from.get(), size.get())?;
        let payload = &mut building(call.data_mut())?.payload;
        if broken(Fault::AppendReplaces) {
            payload.clear();
        }
        payload.extend_from_slice(&data);
        Ok(())
    });
    define!(
        linker,
        "call_with_best_effort_response",
        calling,
        |call, seconds: u32| -> () {
            let timeout = seconds.min(MAX_TIMEOUT);
            let set = building(call.data_mut())?.timeout.replace(timeout).is_some();
            if set && !broken(Fault::LaxBuilding) {
                return Err(contract("the call is already a best-effort call"));
            }
            Ok(())
        }
    );
    define!(linker, "call_perform", calling, |call| -> i32 {
        Ok(perform(call.data_mut())?.map_or(REFUSED, |()| 0))
    });
    Ok(())
}

#[cfg(feature = "faults")]
impl Execution {
    /// Sends a call that was begun and not performed.
    pub fn perform_rest(&mut self) {
        if self.building.is_some() && broken(Fault::SendUnperformed) {
            drop(perform(self));
        }
    }

    /// Begins a call of nobody where none was begun.
    fn begin_call(&mut self) {
        let nowhere = Function {
            index: u64::MAX,
            environment: 0,
        };
        self.building.get_or_insert(Outgoing {
            callee: Principal::management_canister(),
            method: String::new(),
            payload: Vec::new(),
            cycles: 0,
            timeout: None,
            reply: nowhere,
            reject: nowhere,
            cleanup: None,
        });
    }
}

pub fn building(execution: &mut Execution) -> wasmtime::Result<&mut Outgoing> {
    #[cfg(feature = "faults")]
    if broken(Fault::LaxBuilding) {
        execution.begin_call();
    }
    match &mut execution.building {
        Some(outgoing) => Ok(outgoing),
        None => Err(contract("no call has been begun by `call_new`")),
    }
}

/// `None` when the call cannot be made; its cycles stay.
fn perform(execution: &mut Execution) -> wasmtime::Result<Option<()>> {
    building(execution)?;
    let Some(outgoing) = execution.building.take() else {
        return Ok(None);
    };
    let callee = outgoing.callee;
    let version = execution.view.version;
    if callee == Principal::management_canister()
        && !names_its_version(&outgoing.method, &outgoing.payload, version)
    {
        return Err(contract(format!(
            "the call of {} names another sender_canister_version than {version}, which is the canister's",
            outgoing.method
        )));
    }
    let before = execution.view.outstanding.get(&callee).copied().unwrap_or(0);
    let now = execution.performed.get(&callee).copied().unwrap_or(0);
    let size = weight(outgoing.method.len(), outgoing.payload.len());
    let full = before + now >= MAX_OUTSTANDING && !broken(Fault::UnlimitedQueue);
    if full || size > execution.budget.calls {
        return Ok(None);
    }
    execution.performed.insert(callee, now + 1);
    execution.budget.calls -= size;
    execution.attached += outgoing.cycles;
    execution.calls.push(outgoing);
    Ok(Some(()))
}
