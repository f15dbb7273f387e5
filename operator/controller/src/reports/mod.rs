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

pub use acknowledgements::Acknowledgements;
pub use client::{ServerClient, ServerError};
pub use follower::follow;
