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

/// The first `rows` steps that `go` can be asked for are stopped, each in a call of its own.
pub async fn each_row_traps(user: &User, canister: Principal, rows: u64) -> Verdict {
    for row in 0..rows {
        user.update(canister, "go", &row.to_le_bytes())
            .await?
            .rejected(CANISTER_ERROR)
            .map_err(|failure| Failure::new(format!("row {row}: {failure}")))?;
    }
    Ok(())
}

/// What is for controllers only, then for a viewer too, then for everybody, as the settings of `canister` say one after the other.
pub async fn seen_as_the_settings_say<S, R>(
    canister: Principal,
    [user, friend, other]: [&User; 3],
    sees: S,
    [viewer, public]: [CanisterSettings; 2],
) -> Verdict
where
    S: Fn(User) -> R,
    R: Future<Output = bool>,
{
    let all = async || {
        [
            sees(user.clone()).await,
            sees(friend.clone()).await,
            sees(other.clone()).await,
        ]
    };
    equal("at first", all().await, [true, false, false])?;
    user.set(canister, viewer).await?.reply()?;
    equal("with a viewer", all().await, [true, true, false])?;
    user.set(canister, public).await?.reply()?;
    equal("in public", all().await, [true, true, true])
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
