//! The wasm heap of a canister between messages: memory contents, size and mutable globals.
//!
//! Each message runs in a fresh instance that the heap is copied into, and a successful one is compared and copied back.
//! Rolling back is dropping the instance. Copy-on-write mappings can replace the copying behind these two functions.

use super::pages::{PAGE, PageMap, ZEROS};
use std::sync::Arc;

/// Bytes in a wasm page.
pub const WASM_PAGE: u64 = 65_536;

/// The value of a mutable global, by its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GlobalValue {
    /// i32.
    I32(i32),
    /// i64.
    I64(i64),
    /// f32, its bits.
    F32(u32),
    /// f64, its bits.
    F64(u64),
    /// v128.
    V128(u128),
}

/// See the module documentation.
#[derive(Debug, Clone, Default)]
pub struct Heap {
    /// The contents.
    pub pages: PageMap,
    /// The size in wasm pages; zero before the first instantiation.
    pub size: u64,
    /// Values of the mutable globals in the order of the module; empty means their initial values.
    pub globals: Vec<GlobalValue>,
}

impl Heap {
    /// Copies the contents into a fresh, zeroed memory that is at least as large.
    pub fn load(&self, memory: &mut [u8]) {
        for (index, page) in self.pages.iter() {
            if let Some(target) = slot(memory, index) {
                target.copy_from_slice(&**page);
            }
        }
    }

    /// The version after an execution: equal pages are shared with this one. Also returns the indices that changed.
    pub fn capture(&self, memory: &[u8], globals: Vec<GlobalValue>) -> (Self, Vec<u64>) {
        let mut pages = self.pages.clone();
        let mut changed = Vec::new();
        for (index, now) in (0u64..).zip(memory.chunks_exact(PAGE)) {
            let before = self
                .pages
                .get(index)
                .map_or(ZEROS.as_slice(), |page| page.as_slice());
            if now == before {
                continue;
            }
            changed.push(index);
            let page = <&[u8; PAGE]>::try_from(now)
                .ok()
                .filter(|page| **page != ZEROS)
                .map(|page| Arc::new(*page));
            pages.set(index, page);
        }
        (
            Self {
                pages,
                size: memory.len() as u64 / WASM_PAGE,
                globals,
            },
            changed,
        )
    }

    /// The size in bytes.
    pub fn bytes(&self) -> u64 {
        self.size * WASM_PAGE
    }
}

fn slot(memory: &mut [u8], index: u64) -> Option<&mut [u8]> {
    let start = usize::try_from(index).ok()?.checked_mul(PAGE)?;
    memory.get_mut(start..start.checked_add(PAGE)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_captured_is_loaded_again_and_untouched_pages_are_shared() {
        let mut memory = vec![0u8; 65_536];
        memory[5] = 7;
        memory[9_000] = 8;
        let (one, changed) = Heap::default().capture(&memory, vec![]);
        assert_eq!(changed, [0, 2]);
        memory[5] = 0;
        let (two, changed) = one.capture(&memory, vec![]);
        assert_eq!(changed, [0]);
        assert!(two.pages.get(0).is_none(), "a page of zeros is not stored");
        assert_eq!(two.pages.changes_since(&one.pages).count(), 1);
        let mut loaded = vec![0u8; 65_536];
        two.load(&mut loaded);
        assert_eq!(loaded, memory);
    }
}
