//! Settings of canisters and their bounds.
//!
//! Source: IC interface specification, "IC method `create_canister`" and "`update_settings`".

use super::sender::{Sender, note};
use super::{decode, nothing};
use crate::exec::call::Call;
use crate::exec::machine::Machine;
use crate::exec::memory::of_logs;
use crate::faults::{Fault, broken};
use crate::state::canister::{Canister, nat_to_u64};
use crate::state::logs::DEFAULT_LIMIT;
use crate::state::request::Reject;
use crate::wire::cbor::Value;
use crate::wire::hash::{Hash, hash_of_map};
use candid::{CandidType, Deserialize, Nat};
use ic_error_types::ErrorCode;
use ic_management_canister_types::{
    CanisterSettings, ChangeDetails, ControllersChangeRecord, DefiniteCanisterSettings, EnvironmentVariable,
    LogVisibility, SnapshotVisibility, StatusVisibility,
};
use ic_principal::Principal;
use std::collections::BTreeSet;

const MAX_CONTROLLERS: usize = 10;
const MAX_VIEWERS: usize = 10;
const MAX_WASM_MEMORY: u128 = 1 << 48;
/// 2 MiB.
const MAX_LOG_MEMORY: u128 = 2 << 20;
const MAX_ENVIRONMENT: usize = 20;
/// Longest name and longest value of an environment variable, in bytes.
pub const MAX_ENVIRONMENT_TEXT: usize = 128;
/// 30 days in seconds.
const FREEZING_THRESHOLD: u64 = 2_592_000;
/// 3 GiB.
const WASM_MEMORY_LIMIT: u64 = 3 << 30;
/// 5 T.
const RESERVED_CYCLES_LIMIT: u64 = 5_000_000_000_000;

/// Only what is read of the argument; `sender_canister_version` is checked for all methods at once.
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
        log_memory_limit: Nat::from(DEFAULT_LIMIT),
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

fn bounded(name: &str, value: Nat, most: u128) -> Result<Nat, Reject> {
    if value.0 > most.into() && !broken(Fault::UnboundedSettings) {
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
        if controllers.len() > MAX_CONTROLLERS && !broken(Fault::UnboundedSettings) {
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
            u64::MAX.into(),
        ),
        (
            "freezing_threshold",
            wanted.freezing_threshold,
            &mut settings.freezing_threshold,
            u64::MAX.into(),
        ),
        (
            "wasm_memory_limit",
            wanted.wasm_memory_limit,
            &mut settings.wasm_memory_limit,
            MAX_WASM_MEMORY,
        ),
        (
            "wasm_memory_threshold",
            wanted.wasm_memory_threshold,
            &mut settings.wasm_memory_threshold,
            MAX_WASM_MEMORY,
        ),
        (
            "log_memory_limit",
            wanted.log_memory_limit,
            &mut settings.log_memory_limit,
            MAX_LOG_MEMORY,
        ),
        (
            "reserved_cycles_limit",
            wanted.reserved_cycles_limit,
            &mut settings.reserved_cycles_limit,
            u128::MAX,
        ),
        (
            "minimum_incoming_canister_call_cycles",
            wanted.minimum_incoming_canister_call_cycles,
            &mut settings.minimum_incoming_canister_call_cycles,
            u128::MAX,
        ),
    ];
    for (name, value, place, most) in numbers {
        if let Some(value) = value {
            *place = bounded(name, value, most)?;
        }
    }
    if let Some(LogVisibility::AllowedViewers(viewers)) = &wanted.log_visibility {
        few("log_visibility", viewers)?;
    }
    if let Some(SnapshotVisibility::AllowedViewers(viewers)) = &wanted.snapshot_visibility {
        few("snapshot_visibility", viewers)?;
    }
    if let Some(StatusVisibility::AllowedViewers(viewers)) = &wanted.status_visibility {
        few("status_visibility", viewers)?;
    }
    settings.log_visibility = wanted.log_visibility.unwrap_or(settings.log_visibility);
    settings.snapshot_visibility = wanted.snapshot_visibility.unwrap_or(settings.snapshot_visibility);
    settings.status_visibility = wanted.status_visibility.unwrap_or(settings.status_visibility);
    if let Some(variables) = wanted.environment_variables {
        settings.environment_variables = environment(variables)?;
    }
    Ok(settings)
}

fn few(name: &str, viewers: &[Principal]) -> Result<(), Reject> {
    if viewers.len() > MAX_VIEWERS && !broken(Fault::UnboundedSettings) {
        return Err(invalid(format!(
            "The setting {name} can have at most {MAX_VIEWERS} allowed viewers, but {} were given",
            viewers.len()
        )));
    }
    Ok(())
}

fn environment(mut variables: Vec<EnvironmentVariable>) -> Result<Vec<EnvironmentVariable>, Reject> {
    if variables.len() > MAX_ENVIRONMENT && !broken(Fault::UnboundedSettings) {
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

/// Refuses a memory allocation that is more than the node has, or than one canister may hold. It is noted and not set aside: see `docs/ic-node.md`.
pub fn guarantee(machine: &Machine, settings: &DefiniteCanisterSettings) -> Result<(), Reject> {
    let limit = machine.memory().limit.min(machine.canister_limit());
    if nat_to_u64(&settings.memory_allocation) > limit {
        return Err(Reject::new(
            ErrorCode::SubnetOversubscribed,
            format!(
                "The setting memory_allocation asks for {} bytes, and a canister of this node can have {limit} (--memory-limit, --quota-disk)",
                settings.memory_allocation
            ),
        ));
    }
    Ok(())
}

/// The hash of the environment variables, as the history of a canister tells it.
pub fn environment_hash(settings: &DefiniteCanisterSettings) -> Result<Hash, Reject> {
    let variables: Vec<_> = settings
        .environment_variables
        .iter()
        .map(|variable| (variable.name.as_str(), Value::Text(&variable.value)))
        .collect();
    hash_of_map(&variables).map_err(|error| invalid(error.to_string()))
}

/// `update_settings`.
pub fn update(
    machine: &mut Machine,
    canister: &Canister,
    call: &Call,
    sender: &Sender,
) -> Result<Vec<u8>, Reject> {
    let args: UpdateArgs = decode(&call.arg)?;
    let (controllers, limited) = (
        args.settings.controllers.is_some(),
        args.settings.wasm_memory_limit.is_some(),
    );
    let mut next = canister.clone();
    if broken(Fault::UnnamedSettingsReset) {
        next.settings = defaults(call.caller);
    }
    next.settings = apply(next.settings, args.settings)?;
    guarantee(machine, &next.settings)?;
    if limited && next.heap_limit() > 0 && next.heap.bytes() > next.heap_limit() {
        return Err(invalid(format!(
            "The setting wasm_memory_limit must be at least the present size of the memory, which is {} bytes, but {} was \
             given",
            next.heap.bytes(),
            next.heap_limit()
        )));
    }
    let more = of_logs(next.log_limit()).saturating_sub(of_logs(canister.log_limit()));
    machine.memory().need(more)?;
    let limit = next.log_limit();
    next.logs.shrink(limit);
    next.version += 1;
    if controllers {
        let record = ControllersChangeRecord {
            controllers: next.settings.controllers.clone(),
        };
        note(&mut next, call, sender, ChangeDetails::ControllersChange(record));
    }
    machine.commit(next, &(Vec::new(), Vec::new()));
    nothing()
}
