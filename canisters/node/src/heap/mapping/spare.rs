//! Memories of queries that ended, kept for the next query on the same image.
//!
//! Making one takes four system calls and, for each page that is touched, a fault. To clean one takes a system call and a copy of what
//! was written, and the pages that the next query touches are there already. Nothing of a query is left in it: the kernel names the
//! pages that may have been written, and each gets the contents of the image again. Only queries
//! do this: what a message leaves behind is kept, and not worth a second way to get it wrong.

use super::private::ranges_of_private_pages;
use super::{Image, Mapping};
use crate::heap::pages::{PAGE, ZEROS};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmtime::LinearMemory;

/// Memories that are kept, of all images together: those that were used last.
const MOST: usize = 32;
/// Pages of its own that a memory may keep: with the line above 8 MiB in all.
const MOST_PAGES: usize = 64;

/// Clean memories, and the number of the image that each shows; those used last at the end.
#[derive(Debug, Default)]
pub(super) struct Spares(Mutex<VecDeque<(u64, Mapping)>>);

/// Those of this process.
pub(super) static SPARES: Spares = Spares(Mutex::new(VecDeque::new()));

impl Spares {
    fn lock(&self) -> MutexGuard<'_, VecDeque<(u64, Mapping)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A memory of this kind that shows the image, if one is kept.
    pub(super) fn take(&self, image: &Image, capacity: usize, guard: usize) -> Option<Mapping> {
        let reserved = capacity.checked_add(guard)?;
        let mut kept = self.lock();
        let fits = |(number, mapping): &(u64, Mapping)| {
            (*number, mapping.capacity, mapping.reserved) == (image.number, capacity, reserved)
        };
        let at = kept.iter().rposition(fits)?;
        kept.remove(at).map(|(_, mapping)| mapping)
    }

    /// Cleans a memory that began with the image and keeps it, unless making one costs less.
    fn keep(&self, image: &Image, mut mapping: Mapping) {
        if mapping.size != image.len || !clean(image, &mut mapping) {
            return;
        }
        let mut kept = self.lock();
        kept.push_back((image.number, mapping));
        let oldest = (kept.len() > MOST).then(|| kept.pop_front());
        // Nobody has to wait until the system has taken it back.
        drop(kept);
        drop(oldest);
    }

    /// Gives up the memories of an image that is gone.
    pub(super) fn forget(&self, image: &Image) {
        let mut kept = self.lock();
        let all = std::mem::take(&mut *kept).into_iter();
        let (gone, left): (VecDeque<_>, _) = all.partition(|(number, _)| *number == image.number);
        *kept = left;
        drop(kept);
        drop(gone);
    }
}

/// Brings a memory back to what the image holds. Says whether it did: a memory of which much was written is not worth it.
fn clean(image: &Image, mapping: &mut Mapping) -> bool {
    let len = mapping.size;
    // SAFETY: the accessible part of a mapping whose instance is gone.
    let memory = unsafe { std::slice::from_raw_parts_mut(mapping.base.cast::<u8>(), len) };
    let Some(written) = ranges_of_private_pages(memory).filter(|written| written.len() <= MOST_PAGES) else {
        return false;
    };
    for index in written {
        let page = image
            .pages
            .get(index)
            .map_or(ZEROS.as_slice(), |page| page.as_slice());
        let at = usize::try_from(index)
            .ok()
            .and_then(|index| index.checked_mul(PAGE));
        let Some(place) = at.and_then(|at| memory.get_mut(at..at.saturating_add(PAGE))) else {
            return false;
        };
        place.copy_from_slice(page);
    }
    true
}

/// The memory of an instance, and the image that it shows when it may be kept for another.
#[derive(Debug)]
pub(super) struct Memory {
    /// Taken when the instance ends.
    mapping: Option<Mapping>,
    /// What the instance has of it: less than what is accessible until it has grown to the size of the heap.
    size: usize,
    image: Option<Arc<Image>>,
}

