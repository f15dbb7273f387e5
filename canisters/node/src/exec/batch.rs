//! What is ordered, logged and applied.

use crate::wire::hash::Hash;
use ic_principal::Principal;
use std::sync::Arc;

/// An authenticated update call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingress {
    /// The request id.
    pub id: Hash,
    /// Who sent it.
    pub sender: Principal,
    /// The called canister.
    pub canister: Principal,
    /// The canister in whose name it is routed: the called one, or the one that a management call is about.
    pub effective: Principal,
    /// The called method.
    pub method: String,
    /// The argument.
    pub arg: Arc<[u8]>,
    /// Until when it is valid.
    pub expiry: u64,
}

/// Messages that are executed together at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its number; the first is 1.
    pub round: u64,
    /// Its time, nanoseconds since 1970, greater than that of the batch before.
    pub time: u64,
    /// Bytes that all canisters together may take. Part of the batch, so that replaying it under another setting gives the
    /// same state.
    pub memory_limit: u64,
    /// Whether canisters may create canisters. Part of the batch like the memory limit; users are checked before ordering.
    pub canisters_create: bool,
    /// Bytes that the operating system drew when the batch was made; see [`crate::mgmt::raw_rand`].
    pub seed: Hash,
    /// The messages in order.
    pub messages: Vec<Ingress>,
}
