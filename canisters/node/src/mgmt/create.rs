//! Creating canisters and giving them cycles.

use super::sender::{Sender, note};
use super::{decode, encode, nothing, settings};
use crate::cert::topology::in_range;
use crate::exec::call::Call;
use crate::exec::machine::Machine;
use crate::exec::memory::{of_logs, of_new_canister};
use crate::faults::{Fault, broken};
use crate::state::canister::{Canister, nat_to_u64};
use crate::state::request::Reject;
use crate::sysapi::CREATE_CANISTER;
use candid::{CandidType, Deserialize, Nat};
use ic_error_types::ErrorCode;
use ic_management_canister_types::{CanisterIdRecord, CanisterSettings, ChangeDetails, CreationRecord};
use ic_principal::Principal;

/// What a canister gets when nothing else is said: 100 T.
const DEFAULT_CYCLES: u128 = 100_000_000_000_000;

#[derive(CandidType, Deserialize)]
struct CreateArgs {
    settings: Option<CanisterSettings>,
}

#[derive(CandidType, Deserialize)]
struct ProvisionalArgs {
    amount: Option<Nat>,
    settings: Option<CanisterSettings>,
    specified_id: Option<Principal>,
}

#[derive(CandidType, Deserialize)]
struct TopUpArgs {
    amount: Nat,
}

/// `create_canister`. By an ingress message only subnet administrators may call it on mainnet: here those are whom the node
/// names as creators, and the canister gets the default cycles. To the canister of a canister it gives those of the call,
/// which must be enough to create one on mainnet; nothing is charged.
pub fn create(machine: &mut Machine, call: &Call, sender: &mut Sender) -> Result<Vec<u8>, Reject> {
    may_create(machine, call, sender)?;
    let args: CreateArgs = decode(&call.arg)?;
    let settings = args.settings.unwrap_or_default();
    if !sender.is_canister() {
        return add(machine, call, sender, settings, DEFAULT_CYCLES, None);
    }
    if sender.cycles < CREATE_CANISTER {
        return Err(Reject::new(
            ErrorCode::InsufficientCyclesForCreateCanister,
            format!(
                "Creating a canister requires a fee of {CREATE_CANISTER} that is deducted from the canister's initial balance \
                 but only {} cycles were received with the create_canister request.",
                sender.cycles
            ),
        ));
    }
    let reply = add(machine, call, sender, settings, sender.cycles, None)?;
    sender.cycles = 0;
    Ok(reply)
}

/// Users are checked before their calls are ordered; canisters here.
fn may_create(machine: &Machine, call: &Call, sender: &Sender) -> Result<(), Reject> {
    if !sender.is_canister() || machine.permissions().create {
        return Ok(());
    }
    Err(Reject::new(
        ErrorCode::CanisterInvalidController,
        format!(
            "{} may not create canisters on this node (--creators)",
            call.caller
        ),
    ))
}

/// `provisional_create_canister_with_cycles`.
pub fn provisional(machine: &mut Machine, call: &Call, sender: &Sender) -> Result<Vec<u8>, Reject> {
    may_create(machine, call, sender)?;
    let args: ProvisionalArgs = decode(&call.arg)?;
    if broken(Fault::IgnoreWishes) {
        return add(
            machine,
            call,
            sender,
            CanisterSettings::default(),
            DEFAULT_CYCLES,
            None,
        );
    }
    let cycles = args.amount.map_or(Ok(DEFAULT_CYCLES), |amount| cycles(&amount))?;
    add(
        machine,
        call,
        sender,
        args.settings.unwrap_or_default(),
        cycles,
        args.specified_id,
    )
}

fn cycles(amount: &Nat) -> Result<u128, Reject> {
    u128::try_from(&amount.0).map_err(|_| {
        Reject::new(
            ErrorCode::InvalidManagementPayload,
            "the amount of cycles does not fit into 128 bits",
        )
    })
}

fn add(
    machine: &mut Machine,
    call: &Call,
    sender: &Sender,
    wanted: CanisterSettings,
    cycles: u128,
    specified: Option<Principal>,
) -> Result<Vec<u8>, Reject> {
    let named_environment = wanted.environment_variables.is_some();
    let settings = settings::apply(settings::defaults(call.caller), wanted)?;
    let logs = usize::try_from(nat_to_u64(&settings.log_memory_limit)).unwrap_or(usize::MAX);
    machine
        .memory()
        .need(of_new_canister().saturating_add(of_logs(logs)))?;
    settings::guarantee(machine, &settings)?;
    let id = match specified {
        None => machine.next_id(),
        Some(id) if !in_range(&id) || id.as_slice().len() != 10 => {
            return Err(Reject::new(
                ErrorCode::CanisterNotHostedBySubnet,
                format!("the specified id {id} is not a canister id of this subnet"),
            ));
        }
        Some(id) if machine.state().canister(&id).is_some() => {
            return Err(Reject::new(
                ErrorCode::CanisterAlreadyInstalled,
                format!("Canister {id} is already installed."),
            ));
        }
        Some(id) if machine.state().was_deleted(&id) => {
            return Err(Reject::new(
                ErrorCode::CanisterAlreadyInstalled,
                format!(
                    "Canister {id} was deleted, and no other one gets its id: specify another one, or none"
                ),
            ));
        }
        Some(id) => id,
    };
    let environment_variables_hash = if named_environment {
        Some(settings::environment_hash(&settings)?.to_vec())
    } else {
        None
    };
    let mut canister = Canister {
        created: Some(call.time),
        ..Canister::new(id, settings, cycles)
    };
    let creation = CreationRecord {
        controllers: canister.settings.controllers.clone(),
        environment_variables_hash,
    };
    note(&mut canister, call, sender, ChangeDetails::Creation(creation));
    machine.commit(canister, &(Vec::new(), Vec::new()));
    encode(&CanisterIdRecord { canister_id: id })
}

/// `provisional_top_up_canister`.
pub fn top_up(machine: &mut Machine, canister: &Canister, call: &Call) -> Result<Vec<u8>, Reject> {
    let args: TopUpArgs = decode(&call.arg)?;
    let mut next = canister.clone();
    let amount = cycles(&args.amount)?;
    if !broken(Fault::LoseDeposits) {
        next.cycles = next.cycles.saturating_add(amount);
    }
    machine.commit(next, &(Vec::new(), Vec::new()));
    nothing()
}

/// `deposit_cycles`.
pub fn deposit(machine: &mut Machine, canister: &Canister, sender: &mut Sender) -> Result<Vec<u8>, Reject> {
    let mut next = canister.clone();
    let room = u128::MAX - next.cycles;
    let deposited = sender.cycles.min(room);
    if !broken(Fault::LoseDeposits) {
        next.cycles += deposited;
    }
    sender.cycles -= deposited;
    machine.commit(next, &(Vec::new(), Vec::new()));
    nothing()
}
