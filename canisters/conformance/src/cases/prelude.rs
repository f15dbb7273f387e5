//! What every case uses.

pub(crate) use crate::case::case;
pub use crate::case::{Case, Failure, Verdict, check, equal};
pub use crate::client::answer::{
    Answer, CANISTER_ERROR, CANISTER_REJECT, DESTINATION_INVALID, SYS_UNKNOWN, numbers,
};
pub use crate::client::certificate::{Certificate, Found};
pub use crate::client::management::{CYCLES, about, candid, install_arg, nothing};
pub use crate::client::request::{Delegation, MINUTE, Request, Signed, entry, map, nat, now, text};
pub use crate::client::user::{answer as answer_in, certificate_of, path, query_answer};
pub use crate::client::{Key, Network, User};
pub use crate::wasm::imports::{IMPORTS, Import};
pub use crate::wasm::*;
pub use candid::{Decode, Nat, Principal};
pub use ic_management_canister_types::{
    CanisterInstallMode, CanisterSettings, CanisterStatusType, UpgradeFlags,
};
use std::future::Future;
use std::time::Duration;

/// A canister that counts: `inc` and `get`, both answer with the count.
pub fn counter() -> Module {
    Module::new()
        .update("inc", [count("n"), answer_numbers([get("n")])])
        .query("get", [answer_numbers([get("n")])])
}

/// Looks again and again, and rests ever longer in between, until there is something. The time-out of the case ends it.
pub async fn eventually<T, F, R>(mut look: F) -> Result<T, Failure>
where
    F: FnMut() -> R,
    R: Future<Output = Result<Option<T>, Failure>>,
{
    let mut rest = Duration::from_millis(5);
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        tokio::time::sleep(rest).await;
        rest = (rest * 2).min(Duration::from_millis(200));
    }
}
