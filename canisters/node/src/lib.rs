//! The embedded Internet Computer node: real canister wasm behind the IC's HTTPS interface, with certificates that
//! unmodified clients verify, and a state that survives crashes.
//!
//! ```text
//! http ─▶ wire, auth ─▶ replica: order ─▶ log ─▶ exec (wasm, sysapi, mgmt) ─▶ state ─▶ cert; synced ─▶ http
//! ```
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let node = dcanary_node::Node::start(dcanary_node::Config::ephemeral()).await?;
//! println!("{} {}", node.url(), hex::encode(node.root_key()));
//! node.shutdown().await?;
//! # Ok(())
//! # }
//! ```

mod auth;
pub mod backup;
mod cert;
mod config;
mod creators;
mod exec;
mod faults;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
#[cfg(test)]
mod garbage;
mod heap;
mod http;
mod log;
mod meter;
mod mgmt;
mod mode;
mod node;
mod quotas;
mod replica;
mod state;
mod sysapi;
mod wasm;
mod wire;

pub use config::{Config, Modules};
pub use creators::{Creators, CreatorsError};
pub use exec::memory::{MemoryUse, TooLittleMemory, memory_of_canisters};
#[cfg(feature = "faults")]
pub use faults::{Fault, break_rule};
pub use mode::{Mode, ModeError};
pub use node::{Node, NodeFailed, StartError};
pub use quotas::{Quota, QuotaError, Quotas};
pub use sysapi::names::{KNOWN as SYSTEM_API, NARROW as NARROW_SYSTEM_API};
