//! The journal's format and laws, shared by the canister, the operator and the verifier.
//!
//! Everything here is pure: bytes and values in, bytes and values out. No clock, no randomness, no client. The
//! canister refuses what this crate calls illegal, the operator decides with the same code, and the verifier checks
//! a record years later with it. "Section" in the documentation of an item means a section of
//! `docs/ledger-format.md`, which is binding; where code and page differ, the code is wrong.
//!
//! ```text
//! value ── cbor ── fields          what a value is, its bytes and its hash        (section 1)
//!   └── block ── record, names     blocks, their bodies                           (sections 2, 3)
//!         ├── graph ── machine     which record of a run may follow which         (section 4)
//!         ├── environment          records of environments, and which may follow  (sections 11, 12)
//!         ├── policy, labels       who may write, what is certified               (sections 5, 7)
//!         └── tree                 inclusion and consistency proofs               (section 6)
//! api, limits                      the canister's interface and its ceilings
//! ```

pub mod api;
pub mod block;
pub mod cbor;
pub mod environment;
pub mod fields;
#[cfg(test)]
mod garbage;
pub mod graph;
pub mod icrc3;
pub mod labels;
pub mod limits;
pub mod machine;
pub mod names;
pub mod policy;
pub mod record;
pub mod tree;
pub mod value;

pub use value::{Hash, Map, Value};
