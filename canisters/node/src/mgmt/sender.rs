//! Who makes a management call, and what the history says of it.
//!
//! Source: IC interface specification, "IC method `canister_info`" and the function `change_origin`.

use super::decode;
use super::method::Method;
use crate::exec::call::Call;
use crate::faults::{Fault, broken};
use crate::state::calls::Origin;
use crate::state::canister::Canister;
use crate::state::request::Reject;
use crate::wire::hash::Hash;
use candid::{CandidType, Deserialize};
use ic_error_types::ErrorCode;
use ic_management_canister_types::{
    Change, ChangeDetails, ChangeOrigin, CodeDeploymentMode, FromCanisterRecord, FromUserRecord,
};

/// Who sent a management call besides its principal, and what it brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// Who waits for the answer.
    pub origin: Origin,
    /// The version of the canister that sent it, as it was when it made the call and before that was counted; `None` for a user.
    pub version: Option<u64>,
    /// Cycles that came with it; what is left goes back.
    pub cycles: u128,
}

impl Sender {
    /// A user, who waits for the answer to a request and has neither.
    pub fn user(request: Hash) -> Self {
        Self {
            origin: Origin::Ingress(request),
            version: None,
            cycles: 0,
        }
    }

    /// Whether a canister sent it.
    pub fn is_canister(&self) -> bool {
        self.version.is_some()
    }
}

#[derive(CandidType, Deserialize)]
struct Told {
    sender_canister_version: Option<u64>,
}

/// Whether the version that an argument names is that of the canister that calls.
///
/// The specification has this as a condition under which the calling message commits (`validate_sender_canister_version`):
/// where it does not hold, `call_perform` traps. An argument that cannot be decoded names none; executing
/// the call refuses it.
pub fn names_its_version(method: &str, arg: &[u8], version: u64) -> bool {
    let takes_it = Method::of(method).is_ok_and(Method::names_sender_version);
    !takes_it
        || broken(Fault::IgnoreSenderVersion)
        || decode::<Told>(arg).map_or(true, |told| {
            told.sender_canister_version.is_none_or(|named| named == version)
        })
}

/// Refuses a call of a canister that names another version than its own, however it came here.
pub fn check_sender(call: &Call, sender: &Sender) -> Result<(), Reject> {
    match sender.version {
        Some(version) if !names_its_version(&call.method, &call.arg, version) => Err(Reject::new(
            ErrorCode::CanisterContractViolation,
            format!(
                "Management call {} must name the version of the calling canister, which is {version}, as \
                 sender_canister_version, or none",
                call.method
            ),
        )),
        _ => Ok(()),
    }
}

/// Notes a change in the history of a canister, after its version was counted up. The version that a calling canister named
/// is part of it.
pub fn note(canister: &mut Canister, call: &Call, sender: &Sender, details: ChangeDetails) {
    let upgrade = matches!(&details, ChangeDetails::CodeDeployment(record) if record.mode == CodeDeploymentMode::Upgrade);
    if upgrade && broken(Fault::ForgetHistory) {
        return;
    }
    let origin = match sender.version {
        None => ChangeOrigin::FromUser(FromUserRecord { user_id: call.caller }),
        Some(_) => ChangeOrigin::FromCanister(FromCanisterRecord {
            canister_id: call.caller,
            canister_version: decode::<Told>(&call.arg)
                .ok()
                .and_then(|told| told.sender_canister_version),
        }),
    };
    canister.history.add(Change {
        timestamp_nanos: call.time,
        canister_version: canister.version,
        origin,
        details: Some(details),
    });
}
