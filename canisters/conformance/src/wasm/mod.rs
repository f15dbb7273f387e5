//! Canister modules in a few lines: a method is a list of steps, and a step is WebAssembly text.
//!
//! ```text
//! Module::new().update("inc", [set("n", plus(get("n"), int(1))), answer(number(get("n")))])
//! ```
//!
//! [`code`] has the steps and expressions, [`module`] puts modules together, [`imports`] knows the system API, and
//! [`prelude`] has the functions that steps use. Only what a module uses gets into it.

pub mod call;
pub mod code;
pub mod imports;
pub mod module;
mod prelude;

pub use call::Call;
pub use code::*;
pub use module::Module;
