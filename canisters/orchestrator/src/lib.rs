//! The journal canister: the one authority over runs and environments, and the certified history of what happened to them.
//!
//! `main.rs` has the exported methods and nothing else. Everything they do is here, generic over the memory and with
//! time and caller handed in, so that all laws are tested natively:
//!
//! ```text
//! append ──► batch ──► segment ──► journal ──► store        roles ──► journal
//!             (limits)     │     (block, tree, tip)          query, icrc3 ◄── store
//!                      subject              └──► certify (labels of the certified data)
//!               (state machines)
//! ```

pub mod batch;
pub mod certify;
pub mod entry;
pub mod icrc3;
pub mod journal;
pub mod memory;
pub mod query;
pub mod roles;
pub mod segment;
pub mod store;
mod subject;

#[cfg(test)]
mod tests;

use dcanary_types::limits;

pub use journal::Ledger;
pub use store::StoreError;

/// Who sent a message and when it is executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The caller's principal.
    pub caller: Vec<u8>,
    /// The canister's time in nanoseconds since 1970.
    pub now: u64,
}

/// Ceilings that tests set lower than the canister does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ceilings {
    /// `append` messages of one principal an hour.
    pub messages_an_hour: u64,
    /// Bytes of one principal an hour.
    pub bytes_an_hour: u64,
    /// Open runs of one principal.
    pub open_runs: u64,
    /// Open environments of one principal.
    pub open_environments: u64,
    /// Roles of the ledger.
    pub roles: u64,
    /// Blocks of the journal.
    pub journal_blocks: u64,
    /// Encoded bytes of the journal.
    pub journal_bytes: u64,
    /// Blocks that only roles, conflicts and restores may use.
    pub journal_reserve: u64,
}

impl Default for Ceilings {
    fn default() -> Self {
        Self {
            messages_an_hour: limits::MESSAGES_AN_HOUR,
            bytes_an_hour: limits::BYTES_AN_HOUR,
            open_runs: limits::OPEN_RUNS,
            open_environments: limits::OPEN_ENVIRONMENTS,
            roles: limits::MAX_ROLES,
            journal_blocks: limits::JOURNAL_BLOCKS,
            journal_bytes: limits::JOURNAL_BYTES,
            journal_reserve: limits::JOURNAL_RESERVE,
        }
    }
}
