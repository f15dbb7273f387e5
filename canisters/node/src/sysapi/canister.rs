//! The canister itself and its surroundings: ids, status, time and timer, controllers, environment.

use super::access::{Call, contract, copy, define, read_principal, read_text};
use super::context::{Contexts as C, REPLICATED};
use super::{Execution, Index};
use crate::faults::{Fault, broken};
use crate::mgmt::MAX_ENVIRONMENT_TEXT;
use wasmtime::Linker;

pub fn link<I: Index>(linker: &mut Linker<Execution>) -> wasmtime::Result<()> {
    define!(linker, "canister_self_size", C::ANY, |call| -> I {
        Ok(I::of(call.data().view.canister.as_slice().len()))
    });
    define!(linker, "canister_self_copy", C::ANY, |call,
                                                   to: I,
                                                   offset: I,
                                                   size: I|
     -> () {
        copy(&mut call, to.get(), offset.get(), size.get(), |execution| {
            Ok(execution.view.canister.as_slice())
        })
    });
    define!(linker, "subnet_self_size", C::ANY, |call| -> I {
        Ok(I::of(call.data().view.subnet.as_slice().len()))
    });
    define!(linker, "subnet_self_copy", C::ANY, |call,
                                                 to: I,
                                                 offset: I,
                                                 size: I|
     -> () {
        copy(&mut call, to.get(), offset.get(), size.get(), |execution| {
            Ok(execution.view.subnet.as_slice())
        })
    });
    define!(linker, "subnet_self_node_count", C::ANY, |_call| -> i32 { Ok(1) });
    define!(linker, "canister_status", C::ANY, |call| -> i32 {
        if broken(Fault::FlatteringView) {
            return Ok(1);
        }
        Ok(call.data().view.status)
    });
    define!(linker, "canister_version", C::ANY, |call| -> u64 {
        Ok(call.data().view.version)
    });
    define!(linker, "time", C::ANY, |call| -> u64 {
        Ok(call.data().view.time)
    });
    let root_key = C::I
        .or(C::G)
        .or(C::U)
        .or(C::RQ)
        .or(C::RY)
        .or(C::RT)
        .or(C::C)
        .or(C::T);
    define!(linker, "root_key_size", root_key, |call| -> I {
        Ok(I::of(call.data().view.root_key.len()))
    });
    define!(linker, "root_key_copy", root_key, |call,
                                                to: I,
                                                offset: I,
                                                size: I|
     -> () {
        copy(&mut call, to.get(), offset.get(), size.get(), |execution| {
            Ok(&execution.view.root_key)
        })
    });
    define!(linker, "is_controller", C::ALWAYS, |call,
                                                 from: I,
                                                 size: I|
     -> i32 {
        let id = read_principal(
            &mut call,
            "what `is_controller` is asked about",
            from.get(),
            size.get(),
        )?;
        let controls = call.data().view.controllers.contains(&id);
        Ok(i32::from(controls || broken(Fault::FlatteringView)))
    });
    define!(linker, "in_replicated_execution", C::ALWAYS, |call| -> i32 {
        let replicated = REPLICATED.allows(call.data().kind);
        Ok(i32::from(replicated || broken(Fault::FlatteringView)))
    });
    define!(linker, "performance_counter", C::ALWAYS, |call,
                                                       which: i32|
     -> u64 {
        match which {
            0 => used(&call),
            1 if broken(Fault::CounterStandsStill) => Ok(0),
            1 => Ok(used(&call)?.saturating_add(call.data().view.message.instructions)),
            _ => Err(contract(format!("performance_counter({which}) does not exist"))),
        }
    });
    let timing = C::I.or(C::G).or(C::U).or(C::RY).or(C::RT).or(C::C).or(C::T);
    define!(linker, "global_timer_set", timing, |call, time: u64| -> u64 {
        let execution = call.data_mut();
        if execution.view.timer != 0 && broken(Fault::TimerSetOnce) {
            return Ok(0);
        }
        let before = execution.timer.replace(time);
        Ok(before.unwrap_or(execution.view.timer))
    });
    link_environment::<I>(linker)
}

/// Instructions used by this execution.
fn used(call: &Call<'_>) -> wasmtime::Result<u64> {
    if broken(Fault::CounterStandsStill) {
        return Ok(0);
    }
    Ok(call.data().budget.instructions.saturating_sub(call.get_fuel()?))
}

fn link_environment<I: Index>(linker: &mut Linker<Execution>) -> wasmtime::Result<()> {
    fn name(execution: &Execution, index: u64) -> wasmtime::Result<&[u8]> {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        match execution.view.environment.keys().nth(index) {
            Some(name) => Ok(name.as_bytes()),
            None if broken(Fault::LaxEnvironment) => Ok(&[]),
            None => Err(contract(format!("there is no environment variable {index}"))),
        }
    }
    fn value<'a>(execution: &'a Execution, name: &str) -> wasmtime::Result<&'a [u8]> {
        match execution.view.environment.get(name) {
            Some(value) => Ok(value.as_bytes()),
            None if broken(Fault::LaxEnvironment) => Ok(&[]),
            None => Err(contract(format!("there is no environment variable `{name}`"))),
        }
    }
    /// The name of a variable, which is read only as far as one may be long.
    fn read_variable(call: &mut Call<'_>, at: u64, len: u64) -> wasmtime::Result<String> {
        if len > MAX_ENVIRONMENT_TEXT as u64 && !broken(Fault::LaxEnvironment) {
            return Err(contract(format!(
                "the name of an environment variable is longer than {MAX_ENVIRONMENT_TEXT} bytes"
            )));
        }
        read_text(call, at, len)
    }
    let any = C::ANY;
    define!(linker, "env_var_count", any, |call| -> I {
        Ok(I::of(call.data().view.environment.len()))
    });
    define!(linker, "env_var_name_size", any, |call, index: I| -> I {
        Ok(I::of(name(call.data(), index.get())?.len()))
    });
    define!(linker, "env_var_name_copy", any, |call,
                                               index: I,
                                               to: I,
                                               offset: I,
                                               size: I|
     -> () {
        copy(&mut call, to.get(), offset.get(), size.get(), |execution| {
            name(execution, index.get())
        })
    });
    define!(linker, "env_var_name_exists", any, |call,
                                                 from: I,
                                                 size: I|
     -> i32 {
        let name = read_variable(&mut call, from.get(), size.get())?;
        Ok(i32::from(call.data().view.environment.contains_key(&name)))
    });
    define!(linker, "env_var_value_size", any, |call, from: I, size: I| -> I {
        let name = read_variable(&mut call, from.get(), size.get())?;
        Ok(I::of(value(call.data(), &name)?.len()))
    });
    define!(linker, "env_var_value_copy", any, |call,
                                                from: I,
                                                len: I,
                                                to: I,
                                                offset: I,
                                                size: I|
     -> () {
        let name = read_variable(&mut call, from.get(), len.get())?;
        copy(&mut call, to.get(), offset.get(), size.get(), |execution| {
            value(execution, &name)
        })
    });
    Ok(())
}
