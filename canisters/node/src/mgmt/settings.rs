//! Settings of canisters and their bounds.
//!
//! Source: IC interface specification, "IC method `create_canister`" and "`update_settings`".

use super::{decode, nothing};
use crate::exec::call::Call;
use crate::exec::machine::Machine;
use crate::state::canister::Canister;
use crate::state::request::Reject;
use candid::{CandidType, Deserialize, Nat};
use ic_error_types::ErrorCode;
use ic_management_canister_types::{
    CanisterSettings, DefiniteCanisterSettings, EnvironmentVariable, LogVisibility, SnapshotVisibility,
    StatusVisibility,
};
use ic_principal::Principal;
use std::collections::BTreeSet;

const MAX_CONTROLLERS: usize = 10;
const MAX_MEMORY: u64 = 1 << 48;
const MAX_ENVIRONMENT: usize = 20;
const MAX_ENVIRONMENT_TEXT: usize = 128;
/// 30 days in seconds.
const FREEZING_THRESHOLD: u64 = 2_592_000;
/// 3 GiB.
const WASM_MEMORY_LIMIT: u64 = 3 << 30;
/// 5 T.
const RESERVED_CYCLES_LIMIT: u64 = 5_000_000_000_000;
const LOG_MEMORY_LIMIT: u64 = 4_096;

/// Only what is read of the argument; `sender_canister_version` is for canisters as callers.
#[derive(CandidType, Deserialize)]
struct UpdateArgs {
    settings: CanisterSettings,
}

/// The settings of a new canister.
pub fn defaults(controller: Principal) -> DefiniteCanisterSettings {
    DefiniteCanisterSettings {
        controllers: vec![controller],
        compute_allocation: Nat::from(0u8),
        memory_allocation: Nat::from(0u8),
        freezing_threshold: Nat::from(FREEZING_THRESHOLD),
        reserved_cycles_limit: Nat::from(RESERVED_CYCLES_LIMIT),
        minimum_incoming_canister_call_cycles: Nat::from(0u8),
        log_visibility: LogVisibility::Controllers,
        log_memory_limit: Nat::from(LOG_MEMORY_LIMIT),
        snapshot_visibility: SnapshotVisibility::Controllers,
        status_visibility: StatusVisibility::Controllers,
        wasm_memory_limit: Nat::from(WASM_MEMORY_LIMIT),
        wasm_memory_threshold: Nat::from(0u8),
        environment_variables: Vec::new(),
    }
}

fn invalid(message: String) -> Reject {
    Reject::new(ErrorCode::CanisterContractViolation, message)
}

fn bounded(name: &str, value: Nat, most: u64) -> Result<Nat, Reject> {
    if value.0 > most.into() {
        return Err(invalid(format!(
            "The setting {name} must be at most {most}, but {value} was given"
        )));
    }
    Ok(value)
}

/// The settings after the wanted changes, or why they are out of bounds.
pub fn apply(
    mut settings: DefiniteCanisterSettings,
    wanted: CanisterSettings,
) -> Result<DefiniteCanisterSettings, Reject> {
    if let Some(controllers) = wanted.controllers {
        // A set, in a fixed order, because the state tree shows it.
        let controllers: BTreeSet<Principal> = controllers.into_iter().collect();
        if controllers.len() > MAX_CONTROLLERS {
            return Err(invalid(format!(
                "A canister can have at most {MAX_CONTROLLERS} controllers"
            )));
        }
        settings.controllers = controllers.into_iter().collect();
    }
    let numbers = [
        (
            "compute_allocation",
            wanted.compute_allocation,
            &mut settings.compute_allocation,
            100,
        ),
        (
            "memory_allocation",
            wanted.memory_allocation,
            &mut settings.memory_allocation,
            MAX_MEMORY,
        ),
        (
            "freezing_threshold",
            wanted.freezing_threshold,
            &mut settings.freezing_threshold,
            u64::MAX,
        ),
        (
            "wasm_memory_limit",
            wanted.wasm_memory_limit,
            &mut settings.wasm_memory_limit,
            MAX_MEMORY,
        ),
        (
            "wasm_memory_threshold",
            wanted.wasm_memory_threshold,
            &mut settings.wasm_memory_threshold,
            MAX_MEMORY,
        ),
        (
            "log_memory_limit",
            wanted.log_memory_limit,
            &mut settings.log_memory_limit,
            2 << 20,
        ),
    ];
    for (name, value, place, most) in numbers {
        if let Some(value) = value {
            *place = bounded(name, value, most)?;
        }
    }
    if let Some(limit) = wanted.reserved_cycles_limit {
        settings.reserved_cycles_limit = limit;
    }
    if let Some(minimum) = wanted.minimum_incoming_canister_call_cycles {
        settings.minimum_incoming_canister_call_cycles = minimum;
    }
    settings.log_visibility = wanted.log_visibility.unwrap_or(settings.log_visibility);
    settings.snapshot_visibility = wanted.snapshot_visibility.unwrap_or(settings.snapshot_visibility);
    settings.status_visibility = wanted.status_visibility.unwrap_or(settings.status_visibility);
    if let Some(variables) = wanted.environment_variables {
        settings.environment_variables = environment(variables)?;
    }
    Ok(settings)
}

fn environment(mut variables: Vec<EnvironmentVariable>) -> Result<Vec<EnvironmentVariable>, Reject> {
    if variables.len() > MAX_ENVIRONMENT {
        return Err(invalid(format!(
            "A canister can have at most {MAX_ENVIRONMENT} environment variables"
        )));
    }
    if variables
        .iter()
        .any(|variable| variable.name.len().max(variable.value.len()) > MAX_ENVIRONMENT_TEXT)
    {
        return Err(invalid(format!(
            "Names and values of environment variables can have at most {MAX_ENVIRONMENT_TEXT} bytes"
        )));
    }
    variables.sort();
    if variables.windows(2).any(|pair| pair[0].name == pair[1].name) {
        return Err(invalid("An environment variable is given twice".to_owned()));
    }
    Ok(variables)
}

/// `update_settings`.
pub fn update(machine: &mut Machine, canister: &Canister, call: &Call) -> Result<Vec<u8>, Reject> {
    let args: UpdateArgs = decode(&call.arg)?;
    let mut next = canister.clone();
    next.settings = apply(next.settings, args.settings)?;
    next.version += 1;
    machine.commit(next, &(Vec::new(), Vec::new()));
    nothing()
}
