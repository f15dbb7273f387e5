//! The operator program: observe → decide → persist → act → report.
//!
//! ```text
//! API server ─ watches ─▶ caches, memory ─▶ run::reconcile ─────────▶ status, Pods, Events
//! server ── reports ───────────▲        └──▶ environment::reconcile ─▶ status, workloads, Services, routes, Events
//! metrics ─ samples ───────────┘                 │
//! chain ◀─ recorder ◀─ outbox in the status ◀────┘
//! ```
//! Decisions are in `dcanary-core` and `dcanary-rollout`, which know no client. This crate only does what it is told there.

pub mod authority;
pub mod backoff;
pub mod cache;
pub mod config;
pub mod context;
pub mod delivery;
pub mod environment;
pub mod failpoint;
pub mod health;
pub mod journal;
pub mod ledger;
pub mod measure;
pub mod memory;
pub mod metrics;
pub mod orphans;
pub mod pipeline;
pub mod pod_key;
pub mod pods;
pub mod program;
pub mod reports;
pub mod run;
pub mod start;
pub mod swap;
pub mod tasks;
#[cfg(test)]
mod testing;
pub mod unreadable;
