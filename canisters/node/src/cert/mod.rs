//! Certificates: the authenticated state tree, what of it is revealed, and the signatures under it.
//!
//! ```text
//! root key ──signs──▶ delegation: subnet key, canister ranges
//! subnet key ──signs──▶ root hash of /time /subnet /canister_ranges /canister /request_status
//! ```
//!
//! Source: IC interface specification, "Certification" and "The system state tree".

pub mod bls;
pub mod certificate;
pub mod keys;
#[cfg(test)]
pub mod remote;
pub mod signer;
#[cfg(test)]
mod tests;
pub mod topology;
pub mod tree;
pub mod trie;
pub mod view;
