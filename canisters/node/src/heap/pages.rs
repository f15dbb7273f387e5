//! Memory contents as pages that are shared between versions.
//!
//! A version of a memory never changes. The next one shares every page that was not written, so a snapshot for queries
//! and the base of a checkpoint cost pointers, and what changed between two versions is found by comparing pointers.
//! A page of zeros is not stored.
//!
//! ```text
//! branch ─▶ 32 branches ─▶ … ─▶ leaf ─▶ 32 pages
//! ```
//!
//! A written page costs its leaf and the branches above it, 32 pointers each: a few microseconds, however large the memory is.

use std::sync::Arc;

/// Bytes in a page: the unit of change tracking.
pub const PAGE: usize = 4096;
/// One page.
pub type Page = [u8; PAGE];
/// What absent pages hold.
pub static ZEROS: Page = [0; PAGE];

/// Bits of an index that one level of the tree decides.
const BITS: u32 = 5;
/// What a node has under it.
const WIDTH: usize = 1 << BITS;

/// A part of a memory. Leaves have level 0, and all are at the same depth.
#[derive(Debug, Clone)]
enum Node {
    Leaf([Option<Arc<Page>>; WIDTH]),
    Branch([Child; WIDTH]),
}

type Child = Option<Arc<Node>>;

impl Node {
    fn new(level: u32) -> Self {
        if level == 0 {
            Self::Leaf([const { None }; WIDTH])
        } else {
            Self::Branch([const { None }; WIDTH])
        }
    }

    fn page(&self, at: usize) -> Option<&Arc<Page>> {
        match self {
            Self::Leaf(pages) => pages.get(at)?.as_ref(),
            Self::Branch(_) => None,
        }
    }

    fn child(&self, at: usize) -> Option<&Arc<Self>> {
        match self {
            Self::Leaf(_) => None,
            Self::Branch(children) => children.get(at)?.as_ref(),
        }
    }

    fn set(&mut self, level: u32, index: u64, page: Option<Arc<Page>>) {
        match self {
            Self::Leaf(pages) => pages[place(index, 0)] = page,
            Self::Branch(children) => {
                let child = &mut children[place(index, level)];
                if page.is_some() || child.is_some() {
                    let below = child.get_or_insert_with(|| Arc::new(Self::new(level - 1)));
                    Arc::make_mut(below).set(level - 1, index, page);
                }
            }
        }
    }
}

/// See the module documentation.
#[derive(Debug, Clone, Default)]
pub struct PageMap {
    root: Child,
    /// Level of the root.
    level: u32,
}

impl PageMap {
    /// The page at an index; `None` when it holds zeros.
    pub fn get(&self, index: u64) -> Option<&Arc<Page>> {
        if !reaches(self.level, index) {
            return None;
        }
        let mut node = self.root.as_ref()?;
        for level in (1..=self.level).rev() {
            node = node.child(place(index, level))?;
        }
        node.page(place(index, 0))
    }

    /// Replaces a page.
    pub fn set(&mut self, index: u64, page: Option<Arc<Page>>) {
        if page.is_none() && self.get(index).is_none() {
            return;
        }
        while !reaches(self.level, index) {
            self.level += 1;
            if self.root.is_some() {
                let mut children = [const { None }; WIDTH];
                children[0] = self.root.take();
                self.root = Some(Arc::new(Node::Branch(children)));
            }
        }
        let level = self.level;
        let root = self.root.get_or_insert_with(|| Arc::new(Node::new(level)));
        Arc::make_mut(root).set(level, index, page);
    }

    /// All pages that hold something else than zeros, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Arc<Page>)> {
        Changes::between(Side::of(self), Side::NOTHING).filter_map(|(index, page)| Some((index, page?)))
    }

    /// The pages in which this version differs from an older one, in order; `None` means zeros now.
    pub fn changes_since<'a>(&'a self, old: &'a Self) -> impl Iterator<Item = (u64, Option<&'a Arc<Page>>)> {
        Changes::between(Side::of(self), Side::of(old))
    }
}

/// Whether a tree whose root has this level has a place for an index.
fn reaches(level: u32, index: u64) -> bool {
    index.checked_shr((level + 1) * BITS).unwrap_or(0) == 0
}

/// Where an index is in its node of this level.
#[allow(clippy::cast_possible_truncation)] // The remainder is below 32.
fn place(index: u64, level: u32) -> usize {
    (index.checked_shr(level * BITS).unwrap_or(0) % WIDTH as u64) as usize
}

/// What one version has at a place: a node, which may be of a lower level than the place when the memory ends before it does.
#[derive(Clone, Copy)]
struct Side<'a> {
    node: Option<&'a Arc<Node>>,
    level: u32,
}

impl<'a> Side<'a> {
    const NOTHING: Self = Self { node: None, level: 0 };

    fn of(map: &'a PageMap) -> Self {
        Self {
            node: map.root.as_ref(),
            level: map.level,
        }
    }

    /// What it has at the child of a place of this level.
    fn below(self, level: u32, at: usize) -> Self {
        if self.level == level {
            Self {
                node: self.node.and_then(|node| node.child(at)),
                level: level.saturating_sub(1),
            }
        } else {
            Self {
                node: self.node.filter(|_| at == 0),
                ..self
            }
        }
    }

