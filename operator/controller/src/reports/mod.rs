//! Final reports of attempts, from the server's list.
//!
//! ```text
//! server ─ GET /v1/reports?after=c ─▶ follower ─▶ memory of the run ─▶ wake ─▶ decision ─▶ status write
//!    ▲                                                                                         │
//!    └──────────── POST /v1/reports/ack (the prefix that is persisted) ◀── AckReports ◀────────┘
//! ```

mod acknowledgements;
mod client;
mod follower;
#[cfg(test)]
mod tests;
mod wanted;

pub use acknowledgements::Acknowledgements;
pub use client::{ServerClient, ServerError};
pub use follower::follow;
#[cfg(test)]
pub(crate) use follower::take;
pub use wanted::Wanted;
