//! Memory contents as pages that are shared between versions.
//!
//! A version of a memory never changes. The next one shares every page that was not written, so a snapshot for queries
//! and the base of a checkpoint cost pointers, and what changed between two versions is found by comparing pointers.
//! A page of zeros is not stored.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes in a page: the unit of change tracking.
pub const PAGE: usize = 4096;
/// One page.
pub type Page = [u8; PAGE];
/// Pages in a chunk, the unit of sharing in the index (2 MiB).
const CHUNK: u64 = 512;
/// What absent pages hold.
pub static ZEROS: Page = [0; PAGE];

type Chunk = Vec<Option<Arc<Page>>>;

/// See the module documentation.
#[derive(Debug, Clone, Default)]
pub struct PageMap(Arc<BTreeMap<u64, Arc<Chunk>>>);

impl PageMap {
    /// The page at an index; `None` when it holds zeros.
    pub fn get(&self, index: u64) -> Option<&Arc<Page>> {
        self.0.get(&(index / CHUNK))?.get(place(index))?.as_ref()
    }

    /// Replaces a page.
    pub fn set(&mut self, index: u64, page: Option<Arc<Page>>) {
        let chunks = Arc::make_mut(&mut self.0);
        let chunk = chunks
            .entry(index / CHUNK)
            .or_insert_with(|| Arc::new(vec![None; place(CHUNK - 1) + 1]));
        Arc::make_mut(chunk)[place(index)] = page;
    }

    /// All pages that hold something else than zeros, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Arc<Page>)> {
        self.0.iter().flat_map(|(at, chunk)| {
            (at * CHUNK..)
                .zip(chunk.iter())
                .filter_map(|(index, page)| page.as_ref().map(|page| (index, page)))
        })
    }

    /// The pages in which this version differs from an older one; `None` means zeros now.
    pub fn changes_since<'a>(&'a self, old: &'a Self) -> impl Iterator<Item = (u64, Option<&'a Arc<Page>>)> {
        let same_map = Arc::ptr_eq(&self.0, &old.0);
        let keys: std::collections::BTreeSet<u64> = if same_map {
            std::collections::BTreeSet::new()
        } else {
            self.0.keys().chain(old.0.keys()).copied().collect()
        };
        keys.into_iter()
            .filter(|at| match (self.0.get(at), old.0.get(at)) {
                (Some(new), Some(old)) => !Arc::ptr_eq(new, old),
                _ => true,
            })
            .flat_map(move |at| at * CHUNK..(at + 1) * CHUNK)
            .filter_map(move |index| match (self.get(index), old.get(index)) {
                (None, None) => None,
                (Some(new), Some(old)) if Arc::ptr_eq(new, old) => None,
                (new, _) => Some((index, new)),
            })
    }
}

#[allow(clippy::cast_possible_truncation)] // The remainder is below 512.
fn place(index: u64) -> usize {
    (index % CHUNK) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_exactly_the_pages_set_since() {
        let mut old = PageMap::default();
        old.set(3, Some(Arc::new([1; PAGE])));
        old.set(600, Some(Arc::new([2; PAGE])));
        let mut new = old.clone();
        new.set(3, None);
        new.set(4, Some(Arc::new([3; PAGE])));
        let changes: Vec<_> = new
            .changes_since(&old)
            .map(|(index, page)| (index, page.map(|page| page[0])))
            .collect();
        assert_eq!(changes, [(3, None), (4, Some(3))]);
        assert_eq!(old.iter().map(|(index, _)| index).collect::<Vec<_>>(), [3, 600]);
    }
}
