//! The management canister `aaaaa-aa`.
//!
//! Source: IC interface specification, "The IC management canister". Its methods run inside a batch like any message;
//! [`admit`] applies the same checks before ordering, so that a refusal costs nothing.

mod create;
mod install;
mod lifecycle;
mod settings;
mod status;

use crate::creators::Creators;
use crate::exec::call::{Call, not_found};
use crate::exec::machine::Machine;
use crate::mode::Mode;
use crate::state::State;
use crate::state::canister::Canister;
use crate::state::request::Reject;
use candid::{CandidType, Deserialize};
use ic_error_types::ErrorCode;
use ic_principal::Principal;
use std::sync::Arc;

/// The methods this version has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Create,
    ProvisionalCreate,
    ProvisionalTopUp,
    Install,
    Uninstall,
    UpdateSettings,
    Status,
    Start,
    Stop,
    Delete,
}

impl Method {
    fn of(name: &str) -> Result<Self, Reject> {
        Ok(match name {
            "create_canister" => Self::Create,
            "provisional_create_canister_with_cycles" => Self::ProvisionalCreate,
            "provisional_top_up_canister" => Self::ProvisionalTopUp,
            "install_code" => Self::Install,
            "uninstall_code" => Self::Uninstall,
            "update_settings" => Self::UpdateSettings,
            "canister_status" => Self::Status,
            "start_canister" => Self::Start,
            "stop_canister" => Self::Stop,
            "delete_canister" => Self::Delete,
            _ => {
                return Err(Reject::new(
                    ErrorCode::CanisterMethodNotFound,
                    format!("Management canister has no method '{name}' in this version of dcanary-node"),
                ));
            }
        })
    }

    /// Whether the method makes canisters or cycles from nothing.
    fn is_provisional(self) -> bool {
        matches!(self, Self::ProvisionalCreate | Self::ProvisionalTopUp)
    }

    /// Whether the method is about an existing canister.
    fn has_target(self) -> bool {
        !matches!(self, Self::Create | Self::ProvisionalCreate)
    }
}

/// The field that every method about a canister has.
#[derive(CandidType, Deserialize)]
struct Target {
    canister_id: Principal,
}

/// Decodes an argument; decoding work is bounded because the argument comes from a stranger.
fn decode<T: CandidType + for<'de> Deserialize<'de>>(arg: &[u8]) -> Result<T, Reject> {
    // The work is bounded by the length: skipping costs candid 50 units a byte, and a module is skipped by those who
    // look for the canister's id only. A short argument that pretends to hold much gets no further than this either.
    let work = 1_000_000 + 60 * arg.len();
    let mut config = candid::de::DecoderConfig::new();
    config
        .set_decoding_quota(work)
        .set_skipping_quota(work)
        .set_full_error_message(false);
    candid::utils::decode_one_with_config(arg, &config).map_err(|error| {
        Reject::new(
            ErrorCode::InvalidManagementPayload,
            format!("Error decoding candid: {error}"),
        )
    })
}

fn encode<T: CandidType>(value: &T) -> Result<Vec<u8>, Reject> {
    candid::encode_one(value).map_err(|error| {
        Reject::new(
            ErrorCode::InvalidManagementPayload,
            format!("Error encoding candid: {error:#}"),
        )
    })
}

/// The reply of methods without a result.
fn nothing() -> Result<Vec<u8>, Reject> {
    candid::encode_args(()).map_err(|error| {
        Reject::new(
            ErrorCode::InvalidManagementPayload,
            format!("Error encoding candid: {error:#}"),
        )
    })
}

/// The canister that a management call is about; `None` for those that create one.
pub fn target(method: &str, arg: &[u8]) -> Result<Option<Principal>, Reject> {
    if Method::of(method)?.has_target() {
        Ok(Some(decode::<Target>(arg)?.canister_id))
    } else {
        Ok(None)
    }
}

/// Checks before ordering what executing would check first.
pub fn admit(state: &State, call: &Call, creators: &Creators, mode: Mode) -> Result<(), Reject> {
    let method = Method::of(&call.method)?;
    if method.is_provisional() {
        mode.has_provisional(&call.method)?;
    }
    if !method.has_target() && !creators.include(&call.caller) {
        return Err(Reject::new(
            ErrorCode::CanisterInvalidController,
            format!(
                "{} may not create canisters on this node (--creators)",
                call.caller
            ),
        ));
    }
    if method.has_target() {
        let target = decode::<Target>(&call.arg)?.canister_id;
        authorize(state, method, &target, call)?;
    }
    Ok(())
}

/// Finds the canister and checks that the caller may do this to it.
fn authorize<'a>(
    state: &'a State,
    method: Method,
    id: &Principal,
    call: &Call,
) -> Result<&'a Arc<Canister>, Reject> {
    let canister = state.canister(id).ok_or_else(|| not_found(*id))?;
    let allowed = match method {
        Method::ProvisionalTopUp => true,
        Method::Status => {
            canister.is_controlled_by(&call.caller) || status::is_visible(canister, &call.caller)
        }
        _ => canister.is_controlled_by(&call.caller),
    };
    if allowed {
        return Ok(canister);
    }
    Err(Reject::new(
        ErrorCode::CanisterInvalidController,
        format!(
            "Only controllers of canister {id} can call ic00 method {}",
            call.method
        ),
    ))
}

/// Executes a management call.
pub fn execute(machine: &mut Machine, call: &Call) -> Result<Vec<u8>, Reject> {
    let method = Method::of(&call.method)?;
    if !method.has_target() {
        return match method {
            Method::Create => create::create(machine, call),
            _ => create::provisional(machine, call),
        };
    }
    let id = decode::<Target>(&call.arg)?.canister_id;
    let canister = authorize(machine.state(), method, &id, call)?.clone();
    match method {
        Method::Install => install::install(machine, &canister, call),
        Method::Uninstall => lifecycle::uninstall(machine, &canister),
        Method::UpdateSettings => settings::update(machine, &canister, call),
        Method::Status => status::status(&canister),
        Method::Start => lifecycle::start(machine, &canister),
        Method::Stop => lifecycle::stop(machine, &canister),
        Method::Delete => lifecycle::delete(machine, &canister),
        Method::ProvisionalTopUp => create::top_up(machine, &canister, call),
        Method::Create | Method::ProvisionalCreate => nothing(),
    }
}

/// The module of an `install_code` argument, so that it can be compiled ahead of ordering.
pub fn module_to_install(method: &str, arg: &[u8]) -> Option<Vec<u8>> {
    (Method::of(method).ok()? == Method::Install)
        .then(|| install::module(arg))
        .flatten()
}
