//! What checkpoints name by its hash and hold once: modules and chunks of modules.

use crate::state::State;
use crate::wire::hash::Hash;
use std::collections::BTreeMap;
use std::sync::Arc;

/// All of a state.
pub fn blobs(state: &State) -> BTreeMap<Hash, &Arc<[u8]>> {
    let canisters = || state.canisters.iter().map(|(_, canister)| canister);
    let modules = canisters()
        .filter_map(|canister| canister.code.as_ref())
        .map(|code| (code.hash, &code.wasm));
    let chunks = canisters()
        .flat_map(|canister| canister.chunks.iter())
        .map(|(hash, chunk)| (*hash, chunk));
    modules.chain(chunks).collect()
}
