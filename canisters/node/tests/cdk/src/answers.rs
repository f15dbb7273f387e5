//! What a canister of the kit tells, as the canister and its tests have it.

use candid::{CandidType, Deserialize, Principal};

/// Answers of the functions that need no argument.
#[derive(Debug, CandidType, Deserialize)]
pub struct Answers {
    pub caller: Principal,
    pub caller_info: Vec<u8>,
    pub caller_info_signer: Option<Principal>,
    pub deadline: bool,
    pub itself: Principal,
    pub subnet: Principal,
    pub nodes: u32,
    pub root_key: Vec<u8>,
    pub time: u64,
    pub version: u64,
    pub running: bool,
    pub replicated: bool,
    pub controlled_by_caller: bool,
    pub balance: u128,
    pub liquid: u128,
    pub instructions: [u64; 2],
    pub variables: Vec<(String, String)>,
    pub certificate: Option<Vec<u8>>,
}
