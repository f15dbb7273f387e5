//! Takes logs, results and artifacts from build Pods, stores them, serves them, gives the operator its resumable list
//! of final reports, and pushes images (`docs/protocol.md`).
//!
//! ```text
//! build Pods ──▶ session, frames, uploads, final ──▶ store (group commit, content by digest) ──▶ volume
//! operator   ──▶ reports, ack, revoke, evidence ─────▲
//! people     ──▶ logs, attempts, artifacts, evidence ┘         images ──▶ registry
//! ```

pub mod attempts;
pub mod auth;
pub mod config;
pub mod core;
pub mod digest;
pub mod evidence;
pub mod finish;
pub mod frames;
pub mod grants;
pub mod http;
pub mod images;
pub mod limits;
pub mod logs;
pub mod metrics;
pub mod names;
pub mod reports;
pub mod session;
pub mod store;
pub mod sweep;
pub mod uploads;
pub mod usage;