impl Memory {
    pub(super) fn new(mapping: Mapping, size: usize, image: Option<Arc<Image>>) -> Self {
        Self {
            mapping: Some(mapping),
            size,
            image,
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let (Some(mapping), Some(image)) = (self.mapping.take(), &self.image) {
            SPARES.keep(image, mapping);
        }
    }
}

// SAFETY: as for the mapping. It is as large as the instance believes, or larger until the heap is loaded: no code runs before.
unsafe impl LinearMemory for Memory {
    fn byte_size(&self) -> usize {
        self.size
    }

    fn byte_capacity(&self) -> usize {
        self.mapping.as_ref().map_or(0, |mapping| mapping.capacity)
    }

    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        if let Some(mapping) = &mut self.mapping {
            mapping.open(new_size)?;
        }
        self.size = new_size;
        Ok(())
    }

    fn as_ptr(&self) -> *mut u8 {
        self.mapping
            .as_ref()
            .map_or(std::ptr::null_mut(), |mapping| mapping.base.cast())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::heap::pages::PageMap;

    const GUARD: usize = PAGE;
    const CAPACITY: usize = 512 * PAGE;

    /// 100 pages: one of ones, the others empty.
    fn image() -> Image {
        let mut pages = PageMap::default();
        pages.set(1, Some(Arc::new([1; PAGE])));
        Image::new(&pages, 100 * PAGE as u64).unwrap()
    }

    fn made(image: &Image) -> Mapping {
        Mapping::new(image.len, CAPACITY, GUARD, Some(image)).unwrap()
    }

    fn contents(mapping: &mut Mapping) -> &mut [u8] {
        // SAFETY: the accessible part of a mapping that only the caller has.
        unsafe { std::slice::from_raw_parts_mut(mapping.base.cast::<u8>(), mapping.size) }
    }

    #[test]
    fn who_has_a_memory_after_another_finds_the_image_and_nothing_of_the_other() {
        let (spares, image) = (Spares::default(), image());
        let mut first = made(&image);
        let place = first.base;
        contents(&mut first)[PAGE..3 * PAGE].fill(9);
        contents(&mut first)[100 * PAGE - 1] = 9;
        spares.keep(&image, first);
        let mut second = spares.take(&image, CAPACITY, GUARD).unwrap();
        assert_eq!(second.base, place);
        let expected = |at: usize| u8::from(at / PAGE == 1);
        assert!(
            contents(&mut second)
                .iter()
                .enumerate()
                .all(|(at, byte)| *byte == expected(at))
        );
        assert!(
            spares.take(&image, CAPACITY, GUARD).is_none(),
            "two have the same"
        );
    }

    #[test]
    fn a_memory_is_for_its_image_and_for_its_kind_alone() {
        let (spares, one, other) = (Spares::default(), image(), image());
        spares.keep(&one, made(&one));
        assert!(spares.take(&other, CAPACITY, GUARD).is_none());
        assert!(spares.take(&one, CAPACITY + PAGE, GUARD).is_none());
        assert!(spares.take(&one, CAPACITY, GUARD + PAGE).is_none());
        assert!(spares.take(&one, CAPACITY, GUARD).is_some());
    }

    #[test]
    fn what_has_grown_or_was_written_all_over_is_not_kept() {
        let (spares, image) = (Spares::default(), image());
        let mut grown = made(&image);
        grown.open(101 * PAGE).unwrap();
        spares.keep(&image, grown);
        let mut full = made(&image);
        contents(&mut full)[..(MOST_PAGES + 1) * PAGE].fill(9);
        spares.keep(&image, full);
        assert!(spares.take(&image, CAPACITY, GUARD).is_none());
    }

    #[test]
    fn those_used_last_are_kept_and_those_of_an_image_go_with_it() {
        let (spares, rare, image) = (Spares::default(), image(), image());
        spares.keep(&rare, made(&rare));
        for _ in 0..MOST {
            spares.keep(&image, made(&image));
        }
        assert!(spares.take(&rare, CAPACITY, GUARD).is_none());
        spares.keep(&rare, made(&rare));
        spares.forget(&image);
        assert!(spares.take(&image, CAPACITY, GUARD).is_none());
        assert!(spares.take(&rare, CAPACITY, GUARD).is_some());
    }
}
