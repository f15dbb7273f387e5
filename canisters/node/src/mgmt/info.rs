//! What canisters may ask about each other.
//!
//! Source: IC interface specification, "IC method `canister_info`" and "`canister_metadata`".

use super::{decode, encode};
use crate::exec::call::Call;
use crate::faults::{Fault, broken};
use crate::state::canister::Canister;
use crate::state::request::Reject;
use candid::{CandidType, Deserialize};
use ic_error_types::ErrorCode;
use ic_management_canister_types::{CanisterInfoResult, CanisterMetadataResult};

#[derive(CandidType, Deserialize)]
struct InfoArgs {
    num_requested_changes: Option<u64>,
}

#[derive(CandidType, Deserialize)]
struct MetadataArgs {
    name: String,
}

/// `canister_info`.
pub fn info(canister: &Canister, call: &Call) -> Result<Vec<u8>, Reject> {
    let args: InfoArgs = decode(&call.arg)?;
    encode(&CanisterInfoResult {
        total_num_changes: canister.history.total,
        recent_changes: if broken(Fault::HistoryInFull) {
            canister.history.last(u64::MAX)
        } else {
            canister.history.last(args.num_requested_changes.unwrap_or(0))
        },
        module_hash: canister.code.as_ref().map(|code| code.hash.to_vec()),
        controllers: canister.settings.controllers.clone(),
    })
}

/// `canister_metadata`. That there is a private section is not told to those who may not see it.
pub fn metadata(canister: &Canister, call: &Call) -> Result<Vec<u8>, Reject> {
    let args: MetadataArgs = decode(&call.arg)?;
    let section = canister
        .code
        .as_ref()
        .and_then(|code| code.compiled.info.metadata.get(&args.name))
        .filter(|section| {
            section.public || canister.is_controlled_by(&call.caller) || broken(Fault::RevealPrivateMetadata)
        })
        .ok_or_else(|| {
            Reject::new(
                ErrorCode::CanisterRejectedMessage,
                format!(
                    "Canister {} has no metadata section {} that {} may read",
                    canister.id, args.name, call.caller
                ),
            )
        })?;
    encode(&CanisterMetadataResult {
        value: section.content.to_vec(),
    })
}
