//! The management canister `aaaaa-aa`.
//!
//! Source: IC interface specification, "The IC management canister". Its methods run inside a batch like any message;
//! [`admit`] applies the same checks before ordering, so that a refusal costs nothing.

mod ahead;
mod chunks;
mod create;
mod info;
mod install;
mod lifecycle;
mod logs;
mod method;
mod random;
mod sender;
mod settings;
mod status;

#[cfg(test)]
pub use ahead::module as module_to_install;
pub use ahead::{compile as compile_ahead, installs};
pub use random::raw_rand;
pub use sender::{Sender, names_its_version};
pub use settings::MAX_ENVIRONMENT_TEXT;
#[cfg(test)]
pub use settings::defaults as default_settings;

use crate::creators::Creators;
use crate::exec::call::{Call, not_found};
use crate::exec::machine::Machine;
use crate::faults::{Fault, broken};
use crate::mode::Mode;
use crate::state::State;
use crate::state::canister::Canister;
use crate::state::request::Reject;
use candid::{CandidType, Deserialize};
use ic_error_types::ErrorCode;
use ic_principal::Principal;
use method::{Audience, Channel, Method};
use std::sync::Arc;

/// The field that every method about a canister has but one.
#[derive(CandidType, Deserialize)]
struct Target {
    canister_id: Principal,
}

