//! Wasm memories that begin as an image of a heap without copying it, and that tell afterwards which pages may differ.
//!
//! ```text
//! Image (memfd, never written again) ◀─ private mapping of each execution: a page is copied when it is written
//! /proc/self/pagemap ─▶ pages that are private now ─▶ only these are compared
//! ```
//!
//! All of the node's `unsafe` code is here and, for a single call, in [`crate::wasm::cache`]. The kernel decides which pages
//! are private, and it is only asked for more than needed, never for less: what it names is still compared byte by byte, so the result is the same as comparing everything.
//! Where it cannot be asked (no memfd, no pagemap, other page size), [`supported`] is false and heaps are copied as a whole.
#![allow(unsafe_code)]

mod private;
mod spare;

pub use private::private_pages;

use super::pages::{PAGE, PageMap};
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use wasmtime::{LinearMemory, MemoryCreator, MemoryType};

/// Reserved for 64-bit memories, which may grow beyond the engine's reservation but never move: 6 GiB.
const RESERVED_64: usize = 6 << 30;

/// The contents of a heap in a file without a name. It is complete before anybody maps it and never written again.
#[derive(Debug)]
pub struct Image {
    /// No other has had it since the start.
    number: u64,
    file: File,
    len: usize,
    /// What it holds.
    pub pages: PageMap,
    /// How many pages that is.
    pub filled: usize,
}

impl Image {
    /// An image of these pages, `len` bytes long.
    pub fn new(pages: &PageMap, len: u64) -> io::Result<Self> {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        // SAFETY: the name is a C string, and a descriptor that is not negative is new and owned by nobody else.
        let file = unsafe {
            let descriptor = libc::memfd_create(c"heap".as_ptr(), libc::MFD_CLOEXEC);
            if descriptor < 0 {
                return Err(io::Error::last_os_error());
            }
            File::from_raw_fd(descriptor)
        };
        file.set_len(len)?;
        let mut filled = 0;
        for (index, page) in pages.iter() {
            file.write_all_at(page.as_slice(), index * PAGE as u64)?;
            filled += 1;
        }
        Ok(Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            file,
            len: usize::try_from(len).map_err(io::Error::other)?,
            pages: pages.clone(),
            filled,
        })
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        spare::SPARES.forget(self);
    }
}

/// A reserved range of addresses: accessible at its beginning, an image behind it, nothing after it.
#[derive(Debug)]
struct Mapping {
    base: *mut libc::c_void,
    reserved: usize,
    capacity: usize,
    size: usize,
}

