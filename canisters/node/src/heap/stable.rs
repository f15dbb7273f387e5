//! Stable memory: it is reached only through the system API, so what changed is known exactly.
//!
//! Source: IC interface specification, "Stable memory".

use super::pages::{PAGE, Page, PageMap, ZEROS};
use super::wasm_memory::WASM_PAGE;
use crate::faults::{Fault, broken};
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;

/// Most wasm pages of stable memory: 500 GiB.
pub const MAX_STABLE_PAGES: u64 = 500 * 1024 * 1024 * 1024 / WASM_PAGE;

/// An access beyond the size.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("stable memory access of {len} bytes at {offset} is out of bounds (size {size} bytes)")]
pub struct OutOfBounds {
    offset: u64,
    len: u64,
    size: u64,
}

/// A version of the stable memory of a canister.
#[derive(Debug, Clone, Default)]
pub struct Stable {
    /// The contents.
    pub pages: PageMap,
    /// The size in wasm pages.
    pub size: u64,
}

/// What one execution does to stable memory; dropped when it traps.
#[derive(Debug)]
pub struct Overlay {
    base: Stable,
    size: u64,
    dirty: BTreeMap<u64, Box<Page>>,
}

impl Overlay {
    /// Starts from a version.
    pub fn new(base: Stable) -> Self {
        Self {
            size: base.size,
            base,
            dirty: BTreeMap::new(),
        }
    }

    /// The size in wasm pages.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Grows by wasm pages and returns the size before, or `None` when the limit is in the way.
    pub fn grow(&mut self, by: u64, limit: u64) -> Option<u64> {
        let new = self
            .size
            .checked_add(by)
            .filter(|new| *new <= limit.min(MAX_STABLE_PAGES))?;
        let before = std::mem::replace(&mut self.size, new);
        Some(if broken(Fault::GrowGivesNewSize) {
            new
        } else {
            before
        })
    }

    fn check(&self, offset: u64, len: usize) -> Result<(), OutOfBounds> {
        let (len, size) = (len as u64, self.size * WASM_PAGE);
        match offset.checked_add(len) {
            Some(end) if end <= size => Ok(()),
            _ => Err(OutOfBounds { offset, len, size }),
        }
    }

    /// Bytes of the pages that a write would change for the first time; none when it is out of bounds.
    pub fn fresh(&self, offset: u64, len: usize) -> u64 {
        if self.check(offset, len).is_err() {
            return 0;
        }
        let fresh = spans(offset, len).filter(|(index, ..)| !self.dirty.contains_key(index));
        (fresh.count() * PAGE) as u64
    }

    /// Reads into a buffer.
    pub fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), OutOfBounds> {
        if self.check(offset, out.len()).is_err() && broken(Fault::LaxStable) {
            return Ok(());
        }
        self.check(offset, out.len())?;
        for (index, within, range) in spans(offset, out.len()) {
            let page: &Page = match self.dirty.get(&index) {
                Some(page) => page,
                None => self.base.pages.get(index).map_or(&ZEROS, |page| page),
            };
            let len = range.len();
            out[range].copy_from_slice(&page[within..within + len]);
        }
        Ok(())
    }

    /// Writes a buffer.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), OutOfBounds> {
        if self.check(offset, data.len()).is_err() && broken(Fault::LaxStable) {
            return Ok(());
        }
        self.check(offset, data.len())?;
        for (index, within, range) in spans(offset, data.len()) {
            let page = self
                .dirty
                .entry(index)
                .or_insert_with(|| Box::new(self.base.pages.get(index).map_or(ZEROS, |page| **page)));
            page[within..within + range.len()].copy_from_slice(&data[range]);
        }
        Ok(())
    }

    /// The version after the execution, and the indices of the pages written.
    pub fn commit(self) -> (Stable, Vec<u64>) {
        let mut pages = self.base.pages;
        let changed = self.dirty.keys().copied().collect();
        for (index, page) in self.dirty {
            pages.set(
                index,
                if *page == ZEROS {
                    None
                } else {
                    Some(Arc::from(page))
                },
            );
        }
        (
            Stable {
                pages,
                size: self.size,
            },
            changed,
        )
    }
}

/// Splits an access into (page index, offset within the page, range of the buffer).
fn spans(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = offset + done as u64;
        #[allow(clippy::cast_possible_truncation)] // The remainder is below the page size.
        let within = (at % PAGE as u64) as usize;
        let take = (PAGE - within).min(len - done);
        let range = done..done + take;
        done += take;
        Some((at / PAGE as u64, within, range))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_behaves_like_an_array(
            writes in proptest::collection::vec((0u64..200_000, proptest::collection::vec(any::<u8>(), 0..9_000)), 0..12),
        ) {
            let mut model = vec![0u8; 3 * 65_536];
            let mut stable = Stable::default();
            for (offset, data) in writes {
                let mut overlay = Overlay::new(stable);
                if overlay.size() == 0 {
                    overlay.grow(3, 10).unwrap();
                }
                let end = usize::try_from(offset).unwrap() + data.len();
                prop_assert_eq!(overlay.write(offset, &data).is_ok(), end <= model.len());
                if end <= model.len() {
                    model[end - data.len()..end].copy_from_slice(&data);
                }
                stable = overlay.commit().0;
            }
            if stable.size > 0 {
                let mut all = vec![0; model.len()];
                Overlay::new(stable).read(0, &mut all).unwrap();
                prop_assert_eq!(all, model);
            }
        }
    }

    #[test]
    fn growing_beyond_the_limit_fails_and_changes_nothing() {
        let mut overlay = Overlay::new(Stable::default());
        assert_eq!(overlay.grow(11, 10), None);
        assert_eq!(overlay.grow(10, 10), Some(0));
        assert_eq!(overlay.grow(u64::MAX, 10), None);
        assert_eq!(overlay.size(), 10);
    }
}
