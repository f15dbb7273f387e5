//! Pure decisions: promotions, rollouts, traffic, analysis.
//!
//! ```text
//! Environment + Seen + now ─▶ decide::next ─▶ Plan { status, effects, events, wake }
//!                                │
//!   wanted (promotions, decisions, approvals, freeze) ──┤── analysis (samples to verdicts, evidence)
//!   render (workloads, configuration, hooks) ───────────┘── traffic (Services, routes)
//! ```
//! Nothing here has a client, a clock or a source of randomness.

pub mod analysis;
pub mod decide;
pub mod named;
pub mod plan;
pub mod render;
pub mod seen;
pub mod traffic;
pub mod wanted;

pub use decide::next;
pub use plan::{Actor, Effect, FIELD_MANAGER, Measure, Plan, Source, Verify, Write};
pub use seen::{Key, Kind, Seen, Settings};
