//! Laws of the IC interface specification, each tried on a running network.
//!
//! ```text
//! cases ─▶ wasm (builds the canisters of a case) ─▶ client (signs, sends, reads certificates) ─▶ any IC network
//! ```
//!
//! A [`Case`] names the clause of the specification that it is about, and its name is the law, as a sentence. Each case
//! makes users and canisters of its own, so all of them can run at once and on a network that others use too; what it needs
//! is a network on which everybody may create canisters with `provisional_create_canister_with_cycles`.
//!
//! Who tests the tests? A node built with the feature `faults` can break one rule at a time. [`faults::Fault`] lists the
//! rules, and [`matrix`] shows that each broken one is noticed by a case and that each case notices a broken one.

mod case;
mod cases;
mod client;
pub mod faults;
pub mod matrix;
pub mod run;
mod wasm;

pub use case::{Case, Failure, Verdict};
pub use cases::all;
pub use client::Network;