    fn page(self, at: usize) -> Option<&'a Arc<Page>> {
        self.node?.page(at)
    }

    fn is(self, other: Self) -> bool {
        match (self.node, other.node) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

/// A place in two versions.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// The first index in it.
    base: u64,
    level: u32,
    new: Side<'a>,
    old: Side<'a>,
}

/// Walks two versions side by side and skips what they share.
struct Changes<'a> {
    /// What is still to be looked at, the next one last.
    ahead: Vec<Place<'a>>,
    /// Leaves that differ, and the next page in them.
    leaves: Option<(Place<'a>, usize)>,
}

impl<'a> Changes<'a> {
    fn between(new: Side<'a>, old: Side<'a>) -> Self {
        let whole = Place {
            base: 0,
            level: new.level.max(old.level),
            new,
            old,
        };
        Self {
            ahead: vec![whole],
            leaves: None,
        }
    }

    /// The next page that differs in the leaves that are looked at.
    fn in_leaves(&mut self) -> Option<(u64, Option<&'a Arc<Page>>)> {
        let (place, next) = self.leaves.as_mut()?;
        while *next < WIDTH {
            let at = *next;
            *next += 1;
            let new = place.new.page(at);
            match (new, place.old.page(at)) {
                (None, None) => {}
                (Some(new), Some(old)) if Arc::ptr_eq(new, old) => {}
                _ => return Some((place.base + at as u64, new)),
            }
        }
        None
    }
}

impl<'a> Iterator for Changes<'a> {
    type Item = (u64, Option<&'a Arc<Page>>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(change) = self.in_leaves() {
                return Some(change);
            }
            let place = self.ahead.pop()?;
            if place.new.is(place.old) {
                continue;
            }
            if place.level == 0 {
                self.leaves = Some((place, 0));
                continue;
            }
            let below = (0..WIDTH).rev().map(|at| Place {
                base: place.base + ((at as u64) << (place.level * BITS)),
                level: place.level - 1,
                new: place.new.below(place.level, at),
                old: place.old.below(place.level, at),
            });
            self.ahead.extend(below.filter(|below| !below.new.is(below.old)));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Indices near each other, and now and then one far away.
    fn index() -> impl Strategy<Value = u64> {
        prop_oneof![
            8 => 0..100u64,
            4 => 0..5_000u64,
            1 => 0..1u64 << 27,
            1 => Just(u64::MAX),
        ]
    }

    fn writes() -> impl Strategy<Value = Vec<(u64, Option<u8>)>> {
        prop::collection::vec((index(), prop::option::weighted(0.8, 1..4u8)), 0..60)
    }

    fn write(map: &mut PageMap, known: &mut BTreeMap<u64, Arc<Page>>, writes: Vec<(u64, Option<u8>)>) {
        for (index, content) in writes {
            let page = content.map(|content| Arc::new([content; PAGE]));
            map.set(index, page.clone());
            match page {
                Some(page) => drop(known.insert(index, page)),
                None => drop(known.remove(&index)),
            }
        }
    }

    fn address(page: Option<&Arc<Page>>) -> Option<*const Page> {
        page.map(Arc::as_ptr)
    }

    proptest! {
        #[test]
        fn it_is_a_map_of_pages_and_changes_are_exactly_what_was_set_since(
            first in writes(), second in writes(), asked in prop::collection::vec(index(), 20),
        ) {
            let (mut old, mut before) = (PageMap::default(), BTreeMap::new());
            write(&mut old, &mut before, first);
            let (mut new, mut after) = (old.clone(), before.clone());
            write(&mut new, &mut after, second);
            for (map, known) in [(&old, &before), (&new, &after)] {
                let all: Vec<_> = map.iter().map(|(index, page)| (index, address(Some(page)))).collect();
                let expected: Vec<_> = known.iter().map(|(index, page)| (*index, address(Some(page)))).collect();
                prop_assert_eq!(all, expected);
                for index in asked.iter().chain(before.keys()).chain(after.keys()) {
                    prop_assert_eq!(address(map.get(*index)), address(known.get(index)));
                }
            }
            for (new, old, after, before) in [(&new, &old, &after, &before), (&old, &new, &before, &after)] {
                let changes: Vec<_> = new.changes_since(old).map(|(index, page)| (index, address(page))).collect();
                let mut keys: Vec<_> = before.keys().chain(after.keys()).copied().collect();
                keys.sort_unstable();
                keys.dedup();
                let expected: Vec<_> = keys
                    .into_iter()
                    .map(|index| (index, address(after.get(&index)), address(before.get(&index))))
                    .filter(|(_, after, before)| after != before)
                    .map(|(index, after, _)| (index, after))
                    .collect();
                prop_assert_eq!(changes, expected);
            }
        }
    }

    #[test]
    fn a_change_of_a_large_memory_copies_few_pointers() {
        let page = Arc::new([1; PAGE]);
        let mut old = PageMap::default();
        for index in 0..1 << 18 {
            old.set(index, Some(page.clone()));
        }
        let before = Arc::strong_count(&page);
        let mut new = old.clone();
        new.set(77_777, None);
        // the leaf alone, whose other pages both versions have
        assert_eq!(Arc::strong_count(&page) - before, WIDTH - 1);
    }
}
