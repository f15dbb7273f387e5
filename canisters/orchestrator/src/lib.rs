//! The journal canister.
