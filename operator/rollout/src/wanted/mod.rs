//! What is wanted: which promotion comes next, and what it still waits for. A pure function of Promotions, Decisions and policy.
//!
//! ```text
//! Promotions ─▶ queue (newest first) ─▶ gate: allowed? held? older? source? freeze? approvals? ─▶ Ready | Waiting | Ended
//! Decisions ──▶ those that count ─────────┘
//! ```

mod approvals;
mod decisions;
mod freeze;
mod gate;
mod queue;
mod source;
#[cfg(test)]
mod tests;
mod way_back;

pub use approvals::{Approvals, approvals, same_person};
pub(crate) use decisions::is_enforced;
pub use decisions::{Counted, counted, unenforced};
pub use freeze::{FreezeError, Frozen, frozen, validate as validate_freeze};
pub use gate::{Gate, ended, gate, override_of};
pub use queue::{Place, finished, key, queue};
pub use source::{Arrived, OWN_NAME, arrived, asked_before, auto_promotion, digest_of, is_recorded, is_same};
pub use way_back::{is_decided_way_back, is_led_back, name_of_undo};