/// That of `install_chunked_code`.
#[derive(CandidType, Deserialize)]
struct ChunkedTarget {
    target_canister: Principal,
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

/// Encodes a reply.
pub fn encode<T: CandidType>(value: &T) -> Result<Vec<u8>, Reject> {
    candid::encode_one(value).map_err(|error| {
        Reject::new(
            ErrorCode::InvalidManagementPayload,
            format!("Error encoding candid: {error:#}"),
        )
    })
}

/// The reply of methods without a result.
pub fn nothing() -> Result<Vec<u8>, Reject> {
    candid::encode_args(()).map_err(|error| {
        Reject::new(
            ErrorCode::InvalidManagementPayload,
            format!("Error encoding candid: {error:#}"),
        )
    })
}

fn target_of(method: Method, arg: &[u8]) -> Result<Principal, Reject> {
    if method == Method::InstallChunked {
        Ok(decode::<ChunkedTarget>(arg)?.target_canister)
    } else {
        Ok(decode::<Target>(arg)?.canister_id)
    }
}

/// The method of a name, if canisters can call it in updates.
fn by_canister(name: &str) -> Result<Method, Reject> {
    let method = Method::of(name)?;
    match method.channel() {
        Channel::All | Channel::Canisters => Ok(method),
        Channel::Queries if broken(Fault::OpenChannels) => Ok(method),
        Channel::Queries => Err(only_by_query(name)),
    }
}

/// The method of a name, if it can be called by the users' ingress messages.
fn by_ingress(name: &str) -> Result<Method, Reject> {
    let method = Method::of(name)?;
    let only = match method.channel() {
        Channel::All => return Ok(method),
        _ if broken(Fault::OpenChannels) => return Ok(method),
        Channel::Canisters => format!("Only canisters can call ic00 method {name}"),
        Channel::Queries => return Err(only_by_query(name)),
    };
    Err(Reject::new(ErrorCode::CanisterRejectedMessage, only))
}

/// The canister that a management call by an ingress message is about; `None` for those that create one.
pub fn target(name: &str, arg: &[u8]) -> Result<Option<Principal>, Reject> {
    let method = by_ingress(name)?;
    method.has_target().then(|| target_of(method, arg)).transpose()
}

/// Checks before ordering what executing would check first.
pub fn admit(state: &State, call: &Call, creators: &Creators, mode: Mode) -> Result<(), Reject> {
    let method = by_ingress(&call.method)?;
    if method.is_provisional() {
        mode.has_provisional(&call.method)?;
    }
    if method.creates() && !creators.include(&call.caller) {
        return Err(Reject::new(
            ErrorCode::CanisterInvalidController,
            format!(
                "{} may not create canisters on this node (--creators)",
                call.caller
            ),
        ));
    }
    if method.has_target() {
        authorize(state, method, &target_of(method, &call.arg)?, call)?;
    }
    if method == Method::InstallChunked {
        chunks::check(state, call)?;
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
    let caller = &call.caller;
    let allowed = match method.audience() {
        Audience::Everybody => true,
        Audience::Controllers | Audience::ControllersAndItself if broken(Fault::IgnoreControllers) => true,
        Audience::Controllers => canister.is_controlled_by(caller),
        Audience::ControllersAndItself => canister.is_controlled_by(caller) || caller == id,
        // Others instead of those who may.
        Audience::StatusViewers if broken(Fault::StatusForOthers) => !status::is_visible(canister, caller),
        Audience::StatusViewers => status::is_visible(canister, caller),
        Audience::LogViewers => logs::are_visible(canister, caller),
    };
    if allowed {
        return Ok(canister);
    }
    let (error, who) = match method.audience() {
        Audience::LogViewers => (
            ErrorCode::CanisterRejectedMessage,
            format!("Caller {caller} is not allowed to access canister logs"),
        ),
        _ => (
            ErrorCode::CanisterInvalidController,
            format!(
                "Only controllers of canister {id} can call ic00 method {}",
                call.method
            ),
        ),
    };
    Err(Reject::new(error, who))
}

/// Executes a management call, of a user or of a canister. Cycles that it takes are taken from the sender's. `None` when it is
/// answered later.
pub fn execute(machine: &mut Machine, call: &Call, sender: &mut Sender) -> Result<Option<Vec<u8>>, Reject> {
    let method = if sender.is_canister() {
        by_canister(&call.method)?
    } else {
        by_ingress(&call.method)?
    };
    sender::check_sender(call, sender)?;
    // Users were refused before their calls were ordered.
    if sender.is_canister() && method.is_provisional() && !machine.permissions().provisional {
        Mode::Production.has_provisional(&call.method)?;
    }
    match method {
        Method::Create => create::create(machine, call, sender).map(Some),
        Method::ProvisionalCreate => create::provisional(machine, call, sender).map(Some),
        Method::RawRand => {
            machine.wait_for_seed(sender);
            Ok(None)
        }
        _ => about(machine, method, call, sender),
    }
}

/// Executes a call that is about an existing canister.
fn about(
    machine: &mut Machine,
    method: Method,
    call: &Call,
    sender: &mut Sender,
) -> Result<Option<Vec<u8>>, Reject> {
    let id = target_of(method, &call.arg)?;
    let canister = authorize(machine.state(), method, &id, call)?.clone();
    if broken(Fault::InspectEverything) && crate::exec::call::inspects(&canister) {
        machine.executor.inspect(&canister, call)?;
    }
    let reply = match method {
        Method::Stop => return lifecycle::stop(machine, &canister, sender),
        Method::Install => install::install(machine, &canister, call, sender),
        Method::InstallChunked => install::chunked(machine, &canister, call, sender),
        Method::UploadChunk => chunks::upload(machine, &canister, call),
        Method::ClearChunkStore => chunks::clear(machine, &canister),
        Method::StoredChunks => chunks::stored(&canister),
        Method::Uninstall => lifecycle::uninstall(machine, &canister, call, sender),
        Method::UpdateSettings => settings::update(machine, &canister, call, sender),
        Method::Status => status::status(&canister),
        Method::Info => info::info(&canister, call),
        Method::Metadata => info::metadata(&canister, call),
        Method::Start => lifecycle::start(machine, &canister),
        Method::Delete => lifecycle::delete(machine, &canister),
        Method::DepositCycles => create::deposit(machine, &canister, sender),
        Method::ProvisionalTopUp => create::top_up(machine, &canister, call),
        Method::Create | Method::ProvisionalCreate | Method::RawRand | Method::FetchLogs => nothing(),
    };
    reply.map(Some)
}

fn only_by_query(name: &str) -> Reject {
    Reject::new(
        ErrorCode::CanisterRejectedMessage,
        format!("{name} API is only accessible in non-replicated mode"),
    )
}

/// The method of a name, if it can be called by queries.
fn by_query(name: &str) -> Result<Method, Reject> {
    match Method::of(name)? {
        method @ (Method::FetchLogs | Method::Status) => Ok(method),
        _ => Err(Reject::new(
            ErrorCode::CanisterMethodNotFound,
            format!("Management canister has no query method '{name}'"),
        )),
    }
}

/// The canister that a management query is about.
pub fn query_target(name: &str, arg: &[u8]) -> Result<Principal, Reject> {
    target_of(by_query(name)?, arg)
}

/// Executes a management query of a user. Canisters make none: a composite query calls canisters only.
pub fn query(state: &State, call: &Call) -> Result<Vec<u8>, Reject> {
    let method = by_query(&call.method)?;
    let canister = authorize(state, method, &target_of(method, &call.arg)?, call)?;
    match method {
        Method::FetchLogs => logs::fetch(canister, call),
        _ => status::status(canister),
    }
}
