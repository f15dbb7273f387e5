//! The program inside build Pods: runs the steps of one stage attempt in order and reports to the server.
//!
//! ```text
//! plan (environment) ─▶ stage ─▶ steps ─▶ output ─▶ mask ─▶ journal ─▶ spool ─▶ sender ─▶ server
//!                         │                 results ──────────┘                            ▲
//!                         └── artifacts ─▶ tarball, oci ─▶ upload ─────────────────────────┤
//!                         └── final report ────────────────────────────────────────────────┘
//! ```
//!
//! Steps are hostile and have the runner's uid: the session key lives only in this process, which is not dumpable.

mod command_line;
mod condition;
mod environment;
mod interrupt;
mod journal;
mod mask;
mod oci;
mod output;
mod plan;
mod process;
mod rejected;
mod results;
mod run;
mod secret_results;
mod server;
mod settings;
mod spool;
mod stage;
mod steps;
mod stop;
mod tarball;
mod termination;
mod text;
mod workspace;

pub use command_line::main;
