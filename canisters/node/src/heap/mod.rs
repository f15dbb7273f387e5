//! What a canister remembers between messages: versions of its heap and of its stable memory.

pub mod mapping;
pub mod pages;
pub mod stable;
pub mod wasm_memory;
