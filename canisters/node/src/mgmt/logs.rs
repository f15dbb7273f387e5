//! `fetch_canister_logs`.

use super::{decode, encode};
use crate::exec::call::Call;
use crate::faults::{Fault, broken};
use crate::state::canister::Canister;
use crate::state::request::Reject;
use candid::{CandidType, Deserialize};
use ic_management_canister_types::{
    CanisterLogFilter, CanisterLogRecord, FetchCanisterLogsResult, LogVisibility,
};
use ic_principal::Principal;

#[derive(CandidType, Deserialize)]
struct FetchArgs {
    filter: Option<CanisterLogFilter>,
}

/// Whether somebody may see what a canister printed.
pub fn are_visible(canister: &Canister, caller: &Principal) -> bool {
    canister.is_controlled_by(caller)
        || broken(Fault::LogsForAll)
        || match &canister.settings.log_visibility {
            LogVisibility::Controllers => false,
            LogVisibility::Public => true,
            LogVisibility::AllowedViewers(viewers) => viewers.contains(caller),
        }
}

/// The lines, those that the filter names when there is one.
pub fn fetch(canister: &Canister, call: &Call) -> Result<Vec<u8>, Reject> {
    let args: FetchArgs = decode(&call.arg)?;
    let wanted = |idx: u64, time: u64| match &args.filter {
        None => true,
        Some(CanisterLogFilter::ByIdx { start, end }) => (*start..*end).contains(&idx),
        Some(CanisterLogFilter::ByTimestampNanos { start, end }) => (*start..*end).contains(&time),
    };
    let mut canister_log_records: Vec<_> = canister
        .logs
        .iter()
        .filter(|(idx, line)| wanted(*idx, line.time))
        .map(|(idx, line)| CanisterLogRecord {
            idx,
            timestamp_nanos: line.time,
            content: line.content.to_vec(),
        })
        .collect();
    if broken(Fault::LogsReversed) {
        canister_log_records.reverse();
    }
    encode(&FetchCanisterLogsResult { canister_log_records })
}