// SAFETY: the range belongs to this value alone; nothing about it depends on the thread.
unsafe impl Send for Mapping {}
// SAFETY: shared references only read the fields.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(minimum: usize, capacity: usize, guard: usize, image: Option<&Image>) -> io::Result<Self> {
        let reserved = capacity.checked_add(guard).ok_or(io::ErrorKind::OutOfMemory)?;
        let flags = libc::MAP_PRIVATE | libc::MAP_NORESERVE;
        // SAFETY: a new mapping wherever the kernel likes.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                reserved,
                libc::PROT_NONE,
                flags | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        host(base != libc::MAP_FAILED)?;
        let mut mapping = Self {
            base,
            reserved,
            capacity,
            size: 0,
        };
        if let Some(image) = image.filter(|image| image.len > 0) {
            if image.len > capacity {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            let file = image.file.as_raw_fd();
            // SAFETY: replaces the beginning of the range that was just reserved and is used by nobody.
            let mapped =
                unsafe { libc::mmap(base, image.len, libc::PROT_NONE, flags | libc::MAP_FIXED, file, 0) };
            host(mapped != libc::MAP_FAILED)?;
        }
        mapping.open(minimum)?;
        Ok(mapping)
    }

    /// Makes the range accessible up to a size.
    fn open(&mut self, size: usize) -> io::Result<()> {
        if size > self.capacity {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        if size > self.size {
            // SAFETY: within the range of this value.
            let opened = unsafe { libc::mprotect(self.base, size, libc::PROT_READ | libc::PROT_WRITE) };
            host(opened == 0)?;
            self.size = size;
        }
        Ok(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range of this value, which nobody uses any more. It cannot fail for a range that was mapped.
        unsafe { libc::munmap(self.base, self.reserved) };
    }
}

thread_local! {
    /// What the next memory of this thread begins as.
    static NEXT: RefCell<Option<Beginning>> = const { RefCell::new(None) };
    /// Why the machine could not give this thread a memory that it has a right to.
    static FAILED: RefCell<Option<io::Error>> = const { RefCell::new(None) };
    /// How many system calls of this thread succeed before one fails.
    #[cfg(test)]
    static FAILS: std::cell::Cell<Option<u32>> = const { std::cell::Cell::new(None) };
}

/// What the machine refused this thread since it was last asked: address space, or memory. It says nothing about the canister.
pub fn refused_by_the_machine() -> Option<io::Error> {
    FAILED.take()
}

/// Lets a system call of this thread fail after some that succeed.
#[cfg(test)]
pub fn fail_after(calls: u32) {
    FAILS.set(Some(calls));
}

/// What became of a system call, of which the machine's refusals are noted.
fn host(succeeded: bool) -> io::Result<()> {
    let result = if succeeded {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    };
    #[cfg(test)]
    let result = match FAILS.get() {
        Some(0) => {
            FAILS.set(None);
            Err(io::ErrorKind::OutOfMemory.into())
        }
        left => {
            FAILS.set(left.map(|left| left - 1));
            result
        }
    };
    result.inspect_err(|error| {
        let code = error.raw_os_error();
        FAILED.set(Some(
            code.map_or_else(|| error.kind().into(), io::Error::from_raw_os_error),
        ));
    })
}

/// What a memory begins as.
#[derive(Debug, Clone)]
pub struct Beginning {
    /// What it shows.
    pub image: Arc<Image>,
    /// The size in bytes that it is grown to before any code runs.
    pub size: u64,
    /// Whether nothing of it is kept when the instance ends, so that another instance may have it then.
    pub passes_on: bool,
}

/// Instantiates a module whose memory begins with an image.
pub fn beginning_with<T>(beginning: Option<Beginning>, instantiate: impl FnOnce() -> T) -> T {
    NEXT.set(beginning);
    let instance = instantiate();
    // A module without a memory has not taken it.
    NEXT.set(None);
    instance
}

/// Makes the memories of all instances.
#[derive(Debug)]
pub struct Creator;

// SAFETY: see `Mapping` and `Memory`. A memory is filled with zeros unless `beginning_with` says otherwise on purpose.
unsafe impl MemoryCreator for Creator {
    fn new_memory(
        &self,
        kind: MemoryType,
        minimum: usize,
        _maximum: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        let most = if kind.is_64() { RESERVED_64 } else { 0 };
        let capacity = reserved.unwrap_or(0).max(minimum).max(most);
        let next = NEXT.take();
        // All of an image that somebody used is accessible. A memory that stays smaller must not have it.
        let reused = next
            .as_ref()
            .filter(|next| next.passes_on && next.image.len as u64 <= next.size)
            .and_then(|next| spare::SPARES.take(&next.image, capacity, guard));
        let mapping = match reused {
            Some(mapping) => Ok(mapping),
            None => Mapping::new(minimum, capacity, guard, next.as_ref().map(|next| &*next.image)),
        };
        let shared = next.filter(|next| next.passes_on).map(|next| next.image);
        match mapping {
            Ok(mapping) => Ok(Box::new(spare::Memory::new(mapping, minimum, shared))),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Whether this works here. Tried once.
pub fn supported() -> bool {
    static SUPPORTED: OnceLock<bool> = OnceLock::new();
    *SUPPORTED.get_or_init(|| {
        let works = probe().unwrap_or(false);
        if !works {
            tracing::warn!("no copy-on-write memory here: each message copies the heap");
        }
        works
    })
}

/// Maps an image, writes one page of it and looks whether that page is found, the others are not, and the image is intact.
fn probe() -> io::Result<bool> {
    // SAFETY: no pointers.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    if usize::try_from(page).ok() != Some(PAGE) {
        return Ok(false);
    }
    let mut pages = PageMap::default();
    for index in 0..4 {
        pages.set(index, Some(Arc::new([7; PAGE])));
    }
    let len = 4 * PAGE;
    let image = Image::new(&pages, len as u64)?;
    let mapping = Mapping::new(len, len, PAGE, Some(&image))?;
    // SAFETY: the accessible part of a mapping that nobody else knows.
    let memory = unsafe { std::slice::from_raw_parts_mut(mapping.base.cast::<u8>(), mapping.size) };
    let before: usize = memory.iter().map(|byte| usize::from(*byte)).sum();
    memory[2 * PAGE + 5] = 1;
    let found = private_pages(memory)?;
    let mut intact = [0; PAGE];
    image.file.read_exact_at(&mut intact, 2 * PAGE as u64)?;
    Ok(before == 7 * len && found == [2] && intact == [7; PAGE])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn it_works_on_this_machine() {
        // Otherwise the tests of heaps compare copying with copying.
        assert!(probe().unwrap());
    }

    #[test]
    fn a_memory_shows_the_image_as_far_as_it_is_opened_and_zeros_behind_it() {
        let mut pages = PageMap::default();
        pages.set(0, Some(Arc::new([1; PAGE])));
        pages.set(17, Some(Arc::new([2; PAGE])));
        let image = Image::new(&pages, 32 * PAGE as u64).unwrap();
        let mut mapping = Mapping::new(16 * PAGE, 64 * PAGE, PAGE, Some(&image)).unwrap();
        assert_eq!(mapping.size, 16 * PAGE);
        mapping.open(48 * PAGE).unwrap();
        // SAFETY: the accessible part of a mapping that nobody else knows.
        let memory = unsafe { std::slice::from_raw_parts_mut(mapping.base.cast::<u8>(), mapping.size) };
        assert_eq!(
            [memory[0], memory[PAGE], memory[17 * PAGE], memory[40 * PAGE]],
            [1, 0, 2, 0]
        );
        memory[40 * PAGE] = 3;
        memory[17 * PAGE] = 4;
        let private = private_pages(memory).unwrap();
        assert!(private.contains(&17) && private.contains(&40), "{private:?}");
        assert!(!private.contains(&0) && !private.contains(&1), "{private:?}");
        assert!(mapping.open(65 * PAGE).is_err());
        let other = Mapping::new(32 * PAGE, 64 * PAGE, PAGE, Some(&image)).unwrap();
        // SAFETY: the accessible part of a mapping that nobody else knows.
        let memory = unsafe { std::slice::from_raw_parts(other.base.cast::<u8>(), other.size) };
        assert_eq!(memory[17 * PAGE], 2, "the image was written");
    }
}
